"""Evaluation: the WIDER FACE protocol, its metric, and reports.

``functional`` is the protocol in plain numpy, ``io`` its files, ``metrics`` what
mmengine's loops call. The steps are those of the official MATLAB toolkit
(``wider_eval.m``, ``evaluation.m``, ``norm_score.m``, ``boxoverlap.m``), Yang et al.,
*WIDER FACE: A Face Detection Benchmark*, CVPR 2016:

1. :func:`pool_matches` sorts the detections of each image by score, gives each its
   best face, and lays all images end to end; once for all subsets.
2. :meth:`PooledMatches.status` labels every detection true positive, false positive or
   ignored, given the faces kept in a subset.
3. Precision, recall, AP and AF_beta are made of counts at thresholds
   (:func:`evaluate_faces`).

Example:
    >>> import numpy as np
    >>> image = ImageRecord(
    ...     img_id='0--Parade/a',
    ...     det_boxes=np.array([[0., 0, 9, 9], [50, 50, 59, 59]]),
    ...     det_scores=np.array([0.9, 0.8]),
    ...     gt_boxes=np.array([[0., 0, 9, 9]]))
    >>> pool = pool_matches([image])
    >>> status = pool.status(np.ones(pool.num_faces, dtype=bool))
    >>> status.tolist()
    [1, 0]
    >>> precision, recall = precision_recall_at(
    ...     pool.scores, status, num_faces=1, deltas=[0.5, 0.85])
    >>> precision.tolist(), recall.tolist()
    ([0.5, 1.0], [1.0, 1.0])
"""

from .functional.detections import Detections, check_detections
from .functional.evaluate import evaluate_faces
from .functional.f_beta import average_f_beta, f_beta, margin_thresholds
from .functional.face_evaluation import (
    EvaluationSettings,
    FaceEvaluation,
    compare_evaluations,
)
from .functional.faces import ImageFaces, ImageRecord, to_records
from .functional.matching import (
    DetectionMatches,
    PooledMatches,
    match_detections,
    pool_matches,
)
from .functional.overlaps import pairwise_iou, pairwise_iou_plus_one
from .functional.patch_detections import on_patch
from .functional.precision_recall import (
    average_precision,
    calibrated_delta,
    delta_at_recall,
    precision_recall_at,
)
from .functional.reference import Reference
from .io.ground_truth import load_faces, load_ground_truth
from .io.predictions import load_predictions, save_predictions
from .io.text_predictions import read_text_predictions, write_text_predictions
from .metrics import FaceLikenessMetric, WiderFaceMetric
from .report import load_report, save_curves, save_report
from .report_tables import describe_areas, format_report, report_to_markdown

__all__ = [
    'DetectionMatches',
    'Detections',
    'EvaluationSettings',
    'FaceEvaluation',
    'FaceLikenessMetric',
    'ImageFaces',
    'ImageRecord',
    'PooledMatches',
    'Reference',
    'WiderFaceMetric',
    'average_f_beta',
    'average_precision',
    'calibrated_delta',
    'check_detections',
    'compare_evaluations',
    'delta_at_recall',
    'describe_areas',
    'evaluate_faces',
    'f_beta',
    'format_report',
    'load_faces',
    'load_ground_truth',
    'load_predictions',
    'load_report',
    'margin_thresholds',
    'match_detections',
    'on_patch',
    'pairwise_iou',
    'pairwise_iou_plus_one',
    'pool_matches',
    'precision_recall_at',
    'read_text_predictions',
    'report_to_markdown',
    'save_curves',
    'save_predictions',
    'save_report',
    'to_records',
    'write_text_predictions',
]
