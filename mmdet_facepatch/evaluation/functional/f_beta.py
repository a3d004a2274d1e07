"""F_beta as the paper writes it, and the area under its curve.

Yang, Wei, Zhang, Zhu: *Design and Interpretation of Universal Adversarial
Patches in Face Detection*, ECCV 2020, section 4.1. A patch is a good attack if
recall falls while precision stays; AF_beta says so in one number that needs no
score threshold. Lower is a better attack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The values of beta in the paper's Figure 8.
PAPER_BETAS = (0.001, 0.01, 0.1, 0.5)

#: Thresholds over s = s_p - s_n: below -20 a detector finds everything it ever
#: finds, and a float64 score cannot be told from 1 above 37. So both ends of a
#: curve are flat, and areas of all detectors and attacks can be compared.
MARGIN_RANGE = (-20.0, 40.0)


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


def margin_thresholds(
    low: float = MARGIN_RANGE[0], high: float = MARGIN_RANGE[1], num: int = 1000
) -> NDArray[np.float64]:
    """Evenly spaced thresholds over s, both ends included.

    Args:
        low (float): Lowest threshold. Defaults to MARGIN_RANGE[0].
        high (float): Highest threshold. Defaults to MARGIN_RANGE[1].
        num (int): K, at least 2. Defaults to 1000.

    Returns:
        array: (K,) float64, ascending.

    Raises:
        ValueError: If ``low`` is not below ``high`` or there are fewer than 2.
    """
    if not (np.isfinite([low, high]).all() and low < high and num >= 2):
        raise ValueError(
            f'thresholds need low < high and at least 2 of them, got {low}, {high}, '
            f'{num}'
        )
    return np.linspace(low, high, num, dtype=np.float64)


def average_f_beta(curve: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """AF_beta: area under the curve, divided by the length of the range.

    Args:
        curve (array): (..., K) F_beta at each threshold.
        thresholds (array): (K,) ascending.

    Returns:
        array: (...) float64 in [0, 1], by the trapezoidal rule.
    """
    values = np.asarray(curve, dtype=np.float64)
    limits = np.asarray(thresholds, dtype=np.float64)
    middle = (values[..., 1:] + values[..., :-1]) / 2
    return (middle * np.diff(limits)).sum(axis=-1) / (limits[-1] - limits[0])


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
