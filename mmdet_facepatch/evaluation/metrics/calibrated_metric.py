"""What metrics have in common whose thresholds are found on clean images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.evaluator import BaseMetric

from ..functional.reference import Reference


class CalibratedMetric(BaseMetric):
    """A metric at thresholds that are a property of the clean detector.

    Among its numbers are those of a :class:`Reference`. Loops that evaluate several
    conditions give the reference of the clean images to the evaluations after it.

    Args:
        reference (Reference | dict, optional): Thresholds to use in place of the run's
            own, as found on clean images: ``calibrated_delta``, ``margin_low`` and
            ``margin_high``; NaN, or 'nan' in a config file, for what they lack.
            Defaults to None.
        **kwargs (Any): As in :class:`mmengine.evaluator.BaseMetric`.

    Attributes:
        reference (Reference | None): As given; may be changed between evaluations.
        latest_reference (Reference | None): Of the latest evaluation, on every process;
            None before the first.
    """

    def __init__(
        self,
        reference: Reference | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reference = Reference.from_config(reference)
        self.latest_reference: Reference | None = None

    def evaluate(self, size: int) -> dict:
        """Numbers by name, on every process; see the base class."""
        metrics = super().evaluate(size)
        self.latest_reference = Reference.from_numbers(metrics, f'{self.prefix}/')
        return metrics
