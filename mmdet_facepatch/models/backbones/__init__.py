"""Backbones."""

from .headless_mobilenet_v2 import HeadlessMobileNetV2

__all__ = ['HeadlessMobileNetV2']
