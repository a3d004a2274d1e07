"""What the tools' options change in a config."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config


def draw_detections(
    cfg: Config, show: bool, show_dir: str | None, wait_time: float
) -> None:
    """Draw the detections of a test, as mmdet's ``tools/test.py`` does.

    Args:
        cfg (Config): Gets a :class:`FaceVisualizationHook` in ``default_hooks``, if it
            has no such hook, and a visualizer.
        show (bool): Whether to open a window for each image.
        show_dir (str, optional): Folder for the pictures, in a folder of the work dir
            named by the time.
        wait_time (float): Seconds that a window stays open.
    """
    hooks = cfg.setdefault('default_hooks', {})
    hook = dict(hooks.get('visualization') or dict(type='FaceVisualizationHook'))
    hook.update(draw=True)
    if show:
        hook.update(show=True, wait_time=wait_time)
    if show_dir:
        hook.update(test_out_dir=show_dir)
    hooks['visualization'] = hook
    if 'visualizer' not in cfg:
        cfg.visualizer = dict(type='FaceVisualizer', name='visualizer')


def set_report_option(cfg: Config, key: str, value: object) -> None:
    """Set an argument of the config's report hook.

    Args:
        cfg (Config): Config with a :class:`ReportHook` in ``custom_hooks``.
        key (str): Name of the argument.
        value (object): Its value.

    Raises:
        KeyError: If the config has no such hook.
    """
    hooks = [
        hook
        for hook in cfg.get('custom_hooks') or []
        if str(hook['type']).endswith('ReportHook')
    ]
    if not hooks:
        raise KeyError(
            f'{cfg.filename} has no ReportHook in custom_hooks, '
            f'which is what writes {key}'
        )
    hooks[0][key] = value


def add_steps_argument(parser: argparse.ArgumentParser) -> None:
    """The option ``--steps``, for :func:`set_steps`."""
    parser.add_argument(
        '--steps',
        type=int,
        metavar='N',
        help='stop after N steps, in place of the epochs or steps of the config',
    )


def set_steps(cfg: Config, steps: int) -> None:
    """Stop a training or an attack after so many steps.

    A schedule that is converted from epochs to steps (``convert_to_iter_based``, as
    that of the attacks) gets that length; others are cut off.

    Args:
        cfg (Config): Changed in place.
        steps (int): At least 1.

    Raises:
        ValueError: If there is none, or the training loop counts none.
    """
    if steps < 1:
        raise ValueError(f'--steps must be at least 1, got {steps}')
    loop = cfg.train_cfg
    if 'max_iters' in loop:
        loop.max_iters = steps
    elif loop.get('type') in ('PatchAttackLoop', 'ReproducibleEpochLoop'):
        loop.pop('max_epochs', None)
        loop.max_steps = steps
    else:
        raise ValueError(
            f'--steps: {loop.get("type", "the loop")} of train_cfg counts epochs only; '
            'set train_cfg.type=ReproducibleEpochLoop'
        )
    schedulers = cfg.get('param_scheduler') or []
    for one in schedulers if isinstance(schedulers, list) else [schedulers]:
        if one.pop('convert_to_iter_based', False):
            one.update(by_epoch=False, end=steps)
            one.pop('T_max', None)


def report_on(cfg: Config, patch: str | None) -> None:
    """Paste a finished patch in each condition that pastes that of the attack.

    Args:
        cfg (Config): Of an attack, with ``work_dir`` and ``test_cfg.conditions``.
        patch (str, optional): File of the patch; by default the work dir's
            ``patch.npy``, if a condition needs one.

    Raises:
        FileNotFoundError: If there is none.
    """
    conditions = cfg.test_cfg.conditions
    shown = {
        name: dict(type='current') if value == 'current' else dict(value)
        for name, value in conditions.items()
        if value == 'current'
        or (isinstance(value, dict) and value.get('type') == 'current')
    }
    if not shown and patch is None:
        return
    path = Path(patch or Path(cfg.work_dir) / 'patch.npy')
    if not path.is_file():
        raise FileNotFoundError(
            f'--report-only: {path} does not exist; name a patch file, or the '
            '--work-dir of a finished attack'
        )
    # Without a condition of the attack the patch is one more.
    for name, value in (shown or {'patch': {}}).items():
        conditions[name] = dict(value, type='file', path=str(path))
