"""Importing the package registers modules and changes nothing else of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# What is compared before and after: mmdet's modules are imported before, since the
# import of the package does that, too.
PROBE = """
import json, locale, logging, os, random, signal, sys
import cv2, matplotlib, numpy as np, torch
BEFORE_MMDET
from mmengine.runner import CheckpointLoader, Runner

def state():
    return dict(
        loaders={key: value.__module__ for key, value
                 in CheckpointLoader._schemes.items() if key != 'facepatch://'},
        safe_globals=[*map(repr, getattr(
            torch.serialization, 'get_safe_globals', list)())],
        load=torch.load.__module__,
        hooks=[f'{hook}' for hook in (Runner.register_default_hooks,
                                      Runner.load_checkpoint, Runner.resume)],
        threads=[torch.get_num_threads(), cv2.getNumThreads()],
        deterministic=torch.are_deterministic_algorithms_enabled(),
        dtype=str(torch.get_default_dtype()),
        random=[random.getstate()[1][:3], np.random.get_state()[1][:3].tolist(),
                torch.initial_seed() == torch.initial_seed()],
        handlers=[*map(repr, logging.getLogger().handlers)],
        signals=[str(signal.getsignal(number)) for number in
                 (signal.SIGINT, signal.SIGTERM)],
        environment={key: value for key, value in os.environ.items()},
        backend=matplotlib.get_backend(auto_select=False)
                if 'auto_select' in matplotlib.get_backend.__code__.co_varnames else '',
        rc=dict((key, str(value)) for key, value in matplotlib.rcParams.items()
                if key != 'backend'),
        excepthook=str(sys.excepthook), path=sys.path)

before = state()
import mmdet_facepatch
after = state()
print(json.dumps({key: [before[key], after[key]] for key in before
                  if before[key] != after[key]}))
"""


@pytest.mark.slow
def test_import_changes_nothing_of_the_process() -> None:
    # mmdet cannot be imported before where the operators are missing.
    done = subprocess.run(
        [sys.executable, '-c', PROBE.replace('BEFORE_MMDET', 'import mmengine, mmcv')],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, 'MPLBACKEND': 'Agg'},
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {}


@pytest.mark.slow
def test_the_public_function_switches_the_guards_on() -> None:
    code = (
        'import mmdet_facepatch\n'
        'from mmengine.config import Config\n'
        'from mmengine.runner import CheckpointLoader\n'
        'cfg = Config(dict(default_hooks=dict(timer=dict(type="IterTimerHook"))))\n'
        'mmdet_facepatch.enable_safeguards(cfg)\n'
        'print(CheckpointLoader._get_checkpoint_loader("x.pth").__module__)\n'
        'print(cfg.default_hooks.check_finite.type)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == [
        'mmdet_facepatch.utils.safe_loading',
        'CheckFiniteHook',
    ]
