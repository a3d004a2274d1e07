"""Draw what was evaluated, patches included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.engine.hooks import DetVisualizationHook
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from ...evaluation.metrics.target_metric import TargetMetric
from ...visualization import FaceVisualizer, evaluated_image
from ..loops.conditions import current_condition


@HOOKS.register_module()
class FaceVisualizationHook(DetVisualizationHook):
    """mmdet's hook, for images that need not be those of the files.

    mmdet's hook reads an image from its file again, which has no patch. This one draws
    the image that the detector saw, with the name of its condition. In testing,
    ``test_out_dir`` gets a file ``<condition>/<img_id>.jpg`` for each image. Drawn are
    the target classes of the metric.

    Args:
        *args: As in :class:`mmdet.engine.hooks.DetVisualizationHook`.
        **kwargs: The same.
    """

    def before_val(self, runner: Runner) -> None:
        """Find out which classes to draw."""
        self._set_target(runner.val_loop)

    def before_test(self, runner: Runner) -> None:
        """Find out which classes to draw."""
        self._set_target(runner.test_loop)

    def _set_target(self, loop: Any) -> None:
        for metric in loop.evaluator.metrics:
            if isinstance(metric, TargetMetric) and isinstance(
                self._visualizer, FaceVisualizer
            ):
                self._visualizer.target_labels = metric.target_labels

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict,
        outputs: Sequence[DetDataSample],
    ) -> None:
        """Draw the first image of every ``interval``-th batch."""
        step = runner.iter + batch_idx
        if self.draw and step % self.interval == 0:
            name = f'val_{current_condition(runner.val_loop).name}'
            self._add(name, data_batch, 0, outputs[0], step)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict,
        outputs: Sequence[DetDataSample],
    ) -> None:
        """Draw every image."""
        if not self.draw:
            return
        condition = current_condition(runner.test_loop).name
        for index, sample in enumerate(outputs):
            self._test_index += 1
            file = None
            if self.test_out_dir is not None:
                folder = Path(runner.work_dir, runner.timestamp, self.test_out_dir)
                file = folder / condition / f'{sample.img_id}.jpg'
            name = f'test_{condition}'
            self._add(name, data_batch, index, sample, self._test_index, file)

    def _add(
        self,
        name: str,
        data_batch: Any,
        index: int,
        sample: DetDataSample,
        step: int,
        out_file: Path | None = None,
    ) -> None:
        # Other processes draw nothing: mmengine's visualizer works on the first one.
        if is_main_process():
            self._visualizer.add_datasample(
                f'{name} {sample.img_id}' if self.show else name,
                evaluated_image(data_batch, index),
                data_sample=sample,
                show=self.show,
                wait_time=self.wait_time,
                pred_score_thr=self.score_thr,
                out_file=None if out_file is None else str(out_file),
                step=step,
            )
