"""Losses."""

from .iou_regression_loss import IoURegressionLoss, iou_regression_loss
from .softmax_focal_loss import SoftmaxFocalLoss, softmax_focal_loss

__all__ = [
    'IoURegressionLoss',
    'SoftmaxFocalLoss',
    'iou_regression_loss',
    'softmax_focal_loss',
]
