"""The tables of an experiment, in the paper's layout, from its ``table.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..evaluation.ground_truth import OFFICIAL_SUBSETS
from .experiment_cells import matrix_cell

SUBSETS = (*OFFICIAL_SUBSETS, 'all')
AREAS = ('AF0.001', 'AF0.01', 'AF0.1', 'AF0.5')
# Number by head of a column of the table of intervals; shares are shown in %.
_UNCERTAIN = {
    'precision (%)': ('all/precision@calibrated', 100, '{:.1f}'),
    'recall (%)': ('all/recall@calibrated', 100, '{:.1f}'),
    'on a patch': ('all/on_patch@calibrated', 1, '{:.0f}'),
    'AF0.5': ('all/AF0.5', 1, '{:.3f}'),
    'AP': ('all/AP', 1, '{:.3f}'),
}

Row = Mapping[str, Any]
_NOT_THERE: Row = dict(numbers={}, partial=())


def experiment_markdown(content: Mapping[str, Any]) -> str:
    """The file ``table.md``.

    Args:
        content: Of ``table.json``, see
            :func:`~mmdet_facepatch.engine.experiment_report.write_experiment`.
    """
    return '\n\n'.join([
        f'# {content["title"]}', f'Data: {content["data"]}. Precision/recall in %.',
        *experiment_tables(content)])


def experiment_tables(content: Mapping[str, Any]) -> list[str]:
    """The tables in Markdown, each with its title; cells not run have dashes.

    Of cells with several seeds the first tables have the means, the last one each
    value with its bootstrap interval, then mean and range.

    Args:
        content: Of ``table.json``.
    """
    rows: list[Row] = content['cells']
    merged = merge_seeds(rows)
    tables = (_matrix_tables(content['matrix'], merged) if content.get('matrix')
              else _plain_tables(merged))
    return [*tables, _interval_table(rows)]


def merge_seeds(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows in which one stands for all seeds of a cell.

    Args:
        rows: Of ``table.json``.

    Returns:
        Rows with ``name``, ``paper``, ``numbers`` (the mean over the seeds that have
        the number), ``partial`` (the numbers that not all seeds have) and ``count``,
        the number of seeds that were run, 1 without.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.get('group') or row['name'], []).append(row)
    merged = []
    for name, members in groups.items():
        done = [row['numbers'] for row in members if row['numbers']]
        keys = dict.fromkeys(key for numbers in done for key in numbers)
        columns = {key: [numbers.get(key) for numbers in done] for key in keys}
        merged.append(dict(
            name=name, paper=members[0].get('paper') or {}, count=len(done),
            numbers={key: _mean(column) for key, column in columns.items()},
            partial={key for key, column in columns.items()
                     if 0 < column.count(None) < len(column)}))
    return merged


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # Not sum / len of one: it stays what it is.
    return None if not known else known[0] if len(known) == 1 else (
        sum(known) / len(known))


def _plain_tables(rows: Sequence[Row]) -> list[str]:
    subsets = [s for s in SUBSETS if any(f'{s}/AP' in r['numbers'] for r in rows)]
    subsets = subsets or ['all']
    parts = []
    if any(row['paper'] for row in rows):
        parts.append(markdown_table(
            'delta 0.99; the paper (WIDER FACE validation set, its own detectors) '
            'beside ours' + _seeds_remark(rows),
            [head for s in subsets for head in (f'{s.capitalize()}, paper',
                                                f'{s.capitalize()}, ours')],
            {row['name']: [value for s in subsets for value in (
                row['paper'].get(s, '-'), _pair(row, s, '0.99'))]
             for row in rows}))
    else:
        parts.append(markdown_table(
            'delta 0.99' + _seeds_remark(rows), [s.capitalize() for s in subsets],
            {row['name']: [_pair(row, s, '0.99') for s in subsets]
             for row in rows}))
    parts.append(markdown_table(
        'calibrated delta; AF_beta and AP of All' + _seeds_remark(rows),
        [*(s.capitalize() for s in subsets), 'on a patch', *AREAS, 'AP'],
        {row['name']: [
            *(_pair(row, s, 'calibrated') for s in subsets),
            number(row['numbers'].get('all/on_patch@calibrated'), '{:.0f}'),
            *(number(row['numbers'].get(f'all/{key}'), '{:.3f}')
              for key in (*AREAS, 'AP'))] for row in rows}))
    return parts


def _seeds_remark(rows: Sequence[Row]) -> str:
    most = max((row['count'] for row in rows), default=1)
    remark = f'; means over up to {most} seeds' if most > 1 else ''
    return remark + ('; * of the seeds that have one' if any(
        row['partial'] for row in rows) else '')


def _pair(row: Row, subset: str, delta: str) -> str:
    """Of a merged row; precision with a star if not all seeds have one."""
    found = pair(row['numbers'], subset, delta)
    starred = f'{subset}/precision@{delta}' in row['partial']
    return found.replace('/', '*/') if starred else found


def _matrix_tables(matrix: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Patches by detectors, at both deltas."""
    merged = {row['name']: row for row in rows}
    detectors = matrix['detectors']
    return [
        markdown_table(f'All, delta {delta}{_seeds_remark(rows)}', detectors, {
            patch: [
                _pair(merged.get(matrix_cell(patch, name), _NOT_THERE), 'all', delta)
                for name in detectors]
            for patch in matrix['patches']})
        for delta in ('calibrated', '0.99')]


