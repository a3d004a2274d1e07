"""Verdicts on claims, from a number's difference and its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mmdet_facepatch.evaluation.functional.bootstrap import Difference

AGREES = 'agrees'
DISAGREES = 'does not agree'
UNDECIDED = 'undecided'
TOO_FEW = 'too few detections'
NOT_MEASURED = 'not measured'
#: From what speaks most against a claim to what says least about it.
VERDICTS = (DISAGREES, UNDECIDED, AGREES, TOO_FEW, NOT_MEASURED)

#: What may be expected of a difference (entry minus reference).
EXPECTATIONS = ('below', 'above', 'not below', 'not above')

_OPPOSITES = {
    'below': 'not below',
    'not below': 'below',
    'above': 'not above',
    'not above': 'above',
}


def bound_of(expect: str, margin: float) -> float:
    """The difference that a claim is about.

    Raises:
        ValueError: If ``expect`` is unknown, or the margin negative.
    """
    if expect not in EXPECTATIONS:
        raise ValueError(f'expect is {expect!r}, but must be one of {EXPECTATIONS}')
    if margin < 0:
        raise ValueError(f'a margin of {margin} is unfit for {expect!r}')
    # Without the sign of a zero, which would be shown.
    return (-margin or 0.0) if expect in ('below', 'not below') else margin


def judge_difference(
    difference: Difference,
    expect: str,
    margin: float = 0.0,
    max_undefined: int | None = None,
) -> str:
    """Judge a paired difference.

    Args:
        difference (Difference): Entry minus reference.
        expect (str): 'below' or 'above' the reference, by more than ``margin``;
            'not below' or 'not above' it, by more than ``margin``.
        margin (float): In the number's own units, from 0 on.
        max_undefined (int): Replicates without a number, as the precision of no
            detections, that may be left out of the interval; with more, those might
            lie on either side. None allows any number.

    Returns:
        str: 'agrees' if the whole interval is as expected, 'does not agree' if none
        of it is, 'undecided (interval contains BOUND)' between, 'undecided (N
        replicates without a number)', and 'too few detections' if there is no number.

    Raises:
        ValueError: If ``expect`` is unknown, or the margin negative.
    """
    bound = bound_of(expect, margin)
    interval = difference.interval
    if math.isnan(difference.value) or math.isnan(interval.low):
        return TOO_FEW
    if max_undefined is not None and interval.undefined > max_undefined:
        return f'{UNDECIDED} ({interval.undefined} replicates without a number)'
    # At the bound a number is neither below nor above it.
    claims = {
        'below': interval.high < bound,
        'not below': interval.low >= bound,
        'above': interval.low > bound,
        'not above': interval.high <= bound,
    }
    if claims[expect]:
        return AGREES
    if claims[_OPPOSITES[expect]]:
        return DISAGREES
    return f'{UNDECIDED} (interval contains {bound:g})'


def base(verdict: str) -> str:
    """A verdict without what stands in its brackets."""
    return next(name for name in VERDICTS if verdict.startswith(name))


def summarise(verdicts: Iterable[str], noun: str = 'checks') -> str:
    """One verdict from several.

    Args:
        verdicts: At least one; a single one is returned as it is.
        noun: What they are verdicts on.

    Returns:
        'does not agree' if any does not; else 'undecided' if any is; else 'agrees' if
        any does; in brackets how many agree, and how many had too few detections or
        were not measured, which do not decide. If none decides, 'too few detections'
        or 'not measured'.
    """
    given = list(verdicts)
    if len(given) == 1:
        return given[0]
    every = [base(verdict) for verdict in given]
    worst = min(every, key=VERDICTS.index)
    deciding = [v for v in every if v not in (TOO_FEW, NOT_MEASURED)]
    agreeing = deciding.count(AGREES)
    parts = []
    if agreeing < len(deciding):
        parts.append(f'{agreeing} of {len(deciding)} {noun} agree')
    for name in (TOO_FEW, NOT_MEASURED):
        count = every.count(name)
        if count and (deciding or count < len(every)):
            parts.append(f'{count} of {len(every)} {name}')
    partly = sum(
        NOT_MEASURED in verdict and base(verdict) != NOT_MEASURED for verdict in given
    )
    parts += [f'{partly} of {len(every)} measured in part'] if partly else []
    return f'{worst} ({", ".join(parts)})' if parts else worst
