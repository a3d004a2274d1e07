"""Dense heads."""

from .margin_heads import RetinaMarginHead, SSDMarginHead
from .margins import MarginMixin, class_margins
from .sln_head import SLNHead

__all__ = [
    'MarginMixin',
    'RetinaMarginHead',
    'SLNHead',
    'SSDMarginHead',
    'class_margins',
]
