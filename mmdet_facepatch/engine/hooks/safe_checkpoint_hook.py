"""Checkpoints that a kill at any moment leaves usable."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import get_world_size, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ...utils.files import remove_leftovers, write_atomically
from ..checkpoints import POINTER
from ..loops.conditions import CLEAN, ConditionLoop

GRADIENTS = 'pending_gradients'


def _parameters(runner: Runner) -> dict[str, nn.Parameter]:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return dict(model.named_parameters())


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's checkpoints, safe against a kill while one is written.

    A checkpoint, and the file that names the last one, is written to a temporary file,
    brought to the disk and renamed; only then is the oldest removed. With gradient
    accumulation a checkpoint also holds the gradients that no step has used yet.

    Args:
        *args: As in :class:`mmengine.hooks.CheckpointHook`.
        **kwargs: The same.
    """

    # What takes **kwargs, for the check of configs.
    kwargs_of = Runner.save_checkpoint
    keep_ckpt_ids: deque[int]

    def before_train(self, runner: Runner) -> None:
        """Find out where to write, and remove what killed runs left half-written."""
        super().before_train(runner)
        if self.max_keep_ckpts > 0:
            # Ours is shortened when the new checkpoint is there, not before.
            self.keep_ckpt_ids = deque(self.keep_ckpt_ids)
        if self.file_client_args is None and type(self.file_backend) is LocalBackend:
            self.backend_args = dict(backend='atomic_local')
            if is_main_process():
                remove_leftovers(self.out_dir)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            # One too many: a run killed before the removal does it when resumed.
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_atomically(
                Path(runner.work_dir) / POINTER, str(self.last_ckpt).encode()
            )
        self._remove_old()

    def _remove_old(self) -> None:
        while 0 < self.max_keep_ckpts < len(self.keep_ckpt_ids):
            name = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            path = self.file_backend.join_path(self.out_dir, name)
            if is_main_process() and self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best; not by the clean images of an attack."""
        loop = runner.val_loop
        if not isinstance(loop, ConditionLoop) or loop.condition != CLEAN:
            super().after_val_epoch(runner, metrics)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the gradients that no step has used yet."""
        if 'optimizer' not in checkpoint:
            return
        pending = {
            name: parameter.grad.cpu()
            for name, parameter in _parameters(runner).items()
            if parameter.grad is not None
        }
        if pending:
            checkpoint[GRADIENTS] = pending
            if get_world_size() > 1:
                runner.logger.warning(
                    'this checkpoint is between two steps of gradient accumulation '
                    'and has the gradients of the first process only: a run resumed '
                    'from it will not be exact'
                )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take those gradients over in a resumed run."""
        # On the GPU, where all of a checkpoint is read to, each use of it would wait.
        for state in checkpoint.get('optimizer', {}).get('state', {}).values():
            if isinstance(state, dict) and isinstance(state.get('step'), torch.Tensor):
                state['step'] = state['step'].cpu()
        pending: dict[str, Any] = checkpoint.get(GRADIENTS, {})
        if runner._resume:
            for name, parameter in _parameters(runner).items():
                if name in pending:
                    parameter.grad = pending[name].to(parameter.device)
