"""Heads on regions of interest."""

from .bbox_heads import Shared2FCMarginBBoxHead

__all__ = ['Shared2FCMarginBBoxHead']
