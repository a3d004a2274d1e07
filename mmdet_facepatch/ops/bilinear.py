"""Reading of feature maps between their pixels, as weighted sums of rows."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def pixel_rows(maps: Tensor) -> Tensor:
    """A batch of maps as a table of pixels.

    Args:
        maps (Tensor): (B, C, H, W) float, in any memory format; channels-last maps are
            not copied.

    Returns:
        Tensor: (B * H * W, C) float.
    """
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.size(1))


def sum_rows(rows: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows, without a copy of each row.

    Args:
        rows (Tensor): (R, C) float.
        indices (Tensor): (N, L) int64, the rows of each sum.
        weights (Tensor): (N, L) float.

    Returns:
        Tensor: (N, C) float. Gradients reach rows and weights.
    """
    if not indices.numel():
        # embedding_bag has no gradient for sums of nothing.
        return (rows.sum() + weights.sum()) * rows.new_zeros(len(indices), rows.size(1))
    return F.embedding_bag(indices, rows, per_sample_weights=weights, mode='sum')
