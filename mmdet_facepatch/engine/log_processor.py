"""Log lines of evaluations that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor, Runner

from .loops.conditions import current_condition

#: What a log line shows of the numbers of :class:`WiderFaceMetric`.
LINE_METRICS = (
    'face/all/AP',
    'face/all/precision@calibrated',
    'face/all/recall@calibrated',
    'face/all/recall@0.5',
    'face/all/on_patch@calibrated',
)


@LOG_PROCESSORS.register_module()
class FaceLogProcessor(LogProcessor):
    """mmengine's, with a few numbers on the line of a validation or test.

    The line names the condition, then those of ``metrics`` that were measured. JSON and
    visualizer get all numbers. Where none of ``metrics`` was measured, as by another
    data set's metric, the line has all numbers too.

    Args:
        metrics (Sequence[str]): Keys of the numbers, in the order of the line. Defaults
            to :data:`LINE_METRICS`.
        **kwargs (Any): As in :class:`mmengine.runner.LogProcessor`.
    """

    def __init__(self, metrics: Sequence[str] = LINE_METRICS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metrics = tuple(metrics)

    def get_log_after_epoch(
        self, runner: Runner, batch_idx: int, mode: str, with_non_scalar: bool = False
    ) -> tuple[dict, str]:
        """Collect the numbers of an evaluation.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of batches.
            mode (str): 'val' or 'test'.
            with_non_scalar (bool): Whether the dict has more than scalars. Defaults to
                False.

        Returns:
            tuple[dict, str]: All numbers, and the line.
        """
        tag, line = super().get_log_after_epoch(
            runner, batch_idx, mode, with_non_scalar
        )
        condition = current_condition(self._get_cur_loop(runner, mode)).name
        plain = {self._remove_prefix(key, f'{mode}/'): tag[key] for key in tag}
        own = {
            self._remove_prefix(key, f'{condition}/'): value
            for key, value in plain.items()
            if key.startswith(f'{condition}/')
        } or plain
        shown = [key for key in self.metrics if key in own] or list(own)
        items = [
            f'{key}: {value:.{self.num_digits}f}'
            if isinstance(value := own[key], float)
            else f'{key}: {value}'
            for key in shown
        ]
        # "Epoch(val) [3][24/24]"
        header = line.split('  ')[0]
        return tag, '  '.join([header, condition, *items])
