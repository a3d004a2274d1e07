"""A small experiment on a tiny data set, run once for all tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_facepatch.experiments import (
    ExperimentIndex,
    Plan,
    Planner,
    RunStore,
    read_spec,
)
from mmdet_facepatch.experiments.records import read_record

NOISE = dict(type='noise', seed=3)
DATA = 'same_data'


def write_experiment(workspace: Path, checkpoint: Path, path: Path) -> Path:
    """Four entries; two paste the same attack's patch. One image is held out."""
    attack = dict(method='iou', init=NOISE)
    detector = dict(config=str(workspace / 'detector.py'), checkpoint=str(checkpoint))
    Config(
        dict(
            title='A small table',
            data=str(workspace / f'{DATA}.py'),
            figure='evolution',
            held_out=1,
            detectors=dict(sln=detector),
            attacks=dict(iou=str(workspace / 'attack.py')),
            entries=[
                dict(name='clean', paper=dict(all='99.4/22.5')),
                dict(name='noise', patch=NOISE),
                dict(name='patch', attack=attack),
                dict(name='smaller', attack=attack, scale=0.8),
            ],
        )
    ).dump(path)
    # Dataloaders as in the attack's config: an overlay that changes nothing.
    cfg = Config.fromfile(workspace / 'attack.py').to_dict()
    loaders = {key: value for key, value in cfg.items() if key.endswith('_dataloader')}
    Config(loaders).dump(workspace / f'{DATA}.py')
    return path


@pytest.fixture
def planned_file(workspace, tmp_path) -> Path:
    """The experiment with a checkpoint that nobody loads: good for plans."""
    checkpoint = tmp_path / 'weights.pth'
    checkpoint.write_bytes(b'weights')
    return write_experiment(workspace, checkpoint, tmp_path / 'experiment.py')


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """Plan a config, changed by keys as ``mmengine`` merges them."""

    def plan(path: Path, seeds=None, options=None, data=None, **changes) -> Plan:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(changes, allow_list_keys=False)
        changed = path.with_name('changed.py')
        cfg.dump(changed)
        spec = read_spec(str(changed), None, seeds, options)
        return Planner(spec, data or Config(dict(work_dir=None))).plan()

    return plan


@pytest.fixture(scope='session')
def experiment_file(attacked) -> Path:
    """The experiment with a trained detector."""
    return write_experiment(
        attacked, attacked / 'train' / 'epoch_1.pth', attacked / 'experiment.py'
    )


@pytest.fixture(scope='session')
def finished(run, experiment_file):
    """The experiment's output, and its work dir with everything done."""
    root = experiment_file.parent / 'experiments'
    done = run(
        'experiment.py', experiment_file, '--work-dir', root, python=sys.executable
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done, root


@pytest.fixture(scope='session')
def index_path(finished) -> Path:
    """The experiment's index; tables and figures are in the folder of that name."""
    return finished[1] / 'experiments' / f'experiment_{DATA}.json'


@pytest.fixture
def index(index_path) -> ExperimentIndex:
    return read_record(index_path, ExperimentIndex)


@pytest.fixture
def store(finished) -> RunStore:
    return RunStore([finished[1] / 'runs'])
