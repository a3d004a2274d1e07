"""Loops of an attack: optimise the patch, watch it, report what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmdet.registry import LOOPS
from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop, ValLoop
from torch import Tensor
from torch.utils.data import DataLoader

from ..attack import PastePatch, attacker_of, find_attacker
from .train_loops import ReproducibleEpochLoop


def find_paste_transform(dataloader: DataLoader) -> PastePatch:
    """The one :class:`PastePatch` of a loader's pipeline.

    Args:
        dataloader: Its dataset may be wrapped (``RepeatDataset`` and alike).

    Returns:
        The transform; changing it changes what the loader yields next.

    Raises:
        ValueError: If there is none or more than one.
    """
    dataset: Any = dataloader.dataset
    while not hasattr(dataset, 'pipeline') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    found = [step for step in dataset.pipeline.transforms
             if isinstance(step, PastePatch)]
    if len(found) != 1:
        raise ValueError(
            f'the evaluation pipeline has {len(found)} PastePatch steps; it needs '
            'one, right after the image is loaded')
    return found[0]


def _share_placement(paste: PastePatch, model: torch.nn.Module) -> None:
    """Evaluate on the objects and at the place that the patch is optimised for."""
    attacker = find_attacker(model)
    if attacker is not None:
        paste.placement, paste.label = attacker.placement, attacker.label


def _check_detector(model: torch.nn.Module) -> None:
    """Of an attacker, prove that the detector is what it was."""
    attacker = find_attacker(model)
    if attacker is not None:
        attacker.check_detector()


def _current_pixels(model: torch.nn.Module) -> Tensor:
    """Pixels of the attacker's patch, (3, H, W) float in [0, 1], on the CPU."""
    return attacker_of(model).patch.pixels.detach().cpu()


def _set_reference(evaluator: Evaluator, delta: float | None) -> None:
    """Give the clean run's threshold to every metric that has one."""
    for metric in evaluator.metrics:
        if hasattr(metric, 'reference_delta'):
            metric.reference_delta = delta


def _given_delta(evaluator: Evaluator) -> float | None:
    """The reference delta that the config gives, or None."""
    given = [getattr(metric, 'reference_delta', None) for metric in evaluator.metrics]
    return next((delta for delta in given if delta is not None), None)


def _calibrated_delta(metrics: Mapping[str, float]) -> float | None:
    """The calibrated delta among a metric's results, or None."""
    for key, value in metrics.items():
        if key.split('/')[-1] == 'calibrated_delta':
            return value
    return None


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
        max_epochs: Epochs; the paper runs 100.
        **kwargs: As in :class:`mmengine.runner.EpochBasedTrainLoop`.
    """

    def run(self) -> torch.nn.Module:
        """Run all epochs.

        Returns:
            The attacker.

        Raises:
            TypeError: If the model is no attacker.
            RuntimeError: If the detector has changed.
        """
        attacker = attacker_of(self.runner.model)
        attacker.check_detector()
        model = super().run()
        attacker.check_detector()
        return model


@LOOPS.register_module()
class PatchValLoop(ValLoop):
    """Validate the current patch on held-out images.

    Before its first validation it evaluates the clean images once: the
    calibrated delta is a property of the clean detector, and every later
    ``@calibrated`` number is taken at it. The attacker's detector is checked after
    each evaluation.

    Attributes:
        condition: What is being evaluated, 'clean' or 'patch'.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.paste = find_paste_transform(self.dataloader)
        _share_placement(self.paste, self.runner.model)
        self._calibrated = False
        self.condition = 'patch'

    def run(self) -> dict:
        """Evaluate the patch as it stands.

        Returns:
            Metrics by name.

        Raises:
            RuntimeError: If the detector has changed.
        """
        if not self._calibrated:
            self.paste.set_patch(None)
            self.condition = 'clean'
            _set_reference(self.evaluator, _calibrated_delta(super().run()))
            self._calibrated = True
        self.condition = 'patch'
        self.paste.set_patch(_current_pixels(self.runner.model))
        metrics = super().run()
        _check_detector(self.runner.model)
        return metrics


@LOOPS.register_module()
class PatchTestLoop(TestLoop):
    """Evaluate the same images under several conditions.

    The first condition is the clean image. The threshold that it yields, the
    calibrated delta, is used for all others. Where the evaluator's metric has
    a ``reference_delta`` already, that is used for all, and there need not be a
    clean condition. The attacker's detector is checked before the first condition
    and after each, before its numbers are reported.

    Args:
        runner: As in mmengine.
        dataloader: Its pipeline has one :class:`PastePatch`.
        evaluator: As in mmengine.
        conditions: Patch by name of the condition: None for clean images,
            'current' for the attacker's patch, the path of a patch file, the
            config of an init (``dict(type='constant', value=0.5)``), and
            whatever else :meth:`PastePatch.set_patch` takes.
        **kwargs: As in :class:`mmengine.runner.TestLoop`.

    Raises:
        ValueError: If there is no condition, or the first is not None and
            there is no ``reference_delta``.
    """

    def __init__(self, runner: Any, dataloader: Any, evaluator: Any,
                 conditions: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(runner, dataloader, evaluator, **kwargs)
        self.given_delta = _given_delta(self.evaluator)
        first = next(iter(conditions.values()), '')
        if not conditions or (first is not None and self.given_delta is None):
            raise ValueError(
                'PatchTestLoop: the first condition must be the clean images '
                '(clean=None), since the calibrated delta comes from them, or the '
                f'evaluator needs a reference_delta; got {list(conditions)}')
        self.paste = find_paste_transform(self.dataloader)
        _share_placement(self.paste, runner.model)
        self.conditions = conditions
        self.condition = next(iter(conditions))
        self.results: dict[str, dict] = {}

    def run(self) -> dict:
        """Evaluate all conditions.

        Returns:
            Metrics, each key preceded by the name of its condition.

        Raises:
            RuntimeError: If the detector has changed.
        """
        _check_detector(self.runner.model)
        self.runner.call_hook('before_test')
        self.results = {}
        _set_reference(self.evaluator, self.given_delta)
        for name, patch in self.conditions.items():
            self.condition = name
            self.paste.set_patch(patch, lambda: _current_pixels(self.runner.model))
            self.results[name] = self._run_condition()
            if len(self.results) == 1 and self.given_delta is None:
                _set_reference(
                    self.evaluator, _calibrated_delta(self.results[name]))
        self.runner.call_hook('after_test')
        return {f'{name}/{key}': value for name, metrics in self.results.items()
                for key, value in metrics.items()}

    def _run_condition(self) -> dict:
        self.runner.call_hook('before_test_epoch')
        self.runner.model.eval()
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        _check_detector(self.runner.model)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        return metrics
