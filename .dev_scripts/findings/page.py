"""RESULTS.md, from the results that are kept with the repository."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_facepatch.experiments import ExperimentIndex, RunStore
from mmdet_facepatch.experiments.records import read_record
from mmdet_facepatch.experiments.store import EXPERIMENTS
from mmdet_facepatch.experiments.tables import (
    budget_of_attacks,
    experiment_tables,
    notes_on_areas,
)

from .judge import findings_blocks, read_findings

# Images of WIDER FACE's validation set: fewer are a part of it.
WHOLE_VALIDATION = 3226
# Folders of the configs whose results are shown, run by tools/experiment.py.
CONFIGS = ('experiments', 'transfer')


@dataclass(frozen=True)
class Experiment:
    """A kept experiment: its name, the file of its index, and what is in it."""

    name: str
    path: Path
    index: ExperimentIndex

    @property
    def pictures(self) -> list[Path]:
        """PNG files beside the index."""
        return sorted(self.path.with_suffix('').glob('*.png'))


def read_experiments(results: str | Path) -> list[Experiment]:
    """All kept experiments, tables before figures, table2 before table10.

    Args:
        results (str | Path): As ``.results``.
    """
    paths = sorted(
        (Path(results) / EXPERIMENTS).glob('*.json'), key=lambda p: _natural(p.stem)
    )
    return [
        Experiment(path.stem, path, read_record(path, ExperimentIndex))
        for path in paths
    ]


def results_page(results: str | Path, root: str | Path, folder: str | Path) -> str:
    """The whole of RESULTS.md.

    Args:
        results (str | Path): As ``.results``.
        root (str | Path): Folder of the repository, with ``configs/``.
        folder (str | Path): Where the page will be; links are relative to it.

    Returns:
        str: Markdown with a newline at the end. The same results give the same text.
    """
    kept, place, base = Path(results), Path(folder), Path(root)
    store = RunStore.default(kept, kept)
    experiments = read_experiments(kept)
    parts = ['# Results']
    for path in sorted(kept.glob('*.json')):
        parts += _findings(path, place)
    parts += _header(experiments)
    for experiment in experiments:
        parts += _experiment(experiment, store, place)
    parts += _not_run(experiments, base)
    return '\n\n'.join(parts) + '\n'


def _natural(name: str) -> list[tuple[str, int]]:
    named = re.sub('^table', '\0', name)
    return [
        (text, int(digits or 0))
        for text, digits in re.findall(r'(\D*)(\d*)', named)
        if text or digits
    ]


def _header(experiments: Sequence[Experiment]) -> list[str]:
    """What the numbers are of, as the results themselves say it."""
    parts = [
        '## What was measured',
        'Written by `python .dev_scripts/write_results.py` from the JSON files in '
        '`.results`, none of it by hand. Each section names the command that makes it '
        'anew, and its JSON file: of an experiment the digests of its runs, whose '
        'numbers, versions and digests of detector, data and patch are in '
        '`.results/runs`. What published weights measure is on their cards, '
        '`mmdet_facepatch/zoo/NAME.md`.',
    ]
    data = [one.index.data_sets for one in experiments if one.index.data_sets]
    lines = []
    for reported in _distinct(sets.get('reported') for sets in data):
        lines.append(f'- Reported on: {_described(reported)}.{_caution(reported)}')
    for optimised in _distinct(sets.get('optimised') for sets in data):
        lines.append(f'- Patches optimised on: {_described(optimised)}.')
    trained: dict[str, list[str]] = {}
    for sets in data:
        for name, described in (sets.get('detectors') or {}).items():
            if described:
                names = trained.setdefault(_described(described), [])
                names += [name] if name not in names else []
    lines += [
        f'- Detectors {", ".join(names)} trained on: {text}.'
        for text, names in trained.items()
    ]
    return [*parts, '\n'.join(lines)] if lines else parts


def _distinct(items: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item and item not in found:
            found.append(item)
    return found


def _described(data: Mapping[str, Any]) -> str:
    source = data.get('annotation') or data['type']
    events = ''
    if data.get('num_events'):
        named = data.get('events')
        count = data['num_events']
        events = f', {count} event{"s" if count > 1 else ""}' + (
            f' ({", ".join(named)})' if named else ''
        )
    return (
        f'{data["images"]:,} images with {data["faces"]:,} faces of `{source}`{events}'
    )


def _caution(reported: Mapping[str, Any]) -> str:
    if reported['type'] == 'WiderFaceDataset' and (
        reported['images'] >= WHOLE_VALIDATION
    ):
        return ''
    return (
        f" These are not WIDER FACE's {WHOLE_VALIDATION:,} validation images: the "
        "numbers are not comparable with published ones, and the paper's stand "
        'beside them to compare orders and directions only.'
    )


def _section(
    title: str,
    command: str | None,
    blocks: Iterable[str],
    pictures: Iterable[Path],
    source: Path,
    place: Path,
) -> list[str]:
    link = _link(source, place)
    return [
        f'## {title}',
        *([f'```bash\n{command}\n```'] if command else []),
        *blocks,
        *(f'![{title}: {path.stem}]({_link(path, place)})' for path in pictures),
        f'Data: [{link}]({link})',
    ]


def _link(path: Path, place: Path) -> str:
    return Path(os.path.relpath(path, place)).as_posix()


def _findings(path: Path, place: Path) -> list[str]:
    """Claims with their verdicts and what decides; all checks, folded."""
    content = read_findings(path)
    summary, *checks = findings_blocks(content)
    folded = [
        '<details>\n<summary>Every check</summary>',
        content['note'],
        *checks,
        '</details>',
    ]
    blocks = [summary, *folded]
    return _section(content['title'], content['command'], blocks, (), path, place)


def _experiment(experiment: Experiment, store: RunStore, place: Path) -> list[str]:
    """Tables in the paper's layout, and the budget."""
    index = experiment.index
    done = sum(store.finished(entry.evaluation) for entry in index.entries)
    count = len(index.entries)
    remark = f'{done} of {count} entries have been run; the others have dashes.'
    blocks = [
        *([] if done == count else [remark]),
        *experiment_tables(index, store),
        *notes_on_areas(index, store),
        *budget_of_attacks(index, store),
    ]
    return _section(
        index.title, index.command, blocks, experiment.pictures, experiment.path, place
    )


def _not_run(experiments: Iterable[Experiment], root: Path) -> list[str]:
    """Configs of which no result is kept, with their commands."""
    kept = {one.index.config for one in experiments}
    lines = []
    for folder in CONFIGS:
        paths = (root / 'configs' / folder).glob('*.py')
        for path in sorted(paths, key=lambda found: _natural(found.stem)):
            name = path.relative_to(root).as_posix()
            if name not in kept:
                title = Config.fromfile(str(path)).title
                lines.append(f'- {title}: `python tools/experiment.py {name}`')
    return ['## Not run', '\n'.join(lines)] if lines else []
