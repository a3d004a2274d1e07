"""Training loops whose result does not depend on whether they were interrupted.

Three things make it so. Every step and every sample has a seed of its own, derived
from the run's seed and its position in the run, so that there is no generator's state
to restore. A run resumes at the batch after the checkpoint's, also inside an epoch. And
a validation that an interruption swallowed is made up for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterator
from typing import Any

import torch
from mmdet.registry import LOOPS
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, DataLoader

from ...datasets import SeededSampler, seeded_dataloader
from ...utils.randomness import STEP, derive_seed, seed_generators

# Names in the message hub, whose content is part of the checkpoint.
VALIDATED = 'last_validated_iter'
EPOCH_LENGTH = 'batches_per_epoch'


def _seeded_sampler(dataloader: DataLoader) -> SeededSampler:
    return dataloader.batch_sampler.sampler  # type: ignore[union-attr]


def _can_skip(dataloader: DataLoader) -> bool:
    """Whether batches can be left out without loading them."""
    # Other batch samplers do not take their samples batch by batch.
    return type(dataloader.batch_sampler) is BatchSampler and (
        _seeded_sampler(dataloader).can_skip
    )


def _one_pass(
    dataloader: DataLoader, epoch: int, skip: int
) -> Generator[Any, None, int]:
    """Batches of one pass without the first ``skip``; returns how many it lacked."""
    sampler = _seeded_sampler(dataloader)
    sampler.set_epoch(epoch)
    if skip and _can_skip(dataloader):
        sampler.skip(skip * dataloader.batch_sampler.batch_size)  # type: ignore
        skip = 0
    for batch in dataloader:
        if skip:
            skip -= 1
        else:
            yield batch
    return skip


class _Seeds:
    """The run's seed, the same in all processes, and those of its steps."""

    def __init__(self, runner: Runner) -> None:
        seeds = [runner.seed]
        broadcast_object_list(seeds)
        self.seed = seeds[0]

    def seed_step(self, iteration: int) -> None:
        """Seed all generators for one step of this process."""
        seed_generators(derive_seed(STEP, self.seed, iteration, get_rank()))


def _validate(
    loop: EpochBasedTrainLoop | IterBasedTrainLoop, position: int, end: int
) -> None:
    """Validate after epoch or step ``position`` of ``end``, where that is due."""
    loop._decide_current_val_interval()
    if (
        loop.runner.val_loop is not None
        and position >= loop.val_begin
        and (position % loop.val_interval == 0 or position == end)
    ):
        # First, so that a checkpoint of the best model knows of it.
        loop.runner.message_hub.update_info(VALIDATED, loop.iter)
        loop.runner.val_loop.run()


def _has_missed_validation(loop: EpochBasedTrainLoop | IterBasedTrainLoop) -> bool:
    """Whether the run was interrupted after a checkpoint and before a validation."""
    done = loop.runner.message_hub.get_info(VALIDATED, None)
    return loop.iter > 0 and done != loop.iter


