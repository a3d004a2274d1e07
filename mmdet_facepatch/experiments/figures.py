"""The figures of an experiment, from its index and the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..engine.attack_history import HELD_OUT_RECALL
from ..evaluation.functional.f_beta import PAPER_BETAS
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
from .records import ExperimentIndex, TableEntry
from .saved_evaluations import SavedEvaluations
from .spec import matrix_entry
from .store import RunStore
from .tables import entry_frame, merge_seeds

# Pixels of a patch's side in galleries, and how many stand in a row.
TILE = 192
ROW = 6
# Pictures of images in a row.
PICTURE_ROW = 3
RECALL = 'all/recall@calibrated'


class MaterialError(FileNotFoundError):
    """The store lacks what a figure is drawn from."""


def write_figures(
    index: ExperimentIndex, store: RunStore, folder: Path
) -> dict[str, str]:
    """Write figure.png and convergence.png, as far as there is something to draw.

    Of the kind 'pictures' there are several, ``figure_IMAGE.png``.

    Args:
        index (ExperimentIndex): Says which figure.
        store (RunStore): Has what it is drawn from.
        folder (Path): It exists.

    Returns:
        dict[str, str]: What the store lacks, by name (or pattern) of the picture that
        was not drawn for it.
    """
    draw = {
        'f_beta': _draw_f_beta,
        'gallery': _draw_gallery,
        'evolution': _draw_evolution,
        'pictures': _draw_pictures,
        'ranking': _draw_ranking,
    }
    wanted: dict[str, Callable[[ExperimentIndex, RunStore, Path], None]] = {}
    if index.figure:
        name = 'figure_*.png' if index.figure == 'pictures' else 'figure.png'
        wanted[name] = draw[index.figure]
    elif index.matrix:
        wanted['figure.png'] = _draw_matrix
    wanted['convergence.png'] = _draw_convergence
    lacking = {}
    for name, function in wanted.items():
        try:
            function(index, store, folder / name)
        except MaterialError as error:
            lacking[name] = str(error)
    return lacking


def _evaluated(index: ExperimentIndex, store: RunStore) -> Iterator[TableEntry]:
    """Entries whose evaluation is finished."""
    return (entry for entry in index.entries if store.finished(entry.evaluation))


def _attacked(index: ExperimentIndex, store: RunStore) -> Iterator[TableEntry]:
    """Entries whose attack is finished."""
    return (entry for entry in index.entries if store.finished(entry.attack))


def _folder(entry: TableEntry, digest: str | None, store: RunStore, what: str) -> Path:
    folder = store.folder(digest)
    if folder is None:
        raise MaterialError(f'the {what} of {entry.name!r}')
    return folder


def _draw_convergence(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """Objective and held-out recall, from clean images on, of each attack once."""
    objective: dict[str, list[float]] = {}
    recall: dict[str, list[float]] = {}
    groups: dict[str, str] = {}
    drawn = set()
    for entry in _attacked(index, store):
        record = store.attack(entry.attack)
        if record is None or record.digest in drawn:
            continue
        if record.history is None:
            raise MaterialError(f'the history of the attack of {entry.name!r}')
        drawn.add(record.digest)
        history = record.history
        groups[entry.name] = entry.group or entry.name
        objective[entry.name] = [_value(e['objective']) for e in history['epochs']]
        found = [history['held_out_clean'], *(e['held_out'] for e in history['epochs'])]
        recall[entry.name] = [
            _value((numbers or {}).get(HELD_OUT_RECALL)) for numbers in found
        ]
    if objective:
        save_figure(path, plot_convergence(objective, recall, groups))


def _value(number: float | None) -> float:
    return float('nan') if number is None else number


def _draw_matrix(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    assert index.matrix is not None
    frame = merge_seeds(entry_frame(index, store))
    key = index.matrix['number'] or RECALL
    if key not in frame:
        return
    patches, detectors = (list(index.matrix[name]) for name in ('patches', 'detectors'))
    names = [[matrix_entry(patch, name) for name in detectors] for patch in patches]
    values = np.array([[frame[key].get(name, np.nan) for name in row] for row in names])
    label = index.matrix['label'] or key
    if index.matrix['number'] is None:
        values = 100 * values
        label = "recall (%) of All at each detector's calibrated delta"
    save_figure(path, plot_matrix(values, patches, detectors, index.title, label))


def _draw_f_beta(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """Of entries with several seeds the mean."""
    curves: dict[float, dict[str, list[Any]]] = {beta: {} for beta in PAPER_BETAS}
    areas: dict[float, dict[str, list[float]]] = {beta: {} for beta in PAPER_BETAS}
    thresholds = None
    for entry in _evaluated(index, store):
        record = store.evaluation(entry.evaluation)
        file = store.curves(entry.evaluation)
        if file is None or record is None:
            raise MaterialError(f'the curves of {entry.name!r}')
        group = entry.group or entry.name
        with np.load(file, allow_pickle=False) as content:
            prefix = next(iter(content)).split('/')[0]
            thresholds = content[f'{prefix}/margin_thresholds']
            for beta in PAPER_BETAS:
                curve = content[f'{prefix}/all/F{beta:g}']
                area = _value(record.numbers[f'all/AF{beta:g}'])
                curves[beta].setdefault(group, []).append(curve)
                areas[beta].setdefault(group, []).append(area)
    if thresholds is not None:
        save_figure(path, plot_f_beta(thresholds, _means(curves), _means(areas)))


def _means(values: Mapping[float, Mapping[str, list[Any]]]) -> dict[float, dict]:
    return {
        beta: {name: np.mean(several, axis=0) for name, several in found.items()}
        for beta, found in values.items()
    }


def _draw_gallery(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """The finished patch of every attack, in rows."""
    tiles = {e.name: _tile(_patch(e, store)) for e in _attacked(index, store)}
    _save_page(path, _rows(tiles, ROW))


def _patch(entry: TableEntry, store: RunStore) -> Path:
    patch = store.patch(entry.attack)
    if patch is None:
        raise MaterialError(f'the patch of {entry.name!r}')
    return patch


def _draw_pictures(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """For each image that evaluations have drawn, what they found in every entry."""
    drawn: dict[str, dict[str, NDArray[np.uint8]]] = {}
    for entry in _evaluated(index, store):
        folder = _folder(entry, entry.evaluation, store, 'pictures')
        for file in sorted((folder / 'pictures').glob('*.png')):
            with Image.open(file) as picture:
                found = np.asarray(picture.convert('RGB'))
            drawn.setdefault(file.name, {})[entry.name] = found
    for image, pictures in drawn.items():
        _save_page(path.with_name(f'figure_{image}'), _rows(pictures, PICTURE_ROW))


def _draw_ranking(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """Scores of the surest detections, as many as there are faces."""
    saved = SavedEvaluations()
    rankings = {}
    for entry in _evaluated(index, store):
        folder = _folder(entry, entry.evaluation, store, 'detections')
        pool, numbers = saved.matches(folder), saved(folder).numbers
        rankings[entry.name] = Ranking(
            pool.scores,
            pool.status(np.ones(pool.num_faces, bool)),
            pool.on_patch,
            numbers['calibrated_delta'],
            f'AP {numbers["all/AP"]:.3f}, recall {100 * numbers[RECALL]:.1f} %',
        )
    if rankings:
        save_figure(path, plot_ranking(rankings, pool.num_faces))


def _draw_evolution(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """Rows of at most five patches from the first epoch to the last, one an attack."""
    rows, complete = [], False
    for entry in _attacked(index, store):
        folder = store.folder(entry.attack)
        epochs = sorted((folder / 'patches').glob('epoch_*.png')) if folder else []
        complete = complete or bool(epochs)
        # Of a published patch there is its end only.
        files = epochs or [_patch(entry, store)]
        count = min(5, len(files))
        picked = [files[round(i)] for i in np.linspace(0, len(files) - 1, count)]
        titles = [f'{entry.name}, {file.stem.replace("_", " ")}' for file in picked]
        tiles = [_tile(file) for file in picked]
        rows.append(side_by_side(tiles, titles, legend=False))
    if rows and not complete:
        raise MaterialError('the patches of the epochs')
    _save_page(path, rows)


def _rows(
    pictures: Mapping[str, NDArray[np.uint8]], length: int
) -> list[NDArray[np.uint8]]:
    """Pictures with their names above, so many beside each other."""
    names = list(pictures)
    parts = [names[i : i + length] for i in range(0, len(names), length)]
    return [
        side_by_side([pictures[name] for name in part], part, legend=False)
        for part in parts
    ]


def _save_page(path: Path, rows: list[NDArray[np.uint8]]) -> None:
    """Rows of pictures below each other; nothing where there is none."""
    if not rows:
        return
    width = max(row.shape[1] for row in rows)
    page = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    save_png(path, np.concatenate(page))


def _tile(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        size = (TILE, TILE)
        return np.asarray(image.convert('RGB').resize(size, Image.Resampling.NEAREST))
