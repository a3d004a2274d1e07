"""Heads on regions of interest, and the pooling before them."""

from .bbox_heads import Shared2FCMarginBBoxHead
from .roi_extractors import ContiguousSingleRoIExtractor

__all__ = ['ContiguousSingleRoIExtractor', 'Shared2FCMarginBBoxHead']
