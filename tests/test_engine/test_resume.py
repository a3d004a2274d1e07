"""Interrupted at any step and resumed, a run ends as if nothing had happened."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.engine import build_runner, damage_of, find_intact_checkpoint
from mmdet_facepatch.utils.files import remove_leftovers

NUMBERS = itertools.count()


@DATASETS.register_module()
class NoisyNumbers(torch.utils.data.Dataset):
    """Its samples are drawn from numpy's generator."""

    metainfo: dict = {}

    def __init__(self, size: int = 8) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.random.rand(3)).float() + index


@MODELS.register_module()
class NoisyModel(BaseModel):
    """Dropout and batch statistics: torch's generator, and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(3, 4),
            torch.nn.BatchNorm1d(4),
            torch.nn.Dropout(0.5),
            torch.nn.Linear(4, 1),
        )

    def forward(self, inputs: list, mode: str = 'loss') -> object:
        out = self.layers(torch.stack(inputs))
        return dict(loss=out.square().mean()) if mode == 'loss' else list(out)

    def train_step(self, data, optim_wrapper):
        loss = self(data)['loss']
        optim_wrapper.update_params(loss)
        return dict(loss=loss)

    def val_step(self, data):
        return self(data, mode='predict')


@METRICS.register_module()
class CountedMetric(BaseMetric):
    """Counts how often it was computed, in a file."""

    def __init__(self, log: str) -> None:
        super().__init__()
        self.log = Path(log)

    def process(self, data_batch, data_samples) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list) -> dict:
        with open(self.log, 'a') as file:
            file.write('v')
        return dict(value=len(results))


class Stop(Exception):
    """In place of a kill."""


@HOOKS.register_module()
class StopHook(Hook):
    """Ends the run after a step, when its checkpoint is written."""

    priority = 'LOWEST'

    def __init__(self, step: int) -> None:
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            raise Stop


@HOOKS.register_module()
class KillWorkerHook(Hook):
    """Kills one data-loading worker."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)


