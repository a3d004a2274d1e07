"""Fixtures shared by all tests."""

from __future__ import annotations

import os

# For all processes of all tests, read when torch is imported: the networks are so small
# that threads would wait for each other most of the time, the more so on busy cores.
# Where there are two all the same, they sleep meanwhile.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'passive')

# isort: split
# Before mmdet: it stands in for mmcv's operators where they are missing.
import mmdet_facepatch  # noqa: F401

# isort: split
import copy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

pytest_plugins = ['tiny_runs']
REPO_ROOT = Path(__file__).resolve().parents[1]
# Bits are compared on the CPU, and a process that knows CUDA cannot fork.
NO_GPU = dict(CUDA_VISIBLE_DEVICES='')


# Files whose tests share an experiment, which takes a minute to make.
OF_ONE_EXPERIMENT = ('test_experiment', 'test_figures', 'test_publish', 'test_store')


# Of xdist, which need not be there.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of a file stay in one process, as they share what takes long to make."""
    from xdist.scheduler import LoadFileScheduling

    class SharedScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = super()._split_scope(nodeid)
            return 'experiment' if Path(path).stem in OF_ONE_EXPERIMENT else path

    by_file = config.getvalue('dist') == 'loadfile'
    return SharedScheduling(config, log) if by_file else None


@pytest.fixture(autouse=True)
def mmdet_scope() -> None:
    """Configs name mmdet's modules without a prefix, as under its runner."""
    init_default_scope('mmdet')


@pytest.fixture(autouse=True)
def own_loggers() -> Iterator[None]:
    """A test's loggers end with it: their files are gone when the next one logs."""
    before = set(MMLogger._instance_dict)
    yield
    for name in set(MMLogger._instance_dict) - before:
        for handler in MMLogger._instance_dict.pop(name).handlers:
            handler.close()


@pytest.fixture(scope='session')
def warm_python() -> Iterator[str]:
    """A Python that need not import torch, mmcv and mmdet: see warm_python.py."""
    # Not below pytest's folder: the name of a socket has a hundred characters.
    with tempfile.TemporaryDirectory(prefix='warm') as folder:
        script = Path(__file__).with_name('warm_python.py')
        with subprocess.Popen(
            [sys.executable, '-W', 'ignore', str(script), folder],
            text=True,
            env={**os.environ, **NO_GPU},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert any(line == 'ready\n' for line in process.stdout)
            yield str(Path(folder, 'python'))
            process.stdin.close()


@pytest.fixture(scope='session')
def run(warm_python) -> Callable[..., subprocess.CompletedProcess]:
    """A tool of tools/ or .dev_scripts/, as a user runs it.

    With ``python=sys.executable`` it does its own imports. Each tool does so in one
    test at least. Other keywords are environment variables; without
    ``CUDA_VISIBLE_DEVICES`` it sees no GPU.
    """

    def run(
        tool: str,
        *args: object,
        python: str = warm_python,
        **env: str,
    ) -> subprocess.CompletedProcess:
        path = next(
            path
            for folder in ('tools', '.dev_scripts')
            if (path := REPO_ROOT / folder / tool).is_file()
        )
        return subprocess.run(
            [python, str(path), *map(str, args)],
            cwd=REPO_ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **NO_GPU, **env},
        )

    return run


@pytest.fixture(scope='session')
def widerface_root() -> Path:
    """Folder of real WIDER FACE images (a part of it), or skip.

    Looked for in ``$FACEPATCH_DATA/WIDERFace``, by default in
    ``../shared/data/WIDERFace`` relative to the repository.
    """
    data = os.environ.get('FACEPATCH_DATA', str(REPO_ROOT.parent / 'shared' / 'data'))
    root = Path(data) / 'WIDERFace'
    if not (root / 'wider_face_split').is_dir():
        pytest.skip(f'no WIDER FACE in {root} (set FACEPATCH_DATA to its parent)')
    return root


# SLN as in configs/_base_/models/sln_r18.py, small enough for a test's step.
TINY_SLN = dict(
    type='SLN',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=4,
        stem_channels=4,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_eval=False,
        style='pytorch',
    ),
    neck=dict(type='TopDownP2', in_channels=[4, 8, 16, 32], out_channels=8),
    bbox_head=dict(
        type='SLNHead',
        num_classes=1,
        in_channels=8,
        feat_channels=8,
        anchor_generator=dict(
            type='AnchorGenerator',
            scales=[4, 8, 16, 32],
            ratios=[1.0],
            strides=[4],
            center_offset=0.5,
        ),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[0.1, 0.1, 0.2, 0.2],
        ),
    ),
    train_cfg=dict(
        assigner=dict(
            type='GroupSamplingAssigner', num_per_group=32, match_low_quality=True
        ),
        sampler=dict(type='PseudoSampler'),
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.01,
        nms=dict(type='nms', iou_threshold=0.3),
        max_per_img=1000,
    ),
)


@pytest.fixture(scope='session')
def tiny_sln() -> dict:
    """The config as a plain dict, not to be changed."""
    return TINY_SLN


@pytest.fixture
def tiny_sln_config() -> ConfigDict:
    """Config of an SLN with four channels, to be changed freely."""
    return ConfigDict(copy.deepcopy(TINY_SLN))
