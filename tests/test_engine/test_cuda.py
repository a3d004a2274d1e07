"""The tools with a GPU and without."""

from __future__ import annotations

import os
import sys

import devices
import numpy as np
import pytest

from mmdet_facepatch.evaluation.report import load_report


@pytest.mark.slow
@devices.needs_cuda
@pytest.mark.cuda
def test_tools_give_the_numbers_of_the_cpu(trained, run, tmp_path):
    """Attack, evaluation and a resumed attack, with the GPU and without."""
    numbers = {}
    for name, visible in (
        ('cpu', ''),
        ('cuda', os.environ.get('CUDA_VISIBLE_DEVICES', '0')),
    ):
        work_dir = tmp_path / name
        for options in ([], ['--resume', work_dir / 'epoch_1.pth']):
            done = run(
                'attack.py',
                trained / 'attack.py',
                '--work-dir',
                work_dir,
                '--overwrite',
                *options,
                python=sys.executable,
                CUDA_VISIBLE_DEVICES=visible,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        numbers[name] = (
            np.load(work_dir / 'patch.npy'),
            load_report(work_dir / 'report.json'),
        )
    np.testing.assert_allclose(numbers['cpu'][0], numbers['cuda'][0], atol=0.02)
    for condition, here in numbers['cpu'][1]['conditions'].items():
        there = numbers['cuda'][1]['conditions'][condition]
        assert here['numbers']['all/AP'] == pytest.approx(
            there['numbers']['all/AP'], abs=0.02
        )
