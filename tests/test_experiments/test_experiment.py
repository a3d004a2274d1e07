"""A small experiment: run, interrupted, run again, elsewhere, from what was kept."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.experiments import (
    ExperimentIndex,
    RunStore,
    executor,
    experiment_name,
    keep_experiment,
    read_index,
    read_spec,
)
from mmdet_facepatch.experiments.records import read_record
from mmdet_facepatch.experiments.run import _with_earlier_seeds, _write
from mmdet_facepatch.experiments.store import EXPERIMENTS

from .conftest import DATA

ROOT = Path(__file__).resolve().parents[2]


def started(output):
    """Runs that an experiment's output tells of."""
    lines = output.splitlines()
    return [line for line in lines if line.startswith(('attack ', 'evaluation '))]


def change(experiment_file, path, **changes):
    cfg = Config.fromfile(experiment_file)
    for key, value in changes.items():
        if value is None:
            cfg.pop(key)
        else:
            cfg[key] = value
    cfg.dump(path)
    return path


class TestFinished:
    def test_table_has_the_papers_numbers_beside_ours(self, finished, index, store):
        done, root = finished
        assert '# A small table' in done.stdout
        assert '|   All, paper |   All, ours |   on a patch |' in done.stdout
        assert '99.4/22.5' in done.stdout
        assert 'Attacks: 1; steps 4 of 2 images, 0.0% without samples;' in done.stdout
        assert [entry.name for entry in index.entries] == [
            'clean',
            'noise',
            'patch',
            'smaller',
        ]
        records = [store.evaluation(entry.evaluation) for entry in index.entries]
        assert all(record.numbers['all/AF0.5'] is not None for record in records)
        folder = root / EXPERIMENTS / f'experiment_{DATA}'
        assert (folder / 'table.md').read_text() in done.stdout
        assert (folder / 'figure.png').is_file()
        assert (folder / 'convergence.png').is_file()

    def test_index(self, index, store):
        """What was reported on, optimised on, and what the detector has learnt from."""
        assert index.kind == 'experiment' and index.seeds == []
        assert index.command == 'python tools/experiment.py experiment.py'
        assert index.data_sets['reported']['images'] == 3
        assert index.data_sets['optimised']['images'] == 3
        assert index.data_sets['detectors']['sln']['images'] == 4
        assert [e.condition for e in index.entries] == [
            *('clean', 'init', 'attack', 'attack')
        ]
        attack = store.attack(index.entries[2].attack)
        assert index.entries[3].attack == attack.digest
        assert attack.data['images'] == 3 and len(attack.data['digest']) == 64
        assert (attack.epochs, attack.steps, attack.empty_steps) == (2, 4, 0)
        assert attack.detector['checkpoint'] == 'epoch_1.pth'

    def test_records_are_of_any_machine(self, finished):
        root = finished[1]
        for path in [*root.glob('runs/*/run.json'), *root.glob('experiments/*.json')]:
            assert str(root.parent) not in path.read_text()

    def test_entries_share_an_attack(self, finished):
        """Three evaluations and the clean one, but a single attack."""
        kinds = [
            json.loads(path.read_text())['kind']
            for path in (finished[1] / 'runs').glob('*/run.json')
        ]
        assert sorted(kinds) == [*4 * ['evaluation'], 'patch']

    def test_calibrated_delta_is_the_clean_ones(self, index, store):
        deltas = {
            repr(store.evaluation(entry.evaluation).numbers['calibrated_delta'])
            for entry in index.entries
        }
        assert len(deltas) == 1

    def test_nothing_is_run_twice(self, finished, run, experiment_file):
        done = run('experiment.py', experiment_file, '--work-dir', finished[1])
        assert done.returncode == 0, done.stderr
        assert started(done.stdout) == []

    def test_config_is_written_once(self, finished, index, store, tmp_path):
        """Another process may be reading it."""
        spec = dict(kind='evaluation', digest='a' * 12, weights='w', data='d')
        config = Config(dict(test_evaluator={}, a=1))
        planned = executor.Run(name='n', config=config, **spec)
        place = RunStore([tmp_path])
        path = executor.prepare(planned, place) / executor.CONFIG
        before = path.stat().st_ino
        executor.prepare(planned, place)
        assert path.stat().st_ino == before
        path.write_text('another = 1')
        executor.prepare(planned, place)
        assert Config.fromfile(path).to_dict() == config.to_dict()


