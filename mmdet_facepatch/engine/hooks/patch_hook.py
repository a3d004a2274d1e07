"""Keep the patch in range, keep its history, guard the detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...attack import attacker_of, save_patch

# Under this name the message hub keeps what `step_counts` returns.
STEP_COUNTS = 'attack_step_counts'


def step_counts(runner: Runner) -> dict[int, list[int]]:
    """Steps of an attack so far, also of the run that it resumed.

    Args:
        runner (Runner): Its message hub keeps them, which checkpoints hold.

    Returns:
        dict[int, list[int]]: Number of steps without adversarial samples and of all
        steps, by epoch (from 1); no epoch if nothing was optimised.
    """
    return dict(runner.message_hub.get_info(STEP_COUNTS, {}))


def describe(part: object) -> str:
    """A part with its settings, as ``PatchIoUSampleSet(face_iou_thr=0.6)``."""
    settings = ', '.join(
        f'{key}={value}' for key, value in vars(part).items() if not key.startswith('_')
    )
    return f'{type(part).__name__}({settings})'


@HOOKS.register_module()
class PatchHook(Hook):
    """Project the patch, keep its history, guard the detector, count empty steps.

    After every step the patch is projected back into [0, 1]. Before the first
    and after every ``interval``-th epoch it is written to ``patches/`` in the
    work dir and given to the visualizer's backends as the image ``patch``, and after
    the last one it is written to ``patch.png`` and ``patch.npy``. The
    detector's digest is checked after every epoch. Steps whose sample sets were
    empty are counted, and logged for each epoch and at the end; an epoch of such
    steps alone gets a warning. The detector's digest is part of the checkpoints.

    Args:
        interval (int): Epochs between two pictures of the patch. Defaults to 1.

    Raises:
        ValueError: If ``interval`` is less than 1.
    """

    # Before the other hooks: they see the projected patch.
    priority = 'VERY_HIGH'

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f'PatchHook: interval must be at least 1, got {interval}')
        self.interval = interval

    def _snapshot(self, runner: Runner, epoch: int) -> None:
        if is_main_process():
            pixels = attacker_of(runner.model).patch.pixels.detach()
            save_patch(
                Path(runner.work_dir, 'patches', f'epoch_{epoch:04d}.png'), pixels
            )
            image = (pixels * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            runner.visualizer.add_image('patch', image, step=epoch)

    def before_train(self, runner: Runner) -> None:
        """Keep the initial patch."""
        if runner.iter == 0:
            self._snapshot(runner, 0)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Project, and count the step if it had no sample."""
        attacker_of(runner.model).patch.project_()
        counts = step_counts(runner)
        empty, steps = counts.get(runner.epoch + 1, (0, 0))
        empty += int((outputs or {}).get('empty', 0))
        counts[runner.epoch + 1] = [empty, steps + 1]
        runner.message_hub.update_info(STEP_COUNTS, counts)

    def after_train_epoch(self, runner: Runner) -> None:
        """Check the detector, keep the patch, report steps without samples."""
        attacker_of(runner.model).check_detector()
        epoch = runner.epoch + 1
        if epoch % self.interval == 0 or epoch == runner.max_epochs:
            self._snapshot(runner, epoch)
        self._report_empty_steps(runner, epoch)

    def _report_empty_steps(self, runner: Runner, epoch: int) -> None:
        counts = step_counts(runner)
        empty, steps = counts.get(epoch, (0, 0))
        if not empty:
            return
        if empty < steps:
            runner.logger.info(
                f'{empty} of {steps} steps of epoch {epoch} had no adversarial sample'
            )
            return
        ever = any(empty < steps for empty, steps in counts.values())
        runner.logger.warning(
            f'epoch {epoch} selected nothing: none of its {steps} steps had an '
            f'adversarial sample under {describe(attacker_of(runner.model).sample_set)}'
            '. The attack has converged, or is misconfigured: '
            + (
                'earlier steps had samples, so probably no candidate exceeds the '
                'thresholds any more'
                if ever
                else 'no step has had one yet, so probably the thresholds are too '
                'high, or the images have no faces'
            )
        )

    def after_train(self, runner: Runner) -> None:
        """Write the optimised patch; report steps without samples, of all epochs."""
        counts = step_counts(runner)
        whole = [epoch for epoch, (empty, steps) in counts.items() if empty == steps]
        runner.logger.info(
            f'{sum(empty for empty, _ in counts.values())} of '
            f'{sum(steps for _, steps in counts.values())} steps had no adversarial '
            'sample'
            + (
                f'; epochs with none at all: {", ".join(map(str, whole))}'
                if whole
                else ''
            )
        )
        if is_main_process():
            pixels = attacker_of(runner.model).patch.pixels
            for name in ('patch.png', 'patch.npy'):
                save_patch(Path(runner.work_dir) / name, pixels)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the detector's digest."""
        checkpoint['detector_digest'] = attacker_of(runner.model).detector_digest

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check that the checkpoint is of an attack on the same detector.

        Raises:
            ValueError: If the checkpoint is of an attack on another detector.
        """
        digest = attacker_of(runner.model).detector_digest
        if checkpoint.get('detector_digest', digest) != digest:
            raise ValueError(
                'the checkpoint is of an attack on another detector (digest '
                f'{checkpoint["detector_digest"][:12]}, configured {digest[:12]}); '
                'use its detector, or start anew in another --work-dir'
            )