@LOOPS.register_module()
class ReproducibleEpochLoop(EpochBasedTrainLoop):
    """Epoch by epoch; resumed at any batch with the result of a run in one go.

    On a CPU that is so to the last bit, with any number of data-loading workers,
    if a resumed run has the batch size and number of processes that it had.

    Args:
        runner (Runner): As in mmengine.
        dataloader (dict): Config of the data loader.
        max_epochs (int, optional): Epochs. Defaults to None, with ``max_steps``.
        max_steps (int, optional): Stop after so many steps, in the last epoch that they
            need, in place of ``max_epochs``. Defaults to None.
        **kwargs (Any): As in :class:`mmengine.runner.EpochBasedTrainLoop`.

    Raises:
        TypeError: If the data loader is no config.
        ValueError: If there is neither ``max_epochs`` nor ``max_steps``, or both, or
            no step.
    """

    _iter: int

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        max_epochs: int | None = None,
        max_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        if (max_epochs is None) == (max_steps is None):
            raise ValueError(
                f'{type(self).__name__} needs max_epochs or max_steps, not '
                f'{max_epochs} and {max_steps}'
            )
        super().__init__(
            runner, seeded_dataloader(dataloader), max_epochs or 1, **kwargs
        )
        if max_steps is not None:
            if max_steps < 1:
                raise ValueError(f'max_steps must be at least 1, got {max_steps}')
            self._max_epochs = math.ceil(max_steps / len(self.dataloader))
            self._max_iters = max_steps
        self._skip = 0

    def run(self) -> torch.nn.Module:
        """Run all epochs that are left.

        Returns:
            torch.nn.Module: The model.

        Raises:
            ValueError: If the checkpoint was written inside an epoch of another
                length.
        """
        self._seeds = _Seeds(self.runner)
        _seeded_sampler(self.dataloader).reseed(self._seeds.seed)
        self._skip = self._find_position()
        self.runner.call_hook('before_train')
        if self._skip == 0 and _has_missed_validation(self):
            _validate(self, self._epoch, self._max_epochs)
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            _validate(self, self._epoch, self._max_epochs)
        self.runner.call_hook('after_train')
        return self.runner.model

    def _find_position(self) -> int:
        """How many batches of the current epoch are done."""
        length = len(self.dataloader)
        hub = self.runner.message_hub
        before = hub.get_info(EPOCH_LENGTH, None) or length
        hub.update_info(EPOCH_LENGTH, length)
        done = self._iter - self._epoch * before
        if before == length and 0 <= done <= length:
            return done
        # It stopped in its last epoch.
        if before == length and self._iter >= self._max_iters:
            return 0
        if done != 0:
            raise ValueError(
                f'the checkpoint was written after {self._iter} steps, inside an epoch '
                f'of {before} batches, and an epoch has {length} now: resume with the '
                'same data, batch size and number of processes, or from a checkpoint '
                'at the end of an epoch'
            )
        self.runner.logger.warning(
            f'an epoch had {before} batches when the checkpoint was written and has '
            f'{length} now: resuming; results will differ'
        )
        self._iter = self._epoch * length
        return 0

    def run_epoch(self) -> None:
        """Run the current epoch, or what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        skip, self._skip = self._skip, 0
        batches = _one_pass(self.dataloader, self._epoch, skip)
        for idx, data_batch in enumerate(batches, start=skip):
            if self._iter >= self._max_iters:
                break
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Run one step on random numbers of its own."""
        self._seeds.seed_step(self._iter)
        super().run_iter(idx, data_batch)


@LOOPS.register_module()
class ReproducibleIterLoop(IterBasedTrainLoop):
    """Step by step; resumed at any step with the result of a run in one go.

    On a CPU that is so to the last bit, with any number of data-loading workers,
    if a resumed run has the batch size and number of processes that it had. A
    sampler that ends is started again, as the next epoch.

    Args:
        runner (Runner): As in mmengine.
        dataloader (dict): Config of the data loader.
        max_iters (int): Steps.
        val_begin (int): The first step after which to validate. Defaults to 1.
        val_interval (int): Steps between two validations. Defaults to 1000.
        dynamic_intervals (list[tuple[int, int]], optional): As in
            :class:`mmengine.runner.IterBasedTrainLoop`. Defaults to None.

    Raises:
        TypeError: If the data loader is no config.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(
            runner,
            seeded_dataloader(dataloader),
            max_iters,
            val_begin,
            val_interval,
            dynamic_intervals,
        )
        self.dataloader_iterator = self._batches()

    def _batches(self) -> Iterator[Any]:
        """Batches from the current step on, without end.

        Raises:
            ValueError: If the data loader has none.
        """
        epoch, skip = 0, self._iter
        if _can_skip(self.dataloader) and not _seeded_sampler(self.dataloader).endless:
            epoch, skip = divmod(skip, max(len(self.dataloader), 1))
        if len(self.dataloader) == 0:
            raise ValueError('the training data are fewer than one batch')
        for number in itertools.count(epoch):
            skip = yield from _one_pass(self.dataloader, number, skip)

    def run(self) -> torch.nn.Module:
        """Run all steps that are left.

        Returns:
            torch.nn.Module: The model.
        """
        self._seeds = _Seeds(self.runner)
        _seeded_sampler(self.dataloader).reseed(self._seeds.seed)
        self.runner.call_hook('before_train')
        # Hooks take the whole run for one epoch.
        self.runner.call_hook('before_train_epoch')
        if _has_missed_validation(self):
            _validate(self, self._iter, self._max_iters)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            _validate(self, self._iter, self._max_iters)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_iter(self, data_batch: Any) -> None:
        """Run one step on random numbers of its own."""
        self._seeds.seed_step(self._iter)
        super().run_iter(data_batch)
