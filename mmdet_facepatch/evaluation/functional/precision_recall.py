"""Precision, recall and AP from matched detections, in plain numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .matching import IGNORED, TRUE_POSITIVE

#: Thresholds of the official AP.
NUM_AP_THRESHOLDS = 1000


@dataclass(frozen=True)
class ThresholdBins:
    """How many thresholds each of N scores reaches.

    Counting the detections with ``score >= threshold`` over all images equals
    the protocol's "up to the last prediction with score >= threshold" in each
    image, as the detections of an image are sorted by score. With the bins at
    hand, a count at K thresholds is one histogram, whatever is counted.

    Attributes:
        thresholds (array): (K,) ascending, in the scores' unit and precision.
        index (array): (N,) int64 in [0, K]: a score reaches the first ``index``
            thresholds.
    """

    thresholds: NDArray[np.floating]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, scores: ArrayLike, thresholds: ArrayLike) -> ThresholdBins:
        """Sort scores (N,) into the bins between ascending thresholds (K,).

        These are rounded to the scores' precision first, so that a float32 score of
        0.9 is at 0.9. Raises ValueError if they do not ascend.
        """
        values = _as_floating(scores)
        limits = np.asarray(thresholds).reshape(-1).astype(values.dtype)
        if (limits[1:] < limits[:-1]).any():
            raise ValueError('thresholds must ascend')
        return cls(limits, np.searchsorted(limits, values, side='right'))

    def counts(self, mask: ArrayLike) -> NDArray[np.int64]:
        """How many scores under a mask (N,) are at or above each threshold, (K,)."""
        size = len(self.thresholds) + 1
        counts = np.bincount(self.index[np.asarray(mask)], minlength=size)
        return counts[:0:-1].cumsum()[::-1]

    def counts_by_image(
        self, mask: NDArray[np.bool_], image: NDArray[np.int64], num_images: int
    ) -> NDArray[np.int64]:
        """As :meth:`counts`, for each image apart, (I, K); ``image`` is (N,)."""
        size = len(self.thresholds) + 1
        cells = image[mask] * size + self.index[mask]
        counts = np.bincount(cells, minlength=num_images * size)
        counts = counts.reshape(num_images, size)[:, :0:-1]
        return counts.cumsum(axis=1)[:, ::-1]


def counts_at(
    scores: ArrayLike, status: ArrayLike, thresholds: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Proposals (true and false positives) and recalled faces (true positives).

    Of scores (N,) with their status (N,), at thresholds (K,) in any order; (K,) each.
    """
    labels = np.asarray(status).reshape(-1)
    limits, places = np.unique(np.ravel(thresholds), return_inverse=True)
    bins = ThresholdBins.of(scores, limits)
    proposals = bins.counts(labels != IGNORED)
    return proposals[places], bins.counts(labels == TRUE_POSITIVE)[places]


def _as_floating(scores: ArrayLike) -> NDArray[np.floating]:
    values = np.asarray(scores).reshape(-1)
    if np.issubdtype(values.dtype, np.floating):
        return values
    return values.astype(np.float64)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Quotient of counts, which broadcast; NaN where the denominator is 0."""
    above, below = np.broadcast_arrays(numerator, denominator)
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def precision_recall_at(
    scores: ArrayLike,
    status: ArrayLike,
    num_faces: int,
    deltas: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of the detections with raw score >= delta.

    Args:
        scores (array): (N,) raw scores of the detections of all images.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        num_faces (int): Faces kept in the subset, over all images.
        deltas (array): (K,) score thresholds.

    Returns:
        tuple: precision and recall, each (K,) float64 in [0, 1]. Precision is NaN where
        no detection counts: nothing was claimed, so nothing can be right or wrong.
        Recall is NaN where the subset has no face.
    """
    proposals, recalled = counts_at(scores, status, deltas)
    return ratio(recalled, proposals), ratio(recalled, num_faces)


def normalise_scores(scores: ArrayLike) -> NDArray[np.float64]:
    """Scale scores to [0, 1] over the whole prediction set (step 2).

    ``(s - min) / (max - min)`` of **all** detections, ignored ones too. Where all
    scores are equal the quotient is undefined (0/0); they become 1 then, so that every
    detection lies above every threshold.
    """
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(values) == 0:
        return values
    low, high = values.min(), values.max()
    if low == high:
        return np.ones_like(values)
    return (values - low) / (high - low)


def ap_thresholds(num_thresholds: int = NUM_AP_THRESHOLDS) -> NDArray[np.float64]:
    """Ascending thresholds of the official AP, ``1 - t/T`` for t = T, ..., 1."""
    steps = np.arange(1, num_thresholds + 1, dtype=np.float64)
    return (1.0 - steps / num_thresholds)[::-1]


