"""Detector parts: SLN, what it needs to train and test, mmdet's heads with margins."""

from .backbones import HeadlessMobileNetV2
from .data_preprocessors import ChannelsLastDetDataPreprocessor
from .dense_heads import RetinaMarginHead, SLNHead, SSDMarginHead
from .detectors import MTCNN, SLN, CenterFace, YuNet, check_checkpoint
from .losses import IoURegressionLoss
from .necks import TopDownP2
from .roi_heads import ContiguousSingleRoIExtractor, Shared2FCMarginBBoxHead
from .task_modules import GroupSamplingAssigner
from .test_time_augs import PyramidTTA

__all__ = [
    'MTCNN',
    'SLN',
    'CenterFace',
    'ChannelsLastDetDataPreprocessor',
    'ContiguousSingleRoIExtractor',
    'GroupSamplingAssigner',
    'HeadlessMobileNetV2',
    'IoURegressionLoss',
    'PyramidTTA',
    'RetinaMarginHead',
    'SLNHead',
    'SSDMarginHead',
    'Shared2FCMarginBBoxHead',
    'TopDownP2',
    'YuNet',
    'check_checkpoint',
]
