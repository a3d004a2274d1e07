"""The tables of an experiment, in the paper's layout, from its index and the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..evaluation import describe_areas
from ..utils.tables import markdown_table
from .finish import AREAS, SUBSETS
from .records import ExperimentIndex
from .spec import matrix_entry
from .store import RunStore

if TYPE_CHECKING:
    # Imported where it is used: it takes as long as the rest of the package.
    import pandas as pd

# Number by head of a column of the table of intervals; shares are shown in %.
_UNCERTAIN = {
    'precision (%)': ('all/precision@0.99', 100, '{:.1f}'),
    'recall (%)': ('all/recall@0.99', 100, '{:.1f}'),
    'on a patch': ('all/on_patch@0.99', 1, '{:.0f}'),
    'AF0.5': ('all/AF0.5', 1, '{:.3f}'),
    'AF0.5+': ('all/AF0.5+', 1, '{:.3f}'),
    'AP': ('all/AP', 1, '{:.3f}'),
}


def experiment_markdown(index: ExperimentIndex, store: RunStore) -> str:
    """The file ``table.md``."""
    one_number = index.matrix is not None and index.matrix['number'] is not None
    unit = '' if one_number else ' Precision/recall in %.'
    return '\n\n'.join(
        [
            f'# {index.title}',
            f'Data: {index.data}.{unit}',
            *experiment_tables(index, store),
            *notes_on_areas(index, store),
            *budget_of_attacks(index, store),
        ]
    )


def experiment_tables(index: ExperimentIndex, store: RunStore) -> list[str]:
    """The tables in Markdown, each with its title; entries not run have dashes.

    Of entries with several seeds the first tables have the means, the last one each
    value with its bootstrap interval, then mean and range.
    """
    frame = entry_frame(index, store)
    rows = merge_seeds(frame)
    remark, matrix = _seeds_remark(rows), index.matrix
    if matrix is None:
        return [*_plain_tables(rows, remark), _interval_table(frame)]
    if matrix['number'] is not None:
        title = f'{matrix["label"] or matrix["number"]}{remark}'
        texts = _column(rows, matrix['number'], '{:.3f}')
        return [_pivot(title, matrix, rows, texts)]
    at_deltas = (
        _pivot(f'All, delta {delta}{remark}', matrix, rows, _pairs(rows, 'all', delta))
        for delta in ('0.99', 'calibrated')
    )
    return [*at_deltas, _interval_table(frame)]


def entry_frame(index: ExperimentIndex, store: RunStore) -> pd.DataFrame:
    """One row for each entry, with its numbers as columns.

    Returns:
        pandas.DataFrame: Index: name of the entry. Columns: ``group`` (its own name
        without seeds), ``detector``, ``paper``, ``done``, ``intervals``, each number by
        its key, NaN where it has no value, and ``empty_steps``, the share of its
        attack's steps that were without samples.
    """
    import pandas as pd

    records = [store.evaluation(entry.evaluation) for entry in index.entries]
    names = [entry.name for entry in index.entries]
    about = pd.DataFrame(
        dict(
            group=[entry.group or entry.name for entry in index.entries],
            detector=[entry.detector for entry in index.entries],
            paper=[entry.paper for entry in index.entries],
            done=[record is not None for record in records],
            intervals=[record.intervals if record else {} for record in records],
        ),
        index=names,
    )
    numbers = pd.DataFrame(
        [dict(record.numbers) if record else {} for record in records], index=names
    )
    attacks = [store.attack(entry.attack) for entry in index.entries]
    numbers['empty_steps'] = [a and a.empty_steps / a.steps for a in attacks]
    return about.join(numbers.astype(float))


def merge_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in which one stands for all seeds of an entry.

    Args:
        frame (pandas.DataFrame): Of :func:`entry_frame`.

    Returns:
        pandas.DataFrame: Index: the groups in their order. Columns: ``detector``,
        ``paper``, ``count`` (of the seeds that were run), each number (the mean over
        the seeds that have it), and ``KEY has`` (how many have it).
    """
    about = ('group', 'detector', 'paper', 'done', 'intervals')
    keys = [column for column in frame.columns if column not in about]
    groups = frame.groupby('group', sort=False)
    merged = groups[['detector', 'paper']].first()
    merged['count'] = groups['done'].sum()
    return merged.join(groups[keys].mean()).join(
        groups[keys].count().add_suffix(' has')
    )


