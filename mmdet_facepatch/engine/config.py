"""Reading of configs for the command-line tools."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

# Keys that tools set themselves, besides those that Runner knows.
TOOL_KEYS = {'tta_model', 'tta_pipeline', 'auto_scale_lr', 'runner_type',
             'optim_wrapper', 'val_evaluator', 'test_evaluator', 'conditions'}


def _check_keys(cfg: Config, options: dict) -> None:
    """A misspelt key on the command line must not pass in silence."""
    known = set(cfg) | set(inspect.signature(Runner.__init__).parameters) | TOOL_KEYS
    for key in options:
        top = key.split('.')[0]
        if top not in known:
            close = difflib.get_close_matches(top, known, n=1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            raise KeyError(f'--cfg-options {key}: {top!r} is no key of '
                           f'{cfg.filename}{hint}')


def load_config(
    path: str,
    options: dict | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
    resume: str | None = None,
    amp: bool = False,
    overlay: Config | None = None,
) -> Config:
    """Read a config and apply a tool's arguments to it.

    Args:
        path: Config file.
        options: Keys to override, as from ``--cfg-options``.
        work_dir: Folder for logs and checkpoints; by default that of the
            config, else ``work_dirs/`` and the config's name.
        launcher: mmengine's launcher.
        resume: 'auto' or a checkpoint to go on from, or None.
        amp: Use automatic mixed precision.
        overlay: Config whose keys replace the config's, before ``options``.

    Returns:
        The config, ready for ``Runner.from_cfg``.

    Raises:
        FileNotFoundError: If there is no such config.
        KeyError: If an option's first key is unknown.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} does not exist')
    cfg = Config.fromfile(path)
    for key, value in (overlay or {}).items():
        cfg[key] = value
    if options:
        _check_keys(cfg, options)
        cfg.merge_from_dict(options)
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem)
    if amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if resume is not None:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
    return cfg
