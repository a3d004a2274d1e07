"""Loops of an attack: optimise the patch, validate it, report on it."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import LOOPS
from mmengine.runner import Runner, TestLoop, ValLoop

from ...attack import attacker_of
from ...datasets import RandomFaceScaleCrop, pipeline_steps
from .conditions import CLEAN, Condition, ConditionLoop, check_detector, data_classes
from .train_loops import ReproducibleEpochLoop


@LOOPS.register_module()
class PatchAttackLoop(ReproducibleEpochLoop):
    """Optimise one patch for all faces, epoch by epoch.

    A :class:`ReproducibleEpochLoop` whose model must be a :class:`PatchAttacker`.
    The detector's digest is checked before the first step and after the last, and
    by :class:`PatchHook` after each epoch: a run whose detector changed ends in an
    error and not in numbers.

    Args:
        runner: As in mmengine.
        dataloader: Config of the data loader.
        **kwargs: As in :class:`ReproducibleEpochLoop`; the paper runs 100 epochs.

    Raises:
        TypeError: If the model is no attacker.
        ValueError: If the data have no such class as its target.
    """

    def __init__(self, runner: Runner, dataloader: dict, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, **kwargs)
        attacker, dataset = attacker_of(runner.model), self.dataloader.dataset
        labels = attacker.target_labels(data_classes(dataset), 'train_dataloader')
        attacker.labels = labels.data
        for step in pipeline_steps(dataset):
            if isinstance(step, RandomFaceScaleCrop):
                step.labels = labels.data

    def run(self) -> torch.nn.Module:
        """Run all epochs.

        Returns:
            torch.nn.Module: The attacker.

        Raises:
            RuntimeError: If the detector has changed.
        """
        attacker = attacker_of(self.runner.model)
        attacker.check_detector()
        model = super().run()
        attacker.check_detector()
        return model


@LOOPS.register_module()
class PatchValLoop(ConditionLoop, ValLoop):
    """Validate the current patch on held-out images.

    Before its first validation it evaluates the clean images once: the calibrated
    delta and the range of AF_beta are properties of the clean detector, and every
    later number is taken at them. Hooks get the clean numbers with ``clean/`` before
    each key, so that no checkpoint is chosen by them.

    Args:
        *args (Any): As in :class:`mmengine.runner.ValLoop`; the pipeline has one
            :class:`PastePatch`.
        **kwargs (Any): The same.
    """

    mode = 'val'
    conditions = (CLEAN, Condition('patch', 'current'))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepare_paste()
        self._calibrated = False

    def run(self) -> dict:
        """Evaluate the patch as it stands.

        Returns:
            dict: Metrics by name.

        Raises:
            RuntimeError: If the detector has changed.
        """
        self.runner.call_hook('before_val')
        clean, patch = self.conditions
        if not self._calibrated:
            self.evaluate(clean)
            for metric in self.calibrated_metrics:
                metric.reference = metric.latest_reference
            self._calibrated = True
        metrics = self.evaluate(patch, label=False)
        self.runner.call_hook('after_val')
        return metrics


@LOOPS.register_module()
class PatchTestLoop(ConditionLoop, TestLoop):
    """Evaluate the same images under several conditions.

    Where the evaluator has a :class:`CalibratedMetric`, the first condition is the
    clean image, and its calibrated delta and range of AF_beta are used for all others.
    If that metric has a ``reference`` already, or there is no such metric, there need
    not be a clean condition. The attacker's detector is checked before the first
    condition and after each, before its numbers are reported.

    Args:
        runner (Any): As in mmengine.
        dataloader (Any): Its pipeline has one :class:`PastePatch`.
        evaluator (Any): As in mmengine.
        conditions (dict[str, Any]): Patch by name of the condition: None for clean
            images, 'current' for the attacker's patch, the path of a patch file, the
            config of an init (``dict(type='constant', value=0.5)``), and whatever else
            :meth:`PastePatch.set_patch` takes.
        **kwargs (Any): As in :class:`mmengine.runner.TestLoop`.

    Raises:
        ValueError: If there is no condition, or the first is not None and a metric
            needs the clean images.
    """

    mode = 'test'

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        evaluator: Any,
        conditions: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, **kwargs)
        self.conditions = [Condition(*item) for item in conditions.items()]
        self._given = [metric.reference for metric in self.calibrated_metrics]
        if not self.conditions or (
            None in self._given and self.conditions[0].patch is not None
        ):
            raise ValueError(
                'PatchTestLoop: the first condition must be the clean images '
                '(clean=None), since the calibrated delta comes from them, or the '
                f'evaluator needs a reference; got {list(conditions)}'
            )
        self.condition = self.conditions[0]
        self.prepare_paste()

    def run(self) -> dict:
        """Evaluate all conditions.

        Returns:
            dict: Metrics, each key preceded by the name of its condition.

        Raises:
            RuntimeError: If the detector has changed.
        """
        check_detector(self.runner)
        self.runner.call_hook('before_test')
        results: dict[str, Any] = {}
        references = self._given
        for condition in self.conditions:
            metrics_of = zip(self.calibrated_metrics, references, strict=True)
            for metric, reference in metrics_of:
                metric.reference = reference
            metrics = self.evaluate(condition)
            results.update({f'{condition.name}/{key}': metrics[key] for key in metrics})
            if condition is self.conditions[0]:
                references = [m.latest_reference for m in self.calibrated_metrics]
        self.runner.call_hook('after_test')
        return results
