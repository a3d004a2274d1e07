"""Stop a run at numbers that are not finite, and keep what it has so far."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from mmdet.engine.hooks import CheckInvalidLossHook
from mmdet.registry import HOOKS
from mmengine.dist import all_gather_object, all_reduce, is_main_process
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.optim import Optimizer

from ...attack import find_attacker, save_patch

# What is saved is named so, and never 'last_checkpoint': --resume without a file
# resumes from the last epoch's.
STOPPED = 'stopped'
# GradScaler starts at 2^16 and halves: after so many steps no scale can help.
MAX_SKIPPED = 40


def image_names(batch: Any) -> list[str]:
    """Images of a batch, as its samples know them.

    Args:
        batch (Any): What a data loader yields; samples may lie in any depth of dicts,
            lists and tuples.

    Returns:
        list[str]: Path of each image, or its id where the sample has no path.
    """
    if isinstance(batch, BaseDataElement):
        known = [
            batch.metainfo[key]
            for key in ('img_path', 'img_id')
            if key in batch.metainfo
        ]
        return [
            str(known[0])
            if known
            else 'an image without img_path and img_id (see meta_keys)'
        ]
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, (list, tuple)):
        return [name for part in batch for name in image_names(part)]
    return []


def _infinite_losses(losses: Mapping[str, Any]) -> list[str]:
    """Names of the losses whose sum is NaN or infinite, with their values."""
    sums = {}
    for name, value in losses.items():
        if 'loss' in name:
            parts = value if isinstance(value, (list, tuple)) else [value]
            sums[name] = sum(part.detach().float().mean() for part in parts)
    if not sums or torch.stack(list(sums.values())).sum().isfinite():
        return []
    found = [
        f'{name} is {float(value)}'
        for name, value in sums.items()
        if not torch.isfinite(value)
    ]
    return found or [f'the sum of {", ".join(sums)} overflows']


def _all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether there is no NaN or infinity, with one wait for the device."""
    if not tensors:
        return True
    return bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all())


def _optimizers(wrapper: Any) -> Iterator[Optimizer]:
    several = isinstance(wrapper, OptimWrapperDict)
    for one in wrapper.values() if several else [wrapper]:
        yield one.optimizer


