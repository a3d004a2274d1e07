"""Evaluation: the WIDER FACE protocol, its metric, and reports."""

from .protocol import (
    DetectionMatches,
    ImageRecord,
    PooledMatches,
    average_precision,
    calibrated_delta,
    load_subsets,
    match_detections,
    on_patch,
    pairwise_iou,
    pairwise_iou_plus_one,
    pool_matches,
    precision_recall_at,
    precision_recall_curve,
)
from .report import (
    format_report,
    load_report,
    report_to_markdown,
    save_report,
)
from .widerface_metric import WiderFaceMetric

__all__ = [
    'DetectionMatches',
    'ImageRecord',
    'PooledMatches',
    'WiderFaceMetric',
    'average_precision',
    'calibrated_delta',
    'format_report',
    'load_report',
    'load_subsets',
    'match_detections',
    'on_patch',
    'pairwise_iou',
    'pairwise_iou_plus_one',
    'pool_matches',
    'precision_recall_at',
    'precision_recall_curve',
    'report_to_markdown',
    'save_report',
]
