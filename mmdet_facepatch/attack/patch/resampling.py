"""Anti-aliased resampling of one axis, as few weighted source pixels for each pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Taps:
    """Which source pixels make up each output pixel of an axis.

    Attributes:
        pixels (Tensor): Source pixels, (S, count, K) int64. One that is named twice has
            no weight the second time.
        weights (Tensor): Their shares, (S, count, K) floating, nonnegative, of sum 1
            over K.
        source (int): Number of source pixels of the axis.
    """

    pixels: Tensor
    weights: Tensor
    source: int

    def dense(self) -> Tensor:
        """The weights as a matrix, (S, count, source)."""
        shape = *self.weights.shape[:2], self.source
        return self.weights.new_zeros(shape).scatter_add_(2, self.pixels, self.weights)


def area_taps(
    sizes: np.ndarray, first: np.ndarray, count: int, source: int, like: Tensor
) -> Taps:
    """Taps that resample an axis of ``source`` pixels to each of S sizes.

    Output pixel i of n covers the source interval ``[i * source / n,
    (i + 1) * source / n]``, widened about its centre to at least one source pixel
    and cut at the border; each source pixel weighs in by the share of the interval
    that it covers. That is exact area averaging when shrinking (every source pixel
    gets weight) and bilinear interpolation with half-pixel centres and clamped
    border when enlarging.

    Args:
        sizes (np.ndarray): Output sizes n, (S,) int64.
        first (np.ndarray): First output pixel wanted of each size, (S,) int64.
        count (int): Number of output pixels wanted. Those beyond n repeat pixel n - 1.
        source (int): Number of source pixels.
        like (Tensor): Has the device and the floating dtype of the weights, which are
            computed in float64.

    Returns:
        Taps: With K the most source pixels that one output pixel touches.
    """
    scale = source / sizes[:, None]
    index = np.minimum(first[:, None] + np.arange(count), sizes[:, None] - 1)
    centre, half = (index + 0.5) * scale, np.maximum(scale, 1) / 2
    low = np.maximum(centre - half, 0)[..., None]
    high = np.minimum(centre + half, source)[..., None]
    # An interval of length L that begins anywhere touches at most ceil(L) + 1.
    most = min(source, math.ceil(max(scale.max(), 1)) + 1)
    edges = np.floor(low) + np.arange(most + 1)
    # Share of the interval left of each source edge; its growth from edge to edge
    # is the share of one source pixel.
    left = ((edges - low) / (high - low)).clip(0, 1)
    pixels = np.minimum(edges[..., :-1], source - 1).astype(np.int64)
    weights = torch.from_numpy(left[..., 1:] - left[..., :-1])
    return Taps(torch.from_numpy(pixels).to(like.device), weights.to(like), source)


def gather_rows(table: Tensor, taps: Taps) -> Tensor:
    """Weighted sums of rows: table (source, D) to (S * count, D)."""
    pixels, weights = taps.pixels.flatten(0, 1), taps.weights.flatten(0, 1)
    return F.embedding_bag(pixels, table, per_sample_weights=weights, mode='sum')


def scatter_rows(rows: Tensor, taps: Taps) -> Tensor:
    """Transpose of :func:`gather_rows`: rows (S * count, D) to (source, D).

    Sorted by source pixel this is a weighted sum of rows again, which adds up in
    the same order on every run.
    """
    pixels, order = taps.pixels.flatten().sort(stable=True)
    bounds = torch.searchsorted(pixels, torch.arange(taps.source, device=rows.device))
    return F.embedding_bag(
        order // taps.weights.shape[-1],
        rows,
        bounds,
        per_sample_weights=taps.weights.flatten()[order],
        mode='sum',
    )


def resize_area(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (C, h, w) float pixels to ``size`` = (height, width), differentiably.

    Same resampling as that of pasted patches; see :func:`area_taps`.
    """
    weights = []
    for target, source in zip(size, pixels.shape[1:], strict=True):
        if target < 1:
            raise ValueError(f'size {tuple(size)} must be at least 1 x 1')
        whole, first = np.array([target]), np.array([0])
        weights.append(area_taps(whole, first, target, source, pixels).dense())
    return weights[0] @ pixels @ weights[1].transpose(1, 2)
