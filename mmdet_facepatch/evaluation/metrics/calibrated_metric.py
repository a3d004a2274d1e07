"""What metrics have in common whose threshold is found on clean images."""

from __future__ import annotations

from typing import Any

from mmengine.evaluator import BaseMetric

#: Name of the threshold among the numbers of such a metric.
CALIBRATED_DELTA = 'calibrated_delta'


class CalibratedMetric(BaseMetric):
    """A metric with numbers at a calibrated delta, a property of the clean detector.

    Loops that evaluate several conditions give the threshold of the clean images to
    the evaluations after it, as ``reference_delta``.

    Args:
        reference_delta (float | str, optional): Threshold to use in place of the run's
            own; NaN, or 'nan' in a config file, says that the clean run never reached
            the precision. Defaults to None.
        **kwargs (Any): As in :class:`mmengine.evaluator.BaseMetric`.

    Attributes:
        reference_delta (float | None): As given; may be changed between evaluations.
        calibrated_delta (float | None): Threshold of the latest evaluation, on every
            process; None before the first.
    """

    def __init__(
        self, reference_delta: float | str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.reference_delta = (
            None if reference_delta is None else float(reference_delta)
        )
        self.calibrated_delta: float | None = None

    def evaluate(self, size: int) -> dict:
        """Numbers by name, on every process; see the base class."""
        metrics = super().evaluate(size)
        self.calibrated_delta = metrics[f'{self.prefix}/{CALIBRATED_DELTA}']
        return metrics
