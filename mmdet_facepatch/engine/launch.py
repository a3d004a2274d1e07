"""A run on one or several processes, with or without GPUs."""

from __future__ import annotations

import atexit
import copy
import datetime
import inspect
import logging
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_distributed
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from ..ops import log_backend
from .checkpoints import damage_of, find_intact_checkpoint

# Where mmengine logs its lists, and how that of the hooks begins.
RUNNER_FILE = inspect.getsourcefile(Runner)
HOOK_LIST = 'Hooks will be executed in the following order'


def _leave() -> None:
    """End the group of processes.

    Its threads must not outlive the interpreter: now and then that aborts a process
    that has done all its work.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check_gpus(launcher: str) -> None:
    """Raise RuntimeError where torchrun started more processes than there are GPUs."""
    gpus = torch.cuda.device_count()
    if launcher == 'pytorch' and int(os.environ.get('LOCAL_RANK', 0)) >= gpus:
        raise RuntimeError(
            f'{os.environ.get("LOCAL_WORLD_SIZE", "more")} processes on this machine, '
            f'but {gpus} GPUs: start one process for each GPU, or set '
            'CUDA_VISIBLE_DEVICES= to run on the CPU'
        )


def _join_on_cpu(cfg: Config) -> None:
    """Do what mmengine's launchers do, which take a GPU in every process.

    Raises:
        RuntimeError: If the launcher is not torchrun, or the process was not
            started by it.
    """
    if cfg.launcher != 'pytorch':
        raise RuntimeError(
            f'--launcher {cfg.launcher} needs a GPU in every process, and this machine '
            'has none; without GPUs start the processes with torchrun and use '
            '--launcher pytorch'
        )
    missing = [
        name
        for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
        if name not in os.environ
    ]
    if missing:
        raise RuntimeError(
            f'--launcher pytorch, but {", ".join(missing)} is not set: start this '
            'with torchrun, as tools/dist_attack.sh does'
        )
    options = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}), backend='gloo')
    timeout = options.pop('timeout', None)
    if timeout is not None:
        options['timeout'] = datetime.timedelta(seconds=timeout)
    torch.distributed.init_process_group(**options)
    atexit.register(_leave)
    # mmengine would name a GPU as the device of the wrapped model.
    wrapper = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = dict(wrapper, **cfg.get('model_wrapper_cfg') or {})


def _choose_checkpoint(cfg: Config) -> list[str]:
    """Set what to resume from; returns warnings about what was skipped."""
    if not cfg.get('resume'):
        return []
    if cfg.get('load_from') is None:
        path, warnings = find_intact_checkpoint(cfg.work_dir)
        cfg.load_from = None if path is None else str(path)
        return warnings
    path = Path(cfg.load_from)
    damage = damage_of(path) if path.is_file() else None
    if damage is not None:
        raise ValueError(
            f'checkpoint {path} is damaged ({damage}); --resume without a path takes '
            'the newest of the work dir that is not'
        )
    return []


def _prepare_determinism(cfg: Config) -> None:
    """cuBLAS reads this when it starts, and without it its sums are in any order."""
    if (cfg.get('randomness') or {}).get('deterministic'):
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')


class QuietRunner(Runner):
    """mmengine's runner, whose long lists go to the log file only.

    These are the environment, the config and the order of the hooks.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build mmengine's logger; what is shown is less than what is in its file."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            # A file's handler is one of a stream, too.
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_shown)
        return logger


def _is_shown(record: logging.LogRecord) -> bool:
    """Whether a record is none of mmengine's long lists."""
    if record.levelno > logging.INFO or record.pathname != RUNNER_FILE:
        return True
    lists = record.funcName == '_log_env' or str(record.msg).startswith(HOOK_LIST)
    return not lists


def _runner_with(cfg: Config, model: nn.Module) -> Runner:
    """What ``Runner.from_cfg`` makes, with a model that is built."""
    cfg = copy.deepcopy(cfg)
    known = inspect.signature(Runner.__init__).parameters
    options = {key: value for key, value in cfg.items() if key in known}
    return QuietRunner(**{**options, 'model': model}, cfg=cfg)


def build_runner(cfg: Config, model: nn.Module | None = None) -> Runner:
    """The runner of a config, in each of the processes that a launcher started.

    On machines without GPUs processes talk through gloo, whatever backend
    ``env_cfg.dist_cfg`` names.

    With ``resume`` and no ``load_from`` it resumes from the newest checkpoint of the
    work dir that is intact, and warns of newer ones that are not.

    With ``randomness.deterministic`` torch uses deterministic algorithms only, and
    raises an error where it has none. Operators of mmcv are not torch's: the
    gradient of its RoIAlign is summed up in any order on CUDA.

    Args:
        cfg (Config): With ``launcher``; ``model_wrapper_cfg`` is set where it must be.
        model (nn.Module, optional): In place of the config's ``model``, which then only
            describes it. Defaults to None.

    Raises:
        RuntimeError: If the launcher does not fit the machine.
        ValueError: If the checkpoint to resume from, or every one there is, is
            damaged.
    """
    _prepare_determinism(cfg)
    warnings = _choose_checkpoint(cfg)
    if cfg.launcher != 'none' and not is_distributed():
        if torch.cuda.is_available():
            _check_gpus(cfg.launcher)
        else:
            _join_on_cpu(cfg)
    runner = QuietRunner.from_cfg(cfg) if model is None else _runner_with(cfg, model)
    if cfg.launcher != 'none' and torch.cuda.is_available():
        atexit.register(_leave)
    runner.logger.info(
        f'environment, config and hooks are in {runner.log_dir}/{runner.timestamp}.log'
    )
    log_backend()
    for warning in warnings:
        runner.logger.warning(warning)
    return runner