def ap_from_counts(
    proposals: ArrayLike, recalled: ArrayLike, num_faces: ArrayLike
) -> NDArray[np.float64]:
    """All-point VOC AP (...) of counts (..., T) at ascending thresholds (step 6).

    NaN without faces.
    """
    found, total = np.asarray(recalled), np.asarray(num_faces)
    # From here on descending thresholds, so that recall ascends.
    recall = ratio(found, total[..., None])[..., ::-1]
    precision = ratio(found, proposals)[..., ::-1]
    ends = np.zeros_like(recall[..., :1])
    recall = np.concatenate([ends, recall, ends + 1], axis=-1)
    # fmax skips NaN as MATLAB's max does; the point at recall 1 has precision 0.
    precision = np.concatenate([precision, ends], axis=-1)
    envelope = np.fmax.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    ap = (np.diff(recall, axis=-1) * envelope).sum(axis=-1)
    return np.where(total > 0, ap, np.nan)


def average_precision(
    scores: ArrayLike,
    status: ArrayLike,
    num_faces: int,
    num_thresholds: int = NUM_AP_THRESHOLDS,
) -> float:
    """Official AP: all-point VOC AP of the 1000-threshold curve (step 6).

    Blind to scores that all shrink together, hence never to be reported alone. Ignored
    detections take part in the normalisation of scores.

    Args:
        scores (array): (N,) raw scores of the detections of all images.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        num_faces (int): Faces kept in the subset, over all images.
        num_thresholds (int): Number of thresholds. Defaults to NUM_AP_THRESHOLDS.

    Returns:
        float: AP in [0, 1]; 0 without detections, NaN without faces.
    """
    thresholds = ap_thresholds(num_thresholds)
    proposals, recalled = counts_at(normalise_scores(scores), status, thresholds)
    return float(ap_from_counts(proposals, recalled, num_faces))


def calibrated_delta(
    scores: ArrayLike, status: ArrayLike, min_precision: float = 0.99
) -> float | None:
    """Lowest threshold at which precision is at least ``min_precision``.

    The paper takes delta = 0.99 "to keep high precision (> 0.99)"; another
    detector reaches that precision at another score, and this finds it. The
    candidates are the scores of the counted detections. Precision need not
    grow with the threshold: it may dip again above the value returned.

    Args:
        scores (array): (N,) raw scores of the detections of all images.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        min_precision (float): In (0, 1]. Defaults to 0.99.

    Returns:
        float | None: The threshold, to be used as ``score >= delta``; None where no
        threshold reaches the precision (or nothing was detected).
    """
    if not 0 < min_precision <= 1:
        raise ValueError(f'min_precision must lie in (0, 1], got {min_precision}')
    labels = np.asarray(status).reshape(-1)
    values = _as_floating(scores)[labels != IGNORED]
    order = np.argsort(values)[::-1]
    values, correct = values[order], labels[labels != IGNORED][order] == TRUE_POSITIVE
    precision = correct.cumsum() / np.arange(1, len(values) + 1)
    # Equal scores count together: precision is read after the last of them.
    last = np.append(values[1:] != values[:-1], True)[: len(values)]
    reached = np.flatnonzero(last & (precision >= min_precision))
    return float(values[reached[-1]]) if len(reached) else None


def delta_at_recall(
    scores: ArrayLike,
    status: ArrayLike,
    num_faces: int,
    min_recall: float,
    highest: float = 0.99,
) -> float | None:
    """Highest threshold at which recall is at least ``min_recall``.

    For detectors whose scores hardly reach the paper's delta: a threshold at which
    there is something to suppress.

    Args:
        scores (array): (N,) raw scores of the detections of all images.
        status (array): (N,) 1 true positive, 0 false positive, -1 ignored.
        num_faces (int): Faces in all images.
        min_recall (float): In (0, 1].
        highest (float): Threshold that is not exceeded, in [0, 1]. Defaults to 0.99.

    Returns:
        float | None: The threshold, to be used as ``score >= delta``; None where no
        threshold reaches the recall.
    """
    if not 0 < min_recall <= 1:
        raise ValueError(f'min_recall must lie in (0, 1], got {min_recall}')
    labels = np.asarray(status).reshape(-1)
    found = np.sort(_as_floating(scores)[labels == TRUE_POSITIVE])[::-1]
    # So many have to be found: 0.9 of 10 faces are 9, whatever 0.9 * 10 is rounded to.
    needed = math.ceil(min_recall * num_faces - 1e-9)
    if not 0 < needed <= len(found):
        return None
    return min(float(found[needed - 1]), highest)
