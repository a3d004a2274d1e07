"""Reading of configs for the command-line tools, and what guards their runs."""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.config.utils import MODULE2PACKAGE

from ..utils.safe_loading import enable_safe_loading
from .config_check import BUILT_KEYS, check_config, did_you_mean, find_builders
from .config_differences import config_differences, short_text
from .tool import add_debug_argument
from .work_dir import is_first_process

# Lets configs inherit from this package's, wherever it is installed, as from mmdet's:
# _base_ = 'mmdet_facepatch::attack/patch_iou.py'. MMEngine wants a folder in the path,
# so a config at the top is mmdet_facepatch::attack/../NAME.py.
MODULE2PACKAGE.setdefault('mmdet_facepatch', 'mmdet_facepatch')

# How the keys of a data config end that are its purpose.
DATA_KEYS = ('_dataloader', '_evaluator', '_pipeline')
# Dicts whose keys are names that users give.
FREE_NAMES = ('conditions', 'custom_keys', 'default_hooks', 'metainfo')
# How alike a key is to one beside it of which it is a misspelling: bias_lr_mult is not,
# of bias_decay_mult.
SIMILAR_SIBLING = 0.85
DIGITS = '0123456789_'


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that all tools have, named as mmdet's tools name them.

    Args:
        parser (argparse.ArgumentParser): Gets ``--work-dir``, ``--overwrite``,
            ``--cfg-options``, ``--debug``, ``--launcher`` and the rank that some
            launchers pass.
    """
    add_debug_argument(parser)
    parser.add_argument('--work-dir', help='folder for everything that is written')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the results of an earlier run in the work dir',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='override config keys: key=value ...',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def enable_safeguards(cfg: Config | None = None) -> None:
    """Switch on what the tools of this package guard their runs with.

    In this process, MMEngine reads checkpoints without running what is in them
    (:func:`mmdet_facepatch.utils.safe_loading.enable_safe_loading`). A run of
    ``cfg`` stops at losses, gradients and patches that are not finite
    (:class:`~mmdet_facepatch.engine.CheckFiniteHook`).

    Args:
        cfg (Config, optional): Config of a run; gets the hook in ``default_hooks``,
            unless it has it there. Defaults to None.

    Example:
        >>> cfg = Config(dict(default_hooks=dict(timer=dict(type='IterTimerHook'))))
        >>> enable_safeguards(cfg)
        >>> sorted(cfg.default_hooks)
        ['check_finite', 'timer']
    """
    enable_safe_loading()
    if cfg is not None:
        cfg.default_hooks = dict(
            dict(check_finite=dict(type='CheckFiniteHook')),
            **cfg.get('default_hooks', {}),
        )


def _check_keys(cfg: Config, options: dict) -> None:
    """A misspelt key on the command line must not pass in silence.

    Args:
        cfg (Config): Before the options are merged.
        options (dict): Values by dotted key.

    Raises:
        KeyError: If a first part is no key of a config, or a later one is nearly one
            of those beside it. Dicts with a known ``type`` are left to
            :func:`~mmdet_facepatch.engine.config_check.check_config`.
    """
    known = set(cfg) | BUILT_KEYS
    for key in options:
        top, *below = key.split('.')
        if top not in known:
            close = did_you_mean(top, known)
            hint = f'; did you mean {close!r}?' if close else ''
            raise KeyError(
                f'--cfg-options {key}: {top!r} is no key of {cfg.filename}{hint}'
            )
        parent, path = cfg.get(top), top
        for part in below:
            if isinstance(parent, (list, tuple)) and part.isdigit():
                parent = parent[int(part)] if int(part) < len(parent) else None
            elif not isinstance(parent, Mapping):
                break
            elif (
                part in parent
                or path.endswith(FREE_NAMES)
                or find_builders(parent.get('type'))
            ):
                parent = parent.get(part)
            else:
                close = did_you_mean(part, parent, SIMILAR_SIBLING)
                # grey2 beside grey is one more.
                if close and close.rstrip(DIGITS) != part.rstrip(DIGITS):
                    raise KeyError(
                        f'--cfg-options {key}: {path} has no {part!r}; did you mean '
                        f'{close!r}?'
                    )
                break
            path = f'{path}.{part}'


def read_config(path: str | Path) -> Config:
    """Read a config file.

    Raises:
        KeyError: If two files that it inherits from have the same key; says what to do
            about attack and data.
    """
    try:
        return Config.fromfile(str(path))
    except KeyError as error:
        if 'Duplicate key is not allowed' not in str(error):
            raise
        raise KeyError(
            f'{path}: {error.args[0]}. An attack and its data have keys in common: '
            'inherit from the attack alone and give the data by --data, or start from '
            'configs/attack/custom.py'
        ) from error


def _tell_replaced(cfg: Config, overlay: Config, name: str) -> None:
    """Print what a data config sets besides data, where the config has other values."""
    if not is_first_process(cfg):
        return
    shared = {
        key: value
        for key, value in overlay.items()
        if key in BUILT_KEYS and key in cfg and not key.endswith(DATA_KEYS)
    }
    found = config_differences({key: cfg[key] for key in shared}, shared)
    sets = [
        f'{one.key} = {short_text(one.new)} (was {short_text(one.old)})'
        for one in found
    ]
    if sets:
        print(f'{name} sets {", ".join(sets)}', flush=True)


def check_data_config(cfg: Config, loaders: Sequence[str], name: str) -> None:
    """See that a config is one of data.

    Args:
        cfg (Config): It.
        loaders (Sequence[str]): Dataloaders of which it must have one.
        name (str): What it is called in an error.

    Raises:
        ValueError: If it has a model, or no such dataloader.
    """
    if 'model' in cfg:
        raise ValueError(
            f'{name} is the config of a detector or an attack, since it has a model; '
            'give a data config (as those in configs/attack/data), or the config of a '
            'data set'
        )
    if not any(cfg.get(key) for key in loaders):
        raise ValueError(
            f'{name} has no {" and no ".join(loaders)}, and is no config of a data '
            'set, which has a type'
        )


def load_config(
    path: str,
    options: dict | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
    local_rank: int = 0,
    resume: str | None = None,
    amp: bool = False,
    overlay: Config | None = None,
    overlay_name: str | None = None,
) -> Config:
    """Read a config and apply a tool's arguments to it.

    Args:
        path (str): Config file.
        options (dict, optional): Keys to override, as from ``--cfg-options``. Defaults
            to None.
        work_dir (str, optional): Folder for logs and checkpoints; by default that of
            the config, else ``work_dirs/`` and the config's name.
        launcher (str): mmengine's launcher. Defaults to 'none'.
        local_rank (int): Rank on this machine, where a launcher passes it as an
            argument and not as ``LOCAL_RANK``. Defaults to 0.
        resume (str, optional): 'auto' or a checkpoint to resume from, or None. Defaults
            to None.
        amp (bool): Use automatic mixed precision. Defaults to False.
        overlay (Config, optional): Config whose keys replace the config's, before
            ``options``. Defaults to None.
        overlay_name (str, optional): Option that gave the overlay, as ``'--data X'``:
            what it sets besides data is printed in its name. Defaults to None.

    Returns:
        Config: The config, ready for ``Runner.from_cfg``.

    Raises:
        FileNotFoundError: If there is no such config.
        KeyError: If a key of an option, or of a dict with a ``type``, or a type is
            misspelt.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} does not exist')
    cfg = read_config(path)
    if overlay is not None and overlay_name is not None:
        cfg.launcher = launcher
        _tell_replaced(cfg, overlay, overlay_name)
    for key, value in (overlay or {}).items():
        # A copy: the overlay may serve several configs, which are changed later.
        cfg[key] = copy.deepcopy(value)
    if options:
        _check_keys(cfg, options)
        cfg.merge_from_dict(options)
    check_config(cfg)
    # Configs of other projects do not name the hook.
    enable_safeguards(cfg)
    # mmengine takes MPI's for the GPU, but this one for the device of the model.
    os.environ.setdefault(
        'LOCAL_RANK', os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(local_rank))
    )
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


def data_config(name: str, configs: str | Path) -> Config:
    """Dataloaders and evaluators by the name of a data config, or its path.

    Args:
        name (str): ``embedded``, ``widerface_subset`` (or ``subset``), ``widerface``,
            or a config file.
        configs (str | Path): Folder of configs; the named ones are in ``attack/data``.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is the config of a detector or attack, or has no dataloader.
    """
    folder = Path(configs) / 'attack' / 'data'
    names = dict(subset='widerface_subset')
    path = folder / f'{names.get(name, name)}.py'
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        known = ', '.join(sorted(file.stem for file in folder.glob('*.py')))
        raise FileNotFoundError(
            f'--data {name}: neither a config file nor one of {known}'
        )
    cfg = read_config(path)
    check_data_config(cfg, ('train_dataloader', 'test_dataloader'), f'--data {name}')
    return cfg
