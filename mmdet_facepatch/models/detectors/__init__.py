"""Detectors."""

from .sln import SLN

__all__ = ['SLN']
