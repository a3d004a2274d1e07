"""How much boxes overlap, in plain numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Pairs of boxes are computed in blocks of at most this many (32 MiB a float64
# temporary), so that thousands of detections meet thousands of faces in bounded
# memory.
_MAX_PAIRS = 1 << 22


def pairwise_iou(
    boxes1: ArrayLike, boxes2: ArrayLike, offset: float = 0.0
) -> NDArray[np.float64]:
    """IoU of every box of one set with every box of another.

    Args:
        boxes1 (array): (N, 4) xyxy boxes in pixels.
        boxes2 (array): (M, 4) xyxy boxes in pixels.
        offset (float): Added to every width and height: 0 where x2 and y2 are
            exclusive, 1 where they name the last pixel inside. Defaults to 0.0.

    Returns:
        array: (N, M) float64 in [0, 1]. Pairs whose intersection has no extent have 0,
        therefore also every pair with a box of negative size.
    """
    inter, area1, area2 = pairwise_areas(boxes1, boxes2, offset)
    # An intersection with extent lies inside both boxes, so the union is
    # positive wherever it divides anything.
    union = np.where(inter > 0, area1 + area2 - inter, 1.0)
    return inter / union


def pairwise_areas(
    boxes1: ArrayLike, boxes2: ArrayLike, offset: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Intersections (N, M), 0 without extent, and areas (N, 1) and (1, M).

    See :func:`pairwise_iou`.
    """
    first = np.asarray(boxes1, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(boxes2, dtype=np.float64).reshape(1, -1, 4)
    sizes = np.minimum(first[..., 2:], second[..., 2:])
    sizes -= np.maximum(first[..., :2], second[..., :2])
    sizes += offset
    inter = np.where((sizes > 0).all(axis=-1), sizes.prod(axis=-1), 0.0)
    area1 = (first[..., 2:] - first[..., :2] + offset).prod(axis=-1)
    area2 = (second[..., 2:] - second[..., :2] + offset).prod(axis=-1)
    return inter, area1, area2


def pairwise_iou_plus_one(boxes1: ArrayLike, boxes2: ArrayLike) -> NDArray[np.float64]:
    """:func:`pairwise_iou` with the protocol's +1 convention (``boxoverlap.m``).

    Boxes have x2 = x + w, and ``w = x2 - x1 + 1`` is used throughout.
    """
    return pairwise_iou(boxes1, boxes2, offset=1.0)


def row_blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Slices of the rows of a matrix of pairs, few enough to fit into memory."""
    step = max(1, _MAX_PAIRS // max(1, num_columns))
    for start in range(0, num_rows, step):
        yield slice(start, start + step)
