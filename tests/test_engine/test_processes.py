"""Two processes through torchrun against one: the same patch, the same numbers."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.engine import build_runner

ROOT = Path(__file__).resolve().parents[2]
# From none to seven: the processes never have equally many.
FACES = [1, 7, 0, 3, 2, 5, 4, 1]


@pytest.fixture(scope='module')
def dist_run(warm_python) -> Callable[..., subprocess.CompletedProcess]:
    """A dist_*.sh of tools/, all of whose processes are quick to start."""

    def dist_run(script: str, *args: object, **env: str) -> subprocess.CompletedProcess:
        path = f'{Path(warm_python).parent}:/usr/bin:/bin'
        return subprocess.run(
            ['bash', str(ROOT / 'tools' / script), *map(str, args)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=dict(PATH=path, PORT='0', CUDA_VISIBLE_DEVICES='', **env),
        )

    return dist_run


@pytest.mark.parametrize(('checkpoint', 'passed'), [('x.pth', ' x.pth'), ('none', '')])
def test_dist_test_passes_a_checkpoint_if_there_is_one(tmp_path, checkpoint, passed):
    """Black boxes have none."""
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    script = str(ROOT / 'tools' / 'dist_test.sh')
    done = subprocess.run(
        ['bash', script, 'c.py', checkpoint, '2', '--tta'],
        capture_output=True,
        text=True,
        check=True,
        env=dict(PATH=f'{tmp_path}:/usr/bin:/bin', PORT='0'),
    )
    assert done.stdout.endswith(f'/test.py c.py{passed} --tta --launcher pytorch\n')
    assert '--nproc_per_node 2' in done.stdout


def write_uneven_faces(root: Path) -> None:
    rng = np.random.default_rng(5)
    folder = root / 'WIDER_train' / 'images' / '0--Squares'
    folder.mkdir(parents=True)
    lines = []
    for index, count in enumerate(FACES):
        image = rng.integers(0, 90, (96, 128, 3), dtype=np.uint8)
        lines += [f'0--Squares/{index}.jpg', str(count)]
        for place in range(count):
            side = int(rng.integers(14, 28))
            x, y = 4 + 32 * (place % 4), 8 + 44 * (place // 4)
            image[y : y + side, x : x + side] = (200, 180, 160)
            lines.append(f'{x} {y} {side} {side} 0 0 0 0 0 0')
        lines += [] if count else ['0 0 0 0 0 0 0 0 0 0']
        Image.fromarray(image).save(folder / f'{index}.jpg', quality=95)
    annotation = root / 'wider_face_split' / 'wider_face_train_bbx_gt.txt'
    annotation.parent.mkdir()
    annotation.write_text('\n'.join(lines) + '\n')


@pytest.fixture(scope='module')
def uneven(trained, tmp_path_factory) -> dict[str, Path]:
    """Configs of one attack on images as they are: batch 4, and batch 2."""
    root = tmp_path_factory.mktemp('uneven')
    write_uneven_faces(root)
    cfg = Config.fromfile(trained / 'attack.py')
    # Two steps an epoch. Nothing random but the order of the images.
    cfg.train_cfg = dict(type='PatchAttackLoop', max_epochs=10, val_interval=100)
    cfg.model.sample_set = dict(type='PatchScoreSampleSet', score_thr=0.1)
    cfg.train_dataloader.dataset.data_root = str(root)
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='LoadIntactImage'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'),
        ),
    ]
    configs = {}
    for name, batch_size in (('one', 4), ('two', 2)):
        cfg.train_dataloader.batch_size = batch_size
        configs[name] = root / f'{name}.py'
        cfg.dump(configs[name])
    return configs


@pytest.fixture(scope='module')
def patches(uneven, run, dist_run) -> dict[str, Path]:
    """Both attacks, each of 20 steps."""
    work = {name: path.parent / f'run_{name}' for name, path in uneven.items()}
    done = run('attack.py', uneven['one'], '--no-report', '--work-dir', work['one'])
    assert done.returncode == 0, done.stderr
    done = dist_run('dist_attack.sh', uneven['two'], 2, '--work-dir', work['two'])
    assert done.returncode == 0, done.stderr
    return work


@pytest.mark.slow
def test_two_processes_find_the_same_patch(patches):
    one, two = (load_patch(patches[name] / 'patch.npy') for name in ('one', 'two'))
    start = load_patch(patches['one'] / 'patches' / 'epoch_0000.png')
    assert (one - start).abs().max() > 0.1
    # Adam divides by the gradient's size: where that is nearly zero, so does it
    # with the rounding.
    torch.testing.assert_close(two, one, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_two_processes_report_the_same_numbers(patches, uneven, run):
    folder = patches['one'] / 'report'
    done = run(
        'attack.py',
        uneven['one'],
        '--work-dir',
        folder,
        '--report-only',
        patches['two'] / 'patch.npy',
    )
    assert done.returncode == 0, done.stderr
    one, two = (
        json.loads((path / 'report.json').read_text())
        for path in (folder, patches['two'])
    )
    # Three images on two processes: one of them is evaluated twice and counted once.
    assert one['conditions']['clean'] == two['conditions']['clean']
    assert one['conditions']['patch'] == two['conditions']['patch']
    assert len(list((patches['two'] / 'pictures').glob('*.png'))) == 1


@pytest.mark.slow
def test_training_and_test_on_two_processes(trained, run, dist_run, tmp_path):
    done = dist_run(
        'dist_train.sh', trained / 'detector.py', 2, '--work-dir', tmp_path / 'train'
    )
    assert done.returncode == 0, done.stderr
    checkpoint = tmp_path / 'train' / 'epoch_1.pth'
    done = dist_run(
        'dist_test.sh',
        trained / 'detector.py',
        checkpoint,
        2,
        '--tta',
        '--work-dir',
        tmp_path / 'two',
    )
    assert done.returncode == 0, done.stderr
    done = run(
        'test.py',
        trained / 'detector.py',
        checkpoint,
        '--tta',
        '--work-dir',
        tmp_path / 'one',
    )
    assert done.returncode == 0, done.stderr
    one, two = (
        json.loads((tmp_path / name / 'report.json').read_text())
        for name in ('one', 'two')
    )
    assert one['conditions'] == two['conditions']


KILLER = """
import os, signal
from pathlib import Path
from mmdet.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook

