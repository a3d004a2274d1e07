"""Verdicts on claims, from a number's difference and its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..evaluation.bootstrap import Difference, Interval

AGREES = 'agrees'
DISAGREES = 'does not agree'
UNDECIDED = 'undecided'
NOT_MEASURED = 'not measured'

#: What may be expected of a difference (cell minus reference).
EXPECTATIONS = ('below', 'above', 'not below', 'not above', 'equal')


def undecided(bound: float) -> str:
    """The verdict on an interval that both sides of a bound lie in."""
    return f'{UNDECIDED} (interval contains {bound:g})'


def judge_difference(difference: Difference, expect: str, margin: float = 0.0) -> str:
    """Judge a paired difference.

    Args:
        difference (Difference): Cell minus reference.
        expect (str): 'below' or 'above' the reference, by more than ``margin``;
            'not below' or 'not above' it, by more than ``margin``; 'equal' within
            ``margin``.
        margin (float): In the number's own units, from 0 on.

    Returns:
        str: 'agrees' if the whole interval is as expected, 'does not agree' if none
        of it is, 'undecided (interval contains BOUND)' between, and 'not measured'
        if there is no number, as for the precision of no detections.

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
    if expect == 'equal':
        return _judge_equal(interval, margin)
    # Without the sign of a zero, which would be shown.
    bound = (-margin or 0.0) if expect in ('below', 'not below') else margin
    if interval.low <= bound <= interval.high:
        return undecided(bound)
    is_above = interval.low > bound
    return AGREES if is_above == (expect in ('above', 'not below')) else DISAGREES


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
        do, and how many were not measured. 'not measured' if none was.
    """
    given = list(verdicts)
    if len(given) == 1:
        return given[0]
    every = [base(verdict) for verdict in given]
    measured = [verdict for verdict in every if verdict != NOT_MEASURED]
    if not measured:
        return NOT_MEASURED
    agreeing = measured.count(AGREES)
    worst = (DISAGREES if DISAGREES in measured else
             AGREES if agreeing == len(measured) else UNDECIDED)
    missing = len(every) - len(measured)
    parts = [] if agreeing == len(measured) else [
        f'{agreeing} of {len(measured)} {noun} agree']
    parts += [f'{missing} of {len(every)} not measured'] if missing else []
    return f'{worst} ({", ".join(parts)})' if parts else worst
