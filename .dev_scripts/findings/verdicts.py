"""Verdicts on claims, from a number's difference and its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mmdet_facepatch.evaluation.functional.bootstrap import Difference, Interval

AGREES = 'agrees'
DISAGREES = 'does not agree'
UNDECIDED = 'undecided'
NOT_MEASURED = 'not measured'

#: What may be expected of a difference (entry minus reference).
EXPECTATIONS = ('below', 'above', 'not below', 'not above', 'equal')

_OPPOSITES = {
    'below': 'not below',
    'not below': 'below',
    'above': 'not above',
    'not above': 'above',
}


def undecided(bound: float) -> str:
    """The verdict on an interval that both sides of a bound lie in."""
    return f'{UNDECIDED} (interval contains {bound:g})'


def judge_difference(
    difference: Difference,
    expect: str,
    margin: float = 0.0,
    max_undefined: int | None = None,
) -> str:
    """Judge a paired difference.

    Args:
        difference (Difference): Cell minus reference.
        expect (str): 'below' or 'above' the reference, by more than ``margin``;
            'not below' or 'not above' it, by more than ``margin``; 'equal' within
            ``margin``.
        margin (float): In the number's own units, from 0 on.
        max_undefined (int): Replicates without a number, as the precision of no
            detections, that may be left out of the interval; with more, those might
            lie on either side. None allows any number.

    Returns:
        str: 'agrees' if the whole interval is as expected, 'does not agree' if none
        of it is, 'undecided (interval contains BOUND)' between, 'undecided (N
        replicates without a number)', and 'not measured' if there is no number, as
        for the precision of no detections.

    Raises:
        ValueError: If ``expect`` is unknown, or the margin unfit for it.
    """
    if expect not in EXPECTATIONS:
        raise ValueError(f'expect is {expect!r}, but must be one of {EXPECTATIONS}')
    if margin < 0 or (expect == 'equal' and margin == 0):
        raise ValueError(f'a margin of {margin} is unfit for {expect!r}')
    interval = difference.interval
    if math.isnan(difference.value) or math.isnan(interval.low):
        return NOT_MEASURED
    if max_undefined is not None and interval.undefined > max_undefined:
        return f'{UNDECIDED} ({interval.undefined} replicates without a number)'
    if expect == 'equal':
        return _judge_equal(interval, margin)
    # Without the sign of a zero, which would be shown.
    bound = (-margin or 0.0) if expect in ('below', 'not below') else margin
    # At the bound a number is neither below nor above it.
    claims = {
        'below': interval.high < bound,
        'not below': interval.low >= bound,
        'above': interval.low > bound,
        'not above': interval.high <= bound,
    }
    if claims[expect]:
        return AGREES
    return DISAGREES if claims[_OPPOSITES[expect]] else undecided(bound)


def _judge_equal(interval: Interval, margin: float) -> str:
    if -margin <= interval.low and interval.high <= margin:
        return AGREES
    if interval.low > margin or interval.high < -margin:
        return DISAGREES
    return undecided(margin if interval.high > margin else -margin)


def base(verdict: str) -> str:
    """A verdict without what stands in its brackets."""
    known = (AGREES, DISAGREES, UNDECIDED, NOT_MEASURED)
    return next(name for name in known if verdict.startswith(name))


def summarise(verdicts: Iterable[str], noun: str = 'checks') -> str:
    """One verdict from several.

    Args:
        verdicts: At least one; a single one is returned as it is.
        noun: What they are verdicts on.

    Returns:
        'does not agree' if any does not; else 'undecided' if any is; else 'agrees';
        with how many agree, as in 'undecided (3 of 4 checks agree)', where not all
        do, and how many were not measured, or in part only. 'not measured' if none
        was.
    """
    given = list(verdicts)
    if len(given) == 1:
        return given[0]
    every = [base(verdict) for verdict in given]
    measured = [verdict for verdict in every if verdict != NOT_MEASURED]
    if not measured:
        return NOT_MEASURED
    agreeing = measured.count(AGREES)
    worst = (
        DISAGREES
        if DISAGREES in measured
        else AGREES
        if agreeing == len(measured)
        else UNDECIDED
    )
    missing = len(every) - len(measured)
    parts = (
        []
        if agreeing == len(measured)
        else [f'{agreeing} of {len(measured)} {noun} agree']
    )
    parts += [f'{missing} of {len(every)} not measured'] if missing else []
    partly = sum(
        NOT_MEASURED in verdict and base(verdict) != NOT_MEASURED for verdict in given
    )
    parts += [f'{partly} of {len(every)} measured in part'] if partly else []
    return f'{worst} ({", ".join(parts)})' if parts else worst
