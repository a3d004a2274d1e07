"""Manifests of published weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from mmdet_facepatch import zoo
from mmdet_facepatch.evaluation.report import SCHEMA_VERSION
from mmdet_facepatch.experiments import model_manifest, model_table, publish_model
from mmdet_facepatch.experiments.model_manifest import (
    training_seconds,
    trainings_before,
)
from mmdet_facepatch.utils.digests import file_digest

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = sorted(path.with_suffix('.json') for path in zoo.FOLDER.glob('*.pth'))


def write_log(folder, run, lines):
    path = folder / run / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(f'{json.dumps(line)}\n' for line in lines))


class TestSeconds:
    def test_each_line_counts_for_the_steps_since_the_one_before(self, tmp_path):
        write_log(
            tmp_path,
            '1',
            [dict(step=50, time=2.0, loss=1.0), dict(step=60, time=0.5, loss=1.0)],
        )
        assert training_seconds(tmp_path) == 50 * 2 + 10 * 0.5

    def test_steps_that_a_resumed_run_repeats_count_once(self, tmp_path):
        write_log(
            tmp_path,
            '1',
            [dict(step=50, time=2.0, loss=1.0), dict(step=100, time=2.0, loss=1.0)],
        )
        write_log(
            tmp_path,
            '2',
            [dict(step=100, time=4.0, loss=1.0), dict(step=150, time=1.0, loss=1.0)],
        )
        assert training_seconds(tmp_path) == 50 * 2 + 50 * 4 + 50

    def test_steps_after_the_checkpoint_do_not_count(self, tmp_path):
        write_log(
            tmp_path,
            '1',
            [dict(step=50, time=2.0, loss=1.0), dict(step=100, time=4.0, loss=1.0)],
        )
        assert training_seconds(tmp_path, 75) == 50 * 2 + 25 * 4
        assert training_seconds(tmp_path, 50) == 100

    def test_a_line_that_was_cut_off(self, tmp_path):
        write_log(tmp_path, '1', [dict(step=50, time=2.0, loss=1.0)])
        log = tmp_path / '1' / 'vis_data' / 'scalars.json'
        log.write_text(log.read_text() + '{"step": 10')
        with pytest.raises(ValueError, match=r'scalars.json, line 2 is no JSON'):
            training_seconds(tmp_path)

    def test_lines_of_a_validation_do_not_count(self, tmp_path):
        write_log(
            tmp_path,
            '1',
            [
                dict(step=10, time=1.0, loss=1.0),
                {'step': 10, 'time': 9.0, 'all/AP': 0.5},
            ],
        )
        assert training_seconds(tmp_path) == 10

    def test_without_logs(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='from the work dir of the'):
            training_seconds(tmp_path)


def test_trainings_before(tmp_path):
    """A chain of three, of which the second was resumed, and tested where it lies."""
    start = None
    for name, steps in (('a', 20), ('b', 30), ('c', 40)):
        folder = tmp_path / name
        write_log(folder, '1', [dict(step=steps, time=0.5, loss=1.0)])
        if name == 'b':
            start = save(folder / 'iter_10.pth', 10, start)
        start = save(folder / f'iter_{steps}.pth', steps, start)
        (folder / 'run.py').write_text(f'load_from = {start!r}\n')
    assert trainings_before(start) == [
        dict(checkpoint=str(tmp_path / 'a' / 'iter_20.pth'), iter=20, seconds=10.0),
        dict(checkpoint=str(tmp_path / 'b' / 'iter_30.pth'), iter=30, seconds=15.0),
    ]
    assert trainings_before(tmp_path / 'a' / 'iter_20.pth') == []


def test_trainings_before_that_of_published_weights(tmp_path):
    """Those of their manifest, then their own."""
    (name,) = (path.stem for path in PUBLISHED if 'r18' in path.stem)
    manifest = json.loads((zoo.FOLDER / f'{name}.json').read_text())
    last = save(tmp_path / 'iter_5.pth', 5, f'facepatch://{name}')
    *earlier, own = trainings_before(last)
    assert earlier == manifest['before'] and len(earlier) > 0
    assert own == dict(
        checkpoint=f'facepatch://{name}',
        iter=manifest['iter'],
        seconds=manifest['seconds'],
        sha256=file_digest(zoo.FOLDER / f'{name}.pth'),
    )
    with pytest.raises(FileNotFoundError, match='no_such: no such weights'):
        trainings_before(save(tmp_path / 'iter_6.pth', 6, 'facepatch://no_such'))


def save(path, steps, start):
    """A checkpoint with the config of its run, which is not executed."""
    text = f'raise SystemExit\nload_from = {start!r}\nresume = False\n'
    torch.save(dict(state_dict={}, meta=dict(iter=steps, cfg=text)), path)
    return str(path)


@pytest.mark.parametrize('other', ['other/iter_1.pth', None])
def test_report_of_other_weights_is_refused(tmp_path, other):
    (tmp_path / 'run.py').write_text('train_dataloader = dict(dataset=dict())\n')
    report = tmp_path / 'report.json'
    report.write_text(
        json.dumps(
            dict(
                schema_version=SCHEMA_VERSION,
                conditions={},
                comparisons={},
                protocol=dict(checkpoint=other),
            )
        )
    )
    with pytest.raises(ValueError, match=rf'report\.json is of {other}, not'):
        model_manifest(tmp_path / 'iter_1.pth', {}, report, ROOT, 'command')


class TestPublish:
    @pytest.fixture
    def training(self, tmp_path):
        """Work dir of a training, and a report on its checkpoint."""
        folder = tmp_path / 'work'
        write_log(folder, '1', [dict(step=4, time=0.5, loss=1.0)])
        config = 'train_dataloader = dict(dataset=dict(type="EmbeddedFaceDataset",'
        config += f' data_root="{tmp_path}/none", split="train"))\n'
        (folder / 'run.py').write_text(config)
        checkpoint = folder / 'iter_4.pth'
        meta = dict(iter=4, epoch=0, seed=3, cfg='', time='now')
        state = dict(w=torch.tensor([0.1, 2.0]), n=torch.tensor(7))
        torch.save(dict(state_dict=state, meta=meta, optimizer={}), checkpoint)
        report = tmp_path / 'report.json'
        clean = dict(numbers={'all/AP': 0.5, 'calibrated_delta': None}, intervals={})
        protocol = dict(checkpoint=str(checkpoint), scales=[1.0], dataset={})
        content = dict(
            schema_version=SCHEMA_VERSION, conditions=dict(clean=clean), comparisons={}
        )
        report.write_text(json.dumps(dict(content, protocol=protocol)))
        return checkpoint, report

    def test_weights_alone(self, training, tmp_path):
        out = tmp_path / 'new' / 'x.pth'
        assert publish_model(training[0], out, ROOT, 'command') is None
        content = torch.load(out, weights_only=True)
        classes = dict(classes=('face',))
        assert content['meta'] == dict(iter=4, epoch=0, seed=3, dataset_meta=classes)
        assert set(content) == {'meta', 'state_dict'}
        assert content['state_dict']['w'].tolist() == [0.0999755859375, 2.0]
        assert content['state_dict']['w'].dtype == torch.float16
        assert content['state_dict']['n'] == 7
        assert [path.name for path in out.parent.iterdir()] == ['x.pth']

    def test_with_a_report(self, training, tmp_path, monkeypatch):
        module = sys.modules[training_seconds.__module__]
        for name in ('data_digest', 'describe_data'):
            monkeypatch.setattr(module, name, lambda dataset: None)
        checkpoint, report = training
        out = tmp_path / 'x.pth'
        manifest = publish_model(checkpoint, out, ROOT, 'the command', report)
        assert json.loads(out.with_suffix('.json').read_text()) == manifest
        assert manifest['name'] == 'x' and manifest['command'] == 'the command'
        assert manifest['files'] == {'.pth': file_digest(out)}
        assert manifest['seconds'] == 2.0 and manifest['before'] == []
        assert manifest['report']['numbers']['all/AP'] == 0.5

    def test_into_the_package(self, training, tmp_path, monkeypatch):
        folder = tmp_path / 'zoo'
        monkeypatch.setattr(zoo, 'FOLDER', folder)
        publish_model(training[0], folder / 'x.pth', ROOT, 'command')
        assert zoo.load_from_zoo('facepatch://x')['state_dict']['n'] == 7

    def test_nothing_is_written_with_a_report_of_other_weights(
        self, training, tmp_path
    ):
        checkpoint, report = training
        other = checkpoint.with_name('iter_5.pth')
        other.write_bytes(checkpoint.read_bytes())
        with pytest.raises(ValueError, match='iter_4.pth, not of'):
            publish_model(other, tmp_path / 'out' / 'x.pth', ROOT, 'command', report)
        assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['model', 'x.pth', str(zoo.FOLDER / 'x.pth')], 'need --report'),
        (['patch'], 'or --experiment'),
        (['patch', 'folder'], 'or --experiment'),
        (['patch', 'folder', 'name', '--experiment', 'x.py'], 'or --experiment'),
        ([], 'the following arguments are required: kind'),
    ],
)
def test_tool_refuses(run, options, message):
    done = run('publish.py', *options)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda path: path.stem)
class TestPublished:
    def test_is_of_these_weights(self, path):
        manifest = json.loads(path.read_text())
        assert manifest['kind'] == 'model' and manifest['name'] == path.stem
        assert manifest['files'] == {'.pth': file_digest(path.with_suffix('.pth'))}
        assert manifest['seconds'] > 0 and len(manifest['data']['digest']) == 64

    def test_card_shows_its_numbers(self, path):
        table = model_table(json.loads(path.read_text()))
        assert table in path.with_suffix('.md').read_text()

    def test_readme_shows_its_ap(self, path):
        numbers = json.loads(path.read_text())['report']['numbers']
        shown = ' / '.join(
            f'{numbers[f"{subset}/AP"]:.3f}'
            for subset in ('easy', 'medium', 'hard', 'all')
        )
        (row,) = (
            line
            for line in (ROOT / 'README.md').read_text().splitlines()
            if line.startswith(f'| `facepatch://{path.stem}`')
        )
        assert row.endswith(f'| {shown} |')
