"""Counts from which every number of a subset follows.

Precision, recall, F_beta, AP and AF_beta are functions of two counts at each
threshold, proposals and recalled faces, and of the number of faces. The
functions here take any leading dimensions, so that the same lines give the
numbers of a data set and of a thousand resampled ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .f_beta import average_f_beta, f_beta_from_counts
from .matching import IGNORED, TRUE_POSITIVE, PooledMatches
from .precision_recall import ThresholdBins, ap_from_counts, ratio

# Counts below this are exact in float32, whose matrix product is twice as fast.
_EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class Counts:
    """Counts at K ascending thresholds.

    Attributes:
        proposals (array): (..., K) true and false positives.
        recalled (array): (..., K) true positives.
    """

    proposals: NDArray
    recalled: NDArray

    def summed(self) -> Counts:
        """Sum over the first dimension."""
        return Counts(self.proposals.sum(axis=0), self.recalled.sum(axis=0))

    def weighted(self, weights: NDArray) -> Counts:
        """Weighted sums over the first dimension I, by (R, I) weights."""
        return Counts(
            _product(weights, self.proposals), _product(weights, self.recalled)
        )


@dataclass(frozen=True)
class SubsetCounts:
    """Counts of one subset over the three kinds of thresholds.

    Attributes:
        num_faces (array): (...) faces kept.
        ap (Counts): At the thresholds of AP, on normalised scores.
        margin (Counts): At the thresholds of AF_beta, on s.
        delta (Counts): At the deltas, on raw scores.
    """

    num_faces: NDArray
    ap: Counts
    margin: Counts
    delta: Counts

    def summed(self) -> SubsetCounts:
        """Counts of all images from those of each, (I, ...) -> (...)."""
        return SubsetCounts(
            self.num_faces.sum(axis=0),
            *(counts.summed() for counts in (self.ap, self.margin, self.delta)),
        )

    def weighted(self, weights: NDArray) -> SubsetCounts:
        """Counts of resampled images, (I, ...) -> (R, ...).

        Args:
            weights (array): (R, I), how often each image is drawn.
        """
        return SubsetCounts(
            weights @ self.num_faces,
            *(c.weighted(weights) for c in (self.ap, self.margin, self.delta)),
        )


@dataclass(frozen=True)
class Thresholds:
    """The three kinds of thresholds, and where each detection stands.

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
        """Values at each delta by its name.

        Args:
            values (array): (..., K) at ``delta.thresholds``.

        Returns:
            dict: Name of the delta -> (...) float64; NaN at one that is undefined.
        """
        nothing = np.full(values.shape[:-1], np.nan)
        return {
            name: nothing if column is None else values[..., column].astype(np.float64)
            for name, column in self.delta_columns.items()
        }

    def at_deltas(self, mask: NDArray[np.bool_]) -> dict[str, float]:
        """Detections at or above each delta.

        Args:
            mask (array): (N,) bool, detections that are counted.

        Returns:
            dict: Name of the delta -> count; NaN at one that is undefined.
        """
        return {
            name: float(count)
            for name, count in self.by_delta(self.delta.counts(mask)).items()
        }


def counts_by_image(
    pool: PooledMatches,
    status: NDArray[np.int8],
    keep: NDArray[np.bool_],
    thresholds: Thresholds,
) -> SubsetCounts:
    """Counts of each image apart.

    Args:
        pool (PooledMatches): I images, N detections, G faces.
        status (array): (N,) from :meth:`PooledMatches.status`.
        keep (array): (G,) bool, faces of the subset.
        thresholds (Thresholds): Where the N detections stand.

    Returns:
        SubsetCounts: With a leading dimension I.
    """
    num_images = len(pool.faces_per_image)
    owner = np.repeat(np.arange(num_images), pool.faces_per_image)
    masks = status != IGNORED, status == TRUE_POSITIVE
    return SubsetCounts(
        np.bincount(owner[keep], minlength=num_images),
        *(
            Counts(*(bins.counts_by_image(m, pool.image, num_images) for m in masks))
            for bins in (thresholds.ap, thresholds.margin, thresholds.delta)
        ),
    )


def subset_numbers(
    counts: SubsetCounts, thresholds: Thresholds, betas: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """AP, AF_beta, and precision, recall and F_beta at each delta.

    Args:
        counts (SubsetCounts): With leading dimensions (...).
        thresholds (Thresholds): The thresholds that were counted at.
        betas (Sequence[float]): Values of beta.

    Returns:
        dict: ``AP``, ``AF{beta}``, ``precision@{delta}``, ``recall@{delta}`` and
        ``F{beta}@{delta}``, each (...) float64. Precision is NaN where nothing was
        detected, the others where there is no face; all are NaN at a delta that is
        undefined.
    """
    numbers = {
        'AP': ap_from_counts(counts.ap.proposals, counts.ap.recalled, counts.num_faces)
    }
    for beta in betas:
        curve = f_beta_curve(counts, beta)
        numbers[f'AF{beta:g}'] = average_f_beta(curve, thresholds.margin.thresholds)
    faces = counts.num_faces[..., None]
    proposals, recalled = counts.delta.proposals, counts.delta.recalled
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
    return f_beta_from_counts(
        counts.margin.proposals,
        counts.margin.recalled,
        counts.num_faces[..., None],
        beta,
    )


def _product(weights: NDArray, counts: NDArray) -> NDArray:
    """Exact product of integers, by the fast one of floats."""
    largest = weights.sum(axis=1).max(initial=0) * counts.max(initial=0)
    dtype = np.float32 if largest < _EXACT_FLOAT32 else np.float64
    product = weights.astype(dtype) @ counts.astype(dtype)
    # Quotients of float32 would be float32.
    return product.astype(np.float64)
