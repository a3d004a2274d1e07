"""Keep the patch in range, keep its history, guard detector and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...attack import attacker_of, save_patch


@HOOKS.register_module()
class PatchHook(Hook):
    """Project the patch, keep its history, guard detector and numbers.

    After every step the patch is projected back into [0, 1]; a loss or patch
    that is not finite ends the run. Before the first and after every
    ``interval``-th epoch the patch is written to ``patches/`` in the work dir,
    and after the last one to ``patch.png`` and ``patch.npy``. The detector's
    digest is checked after every epoch, and is part of the checkpoints.

    Args:
        interval: Epochs between two pictures of the patch.

    Raises:
        ValueError: If ``interval`` is less than 1.
    """

    # Before the other hooks: they see the projected patch.
    priority = 'VERY_HIGH'

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f'PatchHook: interval must be at least 1, got {interval}')
        self.interval = interval
        self.empty_steps = 0

    def _snapshot(self, runner: Runner, epoch: int) -> None:
        if is_main_process():
            folder = Path(runner.work_dir) / 'patches'
            save_patch(folder / f'epoch_{epoch:04d}.png',
                       attacker_of(runner.model).patch.pixels)

    def before_train(self, runner: Runner) -> None:
        """Keep the initial patch."""
        if runner.iter == 0:
            self._snapshot(runner, 0)

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Project, and stop at numbers that are not finite.

        Raises:
            FloatingPointError: If loss or patch is NaN or infinite.
        """
        patch = attacker_of(runner.model).patch
        loss = (outputs or {}).get('loss')
        if loss is not None and not torch.isfinite(torch.as_tensor(loss)).all():
            raise FloatingPointError(
                f'attack loss is {float(loss)} in step {runner.iter}; the last '
                'checkpoint in the work dir is from before')
        if not torch.isfinite(patch.pixels).all():
            raise FloatingPointError(
                f'the patch has pixels that are not finite after step {runner.iter}; '
                'lower the learning rate')
        patch.project_()
        self.empty_steps += int((outputs or {}).get('empty', 0))

    def after_train_epoch(self, runner: Runner) -> None:
        """Check the detector, keep the patch, tell of steps without samples."""
        attacker_of(runner.model).check_detector()
        epoch = runner.epoch + 1
        if epoch % self.interval == 0 or epoch == runner.max_epochs:
            self._snapshot(runner, epoch)
        if self.empty_steps:
            runner.logger.info(
                f'{self.empty_steps} of {len(runner.train_dataloader)} steps of '
                f'epoch {epoch} had no adversarial sample')
        # Not before the next epoch: a run resumed inside one goes on counting.
        self.empty_steps = 0

    def after_train(self, runner: Runner) -> None:
        """Write the optimised patch."""
        if is_main_process():
            pixels = attacker_of(runner.model).patch.pixels
            for name in ('patch.png', 'patch.npy'):
                save_patch(Path(runner.work_dir) / name, pixels)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the detector's digest and the count of the current epoch."""
        checkpoint['empty_steps'] = self.empty_steps
        checkpoint['detector_digest'] = attacker_of(runner.model).detector_digest

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check that the checkpoint fits, and go on counting where it stopped.

        Raises:
            ValueError: If the checkpoint is of an attack on another detector.
        """
        digest = attacker_of(runner.model).detector_digest
        if checkpoint.get('detector_digest', digest) != digest:
            raise ValueError(
                'the checkpoint is of an attack on another detector (digest '
                f'{checkpoint["detector_digest"][:12]}, configured {digest[:12]}); '
                'use its detector, or start anew in another --work-dir')
        if runner._resume:
            self.empty_steps = checkpoint.get('empty_steps', 0)
