"""The protocol on plain numpy arrays."""

from .detections import Detections, check_detections
from .evaluate import evaluate_faces
from .f_beta import average_f_beta, f_beta, margin_thresholds
from .face_evaluation import EvaluationSettings, FaceEvaluation, compare_evaluations
from .faces import ImageFaces
from .matching import (
    DetectionMatches,
    PooledMatches,
    match_detections,
    pool_matches,
)
from .overlaps import pairwise_iou, pairwise_iou_plus_one
from .patch_detections import on_patch
from .precision_recall import average_precision, calibrated_delta, precision_recall_at
from .records import ImageRecord, to_records

__all__ = [
    'DetectionMatches',
    'Detections',
    'EvaluationSettings',
    'FaceEvaluation',
    'ImageFaces',
    'ImageRecord',
    'PooledMatches',
    'average_f_beta',
    'average_precision',
    'calibrated_delta',
    'check_detections',
    'compare_evaluations',
    'evaluate_faces',
    'f_beta',
    'margin_thresholds',
    'match_detections',
    'on_patch',
    'pairwise_iou',
    'pairwise_iou_plus_one',
    'pool_matches',
    'precision_recall_at',
    'to_records',
]