def _interval_table(rows: Sequence[Row]) -> str:
    """Cells that were run with intervals; after the seeds of one, mean and range."""
    done = [row for row in rows if row['numbers']]
    lines: dict[str, list[str]] = {}
    for index, row in enumerate(done):
        lines[row['name']] = [_with_interval(row, *how) for how in _UNCERTAIN.values()]
        group = row.get('group')
        following = done[index + 1] if index + 1 < len(done) else {}
        members = [r for r in done if group and r.get('group') == group]
        if len(members) > 1 and following.get('group') != group:
            lines[f'{group}, mean (lowest..highest)'] = [
                _with_range(members, *how) for how in _UNCERTAIN.values()]
    return markdown_table(
        'All, calibrated delta: value [95 % interval by bootstrap over images]',
        list(_UNCERTAIN), lines)


def _with_interval(row: Row, key: str, factor: int, pattern: str) -> str:
    value = row['numbers'].get(key)
    ends = (row.get('intervals') or {}).get(key)
    if value is None or ends is None or ends[0] is None:
        return number(None if value is None else factor * value, pattern)
    low, high = (pattern.format(factor * end) for end in ends)
    return f'{pattern.format(factor * value)} [{low}, {high}]'


def _with_range(rows: Sequence[Row], key: str, factor: int, pattern: str) -> str:
    values = [row['numbers'].get(key) for row in rows]
    known = [factor * value for value in values if value is not None]
    if not known:
        return '-'
    mean, low, high = (pattern.format(value) for value in (
        sum(known) / len(known), min(known), max(known)))
    missing = len(values) - len(known)
    return f'{mean} ({low}..{high})' + (
        f', {missing} of {len(values)} without' if missing else '')


def markdown_table(title: str, heads: Sequence[str],
                   rows: Mapping[str, Sequence[str]]) -> str:
    """A table in Markdown below its title.

    Args:
        title: In bold above; '' for none.
        heads: Of the columns after the first.
        rows: Name -> cells, one for each head.
    """
    lines = [f'**{title}**', ''] if title else []
    lines += ['| | ' + ' | '.join(heads) + ' |', '|---|' + '---:|' * len(heads)]
    lines += ['| ' + ' | '.join([name, *cells]) + ' |' for name, cells in rows.items()]
    return '\n'.join(lines)


def pair(numbers: Mapping[str, float | None], subset: str, delta: str) -> str:
    """Precision/recall in % of a subset at a delta; dashes for what there is not."""
    if f'{subset}/recall@{delta}' not in numbers:
        return '-'
    values = [numbers[f'{subset}/{key}@{delta}'] for key in ('precision', 'recall')]
    return '/'.join(number(None if v is None else 100 * v, '{:.1f}') for v in values)


def number(value: float | None, pattern: str) -> str:
    """The number as the pattern has it, or a dash."""
    return '-' if value is None else pattern.format(value)
