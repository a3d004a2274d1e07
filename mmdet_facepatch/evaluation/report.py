"""Tables and files from evaluations of several conditions.

A *condition* is one evaluation of the same images: clean, grey patch, noise
patch, optimised patch; or one detector among several. The first condition is
the reference that the others are compared with.

The JSON of :func:`save_report` (``schema_version`` 2) holds:

- ``schema_version`` (int), ``package`` (version of mmdet_facepatch);
- ``protocol``: what the numbers depend on. ``settings`` has the fields of
  :class:`~mmdet_facepatch.evaluation.face_evaluation.EvaluationSettings`; the rest is
  what the caller knows (data set, scales, score threshold, NMS, patch, ...);
- ``conditions``: name -> ``data`` (images, detections, kind of confidence, ...),
  ``numbers`` (as listed at
  :func:`~mmdet_facepatch.evaluation.evaluate.evaluate_faces`) and ``intervals``
  (number -> ``low``, ``high``, ``undefined`` replicates);
- ``comparisons``: name of every further condition -> ``reference`` and
  ``differences`` (number -> ``value``, ``low``, ``high``, ``undefined``), by the
  paired bootstrap; absent where there are no replicates.

NaN, which JSON lacks, is ``null``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_atomically
from ..version import __version__
from .bootstrap import Interval
from .face_evaluation import ALL, FaceEvaluation, compare_evaluations
from .ground_truth import ATTRIBUTE_VALUES, OFFICIAL_SUBSETS

#: Version of the JSON written by :func:`save_report`; raised with every change
#: that a reader has to know of.
SCHEMA_VERSION = 2

Numbers = Mapping[str, float]
Conditions = Mapping[str, Numbers]
Intervals = Mapping[str, Mapping[str, Interval]]

_SUBSET_ORDER = (*OFFICIAL_SUBSETS, ALL)
_KEY = re.compile(r'^(?P<subset>[^/]+)/(?P<number>[^/@]+)(@(?P<delta>[^/]+))?$')
_ABSENT = '-'


@dataclass(frozen=True)
class _Block:
    """One table: a title, column heads, and a row of cells a condition."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def format_report(
    conditions: Conditions,
    intervals: Intervals | None = None,
    deltas: Sequence[str] | None = None,
    caption: str | None = None,
) -> str:
    """Table for the terminal, in the paper's layout.

    One block for each delta with a row for each condition and a column for
    each subset, holding precision/recall in percent (``99.0/73.4``), and the
    number of detections on a patch where it was measured. Then blocks of AP, of
    AF_beta, and, at the calibrated delta, of what the detections are, of
    precision/recall by face height, and of intervals. ``-`` stands where there
    is no number, as for the precision of no detections.

    Args:
        conditions (dict): Name of the condition -> its numbers, in the order
            of the rows.
        intervals (dict, optional): Name of the condition -> number -> interval.
        deltas (Sequence[str], optional): Deltas to show, as they stand in the
            keys ('0.99', 'calibrated'); all of them by default.
        caption (str, optional): A first line, such as the protocol's
            parameters.

    Returns:
        str: The table, without a newline at the end. With the four subsets and
        names of up to 30 characters it fits into 100 columns.

    Raises:
        ValueError: If there is no condition, one has no known key, or a delta
            was not measured.
    """
    blocks = _build_blocks(conditions, intervals or {}, deltas)
    # One set of widths, so that the blocks line up below each other.
    width = max(len(row[0]) for block in blocks for row in block.rows)
    width = max(width, len('condition'))
    lines = [caption] if caption else []
    for block in blocks:
        cells = [('condition', *block.heads), *block.rows]
        wide = max(11, *(len(cell) for row in cells for cell in row[1:]))
        body = [
            '  '.join([row[0].ljust(width), *(c.rjust(wide) for c in row[1:])])
            for row in cells
        ]
        rule = '-' * len(body[0])
        lines += ['', block.title, rule, body[0], rule, *body[1:]]
    return '\n'.join(lines).lstrip('\n')


