"""Findings on experiments that are made up."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from findings import evidence as evidence_module
from findings.judge import judge_findings, read_findings, write_findings
from mmengine.config import Config

from mmdet_facepatch.experiments import (
    EvaluationRecord,
    ExperimentIndex,
    TableEntry,
)
from mmdet_facepatch.experiments.records import read_record, write_record
from mmdet_facepatch.utils.json_files import write_json

KEY = 'all/recall@0.99'
DIGESTS = {'noise': 12 * 'a', 'patch': 12 * 'b'}
RECALLS = {'noise': 0.4, 'patch': 0.1}


@pytest.fixture
def config(tmp_path):
    """One finding with one check, and one that was not run."""
    common = dict(
        type='PairedCheck',
        pairs=[['patch', 'noise']],
        numbers=KEY,
        expect='below',
        factor=0.5,
    )
    made = [
        dict(common, statement=name, experiment=name) for name in ('table', 'other')
    ]
    path = tmp_path / 'paper.py'
    finding = dict(key='a', claim='less', checks=made)
    Config(dict(title='F', note='N', findings=[finding])).dump(path)
    return path


@pytest.fixture
def results(tmp_path):
    """Two finished runs of one experiment, without what they left besides."""
    folder = tmp_path / '.results'
    (folder / 'runs').mkdir(parents=True)
    (folder / 'experiments').mkdir()
    for name, digest in DIGESTS.items():
        record = EvaluationRecord(
            digest=digest,
            weights='w',
            data='d',
            numbers={KEY: RECALLS[name]},
            intervals={KEY: [0.0, 1.0]},
        )
        write_record(folder / 'runs' / f'{digest}.json', record)
    index = ExperimentIndex(
        title='T',
        config='configs/table.py',
        data='subset',
        command='c',
        seeds=[],
        options={},
        held_out=0,
        data_sets={},
        detectors={},
        figure=None,
        matrix=None,
        entries=[
            TableEntry(name=name, detector='sln', condition='init', evaluation=digest)
            for name, digest in DIGESTS.items()
        ],
    )
    write_record(folder / 'experiments' / 'table_subset.json', index)
    return folder


@pytest.fixture
def here(monkeypatch):
    """As if the detections of the runs were on this machine."""

    def evaluation(self, entry):
        value = RECALLS[entry.name]
        return SimpleNamespace(
            numbers={KEY: value},
            replicates={KEY: value + 0.01 * np.linspace(-1, 1, 101)},
            img_ids=('x',),
            settings=SimpleNamespace(bootstrap=101, seed=0, confidence=0.95),
        )

    monkeypatch.setattr(evidence_module.Evidence, 'evaluation', evaluation)


def judge(config, results, tmp_path):
    return judge_findings(str(config), tmp_path / 'work', 'subset', tmp_path, results)


@pytest.mark.usefixtures('here')
def test_verdicts(config, results, tmp_path):
    content = judge(config, results, tmp_path)
    (finding,) = content['findings']
    first, second = finding['checks']
    assert first['verdict'] == 'agrees'
    assert first['results'][0]['numbers']['difference'] == pytest.approx(-0.1)
    assert first['results'][0]['runs'] == [DIGESTS['patch'], DIGESTS['noise']]
    assert second['verdict'] == 'not measured'
    assert finding['measured'] == f'table: {first["measured"]}'
    assert finding['verdict'] == 'agrees (1 of 2 not measured)'
    path = tmp_path / 'out' / 'paper_subset.json'
    assert '**agrees (1 of 2 not measured)**' in write_findings(content, path)
    assert read_findings(path)['findings'] == content['findings']


class TestElsewhere:
    """Checks of runs whose detections are on another machine."""

    @pytest.fixture
    def content(self, config, results, tmp_path, request):
        with pytest.MonkeyPatch.context():
            request.getfixturevalue('here')
            content = judge(config, results, tmp_path)
        write_findings(content, results / 'paper_subset.json')
        request.getfixturevalue('monkeypatch').undo()
        return content

    @staticmethod
    def change(results, **values):
        path = results / 'runs' / f'{DIGESTS["patch"]}.json'
        write_record(path, replace(read_record(path, EvaluationRecord), **values))

    def test_results_stay(self, content, config, results, tmp_path):
        assert judge(config, results, tmp_path)['findings'] == content['findings']

    def test_last_bits(self, content, config, results, tmp_path):
        """Two machines give equal numbers from boxes that are not quite equal."""
        self.change(
            results, predictions=64 * '0', numbers={KEY: np.nextafter(0.1, np.inf)}
        )
        assert judge(config, results, tmp_path)['findings'] == content['findings']

    @pytest.mark.parametrize(
        'values',
        [dict(numbers={KEY: 0.1 + 1e-6}), dict(intervals={KEY: None})],
        ids=['number', 'interval'],
    )
    def test_not_of_other_numbers(self, content, config, results, tmp_path, values):
        self.change(results, **values)
        with pytest.raises(FileNotFoundError, match='not on this machine.*no earlier'):
            judge(config, results, tmp_path)

    def test_not_of_other_runs(self, content, config, results, tmp_path):
        path = results / 'experiments' / 'table_subset.json'
        index = read_record(path, ExperimentIndex)
        noise, patch = index.entries
        other = [noise, replace(patch, attack=12 * 'c')]
        write_record(path, replace(index, entries=other))
        with pytest.raises(FileNotFoundError, match='not on this machine.*no earlier'):
            judge(config, results, tmp_path)

    def test_not_of_another_check(self, content, config, results, tmp_path):
        cfg = Config.fromfile(config)
        cfg.findings[0].checks[0].factor = 0.25
        cfg.dump(config)
        with pytest.raises(FileNotFoundError, match='not on this machine.*no earlier'):
            judge(config, results, tmp_path)


def test_unknown_entry(config, results, tmp_path):
    cfg = Config.fromfile(config)
    cfg.findings[0].checks[0].pairs = [['x', 'noise']]
    cfg.dump(config)
    with pytest.raises(ValueError, match="no entry 'x'"):
        judge(config, results, tmp_path)


def test_nothing_is_run(config, tmp_path):
    content = judge(config, tmp_path / 'empty', tmp_path)
    (finding,) = content['findings']
    assert finding['verdict'] == 'not measured'
    assert finding['measured'] == 'table: patch; noise: not run'


def test_findings_of_another_version(tmp_path):
    write_json(tmp_path / 'paper.json', dict(schema_version=2, findings=[]))
    with pytest.raises(ValueError, match=r'paper\.json: schema_version is 2.*judge'):
        read_findings(tmp_path / 'paper.json')
