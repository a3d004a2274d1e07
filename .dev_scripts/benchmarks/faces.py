"""Images and faces that benchmarks run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmdet_facepatch.utils.wider_annotation import parse_wider_annotation

TRAIN_TEXT = Path('data/WIDERFace/wider_face_split/wider_face_train_bbx_gt.txt')
# The largest number of faces in one training image.
MOST_FACES = 1968
# Where the annotation is not at hand: sides follow a log-normal distribution.
TYPICAL_SIDE, SPREAD = 9.0, 0.3


def crowd(count: int, size: int, seed: int = 0) -> tuple[Tensor, str]:
    """Faces of a crowded image, and where they come from.

    Args:
        count: Number of faces.
        size: Side of the square image in pixels.
        seed: Seed of the random faces.

    Returns:
        (count, 4) float32 xyxy, and 'WIDER FACE' or 'random faces'.
    """
    if TRAIN_TEXT.is_file():
        images = parse_wider_annotation(str(TRAIN_TEXT)).values()
        found = [image.boxes for image in images if len(image.boxes) >= count]
        if found:
            boxes = torch.from_numpy(min(found, key=len)[:count]).float()
            boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
            return boxes * (size / float(boxes.max())), 'faces of WIDER FACE'
    rng = np.random.default_rng(seed)
    side = TYPICAL_SIDE * np.exp(SPREAD * rng.standard_normal((count, 1)))
    corner = rng.uniform(0, size - 40, (count, 2))
    made = np.concatenate([corner, corner + side * (1, 1.25)], axis=1)
    return torch.from_numpy(made).float(), 'random faces'


def scattered(count: int, size: int, low: float, high: float, seed: int = 0) -> Tensor:
    """Random faces, their sides even in octaves, (count, 4) float32 xyxy."""
    rng = np.random.default_rng(seed)
    side = np.exp(rng.uniform(np.log(low), np.log(high), (count, 1)))
    corner = rng.uniform(0, size - side, (count, 2))
    boxes = np.concatenate([corner, corner + side], axis=1)
    return torch.from_numpy(boxes).float()


def noise_images(count: int, size: int, seed: int = 0) -> Tensor:
    """Random 8-bit images, (count, 3, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(
        0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator
    )
