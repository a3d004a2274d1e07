"""Counts from which every number of a subset follows.

Precision, recall, F_beta, AP and AF_beta are functions of two counts at each
threshold, proposals and recalled faces, and of the number of faces. The
functions here take any leading dimensions, so that the same lines give the
numbers of a data set and of a thousand resampled ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .f_beta import CONFIDENT, average_f_beta, f_beta_from_counts
from .matching import IGNORED, TRUE_POSITIVE, PooledMatches
from .precision_recall import ThresholdBins, ap_from_counts, ratio

# Counts below this are exact in float32, whose matrix product is twice as fast.
_EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class SubsetCounts:
    """Counts of one subset over the three kinds of thresholds, K of each.

    Attributes:
        num_faces (array): (...) faces kept.
        ap (tuple): Proposals (true and false positives) and recalled faces (true
            positives), each (..., K), at the thresholds of AP, on normalised scores.
        margin (tuple): Likewise at the thresholds of AF_beta, on s.
        delta (tuple): Likewise at the deltas, on raw scores.
    """

    num_faces: NDArray
    ap: tuple[NDArray, NDArray]
    margin: tuple[NDArray, NDArray]
    delta: tuple[NDArray, NDArray]

    def summed(self) -> SubsetCounts:
        """Counts of all images from those of each, (I, K) -> (K,)."""
        return self._over_images(lambda counts: counts.sum(axis=0))

    def weighted(self, weights: NDArray) -> SubsetCounts:
        """Counts of R resampled images, by how often each is drawn, (R, I)."""
        return self._over_images(lambda counts: _product(weights, counts))

    def _over_images(self, reduce: Callable[[NDArray], NDArray]) -> SubsetCounts:
        kinds = (self.ap, self.margin, self.delta)
        return SubsetCounts(
            reduce(self.num_faces),
            *((reduce(proposals), reduce(recalled)) for proposals, recalled in kinds),
        )


@dataclass(frozen=True)
class Thresholds:
    """The three kinds of thresholds, and which of them each detection reaches.

    Attributes:
        ap (ThresholdBins): Of normalised scores.
        margin (ThresholdBins): Of s.
        delta (ThresholdBins): Of raw scores.
        delta_columns (dict): Name of a delta -> its place among ``delta.thresholds``,
            None for one that is undefined.
    """

    ap: ThresholdBins
    margin: ThresholdBins
    delta: ThresholdBins
    delta_columns: Mapping[str, int | None]

    def by_delta(self, values: NDArray) -> dict[str, NDArray[np.float64]]:
        """Values (..., K) by the name of the delta; NaN at one that is undefined."""
        nothing = np.full(values.shape[:-1], np.nan)
        return {
            name: nothing if column is None else values[..., column].astype(np.float64)
            for name, column in self.delta_columns.items()
        }

    def at_deltas(self, mask: NDArray[np.bool_]) -> dict[str, float]:
        """How many of the masked detections (N,) are at or above each delta."""
        counts = self.by_delta(self.delta.counts(mask))
        return {name: float(count) for name, count in counts.items()}


def counts_by_image(
    pool: PooledMatches,
    status: NDArray[np.int8],
    keep: NDArray[np.bool_],
    thresholds: Thresholds,
) -> SubsetCounts:
    """Counts of each of the I images, given the status (N,) and faces kept (G,)."""
    num_images = len(pool.faces_per_image)
    owner = np.repeat(np.arange(num_images), pool.faces_per_image)

    def counts(bins: ThresholdBins) -> tuple[NDArray, NDArray]:
        return (
            bins.counts_by_image(status != IGNORED, pool.image, num_images),
            bins.counts_by_image(status == TRUE_POSITIVE, pool.image, num_images),
        )

    return SubsetCounts(
        num_faces=np.bincount(owner[keep], minlength=num_images),
        ap=counts(thresholds.ap),
        margin=counts(thresholds.margin),
        delta=counts(thresholds.delta),
    )


def subset_numbers(
    counts: SubsetCounts, thresholds: Thresholds, betas: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """AP, AF_beta, and precision, recall and F_beta at each delta.

    Returns:
        dict: ``AP``, ``AF{beta}``, ``AF{beta}+`` (over s >= 0), ``precision@{delta}``,
        ``recall@{delta}`` and ``F{beta}@{delta}``, each (...) float64. Precision is NaN
        where nothing was detected, the others where there is no face; all are NaN at a
        delta or over a range that is undefined.
    """
    numbers = {'AP': ap_from_counts(*counts.ap, counts.num_faces)}
    for beta in betas:
        curve = f_beta_curve(counts, beta)
        limits = thresholds.margin.thresholds
        numbers[f'AF{beta:g}'] = average_f_beta(curve, limits)
        numbers[f'AF{beta:g}{CONFIDENT}'] = average_f_beta(curve, limits, low=0)
    faces = counts.num_faces[..., None]
    proposals, recalled = counts.delta
    values = {
        'precision': ratio(recalled, proposals),
        'recall': ratio(recalled, faces),
        **{f'F{b:g}': f_beta_from_counts(proposals, recalled, faces, b) for b in betas},
    }
    at_deltas = {key: thresholds.by_delta(value) for key, value in values.items()}
    for name in thresholds.delta_columns:
        numbers |= {f'{key}@{name}': found[name] for key, found in at_deltas.items()}
    return numbers


def f_beta_curve(counts: SubsetCounts, beta: float) -> NDArray[np.float64]:
    """F_beta at each threshold over s, (..., K)."""
    return f_beta_from_counts(*counts.margin, counts.num_faces[..., None], beta)


def _product(weights: NDArray, counts: NDArray) -> NDArray:
    """Exact product of integers, by the fast one of floats."""
    largest = weights.sum(axis=1).max(initial=0) * counts.max(initial=0)
    dtype = np.float32 if largest < _EXACT_FLOAT32 else np.float64
    product = weights.astype(dtype) @ counts.astype(dtype)
    # Quotients of float32 would be float32.
    return product.astype(np.float64)