def config(folder: Path, endless: bool, workers: int = 0, **checkpoint) -> dict:
    """Four batches of two an epoch, three epochs; or 12 steps."""
    loop = (
        dict(type='ReproducibleIterLoop', max_iters=12, val_interval=5)
        if (endless)
        else dict(type='ReproducibleEpochLoop', max_epochs=3, val_interval=1)
    )
    loader = dict(
        batch_size=2,
        num_workers=workers,
        persistent_workers=workers > 0,
        dataset=dict(type='NoisyNumbers'),
    )
    return dict(
        default_scope='mmdet',
        work_dir=str(folder),
        launcher='none',
        log_level='WARNING',
        model=dict(type='NoisyModel'),
        train_dataloader=dict(
            loader,
            sampler=dict(
                type='InfiniteSampler' if endless else 'DefaultSampler', shuffle=True
            ),
        ),
        train_cfg=loop,
        val_dataloader=dict(
            batch_size=1,
            dataset=dict(type='NoisyNumbers', size=2),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        val_cfg=dict(type='ValLoop'),
        val_evaluator=dict(type='CountedMetric', log=str(folder) + '.val'),
        optim_wrapper=dict(
            type='OptimWrapper',
            accumulative_counts=2,
            optimizer=dict(type='Adam', lr=0.05),
        ),
        param_scheduler=[
            dict(
                type='CosineAnnealingLR',
                by_epoch=not endless,
                T_max=12 if endless else 3,
            )
        ],
        default_hooks=dict(checkpoint=dict(type='SafeCheckpointHook', **checkpoint)),
        randomness=dict(seed=1),
    )


def train(cfg: dict, resume: bool = False, **changes) -> dict:
    """Run; the last checkpoint's state."""
    # Runs of one name share a message hub: these are to be strangers.
    name = f'run{next(NUMBERS)}'
    runner = build_runner(
        Config(dict(cfg, resume=resume, experiment_name=name, **changes))
    )
    try:
        runner.train()
    finally:
        stop_workers(runner)
    return state(Path(cfg['work_dir']))


def stop_workers(runner: Runner) -> None:
    """End a loader's persistent workers, and what it tells of dead ones.

    The garbage collector closes their queues before it tells them to end, and then
    waits five seconds for each.
    """
    iterator = getattr(runner.train_dataloader, '_iterator', None)
    if iterator is not None:
        iterator._shutdown_workers()


def state(folder: Path) -> dict:
    path, _ = find_intact_checkpoint(folder)
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    return {
        key: checkpoint[key] for key in ('state_dict', 'optimizer', 'param_schedulers')
    }


def stop_at(step: int) -> dict:
    return dict(custom_hooks=[dict(type='StopHook', step=step)])


def bits(value: object) -> object:
    """Tensors in any nesting as bytes."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: bits(part) for key, part in value.items()}
    return [bits(part) for part in value] if isinstance(value, list) else value


def assert_same(one: dict, two: dict) -> None:
    assert bits(one) == bits(two)


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> dict:
    """The last checkpoints of runs in one go, by whether the sampler is endless.

    That at the end of an epoch, after the schedulers' step, is named 'epoch'.
    """
    root = tmp_path_factory.mktemp('whole_numbers')
    ends = {
        endless: train(
            config(root / str(endless), endless, by_epoch=False, interval=12)
        )
        for endless in (False, True)
    }
    ends['epoch'] = train(config(root / 'epoch', False, by_epoch=True, interval=3))
    return ends


class TestResume:
    @pytest.mark.parametrize('step', [1, 3, 4, 6, 8, 12])
    @pytest.mark.parametrize('endless', [False, True])
    def test_ends_the_same(self, tmp_path, whole, endless, step):
        """Inside epochs, at their ends, between accumulated gradients."""
        cfg = config(
            tmp_path / 'run', endless, by_epoch=False, interval=1, max_keep_ckpts=2
        )
        with pytest.raises(Stop):
            train(cfg, **stop_at(step))
        assert_same(train(cfg, resume=True), whole[endless])
        assert len(list((tmp_path / 'run').glob('iter_*.pth'))) == 2
        # Every validation, and each once: three epochs, or steps 5, 10 and 12.
        assert (tmp_path / 'run.val').read_text() == 'vvv'

    @pytest.mark.parametrize('endless', [False, True])
    def test_workers_do_not_matter(self, tmp_path, whole, endless):
        cfg = config(tmp_path / 'run', endless, 2, by_epoch=False, interval=3)
        with pytest.raises(Stop):
            train(cfg, **stop_at(7))
        assert_same(train(cfg, resume=True), whole[endless])

    def test_end_of_an_epoch_and_its_missed_validation(self, tmp_path, whole):
        cfg = config(tmp_path / 'run', False, by_epoch=True, interval=1)
        with pytest.raises(Stop):
            train(cfg, **stop_at(6))
        assert (tmp_path / 'run.val').read_text() == 'v'
        # As if killed between the checkpoint and the validation.
        (tmp_path / 'run.val').write_text('')
        assert_same(train(cfg, resume=True), whole['epoch'])
        assert (tmp_path / 'run.val').read_text() == 'vvv'

    def test_epoch_of_another_length(self, tmp_path):
        cfg = config(tmp_path / 'run', False, by_epoch=False, interval=3)
        with pytest.raises(Stop):
            train(cfg, **stop_at(7))
        cfg['train_dataloader']['batch_size'] = 4
        with pytest.raises(ValueError, match='inside an epoch of 4 batches.* has 2'):
            train(cfg, resume=True)

    def test_seed_is_what_matters(self, tmp_path, whole):
        cfg = config(tmp_path / 'run', False, interval=1)
        other = train(cfg, randomness=dict(seed=2))
        with pytest.raises(AssertionError):
            assert_same(other, whole['epoch'])

    def test_finite_sampler_in_steps(self, tmp_path):
        """The second pass is the next epoch, also where the run is resumed in it."""
        cfg = config(tmp_path / 'one', True, by_epoch=False, interval=12)
        cfg['train_dataloader']['sampler'] = dict(type='DefaultSampler', shuffle=True)
        expected = train(cfg)
        cfg = dict(cfg, work_dir=str(tmp_path / 'two'))
        cfg['default_hooks']['checkpoint']['interval'] = 1
        with pytest.raises(Stop):
            train(cfg, **stop_at(6))
        assert_same(train(cfg, resume=True), expected)

    def test_killed_worker_ends_the_run_at_once(self, tmp_path, whole):
        cfg = config(tmp_path / 'run', False, 2, by_epoch=False, interval=1)
        begin = time.monotonic()
        # It may die while a checkpoint is written: mmengine takes every error in
        # the formatting of its config for one of syntax. Or while a batch is fetched
        # from it, which breaks the connection before the worker counts as dead.
        with pytest.raises((RuntimeError, SyntaxError, ConnectionError, EOFError)) as (
            error
        ):
            train(cfg, custom_hooks=[dict(type='KillWorkerHook')])
        assert time.monotonic() - begin < 60
        reasons = [error.value]
        while reasons[-1].__context__ is not None:
            reasons.append(reasons[-1].__context__)
        assert any(
            'DataLoader worker' in str(reason)
            or isinstance(reason, (ConnectionError, EOFError))
            for reason in reasons
        )
        assert_same(train(cfg, resume=True), whole[False])


class TestDamage:
    @pytest.fixture
    def run(self, tmp_path) -> dict:
        cfg = config(tmp_path / 'run', False, by_epoch=False, interval=3)
        with pytest.raises(Stop):
            train(cfg, **stop_at(9))
        return cfg

    @pytest.mark.parametrize('keep', [0, 100, 0.5, 0.999])
    def test_truncated_checkpoint_is_skipped(self, run, whole, keep, caplog):
        newest = Path(run['work_dir']) / 'iter_9.pth'
        content = newest.read_bytes()
        newest.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
        path, warnings = find_intact_checkpoint(run['work_dir'])
        assert path is not None and path.name == 'iter_6.pth'
        assert len(warnings) == 1
        assert 'iter_9.pth is damaged' in warnings[0]
        assert_same(train(run, resume=True), whole[False])
        log = next(Path(run['work_dir']).rglob('*.log'))
        logs = [file.read_text() for file in log.parents[1].rglob('*.log')]
        assert sum('iter_9.pth is damaged' in text for text in logs) == 1

    def test_one_flipped_bit(self, run):
        newest = Path(run['work_dir']) / 'iter_9.pth'
        assert damage_of(newest) is None
        content = bytearray(newest.read_bytes())
        place = bytes(content).index(b'data.pkl') + 200
        content[place] ^= 1
        newest.write_bytes(content)
        assert 'checksum' in str(damage_of(newest))

    def test_all_damaged(self, run):
        for path in Path(run['work_dir']).glob('*.pth'):
            path.write_bytes(b'')
        with pytest.raises(ValueError, match=r'no checkpoint can be read.*iter_3\.pth'):
            train(run, resume=True)

    def test_named_checkpoint(self, run):
        path = Path(run['work_dir']) / 'iter_9.pth'
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(ValueError, match=r'iter_9\.pth is damaged'):
            train(run, resume=True, load_from=str(path))

    def test_lost_pointer_and_moved_folder(self, run, tmp_path):
        folder = tmp_path / 'moved'
        Path(run['work_dir']).rename(folder)
        assert find_intact_checkpoint(folder)[0] == folder / 'iter_9.pth'
        (folder / 'last_checkpoint').unlink()
        assert find_intact_checkpoint(folder)[0] == folder / 'iter_9.pth'
        assert find_intact_checkpoint(tmp_path / 'nothing') == (None, [])


class TestSafeCheckpointHook:
    def test_failed_write_leaves_the_one_before(self, tmp_path, monkeypatch):
        """Also where only one is kept."""
        cfg = config(
            tmp_path / 'run', False, by_epoch=False, interval=1, max_keep_ckpts=1
        )
        replace = os.replace

        def fail(source, target):
            if str(target).endswith('iter_3.pth'):
                raise OSError('no space left on device')
            replace(source, target)

        monkeypatch.setattr(os, 'replace', fail)
        with pytest.raises(OSError, match='no space'):
            train(cfg)
        assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == [
            'iter_2.pth'
        ]
        assert find_intact_checkpoint(tmp_path / 'run')[1] == []

    def test_leftovers_of_the_dead_only(self, tmp_path):
        gone = subprocess.Popen([sys.executable, '-c', ''])
        gone.wait()
        for pid in (gone.pid, os.getpid()):
            (tmp_path / f'.a.pth.{pid}.tmp').touch()
        (tmp_path / 'a.pth').touch()
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {
            f'.a.pth.{os.getpid()}.tmp',
            'a.pth',
        }


class TestDeterminism:
    def test_key(self, tmp_path, whole, monkeypatch):
        monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
        try:
            end = train(
                config(tmp_path / 'run', False, interval=1),
                randomness=dict(seed=1, deterministic=True),
            )
            assert torch.are_deterministic_algorithms_enabled()
            assert os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':4096:8'
        finally:
            torch.use_deterministic_algorithms(False)
            torch.backends.cudnn.deterministic = False
            os.environ.pop('CUBLAS_WORKSPACE_CONFIG', None)
        assert_same(end, whole['epoch'])

    @pytest.mark.slow
    def test_attack_with_workers_and_the_key(self, run, attacked):
        """The same patch as without either."""
        folder = attacked / 'again_with_workers'
        done = run(
            'attack.py',
            attacked / 'attack.py',
            '--work-dir',
            folder,
            '--no-report',
            '--cfg-options',
            'randomness.deterministic=True',
            'train_dataloader.num_workers=2',
            'train_dataloader.persistent_workers=True',
        )
        assert done.returncode == 0, done.stderr
        assert torch.equal(
            load_patch(folder / 'patch.npy'),
            load_patch(attacked / 'attack' / 'patch.npy'),
        )


@pytest.mark.slow
def test_fault_drill(run, trained):
    """Real kills of real runs: an attack and a training."""
    done = run(
        'fault_drill.py',
        trained / 'attack.py',
        trained / 'detector.py',
        '--faults',
        2,
        '--work-dir',
        trained / 'drill',
        python=sys.executable,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith('| ')][1:]
    assert [row.split()[-2] for row in rows] == ['2/2', '2/2']
