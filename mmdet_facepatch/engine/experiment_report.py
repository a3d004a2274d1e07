"""The paper's table beside ours, and the figure of an experiment."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..evaluation.ground_truth import OFFICIAL_SUBSETS
from ..files import write_atomically
from ..visualization import (
    plot_f_beta,
    plot_matrix,
    save_figure,
    save_png,
    side_by_side,
)
from .experiment import Experiment, Job, load_numbers, matrix_cell

SUBSETS = (*OFFICIAL_SUBSETS, 'all')
# Pixels of a patch's side in galleries.
TILE = 192


def write_experiment(experiment: Experiment, folder: str | Path, data: str) -> str:
    """Write table.md, table.json and the figure of what is done.

    Args:
        experiment: Its cells need not all be done; those that are not have
            dashes.
        folder: Made if it is not there.
        data: Name of the data, for the title.

    Returns:
        The table in Markdown.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    jobs = experiment.finished()
    rows = [_row(cell, jobs.get(cell['name'])) for cell in experiment.cells]
    table = _markdown(experiment, rows, data)
    write_atomically(target / 'table.md', f'{table}\n'.encode())
    content = json.dumps(dict(title=experiment.title, data=data, cells=rows), indent=2)
    write_atomically(target / 'table.json', f'{content}\n'.encode())
    _write_figure(experiment, jobs, target)
    return table


def _row(cell: Mapping[str, Any], job: Job | None) -> dict[str, Any]:
    """A cell with its numbers; None for what there is not."""
    numbers = load_numbers(job) if job else {}
    wanted = ['calibrated_delta']
    for subset in SUBSETS:
        wanted += [f'{subset}/{key}' for key in
                   ('AP', 'AF0.001', 'AF0.01', 'AF0.1', 'AF0.5')]
        wanted += [f'{subset}/{key}@{delta}' for delta in ('0.99', 'calibrated')
                   for key in ('precision', 'recall', 'on_patch')]
    kept = {key: numbers[key] for key in wanted if key in numbers}
    return dict(
        name=cell['name'], paper=cell.get('paper') or {},
        numbers={k: None if math.isnan(v) else v for k, v in kept.items()},
        folder=str(job.folder) if job else None)


def _markdown(experiment: Experiment, rows: Sequence[Mapping[str, Any]],
              data: str) -> str:
    subsets = [s for s in SUBSETS if any(f'{s}/AP' in r['numbers'] for r in rows)]
    subsets = subsets or ['all']
    parts = [f'# {experiment.title}', f'Data: {data}. Precision/recall in %.']
    if experiment.matrix:
        return '\n\n'.join([*parts, *_matrix_tables(experiment, rows)])
    if any(row['paper'] for row in rows):
        parts.append(_table(
            'delta 0.99; the paper (WIDER FACE validation set, its own detectors) '
            'beside ours',
            [head for s in subsets for head in (f'{s.capitalize()}, paper',
                                                f'{s.capitalize()}, ours')],
            {row['name']: [value for s in subsets for value in (
                row['paper'].get(s, '-'), _pair(row['numbers'], s, '0.99'))]
             for row in rows}))
    else:
        parts.append(_table(
            'delta 0.99', [s.capitalize() for s in subsets],
            {row['name']: [_pair(row['numbers'], s, '0.99') for s in subsets]
             for row in rows}))
    areas = ('AF0.001', 'AF0.01', 'AF0.1', 'AF0.5')
    parts.append(_table(
        'calibrated delta; AF_beta and AP of All',
        [*(s.capitalize() for s in subsets), 'on a patch', *areas, 'AP'],
        {row['name']: [
            *(_pair(row['numbers'], s, 'calibrated') for s in subsets),
            _number(row['numbers'].get('all/on_patch@calibrated'), '{:.0f}'),
            *(_number(row['numbers'].get(f'all/{key}'), '{:.3f}')
              for key in (*areas, 'AP'))] for row in rows}))
    return '\n\n'.join(parts)


