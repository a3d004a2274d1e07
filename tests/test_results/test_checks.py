"""Checks on evaluations that are made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from mmdet.registry import TASK_UTILS

from mmdet_facepatch.results import Evidence

KEY = 'all/recall@calibrated'


class Made(Evidence):
    """Cells ``a, seed 0``, ``a, seed 1`` and ``b``, with given numbers."""

    def __init__(self, values, spread=0.01):
        self.values, self.spread = values, spread

    def rows(self, experiment, cell):
        return [dict(name=name, seed=seed, folder=name, attack_folder=name)
                for (name, seed) in self.values if name == cell]

    def evaluation(self, row):
        value = self.values[row['name'], row['seed']]
        drawn = value + self.spread * np.linspace(-1, 1, 101)
        return SimpleNamespace(
            numbers={KEY: value}, replicates={KEY: drawn}, img_ids=('x',),
            settings=SimpleNamespace(confidence=0.95))


def run(config, values):
    return TASK_UTILS.build(dict(statement='s', experiment='e', **config)).run(
        Made(values))


def test_pairs_of_seeds():
    """Equal seeds are compared, and each with the only control."""
    values = {('a', 0): 0.1, ('a', 1): 0.2, ('b', 0): 0.5, ('b', 1): 0.1,
              ('c', None): 1}
    config = dict(type='PairedCheck', cells='a', references=['b', 'c'], expect='below')
    results = run(config, values)
    assert [(r['seed'], r['reference']) for r in results] == [
        (0, 'b'), (1, 'b'), (0, 'c'), (1, 'c')]
    assert [r['verdict'] for r in results] == [
        'agrees', 'does not agree', 'agrees', 'agrees']
    assert results[0]['difference'] == pytest.approx(-0.4)
    # The same images were drawn in both: nothing is left to vary.
    assert results[0]['low'] == pytest.approx(-0.4)
    assert results[0]['high'] == pytest.approx(-0.4)


def test_less_than_half():
    values = {('a', None): 0.4, ('b', None): 1.0, ('c', None): 0.7}
    config = dict(type='PairedCheck', cells='a', references=['b', 'c'],
                  expect='below', factor=0.5)
    assert [r['verdict'] for r in run(config, values)] == ['agrees', 'does not agree']


def test_not_run_and_no_number():
    values = {('a', None): float('nan'), ('b', None): 1.0}
    config = dict(type='PairedCheck', cells='a', references=['b', 'x'], expect='below')
    assert [(r['verdict'], r['reason'][:7]) for r in run(config, values)] == [
        ('not measured', 'nothing'), ('not measured', 'not run')]


def test_number_without_replicates():
    config = dict(type='PairedCheck', cells='a', references='a', expect='below',
                  number='x')
    with pytest.raises(KeyError, match="a has no replicates of 'x'"):
        run(config, {('a', None): 1.0})


@pytest.mark.parametrize(('lowest', 'verdict'), [
    ('a', 'agrees'), ('b', 'does not agree'), ('c', 'does not agree')])
def test_order(lowest, verdict):
    values = {('a', 0): 0.1, ('b', 0): 0.2, ('c', 0): 0.3}
    result, = run(dict(type='OrderCheck', cells=['c', 'a', 'b'], lowest=lowest,
                       number=KEY), values)
    assert result['order'] == [['a', 0.1], ['b', 0.2], ['c', 0.3]]
    assert result['signs'] == ['<', '<']
    assert result['verdict'] == verdict


def test_order_of_equals_is_undecided():
    values = {('a', 0): 0.1, ('b', 0): 0.1, ('b', 7): 0.2}
    result, = run(dict(type='OrderCheck', cells=['a', 'b'], lowest='a', number=KEY),
                  values)
    assert result['signs'] == ['~']
    assert result['verdict'] == 'undecided (interval contains 0)'


@pytest.mark.parametrize(('config', 'message'), [
    (dict(type='PairedCheck', cells='a', references='b', expect='x'), "expect is 'x'"),
    (dict(type='OrderCheck', cells=['a', 'b'], lowest='c', number=KEY), "is 'c'"),
    (dict(type='SimilarityCheck', cells=['a']), 'two cells'),
    (dict(type='SimilarityCheck', cells=['a', 'b'], of='x'), "got 'x'"),
])
def test_misspelt(config, message):
    with pytest.raises(ValueError, match=message):
        run(config, {})
