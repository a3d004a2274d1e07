"""Box heads on regions of interest."""

from .margin_bbox_head import Shared2FCMarginBBoxHead

__all__ = ['Shared2FCMarginBBoxHead']