def report_to_markdown(
    conditions: Conditions,
    intervals: Intervals | None = None,
    deltas: Sequence[str] | None = None,
    caption: str | None = None,
) -> str:
    """The blocks of :func:`format_report` as Markdown tables, and more.

    Recall by each of WIDER FACE's attributes is added where it is known.

    Args:
        conditions (dict): As in :func:`format_report`.
        intervals (dict, optional): As in :func:`format_report`.
        deltas (Sequence[str], optional): As in :func:`format_report`.
        caption (str, optional): A first paragraph.

    Returns:
        str: Markdown, without a newline at the end.
    """
    parts = [caption] if caption else []
    blocks = _build_blocks(conditions, intervals or {}, deltas)
    for block in [*blocks, *_attribute_blocks(conditions)]:
        heads = ('condition', *block.heads)
        rows = [heads, ('---', *('---:' for _ in block.heads)), *block.rows]
        cells = [[cell.replace('|', '\\|') for cell in row] for row in rows]
        table = '\n'.join('| ' + ' | '.join(row) + ' |' for row in cells)
        parts.append(f'**{block.title}**\n\n{table}')
    return '\n\n'.join(parts)


def save_report(
    path: str | os.PathLike[str],
    evaluations: Mapping[str, FaceEvaluation],
    protocol: Mapping[str, Any],
) -> None:
    """Write evaluations and protocol as JSON, all or nothing.

    The file is written beside its place and then renamed, so an earlier file
    stays whole if anything fails.

    Args:
        path (str | Path): File to write; its folder must exist.
        evaluations (dict): Name of the condition -> its evaluation, the
            reference first, all with the same settings.
        protocol (dict): What the numbers depend on besides the settings.

    Raises:
        ValueError: If there is no condition, ``protocol`` has ``settings``, or
            a number is infinite.
        TypeError: If a value has no place in JSON.
    """
    if not evaluations:
        raise ValueError('there is no condition to report')
    if 'settings' in protocol:
        raise ValueError("protocol must not have 'settings'; save_report writes them")
    first = next(iter(evaluations.values()))
    content = {
        'schema_version': SCHEMA_VERSION,
        'package': __version__,
        'protocol': {'settings': first.settings.to_dict(), **protocol},
        'conditions': {
            name: {
                'data': dict(evaluation.data),
                'numbers': dict(evaluation.numbers),
                'intervals': {k: asdict(v) for k, v in evaluation.intervals.items()},
            }
            for name, evaluation in evaluations.items()
        },
        'comparisons': _comparisons(evaluations),
    }
    text = json.dumps(_to_json(content), indent=2, allow_nan=False)
    write_atomically(path, (text + '\n').encode())


def load_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what :func:`save_report` wrote.

    Args:
        path (str | Path): The file.

    Returns:
        dict: Its content; numbers that are ``null`` are NaN again, and
        intervals are :class:`~mmdet_facepatch.evaluation.bootstrap.Interval`.

    Raises:
        ValueError: If it is not such a file, or of another schema version.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not a JSON file: {error}') from error
    version = content.get('schema_version') if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(
            f'{path}: schema_version is {version!r}, this version of the package '
            f'reads {SCHEMA_VERSION}'
        )
    for condition in content['conditions'].values():
        condition['numbers'] = _from_json(condition['numbers'])
        condition['intervals'] = {
            key: _to_interval(ends)
            for key, ends in condition['intervals'].items()
        }
    for comparison in content['comparisons'].values():
        comparison['differences'] = {
            key: _from_json(value) for key, value in comparison['differences'].items()
        }
    return content


def save_curves(
    path: str | os.PathLike[str], evaluations: Mapping[str, FaceEvaluation]
) -> None:
    """Write the curves of all conditions as one NPZ, all or nothing.

    Args:
        path (str | Path): File to write; its folder must exist.
        evaluations (dict): Name of the condition -> its evaluation. Curve
            ``all/F0.5`` of condition ``clean`` becomes ``clean/all/F0.5``; what
            there is stands at
            :func:`~mmdet_facepatch.evaluation.evaluate.evaluate_faces`.
    """
    arrays: dict[str, Any] = {
        f'{name}/{key}': np.asarray(values)
        for name, evaluation in evaluations.items()
        for key, values in evaluation.curves.items()
    }
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def _comparisons(evaluations: Mapping[str, FaceEvaluation]) -> dict[str, Any]:
    (reference, first), *others = evaluations.items()
    return {
        name: {
            'reference': reference,
            'differences': {
                key: {'value': difference.value, **asdict(difference.interval)}
                for key, difference in compare_evaluations(first, other).items()
            },
        }
        for name, other in others
        if first.replicates
    }


