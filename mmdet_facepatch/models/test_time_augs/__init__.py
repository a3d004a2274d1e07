"""Test-time augmentation."""

from .pyramid_tta import PyramidTTA

__all__ = ['PyramidTTA']
