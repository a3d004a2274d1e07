"""The embedded data set: real faces composited on photographs."""

from .dataset import EmbeddedFaceDataset, build_embedded_dataset
from .sources import PHOTOGRAPHS, Photograph, load_photograph

__all__ = [
    'PHOTOGRAPHS',
    'EmbeddedFaceDataset',
    'Photograph',
    'build_embedded_dataset',
    'load_photograph',
]
