"""Conditions under which the same images are evaluated: clean, or with a patch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from ...attack import attacker_of, find_attacker
from ...datasets import PastePatch, pipeline_steps
from ...datasets.transforms.paste_patch import Patch
from ...evaluation.metrics.calibrated_metric import CalibratedMetric
from ...evaluation.metrics.target_metric import TargetMetric


@dataclass(frozen=True)
class Condition:
    """What an evaluation pastes on its images.

    Attributes:
        name (str): Such as 'clean' or 'patch'.
        patch (Patch): What :meth:`PastePatch.set_patch` takes; None for clean images.
    """

    name: str
    patch: Patch = None


#: Condition of every evaluation that pastes nothing.
CLEAN = Condition('clean')


def find_paste_transform(dataset: Any) -> PastePatch:
    """The one :class:`PastePatch` of a data set's pipeline.

    Args:
        dataset (Any): May be wrapped (``RepeatDataset`` and alike).

    Returns:
        PastePatch: The transform; changing it changes what the data set yields next.

    Raises:
        ValueError: If there is none or more than one.
    """
    found = [step for step in pipeline_steps(dataset) if isinstance(step, PastePatch)]
    if len(found) != 1:
        raise ValueError(
            f'the evaluation pipeline has {len(found)} PastePatch steps; it needs '
            'one, right after the image is loaded. A data set without a pipeline gets '
            "the detector's own, by mmdet_facepatch.engine.complete_pipelines"
        )
    return found[0]


def data_classes(dataset: Any) -> tuple[str, ...] | None:
    """Names of the classes of a data set; None if it has none.

    Args:
        dataset (Any): With mmengine's ``metainfo``.
    """
    classes = dataset.metainfo.get('classes')
    return (classes,) if isinstance(classes, str) else classes and tuple(classes)


class ConditionLoop:
    """Mixin of validation and test loops that evaluate images under conditions.

    Of an attack, the patch is pasted on the objects and at the location that it is
    optimised for, and the detector's digest is checked after each evaluation.

    Attributes:
        conditions (Sequence[Condition]): All of them, in their order.
        condition (Condition): What is being evaluated, or was evaluated last.
        paste (PastePatch): The transform that pastes its patch.
    """

    mode: str
    runner: Runner
    evaluator: Evaluator
    dataloader: DataLoader
    run_iter: Callable[[int, Any], None]
    conditions: Sequence[Condition] = (CLEAN,)
    condition = CLEAN

    def prepare_paste(self) -> None:
        """Find the transform, and set it up for the attack, if there is one.

        Raises:
            ValueError: If there is no such transform, or the data have no such class
                as the attack's target.
        """
        self.paste = find_paste_transform(self.dataloader.dataset)
        attacker = find_attacker(self.runner.model)
        if attacker is None:
            return
        classes = data_classes(self.dataloader.dataset)
        labels = attacker.target_labels(classes, f'{self.mode}_dataloader')
        self.paste.placement, self.paste.labels = attacker.placement, labels.data
        for metric in self.evaluator.metrics:
            if isinstance(metric, TargetMetric):
                metric.target_labels = labels

    @property
    def calibrated_metrics(self) -> list[CalibratedMetric]:
        """The metrics whose threshold comes from the clean images."""
        return [
            metric
            for metric in self.evaluator.metrics
            if isinstance(metric, CalibratedMetric)
        ]

    def evaluate(self, condition: Condition, label: bool = True) -> dict[str, Any]:
        """Evaluate one condition.

        Args:
            condition (Condition): What to paste.
            label (bool): Whether hooks, and so log and visualizer, get the numbers
                with the name of the condition before each key. Defaults to True.

        Returns:
            dict[str, Any]: Numbers by name, without the condition's.

        Raises:
            RuntimeError: If the detector has changed.
        """
        runner, mode = self.runner, self.mode
        self.condition = condition
        self.paste.set_patch(condition.patch, self._current_pixels)
        runner.call_hook(f'before_{mode}_epoch')
        runner.model.eval()
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        check_detector(runner)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))  # type: ignore
        prefix = f'{condition.name}/' if label else ''
        runner.call_hook(
            f'after_{mode}_epoch',
            metrics={f'{prefix}{key}': value for key, value in metrics.items()},
        )
        return metrics

    def _current_pixels(self) -> Tensor:
        """Pixels of the attacker's patch, (3, H, W) float in [0, 1], on the CPU."""
        return attacker_of(self.runner.model).patch.pixels.detach().cpu()


def current_condition(loop: Any) -> Condition:
    """The condition that a validation or test loop evaluates.

    Args:
        loop (Any): ``runner.val_loop`` or ``runner.test_loop``.

    Returns:
        Condition: That of a :class:`ConditionLoop`; other loops paste nothing.
    """
    return loop.condition if isinstance(loop, ConditionLoop) else CLEAN


def conditions_of(loop: Any) -> Sequence[Condition]:
    """All conditions that a test loop evaluates, in their order.

    Args:
        loop (Any): ``runner.test_loop``.

    Returns:
        Sequence[Condition]: Those of a :class:`ConditionLoop`; other loops paste
        nothing.
    """
    return loop.conditions if isinstance(loop, ConditionLoop) else (CLEAN,)


def check_detector(runner: Runner) -> None:
    """Of an attack, check that the detector is what it was.

    Args:
        runner (Runner): Its model may be an attacker.

    Raises:
        RuntimeError: If the detector has changed.
    """
    attacker = find_attacker(runner.model)
    if attacker is not None:
        attacker.check_detector()
