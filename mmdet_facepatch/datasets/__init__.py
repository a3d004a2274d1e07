"""Data sets and training transforms."""

from .synthetic import EmbeddedFaceDataset, build_embedded_dataset
from .transforms import (
    FaceCrop,
    LoadIntactImage,
    RandomFaceScaleCrop,
    RandomStepResize,
)
from .wider_face import WiderFaceDataset, WiderImage, parse_wider_annotation

__all__ = [
    'EmbeddedFaceDataset',
    'FaceCrop',
    'LoadIntactImage',
    'RandomFaceScaleCrop',
    'RandomStepResize',
    'WiderFaceDataset',
    'WiderImage',
    'build_embedded_dataset',
    'parse_wider_annotation',
]