def _matrix_tables(experiment: Experiment,
                   rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Patches by detectors, at both deltas."""
    assert experiment.matrix is not None
    numbers = {row['name']: row['numbers'] for row in rows}
    detectors = experiment.matrix['detectors']
    return [
        _table(f'All, delta {delta}', detectors, {
            patch: [_pair(numbers.get(matrix_cell(patch, name), {}), 'all', delta)
                    for name in detectors]
            for patch in experiment.matrix['patches']})
        for delta in ('calibrated', '0.99')]


def _draw_matrix(experiment: Experiment, jobs: Mapping[str, Job], path: Path) -> None:
    assert experiment.matrix is not None
    patches, detectors = (list(experiment.matrix[key])
                          for key in ('patches', 'detectors'))
    values = np.full((len(patches), len(detectors)), np.nan)
    for i, patch in enumerate(patches):
        for j, detector in enumerate(detectors):
            job = jobs.get(matrix_cell(patch, detector))
            if job is not None:
                values[i, j] = 100 * load_numbers(job)['all/recall@calibrated']
    save_figure(path, plot_matrix(
        values, patches, detectors, experiment.title,
        "recall (%) of All at each detector's calibrated delta"))


def _table(title: str, heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    lines = [f'**{title}**', '', '| | ' + ' | '.join(heads) + ' |',
             '|---|' + '---:|' * len(heads)]
    lines += ['| ' + ' | '.join([name, *cells]) + ' |' for name, cells in rows.items()]
    return '\n'.join(lines)


def _pair(numbers: Mapping[str, float | None], subset: str, delta: str) -> str:
    if f'{subset}/recall@{delta}' not in numbers:
        return '-'
    values = [numbers[f'{subset}/{key}@{delta}'] for key in ('precision', 'recall')]
    return '/'.join(_number(None if v is None else 100 * v, '{:.1f}') for v in values)


def _number(value: float | None, pattern: str) -> str:
    return '-' if value is None else pattern.format(value)


def _write_figure(experiment: Experiment, jobs: Mapping[str, Job],
                  folder: Path) -> None:
    draw = {'f_beta': _draw_f_beta, 'gallery': _draw_gallery,
            'evolution': _draw_evolution}
    if experiment.figure and jobs:
        draw[experiment.figure](experiment, jobs, folder / 'figure.png')
    if experiment.matrix and jobs:
        _draw_matrix(experiment, jobs, folder / 'figure.png')


def _draw_f_beta(experiment: Experiment, jobs: Mapping[str, Job], path: Path) -> None:
    curves: dict[float, dict[str, Any]] = {}
    areas: dict[float, dict[str, float]] = {}
    for name, job in jobs.items():
        numbers = load_numbers(job)
        with np.load(job.folder / 'curves.npz', allow_pickle=False) as content:
            prefix = next(iter(content)).split('/')[0]
            thresholds = content[f'{prefix}/margin_thresholds']
            for beta in (0.001, 0.01, 0.1, 0.5):
                key = f'{prefix}/all/F{beta:g}'
                curves.setdefault(beta, {})[name] = content[key]
                areas.setdefault(beta, {})[name] = numbers[f'all/AF{beta:g}']
    save_figure(path, plot_f_beta(thresholds, curves, areas))


def _draw_gallery(experiment: Experiment, jobs: Mapping[str, Job], path: Path) -> None:
    """The finished patch of every attack."""
    tiles = {}
    for cell in experiment.cells:
        attack = experiment.attack_job(cell)
        if attack is not None and attack.done:
            tiles[cell['name']] = _tile(attack.folder / 'patch.png')
    if tiles:
        save_png(path, side_by_side(list(tiles.values()), list(tiles), 'rgb',
                                    legend=False), 'rgb')


def _draw_evolution(experiment: Experiment, jobs: Mapping[str, Job],
                    path: Path) -> None:
    """Rows of five patches from the first epoch to the last, one an attack."""
    rows = []
    for cell in experiment.cells:
        attack = experiment.attack_job(cell)
        if attack is None or not attack.done:
            continue
        files = sorted((attack.folder / 'patches').glob('epoch_*.png'))
        picked = [files[round(i)] for i in np.linspace(0, len(files) - 1, 5)]
        titles = [f'{cell["name"]}, {file.stem.replace("_", " ")}' for file in picked]
        rows.append(side_by_side([_tile(file) for file in picked], titles, 'rgb',
                                 legend=False))
    if rows:
        width = max(row.shape[1] for row in rows)
        page = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)),
                       constant_values=255) for row in rows]
        save_png(path, np.concatenate(page), 'rgb')


def _tile(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        size = (TILE, TILE)
        return np.asarray(image.convert('RGB').resize(size, Image.Resampling.NEAREST))