def notes_on_areas(index: ExperimentIndex, store: RunStore) -> list[str]:
    """Ranges of AF_beta of each detector whose clean images were evaluated."""
    clean = {
        entry.detector: record.numbers
        for entry in index.entries
        if entry.condition == 'clean' and (record := store.evaluation(entry.evaluation))
    }
    notes = [
        f'- {detector}: {describe_areas("clean images", numbers)}'
        for detector, numbers in clean.items()
        if 'margin_low' in numbers
    ]
    if not notes:
        return []
    first = (
        'AF_beta is shown over the whole range of s, that of the detections on clean '
        'images, and (AF+) over its part at s >= 0; lower is a better attack. Areas of '
        'different detectors are not comparable, as their ranges differ.'
    )
    return [first, '\n'.join(notes)]


def budget_of_attacks(index: ExperimentIndex, store: RunStore) -> list[str]:
    """What the attacks cost, in one sentence; none if none is finished."""
    digests = dict.fromkeys(entry.attack for entry in index.entries)
    found = [record for record in map(store.attack, digests) if record]
    if not found:
        return []
    steps = _span([attack.steps for attack in found], '{:,}')
    empty = _span([attack.empty_steps / attack.steps for attack in found], '{:.1%}')
    batch = _span([attack.batch_size * attack.processes for attack in found], '{}')
    minutes = _span([attack.seconds / 60 for attack in found], '{:.1f}')
    seeds = ', '.join(map(str, sorted({attack.seed for attack in found})))
    devices = ', '.join(sorted({attack.device for attack in found}))
    return [
        f'Attacks: {len(found)}; steps {steps} of {batch} images, {empty} without '
        f'samples; minutes {minutes} each ({devices}); seeds {seeds}.'
    ]


def pair(numbers: Mapping[str, float | None], subset: str, delta: str) -> str:
    """Precision/recall in % of a subset at a delta; dashes for what there is not."""
    if f'{subset}/recall@{delta}' not in numbers:
        return '-'
    values = [numbers[f'{subset}/{key}@{delta}'] for key in ('precision', 'recall')]
    return '/'.join(number(None if v is None else 100 * v, '{:.1f}') for v in values)


def number(value: float | None, pattern: str) -> str:
    """The number as the pattern has it, or a dash for None and NaN."""
    return '-' if value is None or value != value else pattern.format(value)


def _plain_tables(rows: pd.DataFrame, remark: str) -> list[str]:
    subsets = {s.capitalize(): s for s in SUBSETS if f'{s}/AP' in rows} or {
        'All': 'all'
    }
    first: dict[str, list[str]] = {}
    has_paper = rows['paper'].astype(bool).any()
    title = 'delta 0.99'
    if has_paper:
        title += (
            '; the paper (WIDER FACE validation set, its own detectors) beside ours'
        )
    for head, subset in subsets.items():
        if has_paper:
            first[f'{head}, paper'] = [row.get(subset, '-') for row in rows['paper']]
        ours = f'{head}, ours' if has_paper else head
        first[ours] = _pairs(rows, subset, '0.99')
    first['on a patch'] = _column(rows, 'all/on_patch@0.99', '{:.0f}')
    if rows['empty_steps'].notna().any():
        first['steps without samples'] = _column(rows, 'empty_steps', '{:.1%}')
    second = {head: _pairs(rows, s, 'calibrated') for head, s in subsets.items()}
    second['on a patch'] = _column(rows, 'all/on_patch@calibrated', '{:.0f}')
    for keys in (*AREAS, ('AP',)):
        columns = (_column(rows, f'all/{key}', '{:.3f}') for key in keys)
        second[keys[0]] = ['/'.join(cells) for cells in zip(*columns, strict=True)]
    return [
        _table(f'{title}{remark}', rows, first),
        _table(
            'calibrated delta; AF_beta (whole range/s >= 0) and AP of All' + remark,
            rows,
            second,
        ),
    ]


