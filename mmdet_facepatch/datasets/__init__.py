"""Data sets, image loading and training transforms."""

from .checks import DataCheck, check_data
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
    pipeline_steps,
)
from .wider_face import WiderFaceDataset

__all__ = [
    'CocoFaceDataset',
    'DataCheck',
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
    'check_data',
    'data_digest',
    'describe_data',
    'find_image_loaders',
    'pipeline_steps',
    'seeded_dataloader',
]
