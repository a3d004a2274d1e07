"""Evaluation: the WIDER FACE protocol, its metric, and reports.

The protocol is in plain numpy: ``overlaps``, ``matching``, ``patch_detections``,
``precision_recall``, ``f_beta`` and ``evaluate`` take and return arrays, so that
predictions of any detector can be judged. The steps are those of the official
MATLAB toolkit (``wider_eval.m``, ``evaluation.m``, ``norm_score.m``,
``boxoverlap.m``), Yang et al., *WIDER FACE: A Face Detection Benchmark*, CVPR 2016.

The computation has three stages:

1. :func:`pool_matches` sorts the detections of each image by score, gives each its
   best face, and lays all images end to end. This does not depend on the subset (easy,
   medium, hard, all), so it is done once.
2. :meth:`PooledMatches.status` labels every detection true positive, false positive or
   ignored, given the faces kept in a subset.
3. :class:`~mmdet_facepatch.evaluation.precision_recall.ThresholdBins` finds once, for
   every detection, which thresholds it reaches; counts for any subset are histograms of
   that. :func:`average_precision`, :func:`precision_recall_at` and
   :func:`calibrated_delta` are made of such counts.

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

from .detections import Detections, check_detections
from .evaluate import evaluate_faces, to_records
from .f_beta import average_f_beta, f_beta, margin_thresholds
from .face_evaluation import EvaluationSettings, FaceEvaluation, compare_evaluations
from .ground_truth import ImageFaces, load_faces, load_ground_truth
from .matching import (
    DetectionMatches,
    ImageRecord,
    PooledMatches,
    match_detections,
    pool_matches,
)
from .overlaps import pairwise_iou, pairwise_iou_plus_one
from .patch_detections import on_patch
from .precision_recall import average_precision, calibrated_delta, precision_recall_at
from .predictions import load_predictions, save_predictions
from .report import (
    format_report,
    load_report,
    report_to_markdown,
    save_curves,
    save_report,
)
from .text_predictions import read_text_predictions, write_text_predictions
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
