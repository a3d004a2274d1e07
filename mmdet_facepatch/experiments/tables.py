"""The tables of an experiment, in the paper's layout, from its index and the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    'precision (%)': ('all/precision@calibrated', 100, '{:.1f}'),
    'recall (%)': ('all/recall@calibrated', 100, '{:.1f}'),
    'on a patch': ('all/on_patch@calibrated', 1, '{:.0f}'),
    'AF0.5': ('all/AF0.5', 1, '{:.3f}'),
    'AP': ('all/AP', 1, '{:.3f}'),
}


def experiment_markdown(index: ExperimentIndex, store: RunStore) -> str:
    """The file ``table.md``.

    Args:
        index (ExperimentIndex): Of the experiment.
        store (RunStore): Has its numbers.
    """
    one_number = index.matrix is not None and index.matrix['number'] is not None
    unit = '' if one_number else ' Precision/recall in %.'
    return '\n\n'.join(
        [
            f'# {index.title}',
            f'Data: {index.data}.{unit}',
            *experiment_tables(index, store),
            *budget_of_attacks(index, store),
        ]
    )


def experiment_tables(index: ExperimentIndex, store: RunStore) -> list[str]:
    """The tables in Markdown, each with its title; entries not run have dashes.

    Of entries with several seeds the first tables have the means, the last one each
    value with its bootstrap interval, then mean and range.

    Args:
        index (ExperimentIndex): Of the experiment.
        store (RunStore): Has its numbers.
    """
    frame = entry_frame(index, store)
    merged = merge_seeds(frame)
    if index.matrix is None:
        return [*_plain_tables(merged), _interval_table(frame)]
    if index.matrix['number'] is not None:
        return [_number_matrix(index.matrix, merged)]
    calibrated, paper = (
        _pair_matrix(index.matrix, merged, delta) for delta in ('calibrated', '0.99')
    )
    return [calibrated, paper, _interval_table(frame)]


def entry_frame(index: ExperimentIndex, store: RunStore) -> pd.DataFrame:
    """One row for each entry, with its numbers as columns.

    Args:
        index (ExperimentIndex): Of the experiment.
        store (RunStore): Has its numbers.

    Returns:
        pandas.DataFrame: Index: name of the entry. Columns: ``group`` (its own name
        without seeds), ``detector``, ``paper``, ``done``, ``intervals``, and each
        number by its key, NaN where it has no value.
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
    keys = _numbers(frame)
    groups = frame.groupby('group', sort=False)
    merged = groups[['detector', 'paper']].first()
    merged['count'] = groups['done'].sum()
    return merged.join(groups[keys].mean()).join(
        groups[keys].count().add_suffix(' has')
    )


def budget_of_attacks(index: ExperimentIndex, store: RunStore) -> list[str]:
    """What the attacks cost, in one sentence; none if none is finished.

    Args:
        index (ExperimentIndex): Of the experiment.
        store (RunStore): Has their records.
    """
    digests = dict.fromkeys(entry.attack for entry in index.entries)
    found = [record for record in map(store.attack, digests) if record]
    if not found:
        return []
    steps = _span([attack.steps for attack in found], '{:,}')
    batch = _span([attack.batch_size * attack.processes for attack in found], '{}')
    minutes = _span([attack.seconds / 60 for attack in found], '{:.1f}')
    seeds = ', '.join(map(str, sorted({attack.seed for attack in found})))
    devices = ', '.join(sorted({attack.device for attack in found}))
    return [
        f'Attacks: {len(found)}; steps {steps} of {batch} images; minutes {minutes} '
        f'each ({devices}); seeds {seeds}.'
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


def _numbers(frame: pd.DataFrame) -> list[str]:
    """Columns that are numbers of evaluations."""
    about = ('group', 'detector', 'paper', 'done', 'intervals')
    return [column for column in frame.columns if column not in about]


def _plain_tables(rows: pd.DataFrame) -> list[str]:
    subsets = [s for s in SUBSETS if f'{s}/AP' in rows] or ['all']
    heads = [s.capitalize() for s in subsets]
    remark = _seeds_remark(rows)
    if rows['paper'].astype(bool).any():
        first = _table(
            'delta 0.99; the paper (WIDER FACE validation set, its own detectors) '
            f'beside ours{remark}',
            [head for s in heads for head in (f'{s}, paper', f'{s}, ours')],
            rows,
            lambda row: [
                text
                for s in subsets
                for text in (row['paper'].get(s, '-'), _pair(row, s, '0.99'))
            ],
        )
    else:
        first = _table(
            f'delta 0.99{remark}',
            heads,
            rows,
            lambda row: [_pair(row, s, '0.99') for s in subsets],
        )
    return [
        first,
        _table(
            f'calibrated delta; AF_beta and AP of All{remark}',
            [*heads, 'on a patch', *AREAS, 'AP'],
            rows,
            lambda row: [
                *(_pair(row, s, 'calibrated') for s in subsets),
                number(row.get('all/on_patch@calibrated'), '{:.0f}'),
                *(number(row.get(f'all/{key}'), '{:.3f}') for key in (*AREAS, 'AP')),
            ],
        ),
    ]


def _pair_matrix(matrix: Mapping[str, Any], rows: pd.DataFrame, delta: str) -> str:
    """Patches by detectors, precision and recall of All."""
    title = f'All, delta {delta}{_seeds_remark(rows)}'
    return _pivot(title, matrix, rows, lambda row: _pair(row, 'all', delta))


def _number_matrix(matrix: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """Patches by detectors, one number."""
    title = f'{matrix["label"] or matrix["number"]}{_seeds_remark(rows)}'
    return _pivot(
        title, matrix, rows, lambda row: number(row.get(matrix['number']), '{:.3f}')
    )


def _pivot(
    title: str,
    matrix: Mapping[str, Any],
    rows: pd.DataFrame,
    text: Callable[[pd.Series], str],
) -> str:
    texts = {name: text(row) for name, row in rows.iterrows()}
    detectors = matrix['detectors']
    lines = [
        [patch, *(texts.get(matrix_entry(patch, name), '-') for name in detectors)]
        for patch in matrix['patches']
    ]
    return markdown_table(['', *detectors], lines, title)


def _table(
    title: str,
    heads: Sequence[str],
    rows: pd.DataFrame,
    texts: Callable[[pd.Series], Iterable[str]],
) -> str:
    lines = [[str(name), *texts(row)] for name, row in rows.iterrows()]
    return markdown_table(['', *heads], lines, title)


def _seeds_remark(rows: pd.DataFrame) -> str:
    most = max(rows['count'], default=1)
    remark = f'; means over up to {most} seeds' if most > 1 else ''
    columns = [column for column in rows if str(column).endswith(' has')]
    has = rows[columns]
    some = has.gt(0) & has.lt(rows['count'], axis=0)
    return remark + ('; * of the seeds that have one' if some.to_numpy().any() else '')


def _pair(row: pd.Series, subset: str, delta: str) -> str:
    """Of a merged row; precision with a star if not all seeds have one."""
    if not row['count']:
        return '-'
    found = pair(row, subset, delta)
    has = row.get(f'{subset}/precision@{delta} has', 0)
    return found.replace('/', '*/') if 0 < has < row['count'] else found


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
        'All, calibrated delta: value [95 % interval by bootstrap over images]',
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
