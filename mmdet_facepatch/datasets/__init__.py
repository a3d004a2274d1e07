"""Data sets, image loading and training transforms."""

from .coco_faces import CocoFaceDataset
from .describe import build_dataset, data_digest, describe_data
from .embedded import EmbeddedFaceDataset, build_embedded_dataset
from .patch_canvas import PatchCanvasDataset
from .samplers import SeededDataset, SeededIndex, SeededSampler, seeded_dataloader
from .transforms import (
    FaceCrop,
    LoadIntactImage,
    PastePatch,
    RandomFaceScaleCrop,
    RandomStepResize,
    find_image_loaders,
)
from .wider_face import WiderFaceDataset

__all__ = [
    'CocoFaceDataset',
    'EmbeddedFaceDataset',
    'FaceCrop',
    'LoadIntactImage',
    'PastePatch',
    'PatchCanvasDataset',
    'RandomFaceScaleCrop',
    'RandomStepResize',
    'SeededDataset',
    'SeededIndex',
    'SeededSampler',
    'WiderFaceDataset',
    'build_dataset',
    'build_embedded_dataset',
    'data_digest',
    'describe_data',
    'find_image_loaders',
    'seeded_dataloader',
]