def _table(title: str, rows: pd.DataFrame, columns: Mapping[str, list[str]]) -> str:
    lines = zip(rows.index, *columns.values(), strict=True)
    return markdown_table(['', *columns], lines, title)


def _pivot(
    title: str, matrix: Mapping[str, Any], rows: pd.DataFrame, texts: list[str]
) -> str:
    """Patches by detectors; an entry that is not there has a dash."""
    found = dict(zip(rows.index, texts, strict=True))
    lines = [
        [patch, *(found.get(matrix_entry(patch, d), '-') for d in matrix['detectors'])]
        for patch in matrix['patches']
    ]
    return markdown_table(['', *matrix['detectors']], lines, title)


def _column(rows: pd.DataFrame, key: str, pattern: str) -> list[str]:
    values = rows[key] if key in rows else [None] * len(rows)
    return [number(value, pattern) for value in values]


def _pairs(rows: pd.DataFrame, subset: str, delta: str) -> list[str]:
    """Of merged rows; precision with a star if not all seeds have one."""
    texts = []
    for _, row in rows.iterrows():
        text = pair(row, subset, delta) if row['count'] else '-'
        has = row.get(f'{subset}/precision@{delta} has', 0)
        texts.append(text.replace('/', '*/') if 0 < has < row['count'] else text)
    return texts


def _seeds_remark(rows: pd.DataFrame) -> str:
    most = max(rows['count'], default=1)
    remark = f'; means over up to {most} seeds' if most > 1 else ''
    columns = [column for column in rows if str(column).endswith(' has')]
    has = rows[columns]
    some = has.gt(0) & has.lt(rows['count'], axis=0)
    return remark + ('; * of the seeds that have one' if some.to_numpy().any() else '')


def _interval_table(frame: pd.DataFrame) -> str:
    """Entries that were run with intervals; after the seeds of one, mean and range."""
    lines = []
    for group, rows in frame[frame['done']].groupby('group', sort=False):
        lines += [
            [str(name), *(_with_interval(row, *how) for how in _UNCERTAIN.values())]
            for name, row in rows.iterrows()
        ]
        if len(rows) > 1:
            lines.append(
                [
                    f'{group}, mean (lowest..highest)',
                    *(_with_range(rows, *how) for how in _UNCERTAIN.values()),
                ]
            )
    return markdown_table(
        ['', *_UNCERTAIN],
        lines,
        'All, delta 0.99: value [95 % interval by bootstrap over images]',
    )


def _with_interval(row: pd.Series, key: str, factor: int, pattern: str) -> str:
    value = number(factor * row.get(key, float('nan')), pattern)
    ends = row['intervals'].get(key)
    if value == '-' or not ends or ends[0] is None:
        return value
    low, high = (pattern.format(factor * end) for end in ends)
    return f'{value} [{low}, {high}]'


def _with_range(rows: pd.DataFrame, key: str, factor: int, pattern: str) -> str:
    if key not in rows or rows[key].isna().all():
        return '-'
    known = factor * rows[key].dropna()
    mean, low, high = (
        pattern.format(value) for value in (known.mean(), known.min(), known.max())
    )
    missing = len(rows) - len(known)
    return f'{mean} ({low}..{high})' + (
        f', {missing} of {len(rows)} without' if missing else ''
    )


def _span(values: Sequence[float], pattern: str) -> str:
    low, high = (pattern.format(value) for value in (min(values), max(values)))
    return low if low == high else f'{low} to {high}'
