"""What configs of experiments ask for."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mmdet_facepatch.experiments import AttackSpec, EntrySpec, read_spec
from mmdet_facepatch.experiments.spec import expand_seeds

NOISE = dict(type='noise', seed=3)
DETECTORS = dict(
    sln=dict(config='sln.py', checkpoint='sln.pth'),
    ssd=dict(config='ssd.py', checkpoint='ssd.pth'),
)
ENTRIES = [
    dict(name='clean', paper=dict(all='99.4/22.5')),
    dict(name='noise', patch=NOISE),
    dict(name='patch', attack=dict(method='iou', init=NOISE)),
    dict(name='on ssd', detector='ssd', attack=dict(method='iou', detector='sln')),
]


@pytest.fixture
def write(tmp_path):
    """Write a config; None takes a key out."""

    def write(**changes):
        content = dict(
            title='A table',
            detectors=DETECTORS,
            attacks=dict(iou='iou.py'),
            entries=ENTRIES,
        )
        content.update(changes)
        path = tmp_path / 'experiment.py'
        Config({k: v for k, v in content.items() if v is not None}).dump(path)
        return str(path)

    return write


def test_entries(write):
    spec = read_spec(write())
    clean, noise, patch, other = spec.entries
    assert clean == EntrySpec('clean', 'sln', paper=dict(all='99.4/22.5'))
    assert noise == EntrySpec('noise', 'sln', patch=NOISE)
    assert patch == EntrySpec('patch', 'sln', attack=AttackSpec('iou', init=NOISE))
    assert other.detector == 'ssd' and other.attacked == 'sln'
    assert [e.condition for e in spec.entries] == ['clean', 'init', 'attack', 'attack']
    assert [e.attacked for e in spec.entries] == [None, None, 'sln', 'sln']
    assert spec.used_detectors == ['sln', 'ssd']
    assert (spec.title, spec.figure, spec.matrix) == ('A table', None, None)
    assert spec.held_out == 0 and spec.seeds == ()


class TestData:
    def test_is_that_of_the_config(self, write):
        assert read_spec(write(data='widerface')).data == 'widerface'
        assert read_spec(write()).data == 'subset'

    def test_is_overridden(self, write):
        spec = read_spec(write(data='widerface'), data='embedded')
        assert spec.data == 'embedded' and spec.changed_data
        same = read_spec(write(data='widerface'), data='widerface')
        assert not same.changed_data


def test_matrix(write):
    patches = dict(clean=dict(), patch=dict(attack=dict(method='iou', detector='sln')))
    matrix = dict(patches=patches, detectors=['sln', 'ssd'])
    spec = read_spec(write(entries=None, matrix=matrix))
    assert [entry.name for entry in spec.entries] == [
        'clean on sln',
        'clean on ssd',
        'patch on sln',
        'patch on ssd',
    ]
    assert [entry.detector for entry in spec.entries] == ['sln', 'ssd'] * 2
    assert spec.matrix.patches == ('clean', 'patch')
    assert spec.matrix.detectors == ('sln', 'ssd') and spec.matrix.number is None
    other = dict(matrix, number='likeness/grey', label='score')
    spec = read_spec(write(entries=None, matrix=other))
    assert (spec.matrix.number, spec.matrix.label) == ('likeness/grey', 'score')


class TestSeeds:
    def test_entries_multiply(self, write):
        spec = read_spec(write(seeds=[0, 5]))
        assert [entry.name for entry in spec.entries] == [
            'clean',
            'noise',
            'patch, seed 0',
            'patch, seed 5',
            'on ssd, seed 0',
            'on ssd, seed 5',
        ]
        assert [entry.group for entry in spec.entries[2:4]] == ['patch', 'patch']
        assert [e.attack.seed for e in spec.entries if e.attack] == [0, 5, 0, 5]
        assert not spec.changed_seeds

    def test_of_the_command_line(self, write):
        spec = read_spec(write(seeds=[0, 5]), seeds=[7])
        assert spec.seeds == (7,) and spec.changed_seeds
        assert [e.attack.seed for e in spec.entries if e.attack] == [7, 7]
        assert [e.name for e in read_spec(write(seeds=[0]), seeds=[]).entries] == [
            entry['name'] for entry in ENTRIES
        ]

    def test_an_attack_that_names_its_own_stays(self):
        entry = EntrySpec('a', 'sln', attack=AttackSpec('iou', seed=4))
        assert expand_seeds([entry], [0, 1]) == [entry]


class TestSelect:
    def test_by_name_and_by_group(self, write):
        spec = read_spec(write(seeds=[0, 5]))
        assert [e.name for e in spec.select(['noise'])] == ['noise']
        assert [e.name for e in spec.select(['patch', 'clean'])] == [
            'clean',
            'patch, seed 0',
            'patch, seed 5',
        ]
        assert [e.name for e in spec.select(['patch, seed 5'])] == ['patch, seed 5']

    def test_unknown(self, write):
        spec = read_spec(write())
        with pytest.raises(ValueError, match=r"no entry \['other'\]; it has \['clean'"):
            spec.select(['clean', 'other'])


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (dict(name='clean'), "'clean' is missing or taken"),
        (dict(detector='sln'), "'' is missing or taken"),
        (dict(name='a', colour=1), r"'a' has unknown keys \['colour'\]"),
        (dict(name='a', group='b'), r"'a' has unknown keys \['group'\]"),
        (dict(name='a', attack=dict(methd='iou')), r"unknown keys \['methd'\]"),
        (dict(name='a', attack=dict(method='x')), "names the method 'x'"),
        (dict(name='a', detector='x'), "names the detector 'x'; there are .'sln'"),
        (
            dict(name='a', attack=dict(method='iou', detector='x')),
            "names the detector 'x'; there are .'sln'",
        ),
        (dict(name='a', patch=NOISE, attack=dict(method='iou')), 'a patch and an'),
        (
            dict(name='a', attack=dict(method='iou', seed='x')),
            "'a' has the seed 'x'",
        ),
        (dict(name='a', attack=dict(method='iou', seed=-1)), "'a' has the seed -1"),
    ],
)
def test_wrong_entries(write, entry, message):
    with pytest.raises(ValueError, match=message):
        read_spec(write(entries=[*ENTRIES, entry]))


def test_wrong_configs(write, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.py does not exist'):
        read_spec(str(tmp_path / 'nowhere.py'))
    with pytest.raises(ValueError, match='neither entries nor a matrix'):
        read_spec(write(entries=None))
