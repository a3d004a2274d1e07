"""RESULTS.md, from the results that are kept with the repository."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..engine.experiment_tables import AREAS, SUBSETS, markdown_table, pair
from .collect import Entry
from .model_manifest import KIND as MODEL
from .sections import ORDER, SECTIONS

# Images of WIDER FACE's validation set: fewer are a part of it.
WHOLE_VALIDATION = 3226
# Tool by folder of the configs whose results are shown.
TOOLS = {'experiments': 'experiment', 'transfer': 'transfer', 'findings': 'findings',
         'face_likeness': 'face_likeness'}
ZOO = Path('mmdet_facepatch/zoo')
# Columns of a detector's clean numbers.
_CLEAN_HEADS = (*(f'AP {subset}' for subset in SUBSETS), 'delta 0.99',
                'calibrated delta', 'at it', *AREAS)


def results_document(entries: Sequence[Entry], root: str | Path,
                     folder: str | Path) -> str:
    """The whole of RESULTS.md.

    Args:
        entries: Of ``.results``.
        root: Folder of the repository, with ``configs/`` and the detectors' cards.
        folder: Where the document will be; links are relative to it.

    Returns:
        Markdown with a newline at the end. The same entries give the same text.

    Raises:
        ValueError: If an entry is of a kind that no section is registered for.
    """
    place, base = Path(folder), Path(root)
    ordered = sorted(entries, key=_place)
    parts = ['# Results', *_header(ordered)]
    for entry in ordered:
        parts += _section(entry, place)
    parts += _detectors(ordered, base, place)
    parts += _published_models(base, place)
    parts += _not_run(ordered, base)
    return '\n\n'.join(parts) + '\n'


def _place(entry: Entry) -> tuple[int, list[tuple[str, int]]]:
    rank = ORDER.index(entry.kind) if entry.kind in ORDER else len(ORDER)
    return rank, _natural(entry.name)


def _natural(name: str) -> list[tuple[str, int]]:
    """Key by which table2 comes before table10, and tables before figures."""
    named = re.sub('^table', '\0', name)
    return [(text, int(digits or 0)) for text, digits
            in re.findall(r'(\D*)(\d*)', named) if text or digits]


def _header(entries: Iterable[Entry]) -> list[str]:
    """What the numbers are of, as the results themselves say it."""
    parts = ['Written by `python tools/results.py` from the JSON files in `.results`, '
             'none of it by hand. Each section names the command that makes it anew, '
             'and the JSON file with every number, its manifest, and the digests of '
             'detector, data and patch.']
    data = [entry.content['data_sets'] for entry in entries
            if entry.content.get('data_sets')]
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
    lines += [f'- Detectors {", ".join(names)} trained on: {text}.'
              for text, names in trained.items()]
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
            f' ({", ".join(named)})' if named else '')
    return (f'{data["images"]:,} images with {data["faces"]:,} faces of '
            f'`{source}`{events}')


def _caution(reported: Mapping[str, Any]) -> str:
    if reported['type'] == 'WiderFaceDataset' and (
            reported['images'] >= WHOLE_VALIDATION):
        return ''
    return (f" These are not WIDER FACE's {WHOLE_VALIDATION:,} validation images: the "
            "numbers are not comparable with published ones, and the paper's stand "
            'beside them to compare orders and directions only.')


def _section(entry: Entry, place: Path) -> list[str]:
    build = SECTIONS.get(entry.kind)
    if build is None:
        raise ValueError(f'{entry.path}: no section is registered for the kind '
                         f'{entry.kind!r}; known are {sorted(SECTIONS.module_dict)}')
    parts = [f'## {entry.content["title"]}']
    command = entry.content.get('command') or (
        entry.content.get('manifest') or {}).get('command')
    if command:
        parts.append(f'```bash\n{command}\n```')
    parts += build(entry)
    parts += [f'![{entry.content["title"]}: {picture.stem}]({_link(picture, place)})'
              for picture in entry.pictures]
    link = _link(entry.path, place)
    return [*parts, f'Numbers and manifests: [{link}]({link})']


def _link(path: Path, place: Path) -> str:
    return Path(os.path.relpath(path, place)).as_posix()


def _detectors(entries: Iterable[Entry], root: Path, place: Path) -> list[str]:
    """Clean numbers of each detector, where they are from, and its card."""
    rows: dict[str, list[str]] = {}
    for entry in entries:
        for row in entry.content.get('cells') or []:
            checkpoint = ((entry.content.get('detectors') or {}).get(
                row.get('detector')) or {}).get('checkpoint') or ''
            name = checkpoint.partition('://')[2] or row.get('detector') or ''
            if row.get('shows') == 'clean' and row['numbers'] and name not in rows:
                rows[name] = [
                    *_clean_cells(row),
                    f'[{entry.name}]({_link(entry.path, place)})',
                    _cards(name, root, place)]
    if not rows:
        return []
    return ['## Detectors', 'On clean images. AP with its 95 % interval by bootstrap '
            'over images; precision/recall in % of All.', markdown_table(
        '', [*_CLEAN_HEADS, 'from', 'card'], rows)]


def _published_models(root: Path, place: Path) -> list[str]:
    """What the weights of the package measure, from their manifests."""
    rows = {}
    scales = set()
    for path in sorted((root / ZOO).glob('*.json')):
        manifest = json.loads(path.read_text(encoding='utf-8'))
        if manifest.get('kind') != MODEL:
            continue
        report = manifest['report']
        scales.add(', '.join(f'{scale:g}' for scale in report['scales']))
        stages = [*manifest.get('before', []), manifest]
        steps, seconds = (sum(stage[key] for stage in stages)
                          for key in ('iter', 'seconds'))
        rows[manifest['name']] = [
            f'{steps:,}', f'{seconds / 60:.0f}',
            *_clean_cells(report), _cards(manifest['name'], root, place)]
    if not rows:
        return []
    return ['## Published weights', 'As the detectors above, with the whole pyramid '
            f'(scales {"; ".join(sorted(scales))}).', markdown_table(
        '', ['steps', 'minutes', *_CLEAN_HEADS, 'card'], rows)]


def _clean_cells(row: Mapping[str, Any]) -> list[str]:
    numbers, intervals = row['numbers'], row.get('intervals') or {}
    cells = []
    for subset in SUBSETS:
        value, ends = (kept.get(f'{subset}/AP') for kept in (numbers, intervals))
        text = '-' if value is None else f'{value:.3f}'
        cells.append(text if value is None or not ends or ends[0] is None else
                     f'{text} [{ends[0]:.3f}, {ends[1]:.3f}]')
    delta = numbers.get('calibrated_delta')
    cells += [pair(numbers, 'all', '0.99'), '-' if delta is None else f'{delta:.4f}',
              pair(numbers, 'all', 'calibrated')]
    for area in AREAS:
        value = numbers.get(f'all/{area}')
        cells.append('-' if value is None else f'{value:.3f}')
    return cells


def _cards(name: str, root: Path, place: Path) -> str:
    """Links to what the zoo says of a detector."""
    found = [path for path in (root / ZOO / f'{name}{suffix}' for suffix in (
        '.md', '.json')) if path.is_file()]
    return ', '.join(f'[{path.suffix[1:]}]({_link(path, place)})'
                     for path in found) or '-'


def _not_run(entries: Iterable[Entry], root: Path) -> list[str]:
    """Configs of which no result is kept, with their commands."""
    kept = {str(entry.content.get('config')) for entry in entries}
    # Results that do not say their config name it in their command.
    commands = ' '.join(str((entry.content.get('manifest') or {}).get('command'))
                        for entry in entries)
    lines = []
    for folder, tool in TOOLS.items():
        for path in sorted((root / 'configs' / folder).glob('*.py'),
                           key=lambda found: _natural(found.stem)):
            name = path.relative_to(root).as_posix()
            if name in kept or name in commands:
                continue
            cfg = Config.fromfile(str(path))
            data = '' if tool == 'face_likeness' else (
                f' --data {cfg.get("data", "subset")}')
            lines.append(f'- {cfg.title}: `python tools/{tool}.py {name}{data}`')
    return ['## Not run', '\n'.join(lines)] if lines else []
