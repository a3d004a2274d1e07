"""Tables and files from metrics of several conditions.

A *condition* is one evaluation of the same detector on the same images: clean,
grey patch, noise patch, optimised patch. Its metrics are the flat dict of
:class:`~mmdet_facepatch.evaluation.widerface_metric.WiderFaceMetric`, with or
without the metric's prefix.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Version of the JSON written by :func:`save_report`; raised with every change
#: that a reader has to know of.
SCHEMA_VERSION = 1

Metrics = Mapping[str, float]
Conditions = Mapping[str, Metrics]

_SUBSET_ORDER = ('easy', 'medium', 'hard', 'all')
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
    prefix: str = 'face',
    deltas: Sequence[str] | None = None,
    caption: str | None = None,
) -> str:
    """Table for the terminal, in the paper's layout.

    One block for each delta with a row for each condition and a column for
    each subset, holding precision/recall in percent (``99.0/73.4``), and the
    number of detections on a patch where it was measured; then a block of AP.
    ``-`` stands where there is no number, as for the precision of no
    detections.

    Args:
        conditions (dict): Name of the condition -> its metrics, in the order
            of the rows.
        prefix (str): The metric's prefix, taken off the keys that have it.
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
    blocks = _build_blocks(conditions, prefix, deltas)
    # One set of widths, so that the blocks line up below each other.
    width = max(len(row[0]) for block in blocks for row in block.rows)
    width = max(width, len('condition'))
    lines = [caption] if caption else []
    for block in blocks:
        cells = [('condition', *block.heads), *block.rows]
        body = [
            '  '.join([row[0].ljust(width), *(c.rjust(11) for c in row[1:])])
            for row in cells
        ]
        rule = '-' * len(body[0])
        lines += ['', block.title, rule, body[0], rule, *body[1:]]
    return '\n'.join(lines).lstrip('\n')


def report_to_markdown(
    conditions: Conditions,
    prefix: str = 'face',
    deltas: Sequence[str] | None = None,
    caption: str | None = None,
) -> str:
    """The blocks of :func:`format_report` as Markdown tables.

    Args:
        conditions (dict): As in :func:`format_report`.
        prefix (str): As in :func:`format_report`.
        deltas (Sequence[str], optional): As in :func:`format_report`.
        caption (str, optional): A first paragraph.

    Returns:
        str: Markdown, without a newline at the end.
    """
    parts = [caption] if caption else []
    for block in _build_blocks(conditions, prefix, deltas):
        heads = ('condition', *block.heads)
        rows = [heads, ('---', *('---:' for _ in block.heads)), *block.rows]
        cells = [[cell.replace('|', '\\|') for cell in row] for row in rows]
        table = '\n'.join('| ' + ' | '.join(row) + ' |' for row in cells)
        parts.append(f'**{block.title}**\n\n{table}')
    return '\n\n'.join(parts)


def save_report(
    path: str | os.PathLike[str],
    conditions: Conditions,
    protocol: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write conditions and protocol as JSON, all or nothing.

    The file holds ``schema_version`` (int), ``protocol`` (what the numbers
    depend on: data subset, scales, score threshold, NMS, deltas, ...),
    ``conditions`` (name -> metric -> number, ``null`` for NaN, as JSON has no
    NaN) and what ``extra`` adds. It is written beside its place and then
    renamed, so an earlier file stays whole if anything fails.

    Args:
        path (str | Path): File to write; its folder must exist.
        conditions (dict): Name of the condition -> its metrics.
        protocol (dict): Parameters that belong to the numbers.
        extra (dict, optional): More top-level entries.

    Raises:
        ValueError: If ``extra`` names an entry that is taken, or a number is
            infinite.
        TypeError: If a value has no place in JSON.
    """
    content: dict[str, Any] = {
        'schema_version': SCHEMA_VERSION,
        'protocol': dict(protocol),
        'conditions': {name: dict(values) for name, values in conditions.items()},
    }
    taken = sorted(set(content) & set(extra or {}))
    if taken:
        raise ValueError(f'extra must not contain {taken}; save_report writes them')
    content.update(extra or {})
    text = json.dumps(_to_json(content), indent=2, allow_nan=False)
    _write_atomically(Path(path), text + '\n')


def load_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what :func:`save_report` wrote.

    Args:
        path (str | Path): The file.

    Returns:
        dict: Its content; metrics that are ``null`` are NaN again.

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
    content['conditions'] = {
        name: {key: math.nan if v is None else v for key, v in values.items()}
        for name, values in content['conditions'].items()
    }
    return content


def _build_blocks(
    conditions: Conditions, prefix: str, deltas: Sequence[str] | None
) -> list[_Block]:
    if not conditions:
        raise ValueError('there is no condition to report')
    table = {
        name: {key.removeprefix(f'{prefix}/'): v for key, v in metrics.items()}
        for name, metrics in conditions.items()
    }
    subsets, measured = _subsets_and_deltas(table)
    shown = measured if deltas is None else [str(delta) for delta in deltas]
    unknown = [delta for delta in shown if delta not in measured]
    if unknown:
        raise ValueError(f'delta {unknown} was not measured; there are {measured}')
    blocks = [_delta_block(table, subsets, delta) for delta in shown]
    blocks.append(_ap_block(table, subsets))
    return blocks


def _subsets_and_deltas(table: Conditions) -> tuple[list[str], list[str]]:
    """Subsets in the paper's order; deltas descending, then 'calibrated'."""
    subsets: set[str] = set()
    deltas: set[str] = set()
    for name, metrics in table.items():
        parts = [match for key in metrics if (match := _KEY.match(key))]
        found = {m['subset'] for m in parts if m['number'] in ('AP', 'recall')}
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


def _subset_head(name: str) -> str:
    return name.capitalize()


def _precision_recall_cell(metrics: Metrics, subset: str, delta: str) -> str:
    precision = metrics.get(f'{subset}/precision@{delta}')
    recall = metrics.get(f'{subset}/recall@{delta}')
    return f'{_percent(precision)}/{_percent(recall)}'


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value, '{:.1f}')


def _number(value: float | None, pattern: str) -> str:
    if value is None or math.isnan(value):
        return _ABSENT
    return pattern.format(value)


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


def _write_atomically(path: Path, text: str) -> None:
    # Not tempfile: its files are private to the user, and stay so when renamed.
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, 'w', encoding='utf-8') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
