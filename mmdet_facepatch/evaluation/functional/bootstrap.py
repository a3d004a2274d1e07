"""Uncertainty of an evaluation by resampling its images.

The unit is the image: faces of one photograph are no independent samples. A
replicate draws as many images as there are, with replacement, and counts again
what was found in them; matching does not depend on other images, so nothing is
matched anew. Held fixed are the normalisation of scores (AP), the calibrated delta
and the range of AF_beta, which belong to the run as it is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Interval:
    """A percentile interval.

    Attributes:
        low (float): Lower end; NaN if no replicate has a number.
        high (float): Upper end.
        undefined (int): Replicates without a number, such as the precision of no
            detections; they are left out.
    """

    low: float
    high: float
    undefined: int = 0


@dataclass(frozen=True)
class Difference:
    """Difference of two runs on the same images, with its interval.

    Attributes:
        value (float): Other run minus reference; NaN where one has no number.
        interval (Interval): Of the difference, from the same resampled images in both
            runs. If 0 lies outside, the runs differ.
    """

    value: float
    interval: Interval


def bootstrap_weights(num_images: int, replicates: int, seed: int) -> NDArray[np.int64]:
    """How often each of R replicates draws each of I images, (R, I).

    Equal seeds give equal weights, by which two runs on the same images are paired.
    """
    rng = np.random.default_rng(seed)
    shares = np.full(num_images, 1 / num_images)
    return rng.multinomial(num_images, shares, size=replicates)


def percentile_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """The middle ``confidence`` of the replicates (R,), NaN where there is none.

    Its ends interpolate between neighbouring replicates.
    """
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    defined = numbers[~np.isnan(numbers)]
    undefined = len(numbers) - len(defined)
    if len(defined) == 0:
        return Interval(float('nan'), float('nan'), undefined)
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(low), float(high), undefined)


def paired_differences(
    reference: Mapping[str, float],
    reference_replicates: Mapping[str, NDArray[np.float64]],
    other: Mapping[str, float],
    other_replicates: Mapping[str, NDArray[np.float64]],
    confidence: float = 0.95,
) -> dict[str, Difference]:
    """Differences of every number that both runs have replicates of.

    The replicates (R,) of both runs are drawn with the same weights.
    """
    return {
        key: Difference(
            float(other[key] - reference[key]),
            percentile_interval(other_replicates[key] - values, confidence),
        )
        for key, values in reference_replicates.items()
        if key in other_replicates
    }