def _build_blocks(
    table: Conditions, intervals: Intervals, deltas: Sequence[str] | None
) -> list[_Block]:
    if not table:
        raise ValueError('there is no condition to report')
    subsets, measured = _subsets_and_deltas(table)
    shown = measured if deltas is None else [str(delta) for delta in deltas]
    unknown = [delta for delta in shown if delta not in measured]
    if unknown:
        raise ValueError(f'delta {unknown} was not measured; there are {measured}')
    delta = _main_delta(table, shown)
    blocks = [
        *(_delta_block(table, subsets, delta) for delta in shown),
        _ap_block(table, subsets),
        _af_block(table),
        _outcome_block(table, delta),
        _height_block(table, delta),
        _interval_block(table, intervals, delta),
    ]
    return [block for block in blocks if block.heads]


def _subsets_and_deltas(table: Conditions) -> tuple[list[str], list[str]]:
    """Subsets in the paper's order; deltas descending, then 'calibrated'."""
    subsets: set[str] = set()
    deltas: set[str] = set()
    for name, metrics in table.items():
        parts = [match for key in metrics if (match := _KEY.match(key))]
        found = {m['subset'] for m in parts if m['number'] == 'AP'}
        if not found:
            raise ValueError(
                f'condition {name!r} has no metric such as all/AP; its keys are '
                f'{sorted(metrics)[:8]}'
            )
        subsets |= found
        deltas |= {m['delta'] for m in parts if m['number'] == 'recall'}
    return _ordered(subsets, _SUBSET_ORDER), sorted(deltas, key=_delta_rank)


def _ordered(names: Iterable[str], order: Sequence[str]) -> list[str]:
    rank = {name: i for i, name in enumerate(order)}
    return sorted(names, key=lambda name: (rank.get(name, len(order)), name))


def _delta_rank(delta: str) -> tuple[int, float, str]:
    try:
        return 0, -float(delta), delta
    except ValueError:
        return 1, 0.0, delta


def _delta_block(table: Conditions, subsets: Sequence[str], delta: str) -> _Block:
    on_patch = f'all/on_patch@{delta}'
    attacked = any(on_patch in metrics for metrics in table.values())
    heads = [_subset_head(name) for name in subsets]
    rows = []
    for condition, metrics in table.items():
        cells = [_precision_recall_cell(metrics, name, delta) for name in subsets]
        if attacked:
            cells.append(_number(metrics.get(on_patch), '{:.0f}'))
        rows.append((condition, *cells))
    if attacked:
        heads.append('on patch')
    title = f'precision/recall (%) at delta {_delta_name(table, delta)}'
    return _Block(title, tuple(heads), tuple(rows))


def _delta_name(table: Conditions, delta: str) -> str:
    """The delta as the title says it, with the value(s) of the calibrated one."""
    if delta != 'calibrated':
        return delta
    values = [metrics.get('calibrated_delta', math.nan) for metrics in table.values()]
    texts = list(dict.fromkeys(_number(value, '{:.6g}') for value in values))
    if texts == [_ABSENT]:
        return 'calibrated (precision never reached)'
    return f'calibrated ({", ".join(texts)})'


def _ap_block(table: Conditions, subsets: Sequence[str]) -> _Block:
    rows = [
        (name, *(_number(metrics.get(f'{s}/AP'), '{:.4f}') for s in subsets))
        for name, metrics in table.items()
    ]
    heads = tuple(_subset_head(name) for name in subsets)
    return _Block('AP', heads, tuple(rows))


def _main_delta(table: Conditions, shown: Sequence[str]) -> str:
    """The delta of blocks that have one: calibrated, where it was found."""
    values = [metrics.get('calibrated_delta', math.nan) for metrics in table.values()]
    if 'calibrated' in shown and not all(math.isnan(value) for value in values):
        return 'calibrated'
    return shown[0]


def _af_block(table: Conditions) -> _Block:
    keys = _shared_keys(table, rf'{ALL}/AF.+')
    heads = tuple(f'beta {key.split("/AF")[1]}' for key in keys)
    return _rows_block(table, 'AF_beta, All', heads, keys, '{:.4f}'.format)


