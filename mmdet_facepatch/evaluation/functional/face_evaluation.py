"""What an evaluation depends on, what it found, and pairs of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Difference, Interval, paired_differences
from .breakdown import HEIGHT_EDGES, height_bands
from .f_beta import PAPER_BETAS, margin_thresholds
from .faces import OFFICIAL_SUBSETS
from .reference import Reference

#: The subset of all annotated faces.
ALL = 'all'


@dataclass(frozen=True)
class EvaluationSettings:
    """What the numbers depend on besides detections and faces.

    Attributes:
        deltas (tuple[float]): Score thresholds in [0, 1].
        betas (tuple[float]): Values of beta, positive.
        min_precision (float): Precision that defines the calibrated delta: the lowest
            score threshold at which the precision over *all* faces is at least this.
        min_recall (float, optional): Recall that defines it instead: the highest score
            threshold, up to 0.99, at which the recall of all faces is at least this.
        margin_range (tuple[float], optional): Lowest and highest threshold of AF_beta,
            in units of s = s_p - s_n; by default those of the clean images' detections,
            see :class:`Reference`.
        num_thresholds (int): How many thresholds are evenly spaced over the range.
        height_edges (tuple[float]): Edges between bands of face height, pixels.
        face_iou_thr (float): Least IoU (+1 convention) of a match.
        patch_iou_thr (float): Least IoU of a detection on a patch.
        patch_share (float): Or least share of its area that lies on the patch.
        count_empty_images (bool): Whether detections in images without any annotated
            face are false positives; not so in the protocol.
        bootstrap (int): Replicates behind the intervals; 0 for none.
        confidence (float): Share of the replicates inside an interval.
        seed (int): Seed of the bootstrap.

    Raises:
        ValueError: If a value is outside its range; names it.
    """

    deltas: tuple[float, ...] = (0.99, 0.9, 0.5)
    betas: tuple[float, ...] = PAPER_BETAS
    min_precision: float = 0.99
    min_recall: float | None = None
    margin_range: tuple[float, float] | None = None
    num_thresholds: int = 1000
    height_edges: tuple[float, ...] = HEIGHT_EDGES
    face_iou_thr: float = 0.5
    patch_iou_thr: float = 0.3
    patch_share: float = 0.5
    count_empty_images: bool = False
    bootstrap: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ('min_precision', 'face_iou_thr', 'patch_iou_thr', 'patch_share'):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f'{name} must lie in (0, 1], got {getattr(self, name)}'
                )
        if self.min_recall is not None and not 0 < self.min_recall <= 1:
            raise ValueError(f'min_recall must lie in (0, 1], got {self.min_recall}')
        if not 0 < self.confidence < 1:
            raise ValueError(f'confidence must lie in (0, 1), got {self.confidence}')
        if not all(0 <= delta <= 1 for delta in self.deltas):
            raise ValueError(
                f'deltas are score thresholds in [0, 1], got {self.deltas}'
            )
        if not all(0 < beta < math.inf for beta in self.betas):
            raise ValueError(f'betas must be positive, got {self.betas}')
        for name in ('deltas', 'betas'):
            values = getattr(self, name)
            if len({f'{value:g}' for value in values}) != len(values):
                raise ValueError(f'{name} must differ in six digits, got {values}')
        if self.bootstrap < 0:
            raise ValueError(f'bootstrap must be at least 0, got {self.bootstrap}')
        low, high = self.margin_range or (0, 1)
        margin_thresholds(low, high, self.num_thresholds)
        height_bands(self.height_edges)


@dataclass(frozen=True)
class FaceEvaluation:
    """What was measured.

    Attributes:
        numbers (dict): Number by name, see
            :func:`~mmdet_facepatch.evaluation.functional.evaluate.evaluate_faces`.
        intervals (dict): Number -> :class:`Interval`, for the subsets' AP, AF_beta, and
            precision, recall, F_beta, detections on a patch and other false positives
            at each delta.
        curves (dict): Name -> array, likewise.
        replicates (dict): Number -> (R,) bootstrap replicates.
        img_ids (tuple[str]): The images, in their order.
        data (dict): Facts about the input: counts, the kind of confidence, how many
            detections lie above the range of AF_beta's thresholds, and whether the
            reference is its 'own' or 'given'.
        settings (EvaluationSettings): As given.
    """

    numbers: Mapping[str, float]
    intervals: Mapping[str, Interval]
    curves: Mapping[str, NDArray]
    replicates: Mapping[str, NDArray[np.float64]]
    img_ids: tuple[str, ...]
    data: dict[str, Any]
    settings: EvaluationSettings

    @property
    def reference(self) -> Reference:
        """Its calibrated delta and range of AF_beta; of clean images for all others."""
        return Reference.from_numbers(self.numbers)

    def headline(self) -> dict[str, float]:
        """The numbers that a log shows.

        Of each subset AP, AF_beta, precision, recall and detections on a patch at each
        delta, and all numbers that are of no subset.
        """
        shown = ('AP', 'precision', 'recall', 'on_patch', 'num_faces')
        result = {}
        for key, value in self.numbers.items():
            subset, _, name = key.rpartition('/')
            headline = name.startswith('AF') or name.split('@')[0] in shown
            if not subset or (subset in (*OFFICIAL_SUBSETS, ALL) and headline):
                result[key] = value
        return result

    def warnings(self) -> list[str]:
        """What a reader of the numbers has to know, one sentence each."""
        found = []
        if above := self.data['margins_above_range']:
            found.append(
                f'AF_beta: {above} detections lie above the end of its range, s = '
                f'{self.reference.margin_high:g}, and count at every threshold'
            )
        if self.data['confidence'] == 'scores' and self.data['scores_of_one']:
            found.append(
                f'AF_beta: {self.data["scores_of_one"]} detections have a score of '
                'exactly 1 and no margin; their order is lost'
            )
        return found


def check_pairable(one: FaceEvaluation, two: FaceEvaluation) -> None:
    """Raise ValueError if two runs differ in images or in their bootstrap."""
    if one.img_ids != two.img_ids:
        raise ValueError('a paired bootstrap needs the same images in both runs')
    drawn = [
        (e.settings.bootstrap, e.settings.seed, e.settings.confidence)
        for e in (one, two)
    ]
    if drawn[0] != drawn[1]:
        raise ValueError(
            'a paired bootstrap needs equal replicates, seed and confidence, got '
            f'{drawn[0]} and {drawn[1]}'
        )


def compare_evaluations(
    reference: FaceEvaluation, other: FaceEvaluation
) -> dict[str, Difference]:
    """Paired bootstrap of two runs on the same images.

    Returns:
        dict: Number -> :class:`Difference`, other minus reference (clean images).

    Raises:
        ValueError: If the runs differ in images or in their bootstrap.
    """
    check_pairable(reference, other)
    return paired_differences(
        reference.numbers,
        reference.replicates,
        other.numbers,
        other.replicates,
        reference.settings.confidence,
    )
