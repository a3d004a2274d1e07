"""Detector parts: SLN and what its training and its pyramid test need."""

from .backbones import HeadlessMobileNetV2
from .dense_heads import SLNHead
from .detectors import SLN
from .losses import IoURegressionLoss
from .necks import TopDownP2
from .task_modules import GroupSamplingAssigner
from .test_time_augs import PyramidTTA

__all__ = [
    'SLN',
    'GroupSamplingAssigner',
    'HeadlessMobileNetV2',
    'IoURegressionLoss',
    'PyramidTTA',
    'SLNHead',
    'TopDownP2',
]
