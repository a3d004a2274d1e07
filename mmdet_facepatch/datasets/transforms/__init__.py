"""Steps of data pipelines: loading, pasting of patches, cropping and resizing."""

from .cropping import FaceCrop, RandomStepResize
from .face_scale_crop import RandomFaceScaleCrop
from .loading import LoadIntactImage, find_image_loaders, pipeline_steps
from .paste_patch import PastePatch

__all__ = [
    'FaceCrop',
    'LoadIntactImage',
    'PastePatch',
    'RandomFaceScaleCrop',
    'RandomStepResize',
    'find_image_loaders',
    'pipeline_steps',
]