@pytest.mark.slow
class TestAgain:
    """With a copy of the work dir."""

    @pytest.fixture
    def again(self, finished, tmp_path):
        shutil.copytree(finished[1], tmp_path / 'again')
        return tmp_path / 'again'

    def test_an_interrupted_attack_goes_on(self, again, run, experiment_file, index):
        """Half of the attack is there; the end is the same patch."""
        attack = again / 'runs' / index.entries[2].attack
        whole = load_patch(attack / 'patch.npy')
        logged = len((attack / 'run.log').read_text())
        for name in ('run.json', 'patch.npy', 'patch.png', 'epoch_2.pth'):
            (attack / name).unlink()
        (attack / 'last_checkpoint').write_text(str(attack / 'epoch_1.pth'))
        done = run('experiment.py', experiment_file, '--work-dir', again)
        assert done.returncode == 0, done.stdout + done.stderr
        # The patch is the same, and so are the evaluations of it.
        assert len(started(done.stdout)) == 1
        assert (load_patch(attack / 'patch.npy') == whole).all()
        assert 'resumed epoch: 1' in (attack / 'run.log').read_text()[logged:]

    def test_a_failed_run_does_not_stop_the_others(
        self, run, again, experiment_file, tmp_path
    ):
        entries = [
            dict(name='bad', patch=dict(type='image', path='nowhere.png')),
            dict(name='grey', patch=dict(type='constant', value=0.5)),
            dict(name='lost', detector='tiny'),
        ]
        sln = Config.fromfile(experiment_file).detectors.sln
        detectors = dict(sln=sln, tiny=dict(sln, checkpoint='no_such.pth'))
        path = change(
            experiment_file, tmp_path / 'bad.py', entries=entries, detectors=detectors
        )
        done = run('experiment.py', path, '--work-dir', again)
        assert done.returncode != 0
        assert 'FAILED evaluation bad' in done.stdout
        assert 'nowhere.png' in done.stdout
        assert 'NOT DONE bad' in done.stdout
        assert 'FAILED lost: there is no checkpoint no_such.pth' in done.stdout
        assert '2 runs failed, 1 entries are not done for it' in done.stderr
        rows = {
            line.split('|')[1].strip(): line
            for line in reversed(done.stdout.splitlines())
            if line.startswith('| ')
        }
        assert '/' in rows['grey']
        for name in ('bad', 'lost'):
            assert set(rows[name].split('|')[2].strip()) == {'-'}

    def test_transfer_matrix(self, run, again, experiment_file, tmp_path):
        """Its entries are those of the table, so nothing has to be run."""
        entries = Config.fromfile(experiment_file).entries
        matrix = dict(
            detectors=['sln'],
            patches=dict(
                clean=dict(),
                noise=dict(patch=entries[1].patch),
                patch=dict(attack=entries[2].attack),
            ),
        )
        path = change(
            experiment_file,
            tmp_path / 'matrix.py',
            entries=None,
            figure=None,
            matrix=matrix,
        )
        done = run('experiment.py', path, '--work-dir', again)
        assert done.returncode == 0, done.stderr
        assert started(done.stdout) == []
        rows = [
            line.split('|')[1].strip()
            for line in done.stdout.splitlines()
            if '|' in line
        ]
        assert rows.count('patch') == 2
        folder, index = read_index(f'matrix_{DATA}', again / EXPERIMENTS)
        assert index.kind == 'matrix'
        assert (folder / f'matrix_{DATA}' / 'figure.png').is_file()

    def test_commands_for_a_scheduler(self, run, experiment_file, tmp_path):
        done = run(
            'experiment.py',
            experiment_file,
            '--work-dir',
            tmp_path / 'new',
            '--commands',
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if '--run' in line]
        # Clean images and one attack can start; the rest waits for them.
        assert len(lines) == 2
        assert not (tmp_path / 'new').exists()
        done = subprocess.run(
            shlex.split(lines[0]), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        runs = list((tmp_path / 'new').glob('runs/*/run.json'))
        assert [path.parent.name for path in runs] == [lines[0].split()[-1]]
        done = run(
            'experiment.py',
            experiment_file,
            '--work-dir',
            tmp_path / 'new',
            '--run',
            'no_such',
        )
        assert '--run no_such: there is no such run' in done.stderr

    def test_side_by_side(self, again, run, experiment_file, index, finished):
        """By submitit, on this machine: the same numbers."""
        pytest.importorskip('submitit')
        for entry in index.entries[1:3]:
            shutil.rmtree(again / 'runs' / entry.evaluation)
        done = run(
            'experiment.py',
            experiment_file,
            '--work-dir',
            again,
            '--executor',
            'local',
            '--workers',
            2,
            python=sys.executable,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(started(done.stdout)) == 2
        first, second = RunStore([finished[1] / 'runs']), RunStore([again / 'runs'])
        for entry in index.entries:
            one, two = (s.evaluation(entry.evaluation) for s in (first, second))
            assert one.numbers == two.numbers


def test_submitit_is_optional(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'submitit', None)
    with pytest.raises(ImportError, match=r"'mmdet_facepatch\[submitit\]'"):
        executor._submitit_executor('slurm', tmp_path, {})


def test_preempted_run_is_submitted_again():
    submitit = pytest.importorskip('submitit')
    job = executor._Resumable()
    again = job.checkpoint('folder', 'root', 1)
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function is job and again.args == ('folder', 'root', 1)


class TestKept:
    """Elsewhere, with nothing but what was kept of the experiment."""

    @pytest.fixture
    def kept(self, finished, tmp_path):
        keep_experiment(f'experiment_{DATA}', finished[1], tmp_path / '.results')
        return tmp_path / '.results'

    def test_holds_records_and_patch(self, kept, index, store, finished):
        names = {path.name for path in (kept / 'runs').iterdir()}
        attack = index.entries[2].attack
        assert names == {
            f'{attack}.png',
            f'{attack}.json',
            *(f'{entry.evaluation}.json' for entry in index.entries),
        }
        there = RunStore([kept / 'runs'])
        for entry in index.entries:
            digest = entry.evaluation
            assert there.evaluation(digest) == store.evaluation(digest)
        assert there.attack(attack) == store.attack(attack)
        assert there.patch(attack).read_bytes() == store.patch(attack).read_bytes()

    def test_curves_of_a_figure(self, finished, index_path, tmp_path):
        shutil.copytree(finished[1] / 'runs', tmp_path / 'w' / 'runs')
        (tmp_path / 'w' / EXPERIMENTS).mkdir()
        content = json.loads(index_path.read_text())
        content['figure'] = 'f_beta'
        (tmp_path / 'w' / EXPERIMENTS / 'x.json').write_text(json.dumps(content))
        keep_experiment('x', tmp_path / 'w', tmp_path / 'r')
        digest = content['entries'][0]['evaluation']
        with np.load(tmp_path / 'r' / 'runs' / f'{digest}.npz') as curves:
            assert set(curves) == {
                'clean/margin_thresholds',
                *(f'clean/all/F{beta}' for beta in (0.001, 0.01, 0.1, 0.5)),
            }

    def test_same_tables_and_figures(
        self, kept, index_path, tmp_path, monkeypatch, capsys
    ):
        """The figure's pictures of epochs are not there: it is the published one."""
        published = kept / EXPERIMENTS / f'experiment_{DATA}'
        published.mkdir()
        (published / 'figure.png').write_bytes(b'as published')
        index = read_record(index_path, ExperimentIndex)
        store = RunStore([tmp_path / 'w' / 'runs', kept / 'runs'])
        folders = [path / EXPERIMENTS for path in (tmp_path / 'w', kept)]
        _write(f'experiment_{DATA}', index, store, *folders)
        ours, theirs = (
            root / EXPERIMENTS / f'experiment_{DATA}'
            for root in (tmp_path / 'w', index_path.parents[1])
        )
        for name in ('table.md', 'convergence.png'):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes()
        assert (ours / 'figure.png').read_bytes() == b'as published'
        assert 'figure.png: the published one, since the store lacks' in (
            capsys.readouterr().out
        )
        assert not (tmp_path / 'w' / 'runs').exists()

    def test_nothing_is_run(self, kept, experiment_file, tmp_path, plan):
        """What was kept counts as finished, of the very same content only."""
        store = RunStore([tmp_path / 'w', kept / 'runs'])
        runs = plan(shutil.copy(experiment_file, tmp_path / 'e.py')).runs.values()
        assert all(store.finished(run.digest) for run in runs)
        longer = plan(tmp_path / 'e.py', options={'train_cfg.max_epochs': 3})
        waiting = [r for r in longer.runs.values() if not store.finished(r.digest)]
        assert [run.name for run in waiting] == ['iou sln patch', 'patch', 'smaller']


def test_seeds_of_a_table_add_up(planned_file, tmp_path, plan, index_path):
    """Those of an earlier call are kept."""
    spec = read_spec(str(planned_file), seeds=[1, 2])
    folder = tmp_path / EXPERIMENTS
    folder.mkdir()
    same, planned = _with_earlier_seeds(spec, 'plan', 'x', folder, ROOT)
    assert (same, planned) == (spec, 'plan')
    content = json.loads(index_path.read_text())
    content['seeds'] = [2, 0]
    (folder / 'x.json').write_text(json.dumps(content))
    more, planned = _with_earlier_seeds(spec, 'plan', 'x', folder, ROOT)
    assert more.seeds == (0, 1, 2) and len(planned.attacks) == 6


def test_options_have_a_table_of_their_own():
    plain, short, other = (
        experiment_name('a/b.py', 'subset', options)
        for options in ({}, {'max_epochs': 1}, {'max_epochs': 2})
    )
    assert plain == 'b_subset' and len({plain, short, other}) == 3
    assert experiment_name('a/b_subset.py', 'subset') == 'b_subset'
    assert experiment_name('a/b.py', 'configs/mine.py') == 'b_mine'


def test_tables_only_needs_a_result(run, planned_file, tmp_path):
    done = run(
        'experiment.py', planned_file, '--tables-only', '--work-dir', tmp_path / 'w'
    )
    assert done.returncode != 0
    assert f'there is no result of experiment_{DATA}; run it first' in done.stderr
