"""Whether training waits for data."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from benchmarks.measure import Measurement

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
DATA = Path('data/WIDERFace')
STEPS = 12


def benchmark_loading(repeat: int) -> Iterator[Measurement]:
    """mmengine's data_time in a short training with one worker.

    Needs the images that ``train_subset.txt`` names; without them there is
    nothing to measure, and no line.
    """
    if not (DATA / 'train_subset.txt').is_file():
        return
    cfg = Config.fromfile(CONFIGS / 'sln_mbv2_widerface_subset.py')
    cfg.model.backbone.init_cfg = None
    cfg.train_cfg.max_iters = STEPS
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.log_level = 'WARNING'
    cfg.default_hooks.checkpoint = None
    # The first steps start the worker and warm up.
    cfg.log_processor = dict(by_epoch=False, window_size=STEPS // 2)
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = Runner.from_cfg(cfg)
        runner.train()
    scalars = runner.message_hub.log_scalars
    step, waited = (
        scalars[f'train/{key}'].mean(STEPS // 2) for key in ('time', 'data_time')
    )
    yield Measurement(
        'loading: a training step, 8 crops of 320 px, one worker', step, 's'
    )
    yield Measurement(
        'loading: of which it waits for data', waited / step * 100, '%', 5
    )
