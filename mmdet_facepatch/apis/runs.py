"""What an attack and an evaluation from Python have in common."""

from __future__ import annotations

import copy
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from .. import zoo
from ..attack import PatchAttacker, detector_digest
from ..attack.detector_config import read_detector_config
from ..engine import build_runner, complete_pipelines, load_config
from .images import CONFIGS

#: ``facepatch://NAME``, the config of a black box, ``dict(config=..., checkpoint=...)``
#: or a module.
Detector = str | os.PathLike | Mapping | nn.Module

# How a module without a config is shown images: as they are.
_PLAIN = Config(
    dict(
        test_pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale_factor=1.0, keep_ratio=True),
            dict(type='PackDetInputs'),
        ]
    )
)

#: The paper's methods, each with a config in ``configs/attack``.
METHODS = ('patch_iou', 'patch_score', 'patch_score_focal', 'patch_combination')


def _resolve(detector: Detector) -> dict[str, Any] | nn.Module:
    """Arguments of a frozen detector, or a copy of a module."""
    if isinstance(detector, nn.Module):
        return copy.deepcopy(detector)
    if isinstance(detector, Mapping):
        return dict(detector)
    name = os.fspath(detector)
    if name.startswith(zoo.SCHEME) or name in zoo.names():
        weights = zoo.checkpoint_path(name).stem
        return dict(
            config=str(zoo.config_path(weights)), checkpoint=f'{zoo.SCHEME}{weights}'
        )
    return dict(config=name)


def _describe(detector: dict[str, Any] | nn.Module) -> dict[str, Any]:
    """What a config says of a detector."""
    if isinstance(detector, nn.Module):
        return dict(module=type(detector).__name__, digest=detector_digest(detector))
    return detector


def method_config(method: str | os.PathLike | Mapping) -> tuple[Path, dict[str, Any]]:
    """The config of a method, and what it changes of ``model`` in that config.

    Args:
        method (str | os.PathLike | Mapping): One of :data:`METHODS`; the path of an
            attack's config; the config of a sample set; or ``dict(sample_set=...,
            loss=...)``.

    Raises:
        ValueError: If it is none of these.
    """
    base = CONFIGS / 'attack' / 'patch_score.py'
    if isinstance(method, Mapping):
        if 'type' in method:
            return base, dict(sample_set=dict(method))
        if 'sample_set' in method and set(method) <= {'sample_set', 'loss'}:
            return base, {key: dict(value) for key, value in method.items()}
    elif method in METHODS:
        return CONFIGS / 'attack' / f'{method}.py', {}
    elif Path(method).suffix == '.py':
        return Path(method), {}
    raise ValueError(
        f'method {method!r} is none of {", ".join(METHODS)}, no config file, no config '
        'of a sample set, and no dict(sample_set=..., loss=...)'
    )


def run_config(
    method: str | os.PathLike | Mapping,
    data: Config | None,
    work_dir: str,
    *,
    seed: int = 0,
    model: Mapping[str, Any] | None = None,
    scales: Sequence[float] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    amp: bool = False,
    log_level: str = 'INFO',
) -> Config:
    """The config of a run, as a tool would read it.

    Args:
        method (str | os.PathLike | Mapping): See :func:`method_config`.
        data (Config, optional): What is laid over it; None leaves its own data.
        work_dir (str): Folder of the run.
        seed (int): Seed of the run, and of the noise that a patch starts from. Defaults
            to 0.
        model (Mapping[str, Any], optional): Keys of ``model`` to be merged, such as
            ``placement``. Defaults to None.
        scales (Sequence[float], optional): Scales of an image pyramid. Defaults to
            None, the detector's own test pipeline.
        options (Mapping[str, Any], optional): As ``--cfg-options``; arguments go before
            them. Defaults to None.
        resume (bool): Resume from the last checkpoint in the work dir. Defaults to
            False.
        amp (bool): Use automatic mixed precision. Defaults to False.
        log_level (str): Of mmengine's logger. Defaults to 'INFO'.
    """
    path, changes = method_config(method)
    cfg = load_config(
        str(path),
        options=dict(options or {}),
        work_dir=work_dir,
        overlay=data,
        resume='auto' if resume else None,
        amp=amp,
    )
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    cfg.model.patch.init = dict(cfg.model.patch.get('init') or dict(type='noise'))
    if cfg.model.patch.init['type'] == 'noise':
        cfg.model.patch.init.seed = seed
    cfg.model.update(changes)
    for key, value in (model or {}).items():
        merged = isinstance(value, Mapping)
        cfg.model[key] = {**(cfg.model.get(key) or {}), **value} if merged else value
    if scales is not None:
        cfg.pyramid = list(scales)
    # Loggers and visualizers of an earlier run in this process would be used again.
    cfg.experiment_name = f'{path.stem}_{uuid.uuid4().hex[:8]}'
    visualizer = cfg.get('visualizer') or dict(type='DetLocalVisualizer')
    cfg.visualizer = dict(visualizer, name=cfg.experiment_name)
    cfg.log_level = log_level
    return cfg


def build_attacker(
    cfg: Config, detector: Detector | Sequence[Detector]
) -> PatchAttacker:
    """Build the model of a config with a detector of any form.

    Args:
        cfg (Config): Of :func:`run_config`; its detector becomes a description of this
            one, and evaluation data sets get the pipelines that they lack.
        detector (Detector | Sequence[Detector]): Or several, for an ensemble.

    Raises:
        ValueError: If the detector has no class of the target's name, or no test
            pipeline.
    """
    # The runner makes its own, after the detector is loaded.
    logger = MMLogger.get_instance(cfg.experiment_name, log_level=cfg.log_level)
    given: Sequence[Any] = (
        detector if isinstance(detector, (list, tuple)) else [detector]
    )
    resolved = [_resolve(one) for one in given]
    described = [_describe(one) for one in resolved]
    first = resolved[0]
    if isinstance(first, dict):
        detector_config = read_detector_config(first['config'])
    else:
        # As mmdet's init_detector leaves it.
        detector_config = getattr(first, 'cfg', None)
        if detector_config is None:
            detector_config = _PLAIN
            logger.warning(
                f'the {type(first).__name__} has no cfg that says how it is deployed: '
                'it is shown images at their original size, or at the given scales'
            )
    complete_pipelines(cfg, detector_config)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(dict(cfg.model, detector=resolved))
    cfg.model.detector = described if given is detector else described[0]
    return model


def start_runner(cfg: Config, model: PatchAttacker, device: str | None) -> Runner:
    """The runner of a built model.

    Args:
        cfg (Config): Of :func:`run_config`.
        model (PatchAttacker): Of :func:`build_attacker`.
        device (str, optional): Where to compute; by default where mmengine does.
    """
    runner = build_runner(cfg, model)
    if device is not None:
        runner.model.to(device)
    return runner
