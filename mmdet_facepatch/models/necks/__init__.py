"""Necks."""

from .top_down_p2 import TopDownP2

__all__ = ['TopDownP2']
