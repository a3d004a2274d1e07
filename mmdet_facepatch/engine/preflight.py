"""A look at everything that a run will need, before it starts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.runner import Runner

from ..attack import PatchAttacker, find_attacker
from ..datasets import DataCheck, check_data
from ..evaluation.metrics.target_metric import TargetMetric
from ..utils.randomness import seeded
from .loops.conditions import ConditionLoop, conditions_of, data_classes
from .pretrained import check_pretrained
from .report import describe_view

# An attack's first step takes longer than the others; of a long one that is little.
_WARM_UP_SECONDS = 2.0


def preflight(runner: Runner, train: bool = False, test: bool = False) -> list[str]:
    """Check data, classes, weights and options of a whole run.

    Everything that the run will need is built; weights that a training starts from
    are read, image files are looked for and their headers read, boxes are checked,
    patches of the conditions are read. Of an attack one step and one test image are
    tried, which tells how long it will take.

    Args:
        runner (Runner): Before ``train()`` and ``test()``.
        train (bool): Whether it is going to train. Defaults to False.
        test (bool): Whether it is going to test. Defaults to False.

    Returns:
        list[str]: What will be done, for the user, and warnings. Also logged.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If data, classes or options are unfit.
    """
    attacker = find_attacker(runner.model)
    plan = _Plan(runner, attacker)
    if train:
        check_pretrained(runner.cfg.get('model'))
        plan.add_training()
    if test:
        plan.add_test()
    if attacker is not None and get_world_size() == 1:
        plan.estimate()
    if is_main_process():
        runner.logger.info('\n'.join(('What will be done', *plan.lines)))
        for warning in plan.warnings:
            runner.logger.warning(warning)
    return plan.lines + plan.warnings


class _Plan:
    """What a run will do, in lines for the user."""

    def __init__(self, runner: Runner, attacker: PatchAttacker | None) -> None:
        self.runner = runner
        self.attacker = attacker
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self._train_steps = 0
        self._val_images = self._test_images = 0
        if attacker is not None:
            self._add('target', _describe_target(attacker))

    def _add(self, head: str, text: str) -> None:
        self.lines.append(f'{head + ":":<10}{text}')

    def _check(self, loop: Any, key: str) -> DataCheck | None:
        """Data of a loop; of other processes nobody asks."""
        if not is_main_process():
            return None
        dataset = loop.dataloader.dataset
        labels = self._labels(loop, dataset)
        found = check_data(dataset, labels, key)
        self.warnings += found.warnings
        return found

    def _labels(self, loop: Any, dataset: Any) -> Sequence[int]:
        if self.attacker is not None:
            return self.attacker.target_labels(data_classes(dataset), 'the data').data
        metrics = getattr(getattr(loop, 'evaluator', None), 'metrics', [])
        for metric in metrics:
            if isinstance(metric, TargetMetric):
                return metric.target_labels.data
        # A detector learns all of its classes.
        return range(len(data_classes(dataset) or ('face',)))

    def add_training(self) -> None:
        """Build the loops of training and validation."""
        runner = self.runner
        loop: Any = runner.train_loop
        found = self._check(loop, 'train_dataloader')
        done = runner.cfg.get('resume') and ' in all, resumed' or ''
        self._train_steps = loop.max_iters
        if found:
            self._add(
                'train',
                f'{found.images:,} images, {found.objects:,} objects; '
                f'{loop.max_iters:,} steps of {_batch_size(loop)} images{done}',
            )
        if runner.val_loop is not None:
            self._check(runner.val_loop, 'val_dataloader')
            self._val_images = len(runner.val_loop.dataloader.dataset)

    def add_test(self) -> None:
        """Build the loop of the test, and read the patches of its conditions."""
        loop: Any = self.runner.test_loop
        found = self._check(loop, 'test_dataloader')
        conditions = conditions_of(loop)
        if isinstance(loop, ConditionLoop):
            self._read_patches(loop)
        self._test_images = len(loop.dataloader.dataset) * len(conditions)
        if found:
            names = ', '.join(condition.name for condition in conditions)
            self._add(
                'test',
                f'{found.images:,} images, {found.objects:,} objects; {names}',
            )
            self._add('seen', describe_view(self.runner))

    def _read_patches(self, loop: ConditionLoop) -> None:
        before = loop.condition
        for condition in loop.conditions:
            loop.paste.set_patch(condition.patch, loop._current_pixels)
            pixels, patch = loop.paste.pixels, condition.patch
            is_file = isinstance(patch, (str, os.PathLike)) and patch != 'current'
            is_file |= isinstance(patch, dict) and patch.get('type') == 'file'
            if pixels is None or self.attacker is None or not is_file:
                continue
            size, own = tuple(pixels.shape[1:]), self.attacker.patch.pixels.shape[1:]
            if size != tuple(own):
                self.warnings.append(
                    f'the patch of condition {condition.name} has {size[0]} x '
                    f'{size[1]} pixels, that of the attack {own[0]} x {own[1]}'
                )
        loop.paste.set_patch(before.patch, loop._current_pixels)

    def estimate(self) -> None:
        """Try one step and one image, and say how long all of them will take."""
        seconds = 0.0
        with seeded(0):
            if self._train_steps:
                loop: Any = self.runner.train_loop
                left = max(self._train_steps - loop.iter, 0)
                seconds += left * _timed(lambda: self._step(loop))
                if self._val_images:
                    times = 1 + loop.max_epochs // loop.val_interval
                    one = _timed(lambda: self._detect(self.runner.val_loop))
                    seconds += times * self._val_images * one
            if self._test_images:
                one = _timed(lambda: self._detect(self.runner.test_loop))
                seconds += self._test_images * one
        self._add('takes', f'about {_duration(seconds)} on {_device(self.attacker)}')

    def _step(self, loop: Any) -> None:
        """One step of the attack without an update."""
        assert self.attacker is not None
        dataset = loop.dataloader.dataset
        count = min(_batch_size(loop), len(dataset))
        batch = loop.dataloader.collate_fn([dataset[i] for i in range(count)])
        training = self.attacker.training
        self.attacker.train()
        losses = self.attacker(**self.attacker.data_preprocessor(batch, True))
        total = sum(value for key, value in losses.items() if 'loss' in key)
        torch.autograd.grad(total, list(self.attacker.parameters()), allow_unused=True)
        self.attacker.train(training)

    def _detect(self, loop: Any) -> None:
        assert self.attacker is not None
        dataset = loop.dataloader.dataset
        batch = loop.dataloader.collate_fn([dataset[len(dataset) // 2]])
        self.attacker.val_step(batch)


def _describe_target(attacker: PatchAttacker) -> str:
    names = []
    for frozen in attacker.frozen:
        classes = frozen.classes
        found = [classes[i] if classes else f'class {i}' for i in frozen.class_ids]
        names.append(f'{", ".join(found)} of {frozen.name.removeprefix("the ")}')
    return '; '.join(names)


def _batch_size(loop: Any) -> int:
    return loop.dataloader.batch_sampler.batch_size or 1


def _timed(function: Callable[[], None]) -> float:
    """Seconds of a call, of a second one where the first is short."""
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        if seconds > _WARM_UP_SECONDS:
            break
    return seconds


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f'{max(seconds, 1):.0f} s'
    if seconds < 90 * 60:
        return f'{seconds / 60:.0f} min'
    return f'{seconds / 3600:.1f} h'


def _device(attacker: PatchAttacker | None) -> str:
    assert attacker is not None
    device = next(attacker.parameters()).device
    return 'the CPU' if device.type == 'cpu' else str(device)
