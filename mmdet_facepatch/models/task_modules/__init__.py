"""Matching and sampling of anchors."""

from .group_sampling import GroupSamplingAssigner, group_sample, scale_groups
from .overlaps import best_overlaps

__all__ = [
    'GroupSamplingAssigner',
    'best_overlaps',
    'group_sample',
    'scale_groups',
]
