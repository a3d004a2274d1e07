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

from ..engine.experiment_tables import experiment_tables, markdown_table, number
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
    """Patches by detectors at the size with most; folded, patches by sizes."""
    results: Sequence[Mapping[str, Any]] = entry.content['results']
    blocks = ['Highest score on the patch alone, mean over the pictures, in %; 0.0 '
              'where nothing is detected.']
    for background in _values(results, 'background'):
        shown = [r for r in results if r['background'] == background]
        detectors, patches = _values(shown, 'detector'), _values(shown, 'patch')
        means: dict[tuple, list[float]] = {}
        for r in shown:
            means.setdefault((r['patch'], r['detector']), []).append(100 * r['mean'])
        blocks.append(markdown_table(
            f'On {background}, at the size where it is highest', detectors,
            {patch: [number(max(means.get((patch, detector), []), default=None),
                            '{:.1f}') for detector in detectors]
             for patch in patches}))
        blocks.append(folded(f'On {background}, by size', [
            _by_size(f'{detector}, on {background}',
                     [r for r in shown if r['detector'] == detector])
            for detector in detectors]))
    return blocks


def _values(results: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """The values of a key, each once, in their order."""
    return list(dict.fromkeys(result[key] for result in results))


def _by_size(title: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Patches by sizes, of one detector on one background."""
    sides = _values(results, 'side')
    means = {(r['patch'], r['side']): 100 * r['mean'] for r in results}
    return markdown_table(title, [f'{side} px' for side in sides], {
        patch: [number(means.get((patch, side)), '{:.1f}') for side in sides]
        for patch in _values(results, 'patch')})


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
