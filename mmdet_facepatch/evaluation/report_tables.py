"""Tables of the numbers of several conditions, for the terminal and in Markdown."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..utils.tables import markdown_table, text_table
from .functional.bootstrap import Interval
from .functional.f_beta import CONFIDENT, confident_share
from .functional.face_evaluation import ALL
from .functional.faces import ATTRIBUTE_VALUES, OFFICIAL_SUBSETS

Conditions = Mapping[str, Mapping[str, float]]
Intervals = Mapping[str, Mapping[str, Interval]]

_BAND = re.compile(r'height:([^/]+)/recall@(.+)').fullmatch
_ABSENT = '-'
_WIDTH = 88  # of a note, in characters


def format_report(
    conditions: Conditions,
    intervals: Intervals | None = None,
    deltas: Sequence[str] | None = None,
    caption: str | None = None,
) -> str:
    """Tables for the terminal, in the paper's layout.

    For each delta a table with a row for each condition and a column for each subset,
    holding precision/recall in percent (``99.0/73.4``), and the number of detections
    on a patch where it was measured. Then tables of AP, of AF_beta over the whole range
    and over s >= 0, and, at the calibrated delta, of what the detections are, of
    precision/recall by face height, and of intervals. ``-`` stands where there is no
    number, as for the precision of no detections. With names of up to 30 characters
    they fit into 100 columns.

    Args:
        conditions (dict): Name of the condition -> its numbers, in the order of the
            rows.
        intervals (dict, optional): Name of the condition -> number -> interval.
            Defaults to None.
        deltas (Sequence[str], optional): Deltas to show, as they stand in the keys
            ('0.99', 'calibrated'); all of them by default.
        caption (str, optional): A first line, such as the protocol's parameters.
            Defaults to None.

    Raises:
        ValueError: If there is no condition, one has no known key, or a delta
            was not measured.
    """
    tables = _tables(conditions, intervals or {}, deltas)
    wrap = partial(textwrap.fill, width=_WIDTH)
    return _joined(caption, tables, text_table, wrap)


def report_to_markdown(
    conditions: Conditions,
    intervals: Intervals | None = None,
    deltas: Sequence[str] | None = None,
    caption: str | None = None,
) -> str:
    """The tables of :func:`format_report` in Markdown, and recall by attribute."""
    tables = _tables(conditions, intervals or {}, deltas, attributes=True)
    return _joined(caption, tables, markdown_table, str)


def describe_areas(name: str, numbers: Mapping[str, float | None]) -> str:
    """Over which s AF_beta is averaged, and what share of an area lies at s >= 0.

    Args:
        name (str): Of the clean images, or of the condition whose area is shared out.
        numbers (dict): Its numbers; None is NaN.
    """
    known = {key: math.nan if v is None else v for key, v in numbers.items()}
    low, high = (known.get(f'margin_{end}', math.nan) for end in ('low', 'high'))
    if math.isnan(low):
        return 'AF_beta has no range, as nothing was detected on clean images.'
    shares = [
        (key.rpartition('AF')[2], known[key], known.get(key + CONFIDENT, math.nan))
        for key in _area_keys(known)
    ]
    texts = [
        f'{_written(100 * confident_share(whole, confident, low, high), "{:.0f}")} % '
        f'(beta {beta})'
        for beta, whole, confident in shares
    ]
    return (
        f'AF_beta over s from {low:.4g} to {high:.4g} and over s >= 0; '
        f'{", ".join(texts)} of the area of {name} lies at s >= 0; attacks that select '
        'S > 0.5 have no samples below.'
    )


@dataclass(frozen=True)
class _Table:
    """Written cells below their heads, with a note below them."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ''


@dataclass(frozen=True)
class _Column:
    """Numbers of a condition in one cell, split by slashes; as percent by default."""

    head: str
    keys: tuple[str, ...]
    pattern: str = '{:.1f}'
    factor: float = 100

    def cell(self, numbers: Mapping[str, float]) -> str:
        values = (self.factor * numbers.get(key, math.nan) for key in self.keys)
        return '/'.join(_written(value, self.pattern) for value in values)

    def interval(self, intervals: Mapping[str, Interval]) -> str:
        found = intervals.get(self.keys[0])
        if found is None or math.isnan(found.low):
            return _ABSENT
        ends = (self.factor * end for end in (found.low, found.high))
        return f'[{", ".join(map(self.pattern.format, ends))}]'


def _written(value: float, pattern: str) -> str:
    return _ABSENT if math.isnan(value) else pattern.format(value)


def _count(head: str, key: str) -> _Column:
    return _Column(head, (key,), '{:.0f}', 1)


def _precision_recall(head: str, part: str, delta: str) -> _Column:
    return _Column(head, (f'{part}/precision@{delta}', f'{part}/recall@{delta}'))


