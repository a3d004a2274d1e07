"""Losses."""

from .iou_regression_loss import IoURegressionLoss, iou_regression_loss

__all__ = ['IoURegressionLoss', 'iou_regression_loss']
