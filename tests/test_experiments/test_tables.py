"""Tables of experiments, from records that are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmdet_facepatch.experiments import ExperimentIndex, RunStore, TableEntry
from mmdet_facepatch.experiments.records import write_record
from mmdet_facepatch.experiments.tables import (
    budget_of_attacks,
    entry_frame,
    experiment_markdown,
    experiment_tables,
    merge_seeds,
    notes_on_areas,
)

from .test_store import attack, evaluation


def numbers(recall, precision=0.9):
    return {
        'all/AP': 0.5,
        'all/precision@calibrated': precision,
        'all/recall@calibrated': recall,
        'all/on_patch@calibrated': 3.0,
        'all/on_patch@0.99': 2.0,
        'all/precision@0.99': precision,
        'all/recall@0.99': recall,
        'all/AF0.5': 0.05,
        'all/AF0.5+': 0.025,
        'margin_low': -4.0,
        'margin_high': 4.0,
    }


@pytest.fixture
def add(tmp_path):
    """Add an entry to an experiment; one with a recall has a record."""
    runs = tmp_path / 'runs'
    runs.mkdir()
    entries = []

    def add(name, recall=None, group=None, seed=None, precision=0.9, **about):
        digest = f'{len(entries):012x}'
        if recall is not None:
            ends = {'all/recall@0.99': [recall - 0.01, recall + 0.02]}
            record = evaluation(digest, numbers=numbers(recall, precision))
            write_record(runs / f'{digest}.json', replace(record, intervals=ends))
        fields = dict(detector='sln', condition='attack', paper={}, evaluation=digest)
        fields.update(about)
        entries.append(TableEntry(name=name, group=group, seed=seed, **fields))

    add.store = RunStore([runs])
    add.index = lambda **changes: ExperimentIndex(
        **{
            **dict(
                title='Table 1',
                config='table1.py',
                data='subset',
                command='python',
                seeds=[],
                options={},
                held_out=0,
                data_sets={},
                detectors={},
                figure=None,
                matrix=None,
                entries=entries,
            ),
            **changes,
        }
    )
    return add


def tables(add, **changes):
    return [
        [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
        for lines in (
            [line for line in table.splitlines() if line.startswith('|')]
            for table in experiment_tables(add.index(**changes), add.store)
        )
    ]


class TestPlain:
    def test_paper_beside_ours(self, add):
        add('clean', 0.225, paper=dict(all='99.4/22.5'))
        add('noise')
        first, second, intervals = tables(add)
        assert first[0] == ['', 'All, paper', 'All, ours', 'on a patch']
        assert first[2:] == [
            ['clean', '99.4/22.5', '90.0/22.5', '2'],
            ['noise', '-', '-', '-'],
        ]
        assert second[0] == [
            *('', 'All', 'on a patch', 'AF0.001', 'AF0.01', 'AF0.1', 'AF0.5', 'AP'),
        ]
        assert second[2] == [
            *('clean', '90.0/22.5', '3', '-/-', '-/-', '-/-', '0.050/0.025', '0.500'),
        ]
        assert second[3] == ['noise', '-', '-', *4 * ['-/-'], '-']
        assert intervals[2:] == [
            ['clean', '90.0', '22.5 [21.5, 24.5]', '2', '0.050', '0.025', '0.500']
        ]

    def test_without_the_paper(self, add):
        add('clean', 0.225)
        titles = [
            table.splitlines()[0] for table in experiment_tables(add.index(), add.store)
        ]
        assert titles == [
            '**delta 0.99**',
            '**calibrated delta; AF_beta (whole range/s >= 0) and AP of All**',
            '**All, delta 0.99: value [95 % interval by bootstrap over images]**',
        ]

    def test_nothing_is_run(self, add):
        add('clean')
        first, second, intervals = tables(add)
        assert first[2] == ['clean', '-', '-']
        assert second[2] == ['clean', '-', '-', *4 * ['-/-'], '-']
        assert len(intervals) == 2

    def test_nothing_detected(self, add):
        """Recall is zero, precision has no value."""
        add('patch', 0.0, precision=None)
        assert tables(add)[0][2] == ['patch', '-/0.0', '2']


class TestSeeds:
    @pytest.fixture
    def seeds(self, add):
        add('clean', 0.083)
        add('noise, seed 0', 0.01, 'noise', 0)
        add('noise, seed 1', 0.03, 'noise', 1, precision=None)
        add('noise, seed 2', None, 'noise', 2)
        return add

    def test_means(self, seeds):
        frame = merge_seeds(entry_frame(seeds.index(), seeds.store))
        assert list(frame.index) == ['clean', 'noise']
        assert list(frame['count']) == [1, 2]
        assert frame.loc['noise', 'all/recall@calibrated'] == pytest.approx(0.02)
        assert frame.loc['noise', 'all/precision@calibrated'] == 0.9
        assert frame.loc['noise', 'all/precision@calibrated has'] == 1

    def test_tables(self, seeds):
        """A star where not all seeds have a precision; mean and range below them."""
        first, _, intervals = tables(seeds)
        assert first[2:] == [['clean', '90.0/8.3', '2'], ['noise', '90.0*/2.0', '2']]
        assert [line[:3] for line in intervals[2:]] == [
            ['clean', '90.0', '8.3 [7.3, 10.3]'],
            ['noise, seed 0', '90.0', '1.0 [0.0, 3.0]'],
            ['noise, seed 1', '-', '3.0 [2.0, 5.0]'],
            [
                'noise, mean (lowest..highest)',
                '90.0 (90.0..90.0), 1 of 2 without',
                '2.0 (1.0..3.0)',
            ],
        ]
        title = experiment_tables(seeds.index(), seeds.store)[0].splitlines()[0]
        assert title == (
            '**delta 0.99; means over up to 2 seeds; * of the seeds that have one**'
        )


class TestMatrix:
    matrix = dict(
        patches=['clean', 'iou'], detectors=['sln', 'ssd'], number=None, label=None
    )

    @pytest.fixture
    def filled(self, add):
        add('clean on sln', 0.5)
        add('clean on ssd', 0.25)
        add('iou on sln, seed 0', 0.1, 'iou on sln', 0)
        add('iou on sln, seed 1', 0.2, 'iou on sln', 1)
        add('iou on ssd')
        return add

    def test_patches_by_detectors(self, filled):
        calibrated, other, intervals = tables(filled, matrix=self.matrix)
        assert calibrated == other
        assert calibrated[0] == ['', 'sln', 'ssd']
        assert calibrated[2:] == [
            ['clean', '90.0/50.0', '90.0/25.0'],
            ['iou', '90.0/15.0', '-'],
        ]
        assert len(intervals) == 2 + 5

    def test_one_number(self, filled):
        matrix = dict(self.matrix, number='all/AP', label='AP of All')
        (found,) = tables(filled, matrix=matrix)
        assert found[2:] == [['clean', '0.500', '0.500'], ['iou', '0.500', '-']]
        (table,) = experiment_tables(filled.index(matrix=matrix), filled.store)
        assert table.startswith('**AP of All; means over up to 2 seeds**')


def test_ranges_of_areas(add):
    """One line for each detector whose clean images were evaluated."""
    add('noise', 0.1)
    assert notes_on_areas(add.index(), add.store) == []
    add('clean', 0.225, condition='clean')
    add('clean on ssd', detector='ssd', condition='clean')
    first, lines = notes_on_areas(add.index(), add.store)
    assert 'not comparable' in first
    assert lines == (
        '- sln: AF_beta over s from -4 to 4 and over s >= 0; 25 % (beta 0.5) of the '
        'area of clean images lies at s >= 0; attacks that select S > 0.5 have no '
        'samples below.'
    )
    assert lines in experiment_markdown(add.index(), add.store)


def test_steps_without_samples(add):
    """Of entries with an attack, as a mean over their seeds."""
    runs = add.store.folders[0]
    add('clean', 0.5)
    for seed, empty in enumerate((1, 2)):
        digest = f'a{seed}' * 6
        write_record(
            runs / f'{digest}.json', attack(digest, steps=100, empty_steps=empty)
        )
        add(f'score, seed {seed}', 0.1, 'score', seed, attack=digest)
    first, *_ = tables(add)
    assert [line[-1] for line in first] == [
        'steps without samples',
        first[1][-1],
        '-',
        '1.5%',
    ]


def test_budget(add):
    runs = add.store.folders[0]
    for digest, steps in (('a' * 12, 870), ('b' * 12, 1740)):
        record = attack(digest, steps=steps, empty_steps=87, seconds=90.0, batch_size=4)
        write_record(runs / f'{digest}.json', record)
        add(digest, attack=digest)
        add(f'{digest} again', attack=digest)
    add('not run', attack='c' * 12)
    assert budget_of_attacks(add.index(), add.store) == [
        'Attacks: 2; steps 870 to 1,740 of 4 images, 5.0% to 10.0% without samples; '
        'minutes 1.5 each (cpu); seeds 3.'
    ]
    assert budget_of_attacks(add.index(entries=[]), add.store) == []


def test_document(add):
    add('clean', 0.225)
    text = experiment_markdown(add.index(), add.store)
    assert text.startswith(
        '# Table 1\n\nData: subset. Precision/recall in %.\n\n**delta'
    )