def _outcome_block(table: Conditions, delta: str) -> _Block:
    columns = {
        'true pos.': f'{ALL}/true_positives@{delta}',
        'duplicates': f'{ALL}/duplicates@{delta}',
        'on patch': f'{ALL}/on_patch@{delta}',
        'other false': f'{ALL}/other_false_positives@{delta}',
    }
    silent = f'silent_images@{delta}'
    known = {
        head: key
        for head, key in columns.items()
        if any(key in metrics for metrics in table.values())
    }
    title = f'detections, All, and images without any (silent) at delta {delta}'
    rows = [
        (
            name,
            *(_number(metrics.get(key), '{:.0f}') for key in known.values()),
            _percent(metrics.get(silent)),
        )
        for name, metrics in table.items()
    ]
    return _Block(title, (*known, 'silent (%)') if known else (), tuple(rows))


def _height_block(table: Conditions, delta: str) -> _Block:
    keys = _shared_keys(table, rf'height:[^/]+/recall@{re.escape(delta)}')
    bands = [key.split('/')[0] for key in keys]
    rows = [
        (name, *(_precision_recall_cell(metrics, band, delta) for band in bands))
        for name, metrics in table.items()
    ]
    title = f'precision/recall (%) by face height in pixels at delta {delta}'
    heads = tuple(band.removeprefix('height:') for band in bands)
    return _Block(title, heads, tuple(rows))


def _interval_block(table: Conditions, intervals: Intervals, delta: str) -> _Block:
    betas = _shared_keys(table, rf'{ALL}/AF.+')[-1:]
    columns: dict[str, tuple[str, Callable[[float], str]]] = {
        'precision (%)': (f'{ALL}/precision@{delta}', _percent),
        'recall (%)': (f'{ALL}/recall@{delta}', _percent),
        'AP': (f'{ALL}/AP', '{:.3f}'.format),
        **{key.split('/')[1]: (key, '{:.3f}'.format) for key in betas},
    }
    rows = [
        (
            name,
            *(
                _interval_cell(intervals.get(name, {}).get(key), write)
                for key, write in columns.values()
            ),
        )
        for name in table
    ]
    measured = any(intervals.get(name) for name in table)
    title = f'intervals by bootstrap over images, All, at delta {delta}'
    return _Block(title, tuple(columns) if measured else (), tuple(rows))


def _interval_cell(interval: Interval | None, write: Callable[[float], str]) -> str:
    if interval is None or math.isnan(interval.low):
        return _ABSENT
    return f'[{write(interval.low)}, {write(interval.high)}]'


def _attribute_blocks(table: Conditions) -> list[_Block]:
    _, measured = _subsets_and_deltas(table)
    delta = _main_delta(table, measured)
    blocks = []
    for attribute, values in ATTRIBUTE_VALUES.items():
        keys = [f'{attribute}:{value}/recall@{delta}' for value in values]
        if all(key in metrics for metrics in table.values() for key in keys):
            title = f'recall (%) by {attribute} at delta {delta}'
            blocks.append(_rows_block(table, title, values, keys, _percent))
    return blocks


def _shared_keys(table: Conditions, pattern: str) -> list[str]:
    """Keys of the first condition that fit and that all conditions have."""
    first, *others = table.values()
    fitting = re.compile(pattern)
    return [
        key
        for key in first
        if fitting.fullmatch(key) and all(key in metrics for metrics in others)
    ]


def _rows_block(
    table: Conditions,
    title: str,
    heads: Sequence[str],
    keys: Sequence[str],
    write: Callable[[float], str],
) -> _Block:
    rows = [
        (name, *(_written(metrics.get(key), write) for key in keys))
        for name, metrics in table.items()
    ]
    return _Block(title, tuple(heads), tuple(rows))


def _subset_head(name: str) -> str:
    return name.capitalize()


def _precision_recall_cell(metrics: Numbers, subset: str, delta: str) -> str:
    precision = metrics.get(f'{subset}/precision@{delta}')
    recall = metrics.get(f'{subset}/recall@{delta}')
    return f'{_percent(precision)}/{_percent(recall)}'


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value, '{:.1f}')


def _number(value: float | None, pattern: str) -> str:
    return _written(value, pattern.format)


def _written(value: float | None, write: Callable[[float], str]) -> str:
    return _ABSENT if value is None or math.isnan(value) else write(value)


def _to_json(value: Any) -> Any:
    """Plain JSON types, NaN as None; numpy numbers become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if hasattr(value, 'item') and getattr(value, 'ndim', None) == 0:
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _to_interval(ends: Mapping[str, Any]) -> Interval:
    limits = _from_json(ends)
    return Interval(limits['low'], limits['high'], ends['undefined'])


def _from_json(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {key: math.nan if v is None else v for key, v in numbers.items()}
