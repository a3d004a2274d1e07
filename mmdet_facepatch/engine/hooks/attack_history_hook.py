"""History of an attack: objective, held-out numbers, time, software."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...utils.json_files import write_json
from ...utils.provenance import device_name, software_versions
from ..attack_history import HELD_OUT_NUMBERS, HISTORY
from ..loops.conditions import CLEAN, current_condition

# Names in the message hub, whose content is part of the checkpoint.
EPOCH_SUMS = 'attack_epoch_sums'
HELD_OUT = 'attack_held_out'


@HOOKS.register_module()
class AttackHistoryHook(Hook):
    """Write ``history.json``: objective, held-out numbers and time by epoch.

    The file is written after each epoch and each validation; what it holds stands at
    :mod:`mmdet_facepatch.engine.attack_history`. A resumed attack continues what
    its checkpoint knows, so that each step counts once.
    """

    def __init__(self) -> None:
        self._since = 0.0
        # Sums over the steps of the epoch: objective of all processes, steps with
        # samples, steps, seconds.
        self._sums = [0.0, 0, 0, 0.0]

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock; take over what a resumed epoch has."""
        by_epoch = runner.message_hub.get_info(EPOCH_SUMS, {})
        self._sums = list(by_epoch.get(runner.epoch + 1, [0.0, 0, 0, 0.0]))
        self._since = time.perf_counter()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Add a step."""
        found = outputs or {}
        if not int(found.get('empty', 0)):
            self._sums[0] -= _shared_loss(found['loss'])
            self._sums[1] += 1
        self._sums[2] += 1
        now = time.perf_counter()
        self._sums[3] += now - self._since
        self._since = now
        by_epoch = dict(runner.message_hub.get_info(EPOCH_SUMS, {}))
        by_epoch[runner.epoch + 1] = list(self._sums)
        runner.message_hub.update_info(EPOCH_SUMS, by_epoch)

    def after_train_epoch(self, runner: Runner) -> None:
        """Write the history."""
        self._write(runner)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Keep the numbers of the held-out images."""
        # The loop counts an epoch before it validates.
        clean = current_condition(runner.val_loop) == CLEAN
        epoch = 0 if clean else runner.epoch
        held_out = dict(runner.message_hub.get_info(HELD_OUT, {}))
        held_out[epoch] = _held_out_numbers(metrics or {})
        runner.message_hub.update_info(HELD_OUT, held_out)
        # Where nothing was optimised there is no history.
        if not clean and runner.message_hub.get_info(EPOCH_SUMS, {}):
            self._write(runner)

    def _write(self, runner: Runner) -> None:
        held_out = runner.message_hub.get_info(HELD_OUT, {})
        by_epoch = runner.message_hub.get_info(EPOCH_SUMS, {})
        epochs = [
            dict(_epoch(sums), epoch=epoch, held_out=held_out.get(epoch))
            for epoch, sums in sorted(by_epoch.items())
        ]
        if is_main_process():
            content = dict(
                seed=runner.seed,
                processes=get_world_size(),
                batch_size=runner.train_dataloader.batch_size,
                device=device_name(runner.model),
                versions=software_versions(),
                held_out_clean=held_out.get(0),
                epochs=epochs,
            )
            write_json(Path(runner.work_dir) / HISTORY, content)


def _shared_loss(loss: Any) -> float:
    """Mean of a step's loss over all processes.

    Of a process without samples it is zero, and counts as such: the mean of all
    processes' losses is that over all samples. At each step, as the checkpoint has
    what the first process knows.
    """
    value = loss.item() if isinstance(loss, torch.Tensor) else float(loss)
    shared = torch.tensor(value, dtype=torch.float64)
    all_reduce(shared, 'mean')
    return shared.item()


def _epoch(sums: list[float]) -> dict[str, Any]:
    """Numbers of an epoch."""
    total, with_samples, steps, seconds = sums
    return dict(
        objective=total / with_samples if with_samples else None,
        steps=steps,
        empty_steps=steps - with_samples,
        seconds=round(seconds, 3),
    )


def _held_out_numbers(metrics: dict[str, float]) -> dict[str, float | None]:
    """The numbers that are kept, without the metric's prefix; None for NaN."""
    found = {}
    for name in HELD_OUT_NUMBERS:
        for key, value in metrics.items():
            if key == name or key.endswith(f'/{name}'):
                found[name] = None if math.isnan(value) else float(value)
    return found
