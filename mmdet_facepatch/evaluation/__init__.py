"""Evaluation: the WIDER FACE protocol, its metric, and reports."""

from .evaluate import (
    EvaluationSettings,
    FaceEvaluation,
    compare_evaluations,
    evaluate_faces,
    to_records,
)
from .f_beta import average_f_beta, f_beta, margin_thresholds
from .ground_truth import ImageFaces, load_faces, load_ground_truth
from .predictions import (
    Detections,
    check_detections,
    load_predictions,
    read_text_predictions,
    save_predictions,
    write_text_predictions,
)
from .protocol import (
    DetectionMatches,
    ImageRecord,
    PooledMatches,
    average_precision,
    calibrated_delta,
    match_detections,
    on_patch,
    pairwise_iou,
    pairwise_iou_plus_one,
    pool_matches,
    precision_recall_at,
)
from .report import (
    format_report,
    load_report,
    report_to_markdown,
    save_curves,
    save_report,
)
from .widerface_metric import WiderFaceMetric

__all__ = [
    'DetectionMatches',
    'Detections',
    'EvaluationSettings',
    'FaceEvaluation',
    'ImageFaces',
    'ImageRecord',
    'PooledMatches',
    'WiderFaceMetric',
    'average_f_beta',
    'average_precision',
    'calibrated_delta',
    'check_detections',
    'compare_evaluations',
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
