"""Sections of RESULTS.md, one function for each kind of result.

A tool of another kind of result registers its own:

    @SECTIONS.register_module(name='my_kind')
    def my_section(entry: Entry) -> list[str]: ...

It returns blocks of Markdown; heading, command, pictures and the link to the JSON file
are added for all kinds alike, from its ``title``, ``command`` (or that of its
``manifest``) and the PNG files beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import Registry

from ..engine.experiment_tables import experiment_tables, markdown_table
from ..engine.face_likeness_report import likeness_of_rows, likeness_tables
from .collect import Entry
from .findings import findings_blocks

SECTIONS = Registry('section of RESULTS.md', locations=[__name__])

# Kinds in the order in which they are shown; others follow.
ORDER = ('findings', 'experiment', 'matrix', 'face_likeness', 'table')


def folded(summary: str, blocks: Sequence[str]) -> str:
    """Blocks that a reader opens.

    Args:
        summary: The line that is always shown.
        blocks: Of Markdown.
    """
    return '\n\n'.join([
        f'<details>\n<summary>{summary}</summary>', *blocks, '</details>'])


@SECTIONS.register_module(name='findings')
def findings_section(entry: Entry) -> list[str]:
    """Claims with their verdicts; all checks, folded."""
    summary, *checks = findings_blocks(entry.content)
    return [
        'Differences are paired: both detections on the same resampled images; 95 % '
        'intervals in brackets. A check *agrees* if its whole interval is as claimed.',
        summary, folded('Every check', checks)]


@SECTIONS.register_module(name='experiment')
@SECTIONS.register_module(name='matrix')
def experiment_section(entry: Entry) -> list[str]:
    """Tables in the paper's layout, and the budget."""
    rows = entry.content['cells']
    done = sum(bool(row['numbers']) for row in rows)
    remark = [] if done == len(rows) else [
        f'{done} of {len(rows)} cells have been run; the others have dashes.']
    return [*remark, *experiment_tables(entry.content), *_budget(rows)]


@SECTIONS.register_module(name='face_likeness')
def face_likeness_section(entry: Entry) -> list[str]:
    """Patches by detectors at the side with most; folded, patches by sides."""
    results = likeness_of_rows(entry.content['results'])
    blocks = ['Highest score on the patch alone, mean over the pictures, in %; 0.0 '
              'where nothing is detected.']
    for background in dict.fromkeys(r.background for r in results):
        summary, by_side = likeness_tables(
            [r for r in results if r.background == background])
        blocks += [summary, folded(f'On {background}, by side', by_side)]
    return blocks


@SECTIONS.register_module(name='table')
def table_section(entry: Entry) -> list[str]:
    """Tables that a tool has laid out itself: ``title``, ``heads`` and ``rows``."""
    return [markdown_table(table['title'], table['heads'], table['rows'])
            for table in entry.content['tables']]


def _budget(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the attacks cost, in one sentence."""
    attacks = {row['attack_folder']: row['manifest']['attack'] for row in rows
               if row['attack_folder'] and 'steps' in row['manifest']['attack']}
    if not attacks:
        return []
    found = list(attacks.values())
    steps = _span([attack['steps'] for attack in found], '{:,}')
    batch = _span([attack['batch_size'] * attack['processes'] for attack in found],
                  '{}')
    minutes = _span([attack['seconds'] / 60 for attack in found], '{:.1f}')
    seeds = ', '.join(map(str, sorted({attack['seed'] for attack in found})))
    devices = ', '.join(sorted({attack['device'] for attack in found}))
    return [f'Attacks: {len(found)}; steps {steps} of {batch} images; minutes '
            f'{minutes} each ({devices}); seeds {seeds}.']


def _span(values: Sequence[float], pattern: str) -> str:
    low, high = (pattern.format(value) for value in (min(values), max(values)))
    return low if low == high else f'{low} to {high}'
