"""Which classes are the target: attacked, patched and judged."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

#: Name or index of a class, or several of them.
Classes: TypeAlias = str | int | Sequence[str | int]
#: Classes that data and detector share; ``dict(data=..., detector=...)`` where they
#: have other names for them; or None, where neither has a choice.
Target: TypeAlias = Classes | Mapping[str, Classes] | None

_SIDES = ('data', 'detector')
# Of more classes an error names the first.
_MOST_NAMES = 8


@dataclass(frozen=True)
class TargetLabels:
    """Labels of the target classes.

    Attributes:
        data (tuple[int, ...]): Among the classes of the data set.
        detector (tuple[int, ...]): Among those of the detector.
    """

    data: tuple[int, ...] = (0,)
    detector: tuple[int, ...] = (0,)


def split_target(target: Target) -> tuple[Target, Target]:
    """The target among the classes of the data and among those of the detector.

    Args:
        target (Target): As a config has it.

    Returns:
        tuple[Target, Target]: Of the data and of the detector, neither a mapping.

    Raises:
        ValueError: If it is a mapping with other keys, or empty.
    """
    if not isinstance(target, Mapping):
        _as_tuple(target)
        return target, target
    if set(target) != set(_SIDES):
        raise ValueError(
            f'target: a dict has the keys data and detector, got {sorted(target)}'
        )
    for side in _SIDES:
        _as_tuple(target[side])
    return target['data'], target['detector']


def _as_tuple(classes: Target) -> tuple[str | int, ...] | None:
    """Names and indices of one side."""
    if classes is None:
        return None
    found = (classes,) if isinstance(classes, (str, int)) else tuple(classes)
    if not found or not all(isinstance(one, (str, int)) for one in found):
        raise ValueError(
            f"target is {classes!r}, but must be a class as 'face', or a list of them"
        )
    return found


def class_labels(
    target: Target, classes: Sequence[str] | None, count: int | None, owner: str
) -> tuple[int, ...]:
    """Labels of the target among the classes of a data set or detector.

    Args:
        target (Target): Of this side, see :func:`split_target`.
        classes (Sequence[str], optional): Names of all classes, if they are known.
        count (int, optional): How many there are; None where nobody knows.
        owner (str): Whose classes these are, for the error.

    Returns:
        tuple[int, ...]: In ascending order.

    Raises:
        ValueError: If a class is not among them, or none is named and there are
            several.
    """
    wanted = _as_tuple(target)
    if count is None and classes is not None:
        count = len(classes)
    if classes is not None and len(classes) != count:
        # As those of COCO, which a config inherits and its head has not.
        classes = None
    if wanted is None:
        if count is not None and count > 1:
            raise ValueError(
                f'{owner} has {_listed(classes, count)}: say which of them is attacked '
                "and judged, as target='face'"
            )
        return (0,)
    labels = {_label(one, classes, count, owner) for one in wanted}
    return tuple(sorted(labels))


def _label(
    one: str | int, classes: Sequence[str] | None, count: int | None, owner: str
) -> int:
    if isinstance(one, int):
        if one < 0 or (count is not None and one >= count):
            raise ValueError(
                f'target {one}: {owner} has {_listed(classes, count)}, counted from 0'
            )
        return one
    if classes is None:
        if count in (None, 1):
            return 0
        raise ValueError(
            f'target {one!r}: the names of the {count} classes of {owner} are not '
            'known; give the index, as target=dict(data=NAME, detector=INDEX)'
        )
    if one in classes:
        return list(classes).index(one)
    by_case = {name.lower(): name for name in classes}
    close = difflib.get_close_matches(one.lower(), by_case, n=1)
    hint = f'; did you mean {by_case[close[0]]!r}?' if close else '.'
    raise ValueError(
        f'target {one!r}: {owner} has {_listed(classes, count)}{hint} Where data and '
        'detector have other names: target=dict(data=NAME, detector=NAME)'
    )


def _listed(classes: Sequence[str] | None, count: int | None) -> str:
    """Number and names of classes, of many the first."""
    if classes is None:
        return f'{count} classes'
    names = ', '.join(map(repr, classes[:_MOST_NAMES]))
    more = ', ...' if len(classes) > _MOST_NAMES else ''
    plural = 'class' if len(classes) == 1 else 'classes'
    return f'{len(classes)} {plural} ({names}{more})'


def check_same(
    data: Sequence[str] | None, detector: Sequence[str] | None, owner: str
) -> None:
    """See that the only classes of data and detector are the same.

    Args:
        data (Sequence[str], optional): Classes of the data.
        detector (Sequence[str], optional): Classes of the detector.
        owner (str): The detector, for the error.

    Raises:
        ValueError: If they have other names.
    """
    if data and detector and data[0] != detector[0]:
        raise ValueError(
            f'the class of the data is {data[0]!r}, that of {owner} {detector[0]!r}: '
            f'if they are the same, set target=dict(data={data[0]!r}, '
            f'detector={detector[0]!r})'
        )
