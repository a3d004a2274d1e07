"""Pooling of regions' features."""

from .contiguous import ContiguousSingleRoIExtractor

__all__ = ['ContiguousSingleRoIExtractor']
