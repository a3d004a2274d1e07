"""Checks on evaluations that are made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from findings.checks import CHECKS, count_detections, deciding, format_number
from findings.evidence import Evidence

from mmdet_facepatch.experiments import TableEntry

RECALL, PRECISION = 'all/recall@0.99', 'all/precision@0.99'
ON_PATCH, OTHER = 'all/on_patch@0.99', 'all/other_false_positives@0.99'
MANY = {'all/true_positives@0.99': 100.0}


class Made(Evidence):
    """Entries by name and seed, with given numbers; None for those not run."""

    def __init__(self, values, clean=MANY, spread=0.01):
        self.values = values | {('clean', None): clean}
        self.spread = spread

    def entries(self, experiment, name, data=None):
        return [
            TableEntry(
                name=own,
                seed=seed,
                detector='sln',
                condition='clean' if own == 'clean' else 'attack',
                evaluation=f'{own} {seed}',
            )
            for own, seed in self.values
            if own == name
        ]

    def clean(self, experiment, detector):
        return self.entries(experiment, 'clean')[0]

    def numbers(self, entry):
        value = self.values[entry.name, entry.seed]
        numbers = {RECALL: value} if isinstance(value, float) else value
        return numbers and dict(numbers, num_images=10.0)

    def evaluation(self, entry):
        numbers = self.numbers(entry)
        wave = self.spread * np.linspace(-1, 1, 101)
        return SimpleNamespace(
            numbers=numbers,
            replicates={key: value + wave for key, value in numbers.items()},
            img_ids=('x',),
            settings=SimpleNamespace(bootstrap=101, seed=0, confidence=0.95),
        )


def run(values, evidence=Made, **config):
    config = dict(type='PairedCheck', statement='s', experiment='e') | config
    return CHECKS.build(config).run(evidence(values))


def below(values, *pairs, **config):
    return run(values, pairs=pairs, **dict(numbers=RECALL, expect='below') | config)


def verdicts(results):
    return [result.verdict for result in results]


def test_pairs_of_seeds():
    """Equal seeds are compared, and each with the only control."""
    values = {
        ('a', 0): 0.1,
        ('a', 1): 0.2,
        ('b', 0): 0.5,
        ('b', 1): 0.1,
        ('c', None): 1.0,
    }
    results = below(values, ('a', 'b'), ('a', 'c'))
    assert [(r.seed, r.runs) for r in results] == [
        (0, ['a 0', 'b 0']),
        (1, ['a 1', 'b 1']),
        (0, ['a 0', 'c None']),
        (1, ['a 1', 'c None']),
    ]
    assert verdicts(results) == ['agrees', 'does not agree', 'agrees', 'agrees']
    # The same images were drawn in both: nothing is left to vary.
    for key in ('difference', 'low', 'high'):
        assert results[0].numbers[key] == pytest.approx(-0.4)
    assert (
        results[0].text
        == 'a: 10.0 %; b: 50.0 %; difference -40.0 points [-40.0, -40.0]'
    )
    assert deciding(results) is results[1]


def test_what_speaks_most_against_a_claim():
    values = {('a', None): 0.4, ('b', None): 0.5, ('c', None): 0.9}
    results = below(values, ('a', 'c'), ('a', 'b'))
    assert deciding(results) is results[1]
    higher = below(values, ('c', 'a'), ('c', 'b'), expect='above')
    assert verdicts(higher) == ['agrees', 'agrees']
    assert deciding(higher) is higher[1]


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
    results = below(values, ('a', 'b'))
    assert [(r.seed, r.verdict) for r in results] == [
        (0, 'agrees'),
        (1, 'not measured'),
        (2, 'not measured'),
    ]
    (result,) = below({('a', 1): 0.1, ('b', 0): 0.5}, ('a', 'b'))
    assert (result.verdict, result.text) == ('not measured', 'a; b: not run')


def test_less_than_half():
    values = {('a', None): 0.4, ('b', None): 1.0, ('c', None): 0.7}
    results = below(values, ('a', 'b'), ('a', 'c'), factor=0.5)
    assert verdicts(results) == ['agrees', 'does not agree']
    assert 'difference to 0.5 x that -10.0 points [' in results[0].text


def test_number_that_one_side_lacks():
    (result,) = below({('a', None): 1.0}, ('a', 'a'), numbers='x')
    assert result.verdict == 'not measured'
    assert result.text == 'a; a: there is no x of a'


def test_several_numbers():
    """All pairs by all numbers: an order."""
    values = {
        ('a', None): {'all/AF0.1': 0.1, 'all/AF0.5': 0.3},
        ('b', None): {'all/AF0.1': 0.2, 'all/AF0.5': 0.2},
    }
    results = below(values, ('a', 'b'), numbers=['all/AF0.1', 'all/AF0.5'])
    assert verdicts(results) == ['agrees', 'does not agree']
    assert results[1].text == (
        'AF0.5: a: 0.300; b: 0.200; difference 0.100 [0.100, 0.100]'
    )


def test_per_image():
    """10 images: 0.4 more on each."""
    values = {('a', None): {OTHER: 5.0}, ('b', None): {OTHER: 1.0}}
    config = dict(numbers=OTHER, expect='not above', per_image=True)
    assert verdicts(below(values, ('a', 'b'), margin=0.41, **config)) == ['agrees']
    (result,) = below(values, ('a', 'b'), margin=0.39, **config)
    assert result.verdict == 'does not agree'
    assert result.text == 'a: 0.500; b: 0.100; difference 0.400 [0.400, 0.400]'


class TestTooFew:
    @pytest.mark.parametrize('count', [99.0, 100.0])
    def test_precision(self, count):
        """Both sides need enough detections; all outcomes count."""
        few = {PRECISION: 0.9, 'all/true_positives@0.99': count - 9, OTHER: 9.0}
        values = {('a', None): few, ('b', None): MANY | {PRECISION: 0.99}}
        config = dict(numbers=PRECISION, expect='not below', margin=0.02)
        results = below(values, ('a', 'b'), ('b', 'a'), min_detections=100, **config)
        assert verdicts(results) == (
            ['does not agree', 'agrees'] if count == 100 else 2 * ['too few detections']
        )
        assert verdicts(below(values, ('a', 'b'), **config)) == ['does not agree']

    @pytest.mark.parametrize('count', [99.0, 100.0])
    def test_detector(self, count):
        """Of a detector that is silent on clean images nothing can be said."""

        def evidence(values):
            return Made(values, clean={'all/true_positives@0.99': count})

        values = {('a', None): 0.1, ('b', None): 0.5}
        (result,) = below(values, ('a', 'b'), evidence=evidence)
        if count == 100:
            assert result.verdict == 'agrees'
        else:
            assert result.verdict == 'too few detections'
            assert result.text == 'a; b: sln has 99 detections on clean images'

    def test_nothing_can_be_below(self):
        """A reference of 0, or a margin that is as large."""
        values = {('a', None): 0.0, ('b', None): 0.0, ('c', None): 0.1}
        results = below(values, ('a', 'b'), ('a', 'c'))
        assert verdicts(results) == ['too few detections', 'agrees']
        (result,) = below(values, ('a', 'c'), margin=0.1)
        assert result.verdict == 'too few detections'

    def test_no_number(self):
        values = {('a', None): {PRECISION: float('nan')}, ('b', None): {PRECISION: 1.0}}
        (result,) = below(values, ('a', 'b'), numbers=PRECISION)
        assert result.verdict == 'too few detections'


class TestBound:
    values = {
        ('a', 0): {ON_PATCH: 5.0, 'num_patches': 3948.0},
        ('a', 1): {ON_PATCH: 6.0, 'num_patches': 3948.0},
        ('b', None): None,
        ('c', None): {ON_PATCH: None},
    }

    def run(self, entries, **config):
        return run(
            self.values, type='BoundCheck', entries=entries, number=ON_PATCH, **config
        )

    def test_at_most(self):
        results = self.run(['a', 'b', 'x'], at_most=5, of='num_patches')
        assert verdicts(results) == [
            'agrees',
            'does not agree',
            'not measured',
            'not measured',
        ]
        assert results[1].text == 'a: 6 of 3,948'
        assert deciding(results) is results[1]

    def test_at_least(self):
        results = self.run(['a'], at_least=6)
        assert verdicts(results) == ['does not agree', 'agrees']
        assert deciding(results).text == 'a: 5'

    def test_no_number(self):
        assert verdicts(self.run(['c'], at_most=5)) == ['too few detections']

    @pytest.mark.parametrize('bounds', [{}, dict(at_most=1, at_least=0)])
    def test_one_bound(self, bounds):
        with pytest.raises(ValueError, match=r"'s' needs at_most or at_least"):
            self.run(['a'], **bounds)


def test_another_bootstrap():
    class Other(Made):
        def evaluation(self, entry):
            found = super().evaluation(entry)
            found.settings.seed = dict(a=0, b=1)[entry.name]
            return found

    with pytest.raises(ValueError, match='a and b: .* equal replicates, seed'):
        below({('a', None): 0.1, ('b', None): 0.5}, ('a', 'b'), evidence=Other)


@pytest.mark.parametrize('config', [dict(expect='x'), dict(margin=-1.0)])
def test_misspelt(config):
    with pytest.raises(ValueError, match=r"PairedCheck 's': .*(is 'x'|of -1.0)"):
        below({}, ('a', 'b'), **config)


def test_counts_of_one_delta():
    numbers = {
        'all/true_positives@0.99': 3.0,
        'all/duplicates@0.99': 2.0,
        OTHER: 4.0,
        ON_PATCH: None,
        'all/true_positives@0.5': 50.0,
        'easy/true_positives@0.99': 70.0,
    }
    assert count_detections(numbers, PRECISION) == 9


def test_formats():
    assert format_number(RECALL, 0.0123) == '1.2 %'
    assert format_number(ON_PATCH, 12.0) == '12'
    assert format_number(OTHER, 0.05, per_image=True) == '0.050'
    assert format_number('likeness/grey', 0.5) == '0.500'
