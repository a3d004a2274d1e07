"""F_beta as the paper writes it, and the area under its curve.

Yang, Wei, Zhang, Zhu: *Design and Interpretation of Universal Adversarial
Patches in Face Detection*, ECCV 2020, section 4.1. A patch is a good attack if
recall falls while precision stays; AF_beta says so in one number that needs no
score threshold. Lower is a better attack.

It is a mean over a range of thresholds, which belongs to the clean detector: the whole
range of its margins, and its part at s >= 0, below which an attack that selects samples
by S > 0.5 has none. So areas of one detector can be compared, those of different
detectors can not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The values of beta in the paper's Figure 8.
PAPER_BETAS = (0.001, 0.01, 0.1, 0.5)

#: What the name of an area over s >= 0 ends with: ``AF0.5+``.
CONFIDENT = '+'


def f_beta(precision: ArrayLike, recall: ArrayLike, beta: float) -> NDArray[np.float64]:
    """``(1 + b^2) / (b^2 / precision + 1 / recall)``, the paper's equation.

    Precision and recall stand the other way round than in the textbook: with
    beta below 1 it is recall that weighs more. The textbook's (and
    scikit-learn's) F at ``1/beta`` is the same number.

    Args:
        precision (array): In [0, 1]; NaN where nothing was detected.
        recall (array): In [0, 1], of the same shape.
        beta (float): Positive.

    Returns:
        array: float64 in [0, 1]; 0 where recall is 0, NaN where it is NaN.
    """
    _check_beta(beta)
    found = np.asarray(recall, dtype=np.float64)
    right = np.asarray(precision, dtype=np.float64)
    result = np.where(np.isnan(found), np.nan, 0.0)
    some = found > 0
    weight = beta**2
    result[some] = (1 + weight) / (weight / right[some] + 1 / found[some])
    return result


def f_beta_from_counts(
    proposals: ArrayLike, recalled: ArrayLike, num_faces: ArrayLike, beta: float
) -> NDArray[np.float64]:
    """F_beta of counts, without a quotient that can be 0/0.

    With precision = recalled / proposals and recall = recalled / num_faces the
    paper's equation is ``(1 + b^2) recalled / (b^2 proposals + num_faces)``. It is
    NaN without faces.
    """
    _check_beta(beta)
    weight, faces = beta**2, np.asarray(num_faces, dtype=np.float64)
    below = weight * np.asarray(proposals) + np.where(faces > 0, faces, np.nan)
    return (1 + weight) * np.asarray(recalled) / below


def margin_thresholds(low: float, high: float, num: int = 1000) -> NDArray[np.float64]:
    """Evenly spaced thresholds over s, both ends included, and 0 where it lies between.

    With 0 among them, the area over s >= 0 is a part of the whole one exactly.

    Args:
        low (float): Lowest threshold.
        high (float): Highest threshold. If it equals ``low``, all are equal.
        num (int): How many are evenly spaced, at least 2. Defaults to 1000.

    Returns:
        array: (K,) float64, ascending; K is ``num``, or one more with 0 put in.

    Raises:
        ValueError: If ``low`` is above ``high`` or there are fewer than 2.
    """
    if not (np.isfinite([low, high]).all() and low <= high and num >= 2):
        raise ValueError(
            f'thresholds need low <= high and at least 2 of them, got {low}, {high}, '
            f'{num}'
        )
    even = np.linspace(low, high, num, dtype=np.float64)
    if not low < 0 < high or 0 in even:
        return even
    return np.insert(even, np.searchsorted(even, 0), 0.0)


def average_f_beta(
    curve: ArrayLike, thresholds: ArrayLike, low: float = -np.inf
) -> NDArray[np.float64]:
    """AF_beta: area under the curve, divided by the length of the range.

    Args:
        curve (array): (..., K) F_beta at each threshold.
        thresholds (array): (K,) ascending. If all are equal, the range is a point, and
            its area F_beta there.
        low (float): Leave out what is below; one of the thresholds, or beyond all.
            Defaults to -inf.

    Returns:
        array: (...) float64 in [0, 1], by the trapezoidal rule; NaN where no threshold
        is above ``low``.
    """
    limits = np.asarray(thresholds, dtype=np.float64)
    start = int(np.searchsorted(limits, low))
    limits = limits[start:]
    values = np.asarray(curve, dtype=np.float64)[..., start:]
    if not len(limits) or not limits[-1] > low:
        return np.full(values.shape[:-1], np.nan)
    length = limits[-1] - limits[0]
    if length == 0:
        return values[..., 0]
    middle = (values[..., 1:] + values[..., :-1]) / 2
    return (middle * np.diff(limits)).sum(axis=-1) / length


def confident_share(
    area: float, confident_area: float, low: float, high: float
) -> float:
    """Share of an area over [low, high] that lies at s >= 0.

    Args:
        area (float): AF_beta over all thresholds of the range.
        confident_area (float): AF_beta over those at s >= 0; unused without any.
        low (float): Where the range begins.
        high (float): Where it ends.

    Returns:
        float: In [0, 1]; NaN without a range or an area.
    """
    if math.isnan(low) or not area > 0:
        return math.nan
    if high <= 0:
        return 0.0
    if low >= 0:
        return 1.0
    return confident_area * high / (area * (high - low))


def margins_from_scores(scores: ArrayLike) -> NDArray[np.float64]:
    """Log-odds of scores, for detectors that give nothing else.

    Resolution is lost where a score is rounded: in float32 all scores above
    1 - 2^-24 are 1, which the log-odds tell apart from s = 16.6 on. A score of
    exactly 1 (or 0) is taken as the number of its precision next to it, so that every
    value is finite: at most 16.64 for float32 scores and 36.74 for float64 ones.
    """
    values = np.asarray(scores)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    info = np.finfo(values.dtype)
    # In float64 from here on: log1p of float32 would round once more.
    clipped = values.astype(np.float64).clip(float(info.tiny), 1 - float(info.epsneg))
    return np.log(clipped) - np.log1p(-clipped)


def _check_beta(beta: float) -> None:
    if not beta > 0:
        raise ValueError(f'beta must be positive, got {beta}')
