"""Checks on evaluations that are made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from findings.checks import CHECKS
from findings.evidence import Evidence

from mmdet_facepatch.experiments import TableEntry

KEY = 'all/recall@calibrated'


class Made(Evidence):
    """Entries by name and seed, with given numbers; None for those not run."""

    def __init__(self, values, spread=0.01):
        self.values, self.spread = values, spread

    def entries(self, experiment, name):
        return [
            TableEntry(name=own, seed=seed, detector='sln', condition='attack')
            for own, seed in self.values
            if own == name
        ]

    def is_finished(self, entry):
        return self.values[entry.name, entry.seed] is not None

    def evaluation(self, entry):
        value = self.values[entry.name, entry.seed]
        drawn = value + self.spread * np.linspace(-1, 1, 101)
        return SimpleNamespace(
            numbers={KEY: value},
            replicates={KEY: drawn},
            img_ids=('x',),
            settings=SimpleNamespace(bootstrap=101, seed=0, confidence=0.95),
        )


def run(config, values):
    return CHECKS.build(dict(statement='s', experiment='e', **config)).run(Made(values))


def test_pairs_of_seeds():
    """Equal seeds are compared, and each with the only control."""
    values = {
        ('a', 0): 0.1,
        ('a', 1): 0.2,
        ('b', 0): 0.5,
        ('b', 1): 0.1,
        ('c', None): 1,
    }
    config = dict(
        type='PairedCheck', entries='a', references=['b', 'c'], expect='below'
    )
    results = run(config, values)
    assert [(r['seed'], r['reference']) for r in results] == [
        (0, 'b'),
        (1, 'b'),
        (0, 'c'),
        (1, 'c'),
    ]
    assert [r['verdict'] for r in results] == [
        'agrees',
        'does not agree',
        'agrees',
        'agrees',
    ]
    assert results[0]['difference'] == pytest.approx(-0.4)
    # The same images were drawn in both: nothing is left to vary.
    assert results[0]['low'] == pytest.approx(-0.4)
    assert results[0]['high'] == pytest.approx(-0.4)


def test_seeds_that_are_not_run():
    """They are not compared with another seed, and not forgotten."""
    values = {
        ('a', 0): 0.1,
        ('a', 1): 0.2,
        ('a', 2): None,
        ('b', 0): 0.5,
        ('b', 1): None,
        ('b', 2): None,
    }
    results = run(
        dict(type='PairedCheck', entries='a', references='b', expect='below'), values
    )
    assert [(r['seed'], r['verdict']) for r in results] == [
        (0, 'agrees'),
        (1, 'not measured'),
        (2, 'not measured'),
    ]
    only = {('a', 1): 0.1, ('b', 0): 0.5}
    (result,) = run(
        dict(type='PairedCheck', entries='a', references='b', expect='below'), only
    )
    assert result['verdict'] == 'not measured'
    order = run(
        dict(type='OrderCheck', entries=['a', 'b'], lowest='a', number=KEY), values
    )
    assert [(r['seed'], r['verdict']) for r in order] == [
        (0, 'agrees'),
        (1, 'not measured'),
        (2, 'not measured'),
    ]


def test_less_than_half():
    values = {('a', None): 0.4, ('b', None): 1.0, ('c', None): 0.7}
    config = dict(
        type='PairedCheck',
        entries='a',
        references=['b', 'c'],
        expect='below',
        factor=0.5,
    )
    assert [r['verdict'] for r in run(config, values)] == ['agrees', 'does not agree']


def test_not_run_and_no_number():
    values = {('a', None): float('nan'), ('b', None): 1.0}
    config = dict(
        type='PairedCheck', entries='a', references=['b', 'x'], expect='below'
    )
    assert [(r['verdict'], r['reason']) for r in run(config, values)] == [
        (
            'not measured',
            f'{KEY} of a has no value: nothing was detected, or no '
            'threshold reaches the precision',
        ),
        ('not measured', 'not run'),
    ]
    order = dict(type='OrderCheck', entries=['a', 'b'], lowest='b', number=KEY)
    assert [r['verdict'] for r in run(order, values)] == ['not measured']


def test_number_that_one_side_lacks():
    config = dict(
        type='PairedCheck', entries='a', references='a', expect='below', number='x'
    )
    (result,) = run(config, {('a', None): 1.0})
    assert result['verdict'] == 'not measured'
    assert result['reason'] == 'there is no x of a'


def test_another_bootstrap():
    class Other(Made):
        def evaluation(self, entry):
            found = super().evaluation(entry)
            found.settings.seed = dict(a=0, b=1)[entry.name]
            return found

    check = CHECKS.build(
        dict(
            type='PairedCheck',
            statement='s',
            experiment='e',
            entries='a',
            references='b',
            expect='below',
        )
    )
    with pytest.raises(ValueError, match='a and b: .* equal replicates, seed'):
        check.run(Other({('a', None): 0.1, ('b', None): 0.5}))


@pytest.mark.parametrize(
    ('lowest', 'verdict'),
    [('a', 'agrees'), ('b', 'does not agree'), ('c', 'does not agree')],
)
def test_order(lowest, verdict):
    values = {('a', 0): 0.1, ('b', 0): 0.2, ('c', 0): 0.3}
    (result,) = run(
        dict(type='OrderCheck', entries=['c', 'a', 'b'], lowest=lowest, number=KEY),
        values,
    )
    assert result['order'] == [['a', 0.1], ['b', 0.2], ['c', 0.3]]
    assert result['signs'] == ['<', '<']
    assert result['verdict'] == verdict


def test_of_equals_none_is_lowest():
    values = {('a', 0): 0.1, ('b', 0): 0.1, ('b', 7): 0.2}
    (result,) = run(
        dict(type='OrderCheck', entries=['a', 'b'], lowest='a', number=KEY), values
    )
    assert result['signs'] == ['~']
    assert result['verdict'] == 'does not agree'


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (
            dict(type='PairedCheck', entries='a', references='b', expect='x'),
            "expect is 'x'",
        ),
        (dict(type='OrderCheck', entries=['a', 'b'], lowest='c', number=KEY), "is 'c'"),
        (dict(type='SimilarityCheck', entries=['a']), 'two entries'),
        (dict(type='SimilarityCheck', entries=['a', 'b'], of='x'), "got 'x'"),
    ],
)
def test_misspelt(config, message):
    with pytest.raises(ValueError, match=message):
        run(config, {})
