"""Matching and sampling of anchors."""

from .group_sampling import GroupSamplingAssigner, group_sample, scale_groups
from .overlaps import best_overlaps, best_priors, near_pairs

__all__ = [
    'GroupSamplingAssigner',
    'best_overlaps',
    'best_priors',
    'group_sample',
    'near_pairs',
    'scale_groups',
]
