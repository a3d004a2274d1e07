"""How alike two patches are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """Correlation of two patches.

    Attributes:
        pixels (float): Of all pixels and channels; NaN for a constant patch.
        coarse (float): Of the means of blocks, in which noise averages out; NaN
            where they are constant.
        chance (float): The value that 97.5 % of the coarse correlations lie below
            when the second patch is shifted around its border.
    """

    pixels: float
    coarse: float
    chance: float


def patch_similarity(one: ArrayLike, two: ArrayLike, blocks: int = 16) -> Similarity:
    """Compare two patches.

    Shifted copies have the same colours and the same smoothness in the wrong place,
    which is what two unlike patches may have in common. All shifts by at least an
    eighth of the side are taken.

    Args:
        one (array): (3, H, W), H and W multiples of ``blocks``.
        two (array): The same shape.
        blocks (int): Blocks along a side, at least 8.

    Raises:
        ValueError: If the shapes differ or are no multiple.
    """
    first, second = (np.asarray(patch, dtype=np.float64) for patch in (one, two))
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(
            f'patches of shapes {first.shape} and {second.shape} cannot '
            'be compared; they should be (3, H, W), both alike'
        )
    coarse = _block_means(first, blocks), _block_means(second, blocks)
    least = blocks // 8
    moves = [move for move in range(blocks) if least <= move <= blocks - least]
    shifted = [
        _correlation(coarse[0], np.roll(coarse[1], (down, right), (1, 2)))
        for down in (0, *moves)
        for right in (0, *moves)
        if down or right
    ]
    return Similarity(
        _correlation(first, second),
        _correlation(*coarse),
        float(np.quantile(shifted, 0.975)),
    )


def _block_means(patch: Array, blocks: int) -> Array:
    """(3, H, W) -> (3, blocks, blocks)."""
    channels, height, width = patch.shape
    if blocks < 8 or height % blocks or width % blocks:
        raise ValueError(
            f'a patch of {height} x {width} has no {blocks} x {blocks} equal blocks'
        )
    cut = patch.reshape(channels, blocks, height // blocks, blocks, width // blocks)
    return cut.mean(axis=(2, 4))


def _correlation(one: Array, two: Array) -> float:
    """Pearson's correlation over all values; NaN if one of them is constant."""
    a, b = one.ravel() - one.mean(), two.ravel() - two.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 1e-12 else float('nan')