@HOOKS.register_module()
class CheckFiniteHook(CheckInvalidLossHook):
    """Stop a training or an attack at numbers that are not finite.

    The loss is checked before it is used, the gradient before the optimiser uses
    it, and a patch after each step. At the first NaN or infinity all processes stop
    with an error that names the images of the batch. What there is from before the
    step is saved in the work dir as ``stopped.pth``, and a patch as ``stopped.npy``;
    other files are left alone.

    Under automatic mixed precision, steps whose gradient overflowed are left out by
    the scaler, as they should be. Only when 40 in a row have been left out, and the
    scale cannot be the reason any more, the run stops.

    mmdet's hook of the same purpose looks at the loss alone, after the step.

    Args:
        interval (int): Steps between two checks. Defaults to 1.
    """

    # Before the patch is projected: that makes an infinity a 1.
    priority = 'HIGHEST'

    def __init__(self, interval: int = 1) -> None:
        super().__init__(interval)
        self._batch: Any = None
        self._before: tuple[Tensor, list[dict]] | None = None
        self._skipped = 0
        self._handles: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Watch losses and gradients."""
        self.after_train(runner)
        self._handles = [
            runner.model.register_forward_hook(partial(self._check_losses, runner))
        ]
        self._handles += [
            optimizer.register_step_pre_hook(partial(self._check_gradients, runner))
            for optimizer in _optimizers(runner.optim_wrapper)
        ]

    def after_train(self, runner: Runner) -> None:
        """Watch no more."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Remember the images."""
        self._batch = data_batch
        self._skipped += 1

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Look at the patch, and for steps that are never made.

        Raises:
            FloatingPointError: If the patch is not finite, or the gradient has not
                been at any loss scale.
        """
        if hasattr(runner.optim_wrapper, 'loss_scaler'):
            counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
            if self._skipped >= MAX_SKIPPED * counts:
                self._stop(
                    runner,
                    [
                        f'the gradient has not been finite in '
                        f'{self._skipped} steps, at no loss scale'
                    ],
                )
        attacker = find_attacker(runner.model)
        if attacker is None or not self._is_due(runner):
            return
        if not _all_finite([attacker.patch.pixels.detach()]):
            self._undo(runner)
            self._stop(
                runner,
                ['the patch is not finite after the step, though the gradient was'],
            )

    def _is_due(self, runner: Runner) -> bool:
        return self.every_n_train_iters(runner, self.interval)

    def _check_losses(
        self, runner: Runner, model: nn.Module, inputs: Any, losses: Any
    ) -> None:
        # Predictions, as in validation, are no dict of losses.
        if (
            not model.training
            or not isinstance(losses, dict)
            or (not self._is_due(runner))
        ):
            return
        found = _infinite_losses(losses)
        # Each process has its own loss; one must not wait for another that stopped.
        anywhere = torch.tensor(len(found))
        all_reduce(anywhere, 'max')
        if anywhere:
            self._stop(runner, found)

    def _check_gradients(
        self, runner: Runner, optimizer: Optimizer, args: Any, kwargs: Any
    ) -> None:
        # Fused optimisers are called also for the steps that the scaler leaves out.
        overflow = getattr(optimizer, 'found_inf', None)
        if overflow is not None and bool(overflow):
            return
        self._skipped = 0
        if not self._is_due(runner):
            return
        # Between processes gradients have been averaged: all see the same.
        if not _all_finite(
            [
                parameter.grad
                for group in optimizer.param_groups
                for parameter in group['params']
                if parameter.grad is not None
            ]
        ):
            self._stop(runner, ['the loss is finite, but its gradient is not'])
        attacker = find_attacker(runner.model)
        if attacker is not None:
            self._before = (
                attacker.patch.pixels.detach().clone(),
                [
                    copy.deepcopy(one.state_dict())
                    for one in _optimizers(runner.optim_wrapper)
                ],
            )

    def _undo(self, runner: Runner) -> None:
        """Take the patch's last step back."""
        attacker = find_attacker(runner.model)
        if attacker is None or self._before is None:
            return
        pixels, states = self._before
        with torch.no_grad():
            attacker.patch.pixels.copy_(pixels)
        for optimizer, state in zip(
            _optimizers(runner.optim_wrapper), states, strict=True
        ):
            optimizer.load_state_dict(state)

    def _stop(self, runner: Runner, problems: list[str]) -> NoReturn:
        """Save, wait for each other, and raise in all processes."""
        gathered = all_gather_object((problems, image_names(self._batch)))
        found = [what for theirs, _ in gathered for what in theirs]
        images = [name for theirs, names in gathered if theirs for name in names]
        # Launchers end all processes when the first is gone: not while one saves.
        saved = all_gather_object(self._save(runner))[0]
        raise FloatingPointError(
            f'step {runner.iter + 1} (epoch {runner.epoch + 1}): '
            f'{", ".join(dict.fromkeys(found))}. Images of the batch: '
            f'{", ".join(images) or "unknown"}. {saved} Look at these images and '
            'their annotations; lower the learning rate; try without --amp. Then '
            'resume with --resume'
        )

    def _save(self, runner: Runner) -> str:
        """Save what is finite; returns what was saved, for the error."""
        if not is_main_process():
            return ''
        attacker = find_attacker(runner.model)
        folder = Path(runner.work_dir)
        weights = runner.model.state_dict().values()
        if not _all_finite([value for value in weights if value.is_floating_point()]):
            return (
                'Weights or statistics are not finite either, so nothing was '
                'saved; the last checkpoint is from before.'
            )
        # Checkpoints keep gradients that no step has used yet. These never will be.
        for optimizer in _optimizers(runner.optim_wrapper):
            optimizer.zero_grad(set_to_none=True)
        try:
            runner.save_checkpoint(
                runner.work_dir,
                f'{STOPPED}.pth',
                meta=dict(epoch=runner.epoch, iter=runner.iter),
            )
            if attacker is None:
                return f'The state before it is in {folder / STOPPED}.pth.'
            save_patch(folder / f'{STOPPED}.npy', attacker.patch.pixels)
        # The numbers are what has to be reported, whatever the disk does.
        except (OSError, RuntimeError) as error:
            return f'The state before it could not be saved: {error}.'
        return (
            f'The state before it is in {folder / STOPPED}.pth, the patch in '
            f'{STOPPED}.npy.'
        )
