"""Verdicts from differences and their intervals."""

from __future__ import annotations

import math

import pytest
from findings.verdicts import judge_difference, summarise
from hypothesis import given
from hypothesis import strategies as st

from mmdet_facepatch.evaluation.functional.bootstrap import Difference, Interval


def difference(low, high, value=None):
    return Difference((low + high) / 2 if value is None else value, Interval(low, high))


@pytest.mark.parametrize(
    ('low', 'high', 'expect', 'margin', 'verdict'),
    [
        (-0.3, -0.1, 'below', 0.0, 'agrees'),
        (-0.3, 0.1, 'below', 0.0, 'undecided (interval contains 0)'),
        (-0.1, 0.0, 'below', 0.0, 'undecided (interval contains 0)'),
        (0.0, 0.0, 'below', 0.0, 'does not agree'),
        (0.0, 0.3, 'below', 0.0, 'does not agree'),
        (0.0, 0.0, 'above', 0.0, 'does not agree'),
        (0.0, 0.0, 'not below', 0.0, 'agrees'),
        (0.0, 0.3, 'not below', 0.0, 'agrees'),
        (0.0, 0.3, 'not above', 0.0, 'undecided (interval contains 0)'),
        (0.1, 0.3, 'below', 0.0, 'does not agree'),
        (-0.3, -0.1, 'below', 0.2, 'undecided (interval contains -0.2)'),
        (-0.1, 0.3, 'below', 0.2, 'does not agree'),
        (0.1, 0.3, 'above', 0.0, 'agrees'),
        (0.1, 0.3, 'above', 0.2, 'undecided (interval contains 0.2)'),
        (-0.3, -0.1, 'above', 0.0, 'does not agree'),
        (-0.04, 0.1, 'not below', 0.05, 'agrees'),
        (-0.06, 0.1, 'not below', 0.05, 'undecided (interval contains -0.05)'),
        (-0.2, -0.1, 'not below', 0.05, 'does not agree'),
        (-0.2, 0.04, 'not above', 0.05, 'agrees'),
        (0.1, 0.2, 'not above', 0.05, 'does not agree'),
    ],
)
def test_judgement(low, high, expect, margin, verdict):
    assert judge_difference(difference(low, high), expect, margin) == verdict


@pytest.mark.parametrize('expect', ['below', 'above', 'not below', 'not above'])
def test_the_opposite_is_judged_the_opposite(expect):
    """Both are undecided, or one agrees where the other does not."""
    mirrored = dict(below='above', above='below')
    swapped = expect.replace(expect.split()[-1], mirrored[expect.split()[-1]])
    for low, high in ((-3, -2), (-1, 1), (2, 3)):
        one = judge_difference(difference(low, high), expect)
        assert one == judge_difference(difference(-high, -low), swapped)


@given(
    low=st.integers(-3, 3),
    length=st.integers(0, 3),
    margin=st.integers(0, 2),
    expect=st.sampled_from(['below', 'above']),
)
def test_a_claim_and_its_opposite_never_both_hold(low, length, margin, expect):
    # "Below by more than m" denies "not above -m", which has no margin of its own.
    found = difference(low, low + length)
    claim = judge_difference(found, expect, margin)
    if margin == 0:
        opposite = judge_difference(found, f'not {expect}')
        assert {claim, opposite} in (
            {'agrees', 'does not agree'},
            {'undecided (interval contains 0)'},
        )
    inside = [low, low + length]
    holds = [x < -margin if expect == 'below' else x > margin for x in inside]
    assert claim.startswith(
        'agrees' if all(holds) else 'undecided' if any(holds) else 'does not agree'
    )


def test_too_many_replicates_without_a_number():
    found = Difference(-0.2, Interval(-0.3, -0.1, undefined=30))
    assert judge_difference(found, 'below') == 'agrees'
    assert judge_difference(found, 'below', max_undefined=30) == 'agrees'
    assert judge_difference(found, 'below', max_undefined=29) == (
        'undecided (30 replicates without a number)'
    )


def test_no_number_is_too_few_detections():
    nan = math.nan
    assert judge_difference(difference(nan, nan, 0.1), 'below') == (
        'too few detections'
    )
    assert judge_difference(difference(0.1, 0.2, nan), 'below') == 'too few detections'


@pytest.mark.parametrize(('expect', 'margin'), [('lower', 0.0), ('below', -1.0)])
def test_unfit(expect, margin):
    with pytest.raises(ValueError, match=expect):
        judge_difference(difference(0, 1), expect, margin)


@pytest.mark.parametrize(
    ('verdicts', 'summary'),
    [
        (['undecided (interval contains 0)'], 'undecided (interval contains 0)'),
        (['agrees', 'agrees'], 'agrees'),
        (['agrees', 'not measured'], 'agrees (1 of 2 not measured)'),
        (
            ['agrees', 'undecided (interval contains 0)', 'does not agree'],
            'does not agree (1 of 3 checks agree)',
        ),
        (
            ['agrees', 'undecided (x)', 'not measured'],
            'undecided (1 of 2 checks agree, 1 of 3 not measured)',
        ),
        (['not measured', 'not measured'], 'not measured'),
        (['too few detections', 'too few detections'], 'too few detections'),
        (
            ['agrees', 'too few detections', 'agrees'],
            'agrees (1 of 3 too few detections)',
        ),
        (
            ['does not agree', 'too few detections', 'not measured'],
            'does not agree (0 of 1 checks agree, 1 of 3 too few detections, '
            '1 of 3 not measured)',
        ),
        (
            ['too few detections', 'not measured'],
            'too few detections (1 of 2 too few detections, 1 of 2 not measured)',
        ),
        (
            ['agrees', 'agrees (2 of 3 not measured)'],
            'agrees (1 of 2 measured in part)',
        ),
        (
            ['agrees', 'not measured', 'agrees (2 of 3 not measured)'],
            'agrees (1 of 3 not measured, 1 of 3 measured in part)',
        ),
    ],
)
def test_summary(verdicts, summary):
    assert summarise(verdicts) == summary
