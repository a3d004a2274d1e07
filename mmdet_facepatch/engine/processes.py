"""A run on one or several processes, with or without GPUs."""

from __future__ import annotations

import datetime
import os

import torch
from mmengine.config import Config
from mmengine.dist import is_distributed
from mmengine.runner import Runner


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
            '--launcher pytorch')
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
               if name not in os.environ]
    if missing:
        raise RuntimeError(
            f'--launcher pytorch, but {", ".join(missing)} is not set: start this '
            'with torchrun, as tools/dist_attack.sh does')
    options = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}), backend='gloo')
    timeout = options.pop('timeout', None)
    if timeout is not None:
        options['timeout'] = datetime.timedelta(seconds=timeout)
    torch.distributed.init_process_group(**options)
    # mmengine would name a GPU as the device of the wrapped model.
    wrapper = dict(
        type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    cfg.model_wrapper_cfg = dict(wrapper, **cfg.get('model_wrapper_cfg') or {})


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, in each of the processes that a launcher started.

    On machines without GPUs processes talk through gloo, whatever backend
    ``env_cfg.dist_cfg`` names.

    Args:
        cfg: With ``launcher``; ``model_wrapper_cfg`` is set where it must be.

    Raises:
        RuntimeError: If the launcher does not fit the machine.
    """
    if cfg.launcher != 'none' and not torch.cuda.is_available() and (
            not is_distributed()):
        _join_on_cpu(cfg)
    return Runner.from_cfg(cfg)
