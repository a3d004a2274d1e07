"""Data sets, image loading and training transforms."""

from .loading import LoadIntactImage, find_image_loaders
from .seeded import SeededDataset, SeededIndex, SeededSampler, seeded_dataloader
from .synthetic import EmbeddedFaceDataset, build_embedded_dataset
from .transforms import (
    FaceCrop,
    RandomFaceScaleCrop,
    RandomStepResize,
)
from .wider_annotation import WiderImage, parse_wider_annotation
from .wider_face import WiderFaceDataset

__all__ = [
    'EmbeddedFaceDataset',
    'FaceCrop',
    'LoadIntactImage',
    'RandomFaceScaleCrop',
    'RandomStepResize',
    'SeededDataset',
    'SeededIndex',
    'SeededSampler',
    'WiderFaceDataset',
    'WiderImage',
    'build_embedded_dataset',
    'find_image_loaders',
    'parse_wider_annotation',
    'seeded_dataloader',
]
