"""Detectors."""

from .black_box import BlackBoxDetector, check_checkpoint
from .centerface import CenterFace, decode_centerface
from .mtcnn import MTCNN
from .onnx_black_box import OnnxBlackBox
from .packaged_weights import PackagedFile
from .sln import SLN
from .yunet import YuNet, decode_yunet

__all__ = [
    'MTCNN',
    'SLN',
    'BlackBoxDetector',
    'CenterFace',
    'OnnxBlackBox',
    'PackagedFile',
    'YuNet',
    'check_checkpoint',
    'decode_centerface',
    'decode_yunet',
]
