"""Where finished runs are looked up, and what their records hold."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from mmdet_facepatch.attack import load_patch
from mmdet_facepatch.experiments import (
    AttackRecord,
    EvaluationRecord,
    ExperimentIndex,
    RunStore,
    TableEntry,
)
from mmdet_facepatch.experiments.records import read_record, write_record
from mmdet_facepatch.utils.digests import file_digest

ATTACK, EVALUATION = 'a' * 12, 'e' * 12


def evaluation(digest=EVALUATION, **changes):
    return replace(
        EvaluationRecord(
            digest=digest,
            weights='w',
            data='d',
            numbers={'all/AP': 0.5, 'calibrated_delta': None},
            intervals={'all/AP': [0.4, 0.6]},
        ),
        **changes,
    )


def attack(digest=ATTACK, **changes):
    return replace(
        AttackRecord(
            digest=digest,
            detector=dict(config='c.py', checkpoint='c.pth', weights_sha256='w'),
            data=dict(digest='d'),
            config={},
            config_digest='x',
            seed=3,
            epochs=2,
            steps=4,
            empty_steps=0,
            batch_size=2,
            processes=1,
            seconds=1.5,
            device='cpu',
            versions={},
            history=dict(held_out_clean=None, epochs=[]),
            files={},
        ),
        **changes,
    )


def picture(path, value=7):
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)
    return path


@pytest.fixture
def store(tmp_path):
    for name in ('work', 'kept', 'published'):
        (tmp_path / name).mkdir()
    return RunStore([tmp_path / name for name in ('work', 'kept', 'published')])


def fresh(store):
    return RunStore(store.folders)


class TestRecords:
    @pytest.mark.parametrize('record', [evaluation(), attack()])
    def test_round_trip(self, tmp_path, record):
        write_record(tmp_path / 'r.json', record)
        assert read_record(tmp_path / 'r.json', type(record)) == record

    def test_index_round_trip(self, tmp_path):
        index = ExperimentIndex(
            title='t',
            config='c.py',
            data='subset',
            command='python',
            seeds=[0],
            options={},
            held_out=1,
            data_sets={},
            detectors={},
            figure=None,
            matrix=None,
            entries=[
                TableEntry(name='a', detector='sln', condition='clean'),
                TableEntry(name='b, seed 0', group='b', detector='sln', condition='x'),
            ],
        )
        write_record(tmp_path / 'i.json', index)
        again = read_record(tmp_path / 'i.json', ExperimentIndex)
        assert again == index
        assert [entry.name for entry in again.select('b')] == ['b, seed 0']
        with pytest.raises(ValueError, match=r"c.py has no entry 'x'; it has \['a'"):
            again.select('x')

    def test_others_are_refused(self, tmp_path):
        path = tmp_path / 'r.json'
        for content in ([], {'schema_version': 1}):
            path.write_text(json.dumps(content))
            with pytest.raises(ValueError, match='r.json: schema_version is'):
                read_record(path, EvaluationRecord)
        content = asdict(evaluation())
        del content['numbers']
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match="r.json is no Eval.* lacks 'numbers'"):
            read_record(path, EvaluationRecord)
        path.write_text('{')
        with pytest.raises(ValueError, match='r.json is not a JSON file'):
            read_record(path, EvaluationRecord)


class TestStore:
    def test_nothing_there(self, store):
        assert store.attack(ATTACK) is None and store.evaluation(None) is None
        assert not store.finished(ATTACK) and not store.finished(None)
        assert store.patch(ATTACK) is store.folder(ATTACK) is store.curves('x') is None

    def test_work_dir_of_a_run(self, store):
        folder = store.new_folder(EVALUATION)
        folder.mkdir()
        (folder / 'curves.npz').write_bytes(b'')
        assert store.evaluation(EVALUATION) is None and not store.finished(EVALUATION)
        assert store.curves(EVALUATION) is None
        write_record(folder / 'run.json', evaluation())
        assert store.evaluation(EVALUATION) == evaluation()
        assert store.folder(EVALUATION) == folder
        assert store.curves(EVALUATION) == folder / 'curves.npz'

    def test_kept_record(self, store):
        path = store.folders[1] / f'{ATTACK}.json'
        write_record(path, attack())
        assert store.attack(ATTACK) == attack()
        assert store.folder(ATTACK) is store.patch(ATTACK) is None
        picture(path.with_suffix('.png'))
        assert store.patch(ATTACK) == path.with_suffix('.png')

    def test_published_patch(self, store):
        png = picture(store.folders[2] / 'sln_iou.png')
        record = attack(name='sln_iou', files={'.png': file_digest(png)})
        write_record(png.with_suffix('.json'), record)
        assert store.attack(ATTACK) == record
        assert store.patch(ATTACK) == png

    def test_the_work_dir_is_asked_first(self, store):
        write_record(store.folders[1] / f'{EVALUATION}.json', evaluation(seconds=1.0))
        assert store.evaluation(EVALUATION).seconds == 1
        folder = store.new_folder(EVALUATION)
        folder.mkdir()
        write_record(folder / 'run.json', evaluation(seconds=2.0))
        assert fresh(store).evaluation(EVALUATION).seconds == 2

    def test_rerun_asks_nothing_else(self, tmp_path):
        whole = RunStore.default(tmp_path / 'w', tmp_path / 'r')
        assert whole.folders[:2] == [tmp_path / 'w/runs', tmp_path / 'r/runs']
        assert list(whole.folders[2].glob('sln_patch_iou_seed_0.json'))
        again = RunStore.default(tmp_path / 'w', tmp_path / 'r', rerun=True)
        assert again.folders == [tmp_path / 'w/runs']


class TestDamage:
    def test_record_of_another_run(self, store):
        write_record(store.folders[1] / f'{EVALUATION}.json', evaluation('f' * 12))
        with pytest.raises(ValueError, match=f'is of the run {"f" * 12}, not of'):
            store.evaluation(EVALUATION)

    def test_damaged_patch(self, store):
        png = picture(store.folders[2] / 'sln_iou.png')
        record = attack(files={'.png': file_digest(png)})
        write_record(png.with_suffix('.json'), record)
        picture(png, value=8)
        with pytest.raises(ValueError, match='damaged or another patch'):
            store.patch(ATTACK)

    def test_two_of_one_attack(self, store):
        path = store.folders[2] / 'sln_iou.json'
        write_record(path, attack())
        shutil.copy(path, path.with_name('twin.json'))
        with pytest.raises(ValueError, match='sln_iou.json and .*twin.json .*same'):
            store.attack(ATTACK)

    def test_other_peoples_files(self, store):
        (store.folders[2] / 'a.json').write_text('{"digest": "aaaaaaaaaaaa"}')
        assert store.attack(ATTACK) is None
        (store.folders[2] / 'a.json').write_text('{')
        with pytest.raises(ValueError, match='not readable as JSON'):
            fresh(store).attack(ATTACK)


def test_package_has_readable_patches():
    """Each published patch of an experiment is found by its digest."""
    store = RunStore.default('no/such', 'no/such')
    paths = sorted(store.folders[2].glob('*.json'))
    assert paths
    for path in paths:
        digest = json.loads(path.read_text())['digest']
        assert store.attack(digest).name == path.stem
        patch = store.patch(digest)
        assert patch == path.with_suffix('.png')
        assert load_patch(patch).shape == (3, 128, 128)
