"""The figures of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..evaluation.f_beta import PAPER_BETAS
from ..visualization import (
    Ranking,
    plot_convergence,
    plot_f_beta,
    plot_matrix,
    plot_ranking,
    save_figure,
    save_png,
    side_by_side,
)
from .attack_record import HELD_OUT_RECALL, RECORD, load_attack_record
from .experiment import DRAWN_FROM_EVALUATIONS, Experiment, Job, load_numbers
from .experiment_cells import matrix_cell, seed_cell
from .saved_evaluations import SavedEvaluations

# Pixels of a patch's side in galleries, and how many stand in a row.
TILE = 192
ROW = 6
# Pictures of images in a row.
PICTURE_ROW = 3


def write_figures(experiment: Experiment, jobs: Mapping[str, Job],
                  folder: Path) -> None:
    """Write figure.png and convergence.png, as far as there is something to draw.

    Of the kind 'pictures' there are several, ``figure_IMAGE.png``.

    Args:
        experiment: Says which figure.
        jobs: Evaluation by name of the cell, of those that are done.
        folder: It exists.
    """
    draw = {'f_beta': _draw_f_beta, 'gallery': _draw_gallery,
            'evolution': _draw_evolution, 'pictures': _draw_pictures,
            'ranking': _draw_ranking}
    if experiment.figure and (jobs or experiment.figure not in DRAWN_FROM_EVALUATIONS):
        draw[experiment.figure](experiment, jobs, folder / 'figure.png')
    if experiment.matrix:
        _draw_matrix(experiment, jobs, folder / 'figure.png')
    _draw_convergence(experiment, folder / 'convergence.png')


def _draw_convergence(experiment: Experiment, path: Path) -> None:
    """Objective and held-out recall, from clean images on, of attacks that are done."""
    objective: dict[str, list[float]] = {}
    recall: dict[str, list[float]] = {}
    groups: dict[str, str] = {}
    drawn = set()
    for cell in experiment.all_cells:
        attack = experiment.finished_attack(cell)
        if attack is None or attack.folder in drawn or not (
                attack.folder / RECORD).is_file():
            continue
        drawn.add(attack.folder)
        record = load_attack_record(attack.folder)
        name = cell['name']
        groups[name] = cell.get('group') or name
        objective[name] = [_value(epoch['objective']) for epoch in record['epochs']]
        found = [record['held_out_clean'],
                 *(epoch['held_out'] for epoch in record['epochs'])]
        recall[name] = [_value((numbers or {}).get(HELD_OUT_RECALL))
                        for numbers in found]
    if objective:
        save_figure(path, plot_convergence(objective, recall, groups))


def _value(number: float | None) -> float:
    return float('nan') if number is None else number


def _draw_matrix(experiment: Experiment, jobs: Mapping[str, Job], path: Path) -> None:
    assert experiment.matrix is not None
    numbers: dict[str, Mapping[str, float | None]] = {
        name: row['numbers'] for name, row in experiment.kept_rows().items()}
    numbers.update({name: load_numbers(job) for name, job in jobs.items()})
    if not numbers:
        return
    patches, detectors = (list(experiment.matrix[key])
                          for key in ('patches', 'detectors'))
    values = np.full((len(patches), len(detectors)), np.nan)
    for i, patch in enumerate(patches):
        for j, detector in enumerate(detectors):
            name = matrix_cell(patch, detector)
            names = [name, *(seed_cell(name, seed) for seed in experiment.seeds)]
            recalls = [_value(numbers[one]['all/recall@calibrated'])
                       for one in names if one in numbers]
            if recalls:
                values[i, j] = 100 * np.mean(recalls)
    save_figure(path, plot_matrix(
        values, patches, detectors, experiment.title,
        "recall (%) of All at each detector's calibrated delta"))


def _draw_f_beta(experiment: Experiment, jobs: Mapping[str, Job], path: Path) -> None:
    """Of cells with several seeds the mean."""
    groups = {cell['name']: cell.get('group') or cell['name']
              for cell in experiment.all_cells}
    curves: dict[float, dict[str, list[Any]]] = {beta: {} for beta in PAPER_BETAS}
    areas: dict[float, dict[str, list[float]]] = {beta: {} for beta in PAPER_BETAS}
    for name, job in jobs.items():
        numbers = load_numbers(job)
        with np.load(job.folder / 'curves.npz', allow_pickle=False) as content:
            prefix = next(iter(content)).split('/')[0]
            thresholds = content[f'{prefix}/margin_thresholds']
            for beta in PAPER_BETAS:
                key = f'{prefix}/all/F{beta:g}'
                curves[beta].setdefault(groups[name], []).append(content[key])
                areas[beta].setdefault(groups[name], []).append(
                    numbers[f'all/AF{beta:g}'])
    save_figure(path, plot_f_beta(thresholds, _means(curves), _means(areas)))


def _means(values: Mapping[float, Mapping[str, list[Any]]]) -> dict[float, dict]:
    return {beta: {name: np.mean(several, axis=0) for name, several in found.items()}
            for beta, found in values.items()}


def _draw_gallery(experiment: Experiment, jobs: Mapping[str, Job], path: Path) -> None:
    """The finished patch of every attack, in rows."""
    tiles = {}
    for cell in experiment.all_cells:
        attack = experiment.finished_attack(cell)
        if attack is not None:
            tiles[cell['name']] = _tile(attack.folder / 'patch.png')
    _save_page(path, _rows(tiles, ROW))


def _draw_pictures(experiment: Experiment, jobs: Mapping[str, Job],
                   path: Path) -> None:
    """For each image that evaluations have drawn, what they found in every cell."""
    drawn: dict[str, dict[str, NDArray[np.uint8]]] = {}
    for name, job in jobs.items():
        for file in sorted((job.folder / 'pictures').glob('*.png')):
            with Image.open(file) as picture:
                drawn.setdefault(file.name, {})[name] = np.asarray(
                    picture.convert('RGB'))
    for image, pictures in drawn.items():
        _save_page(path.with_name(f'{path.stem}_{image}'), _rows(pictures, PICTURE_ROW))


def _draw_ranking(experiment: Experiment, jobs: Mapping[str, Job], path: Path) -> None:
    """Scores of the surest detections, as many as there are faces."""
    saved = SavedEvaluations()
    rankings = {}
    for name, job in jobs.items():
        pool, numbers = saved.matches(job.folder), load_numbers(job)
        rankings[name] = Ranking(
            pool.scores, pool.status(np.ones(pool.num_faces, bool)), pool.on_patch,
            numbers['calibrated_delta'],
            f'AP {numbers["all/AP"]:.3f}, '
            f'recall {100 * numbers["all/recall@calibrated"]:.1f} %')
    save_figure(path, plot_ranking(rankings, pool.num_faces))


def _rows(pictures: Mapping[str, NDArray[np.uint8]],
          length: int) -> list[NDArray[np.uint8]]:
    """Pictures with their names above, so many beside each other."""
    names = list(pictures)
    parts = [names[i:i + length] for i in range(0, len(names), length)]
    return [side_by_side([pictures[name] for name in part], part, 'rgb', legend=False)
            for part in parts]


def _draw_evolution(experiment: Experiment, jobs: Mapping[str, Job],
                    path: Path) -> None:
    """Rows of at most five patches from the first epoch to the last, one an attack."""
    rows = []
    for cell in experiment.all_cells:
        attack = experiment.finished_attack(cell)
        if attack is None:
            continue
        # Of a patch that was published there is its end only.
        files = sorted((attack.folder / 'patches').glob('epoch_*.png')) or [
            attack.folder / 'patch.png']
        count = min(5, len(files))
        picked = [files[round(i)] for i in np.linspace(0, len(files) - 1, count)]
        titles = [f'{cell["name"]}, {file.stem.replace("_", " ")}' for file in picked]
        rows.append(side_by_side([_tile(file) for file in picked], titles, 'rgb',
                                 legend=False))
    _save_page(path, rows)


def _save_page(path: Path, rows: list[NDArray[np.uint8]]) -> None:
    """Rows of pictures below each other; nothing where there is none."""
    if not rows:
        return
    width = max(row.shape[1] for row in rows)
    page = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)),
                   constant_values=255) for row in rows]
    save_png(path, np.concatenate(page), 'rgb')


def _tile(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        size = (TILE, TILE)
        return np.asarray(image.convert('RGB').resize(size, Image.Resampling.NEAREST))
