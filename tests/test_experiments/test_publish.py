"""Published patches, and what takes them in place of attacks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.experiments import (
    AttackRecord,
    Executor,
    RunStore,
    publish_attack,
    publish_experiment,
)
from mmdet_facepatch.experiments.finish import run_config
from mmdet_facepatch.experiments.publish import published_name
from mmdet_facepatch.experiments.records import read_record, write_record
from mmdet_facepatch.utils.digests import file_digest


@pytest.fixture
def published(finished, experiment_file, tmp_path) -> list[Path]:
    return publish_experiment(experiment_file, tmp_path / 'out', work_dir=finished[1])


def test_an_experiment(published, index, store, experiment_file):
    # Two entries, one attack.
    assert [path.name for path in published] == ['patch.png', 'patch.json']
    png, path = published
    digest = index.entries[2].attack
    assert png.read_bytes() == store.patch(digest).read_bytes()
    manifest = json.loads(path.read_text())
    assert manifest['kind'] == 'patch' and manifest['name'] == 'patch'
    assert manifest['files'] == {'.png': file_digest(png)}
    assert manifest['steps'] == 4 and manifest['seed'] == 0
    assert len(manifest['detector']['weights_sha256']) == 64
    assert manifest['data']['images'] == 3
    assert manifest['report']['numbers']['all/AP'] is not None
    assert manifest['command'].endswith('experiment.py --entries patch')
    assert str(experiment_file.parent) not in path.read_text()


def test_manifest_is_the_record_of_the_attack(published, index, store, tmp_path):
    """So that experiments take the patch as finished."""
    digest = index.entries[2].attack
    found = RunStore([tmp_path / 'empty', published[0].parent])
    record = found.attack(digest)
    assert replace(record, name=None, command=None, report=None) == (
        store.attack(digest)
    )
    assert found.patch(digest) == published[0]


def test_another_patch_is_refused(published):
    png, manifest = published
    png.write_bytes(png.read_bytes() + b'\0')
    with pytest.raises(ValueError, match='damaged or another patch'):
        load_patch(png)
    manifest.write_text('{"kind": "patch"}')
    with pytest.raises(ValueError, match='needs "files"'):
        load_patch(png)
    manifest.write_text('{')
    with pytest.raises(ValueError, match='not readable as JSON'):
        load_patch(png)
    # Other people's JSON is none of ours.
    manifest.write_text('{"files": 1}')
    load_patch(png)


def test_a_work_dir(attacked, tmp_path):
    """Of an attack that no experiment ran, with the report that it has."""
    shutil.copytree(attacked / 'attack', tmp_path / 'attack')
    source = tmp_path / 'attack'
    with pytest.raises(FileNotFoundError, match='without Attack'):
        publish_attack(source, tmp_path, 'mine', attacked)


def test_a_run_of_an_experiment(index, store, experiment_file, tmp_path):
    digest = index.entries[2].attack
    root = experiment_file.parent
    png, path = publish_attack(store.folder(digest), tmp_path, 'mine', root)
    record = read_record(path, AttackRecord)
    assert record.digest == digest and record.report is None
    assert record.command == (
        f'python tools/attack.py experiments/runs/{digest}/run_config.py'
    )
    report = store.folder(index.entries[3].evaluation) / 'report.json'
    _, path = publish_attack(
        store.folder(digest), tmp_path, 'mine', root, report, 'make patch'
    )
    record = read_record(path, AttackRecord)
    numbers = store.evaluation(index.entries[3].evaluation).numbers
    assert record.command == 'make patch'
    assert record.report['condition'] == 'patch'
    assert record.report['numbers'] == numbers


def test_tool(index, store, run, tmp_path):
    attack = store.folder(index.entries[2].attack)
    done = run('publish.py', 'patch', attack, tmp_path / 'mine')
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / 'mine.json').read_text())
    assert manifest['command'] == 'python tools/attack.py run_config.py'
    assert manifest['report'] is None


def test_names(finished, experiment_file, tmp_path, index_path):
    assert published_name('sln: Patch-IoU, seed 0') == 'sln_patch_iou_seed_0'
    root = tmp_path / 'w'
    shutil.copytree(finished[1] / 'runs', root / 'runs')
    (root / 'experiments').mkdir()
    content = json.loads(index_path.read_text())
    run = root / 'runs' / content['entries'][2]['attack'] / 'run.json'
    other = 'b' * 12
    shutil.copytree(run.parent, root / 'runs' / other)
    record = replace(read_record(run, AttackRecord), digest=other)
    write_record(root / 'runs' / other / 'run.json', record)
    content['entries'][3].update(name='Patch', attack=other)
    (root / 'experiments' / index_path.name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="would all be named {'patch'}"):
        publish_experiment(experiment_file, tmp_path, work_dir=root)
    shutil.rmtree(root / 'runs')
    with pytest.raises(ValueError, match='no attack of this experiment is finished'):
        publish_experiment(experiment_file, tmp_path, work_dir=root)


class TestTaken:
    """Published patches in place of their attacks."""

    def test_only_of_the_same_content(self, published, experiment_file, tmp_path, plan):
        store = RunStore([tmp_path / 'new', published[0].parent])
        path = shutil.copy(experiment_file, tmp_path / 'e.py')
        same = plan(path).attacks['patch']
        longer = plan(path, options={'train_cfg.max_epochs': 3}).attacks['patch']
        assert store.finished(same.digest) and not store.finished(longer.digest)

    def test_damaged_patch_fails_its_evaluation(
        self, published, index, store, experiment_file, tmp_path, plan, capsys
    ):
        """The others are done; nothing is half there."""
        png = published[0]
        png.write_bytes(png.read_bytes()[:-1])
        here = RunStore([tmp_path / 'new', png.parent])
        planned = plan(shutil.copy(experiment_file, tmp_path / 'e.py'))
        clean = planned.evaluations['clean'].digest
        (tmp_path / 'new').mkdir()
        write_record(tmp_path / 'new' / f'{clean}.json', store.evaluation(clean))
        run = planned.evaluations['patch']
        assert run.is_ready(here)
        assert Executor(tmp_path).run([run], here) == 1
        assert 'FAILED evaluation patch: ' in (out := capsys.readouterr().out)
        assert 'damaged or another patch' in out
        assert not list((tmp_path / 'new').rglob('run*'))

    def test_damaged_manifest(self, published, index):
        path = published[1]
        manifest = json.loads(path.read_text())
        del manifest['history']
        path.write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match="patch.json is no .* lacks 'history'"):
            RunStore([path.parent]).attack(index.entries[2].attack)


def test_config_of_a_run_is_the_only_one(attacked, tmp_path):
    with pytest.raises(FileNotFoundError, match='one config of its run, but has none'):
        run_config(tmp_path)
    for name in ('a', 'b'):
        Config(dict(a=1)).dump(tmp_path / f'{name}.py')
    with pytest.raises(FileNotFoundError, match="has .'a.py', 'b.py'"):
        run_config(tmp_path)
