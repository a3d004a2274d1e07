"""Metrics for mmengine's evaluation loops."""

from .face_likeness_metric import FaceLikenessMetric
from .widerface_metric import WiderFaceMetric

__all__ = ['FaceLikenessMetric', 'WiderFaceMetric']