def _tables(
    conditions: Conditions,
    intervals: Intervals,
    deltas: Sequence[str] | None,
    attributes: bool = False,
) -> list[_Table]:
    """All tables; columns of which no condition has a number are left out."""
    keys = list(dict.fromkeys(key for n in conditions.values() for key in n))
    subsets = _subsets(conditions)
    shown = _deltas(keys, deltas)
    calibrated = [n.get('calibrated_delta', math.nan) for n in conditions.values()]
    found = 'calibrated' in shown and not all(map(math.isnan, calibrated))
    # Tables of one delta have that one.
    delta = 'calibrated' if found else shown[0]
    at = f'at delta {delta}'
    areas = [
        _Column(f'beta {key.rpartition("AF")[2]}', (key, key + CONFIDENT), '{:.4f}', 1)
        for key in _area_keys(keys)
    ]
    bands = [m[1] for key in keys if (m := _BAND(key)) and m[2] == delta]

    columns: dict[str, list[_Column]] = {}
    for d in shown:
        title = f'precision/recall (%) at delta {_delta_name(d, calibrated)}'
        columns[title] = [_precision_recall(s.capitalize(), s, d) for s in subsets]
        columns[title].append(_count('on patch', f'{ALL}/on_patch@{d}'))
    columns['AP'] = [
        _Column(s.capitalize(), (f'{s}/AP',), '{:.4f}', 1) for s in subsets
    ]
    title = f'AF_beta, All, over s from {_ranges(conditions)}/over s >= 0'
    columns[title] = areas
    notes = {title: describe_areas(*next(iter(conditions.items())))}
    columns[f'detections, All, and images without any (silent) {at}'] = [
        _count('true pos.', f'{ALL}/true_positives@{delta}'),
        _count('duplicates', f'{ALL}/duplicates@{delta}'),
        _count('on patch', f'{ALL}/on_patch@{delta}'),
        _count('other false', f'{ALL}/other_false_positives@{delta}'),
        _Column('silent (%)', (f'silent_images@{delta}',)),
    ]
    columns[f'precision/recall (%) by face height in pixels {at}'] = [
        _precision_recall(band, f'height:{band}', delta) for band in bands
    ]
    tables = [
        replace(_table(title, conditions, c), note=notes.get(title, ''))
        for title, c in columns.items()
    ]
    if any(intervals.get(name) for name in conditions):
        title = 'intervals by bootstrap over images, All'
        at_delta = [
            _Column('precision (%)', (f'{ALL}/precision@{delta}',)),
            _Column('recall (%)', (f'{ALL}/recall@{delta}',)),
        ]
        areas = [_Column('AP', (f'{ALL}/AP',), '{:.3f}', 1)] + [
            _Column(key.rpartition('/')[2], (key,), '{:.3f}', 1)
            for column in areas[-1:]
            for key in column.keys
        ]
        tables += [
            _interval_table(f'{title}, {at}', conditions, intervals, at_delta),
            _interval_table(title, conditions, intervals, areas),
        ]
    if attributes:
        tables += [
            _table(
                f'recall (%) by {attribute} {at}',
                conditions,
                [_Column(v, (f'{attribute}:{v}/recall@{delta}',)) for v in values],
            )
            for attribute, values in ATTRIBUTE_VALUES.items()
        ]
    return [table for table in tables if len(table.heads) > 1]


def _table(title: str, conditions: Conditions, columns: Sequence[_Column]) -> _Table:
    known = [
        column
        for column in columns
        if any(key in n for n in conditions.values() for key in column.keys)
    ]
    rows = [
        [name, *(column.cell(numbers) for column in known)]
        for name, numbers in conditions.items()
    ]
    return _Table(title, ['condition', *(column.head for column in known)], rows)


def _interval_table(
    title: str,
    conditions: Conditions,
    intervals: Intervals,
    columns: Sequence[_Column],
) -> _Table:
    rows = [
        [name, *(column.interval(intervals.get(name, {})) for column in columns)]
        for name in conditions
    ]
    return _Table(title, ['condition', *(column.head for column in columns)], rows)


def _area_keys(keys: Iterable[str]) -> list[str]:
    """Of AF_beta of all faces over the whole range, for each beta."""
    return [k for k in keys if k.startswith(f'{ALL}/AF') and not k.endswith(CONFIDENT)]


def _ranges(conditions: Conditions) -> str:
    """Ends of the range of AF_beta; several where conditions differ."""
    ends = [
        [
            _written(n.get(f'margin_{end}', math.nan), '{:.4g}')
            for end in ('low', 'high')
        ]
        for n in conditions.values()
    ]
    return ', '.join(dict.fromkeys(' to '.join(pair) for pair in ends))


def _joined(
    caption: str | None,
    tables: Sequence[_Table],
    write: Callable[..., str],
    write_note: Callable[[str], str],
) -> str:
    blocks = [caption or '']
    for table in tables:
        written = write(table.heads, table.rows, table.title)
        blocks += [written, write_note(table.note)]
    return '\n\n'.join(filter(None, blocks))


def _subsets(conditions: Conditions) -> list[str]:
    """The measured subsets, in the paper's order."""
    if not conditions:
        raise ValueError('there is no condition to report')
    measured: set[str] = set()
    for name, numbers in conditions.items():
        found = {key.removesuffix('/AP') for key in numbers if key.endswith('/AP')}
        if not found:
            raise ValueError(
                f'condition {name!r} has no metric such as all/AP; its keys are '
                f'{sorted(numbers)[:8]}'
            )
        measured |= found
    return [name for name in (*OFFICIAL_SUBSETS, ALL) if name in measured]


def _deltas(keys: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The wanted deltas, by default all: descending, then 'calibrated'."""
    head = f'{ALL}/recall@'
    measured = [key.removeprefix(head) for key in keys if key.startswith(head)]
    measured.sort(key=lambda d: -1 if d == 'calibrated' else float(d), reverse=True)
    shown = measured if wanted is None else [str(delta) for delta in wanted]
    if unknown := [delta for delta in shown if delta not in measured]:
        raise ValueError(f'delta {unknown} was not measured; there are {measured}')
    return shown


def _delta_name(delta: str, calibrated: Sequence[float]) -> str:
    """The delta as a title says it, with the value(s) of the calibrated one."""
    if delta != 'calibrated':
        return delta
    texts = list(dict.fromkeys(_written(value, '{:.6g}') for value in calibrated))
    if texts == [_ABSENT]:
        return 'calibrated (precision never reached)'
    return f'calibrated ({", ".join(texts)})'