@HOOKS.register_module()
class KillOnceHook(Hook):

    def __init__(self, marker):
        self.marker = Path(marker)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if get_rank() == 1 and runner.iter == 5 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_killed_process_ends_the_run_which_resumes(patches, uneven, dist_run, tmp_path):
    (tmp_path / 'killer.py').write_text(KILLER)
    cfg = Config.fromfile(uneven['two'])
    cfg.custom_imports.imports = ['mmdet_facepatch', 'killer']
    cfg.custom_hooks.append(dict(type='KillOnceHook', marker=str(tmp_path / 'killed')))
    cfg.dump(tmp_path / 'killed.py')
    arguments = (
        'dist_attack.sh',
        tmp_path / 'killed.py',
        2,
        '--no-report',
        '--work-dir',
        tmp_path / 'run',
    )
    done = dist_run(*arguments, PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    # The other process gets half a minute to end by itself.
    took = time.time() - (tmp_path / 'killed').stat().st_mtime
    print(f'ended {took:.1f} s after the kill')
    assert took < 90
    assert 'SIGKILL' in done.stderr or 'exitcode  : -9' in done.stderr
    assert not (tmp_path / 'run' / 'patch.npy').exists()
    done = dist_run(*arguments, '--resume', PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert 'resumed epoch: 2' in done.stdout + done.stderr
    assert torch.equal(
        load_patch(tmp_path / 'run' / 'patch.npy'),
        load_patch(patches['two'] / 'patch.npy'),
    )


@pytest.mark.slow
def test_a_loss_of_one_process_stops_both(uneven, dist_run, tmp_path):
    """Only the second has a NaN; both stop, its images are named, all is saved."""
    cfg = Config.fromfile(uneven['two'])
    cfg.custom_imports.imports = [*cfg.custom_imports.imports, 'planted']
    cfg.model.loss = dict(type='BreakingLoss', value='inf', step=3, rank=1)
    cfg.dump(tmp_path / 'breaking.py')
    folder = tmp_path / 'work'
    done = dist_run(
        'dist_attack.sh',
        tmp_path / 'breaking.py',
        2,
        '--no-report',
        '--work-dir',
        folder,
        PYTHONPATH=f'{ROOT}:{Path(__file__).parent}',
    )
    assert done.returncode != 0
    errors = {
        line.split('ERROR: step ')[1].split(' The ')[0]
        for line in done.stderr.splitlines()
        if 'ERROR: step ' in line
    }
    # Both raise the same, with the two images of the second process.
    assert len(errors) == 1
    error = errors.pop()
    assert error.startswith('3 (epoch 2): loss_adv is inf')
    assert error.count('/0--Squares/') == 2
    checkpoint = torch.load(folder / 'stopped.pth', weights_only=False)
    assert checkpoint['meta']['iter'] == 2
    assert torch.equal(
        checkpoint['state_dict']['patch.pixels'], load_patch(folder / 'stopped.npy')
    )
    assert not (folder / 'patch.npy').exists()


class TestErrors:
    @pytest.fixture(autouse=True)
    def no_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)

    def test_launcher_that_needs_gpus(self):
        with pytest.raises(RuntimeError, match='--launcher slurm needs a GPU'):
            build_runner(Config(dict(launcher='slurm')))

    def test_not_started_by_torchrun(self, monkeypatch):
        monkeypatch.delenv('RANK', raising=False)
        with pytest.raises(RuntimeError, match='RANK.*is not set.*torchrun'):
            build_runner(Config(dict(launcher='pytorch')))

    def test_script_without_arguments(self, dist_run):
        done = dist_run('dist_attack.sh')
        assert done.returncode != 0
        assert 'dist_attack.sh CONFIG PROCESSES' in done.stderr
