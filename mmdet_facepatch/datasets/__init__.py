"""Data sets and training transforms."""

from .transforms import (
    FaceCrop,
    LoadIntactImage,
    RandomFaceScaleCrop,
    RandomStepResize,
)
from .wider_face import WiderFaceDataset, WiderImage, parse_wider_annotation

__all__ = [
    'FaceCrop',
    'LoadIntactImage',
    'RandomFaceScaleCrop',
    'RandomStepResize',
    'WiderFaceDataset',
    'WiderImage',
    'parse_wider_annotation',
]
