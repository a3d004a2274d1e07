"""The figures of an experiment, from its index and the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from numpy.typing import NDArray

from ..engine.attack_history import HELD_OUT_RECALL
from ..evaluation.functional.f_beta import CONFIDENT, PAPER_BETAS
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
RECALL = 'all/recall@0.99'
Picture = NDArray[np.uint8]


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
    return (entry for entry in index.entries if store.finished(entry.evaluation))


def _attacked(index: ExperimentIndex, store: RunStore) -> Iterator[TableEntry]:
    return (entry for entry in index.entries if store.finished(entry.attack))


def _needed(found: Path | None, what: str, entry: TableEntry) -> Path:
    if found is None:
        raise MaterialError(f'the {what} of {entry.name!r}')
    return found


def _draw_convergence(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """Objective and held-out recall, from clean images on, of each attack once."""
    entries: dict[Any, TableEntry] = {}
    for entry in _attacked(index, store):
        entries.setdefault(entry.attack, entry)
    objective: dict[str, list[Any]] = {}
    recall: dict[str, list[Any]] = {}
    for entry in entries.values():
        record = store.attack(entry.attack)
        if record is None or record.history is None:
            raise MaterialError(f'the history of the attack of {entry.name!r}')
        epochs = record.history['epochs']
        validated = [
            record.history['held_out_clean'],
            *(epoch['held_out'] for epoch in epochs),
        ]
        objective[entry.name] = [epoch['objective'] for epoch in epochs]
        recall[entry.name] = [(one or {}).get(HELD_OUT_RECALL) for one in validated]
    if objective:
        groups = {entry.name: entry.group or entry.name for entry in entries.values()}
        save_figure(path, plot_convergence(objective, recall, groups))


def _draw_matrix(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    assert index.matrix is not None
    frame = merge_seeds(entry_frame(index, store))
    key = index.matrix['number'] or RECALL
    if key not in frame:
        return
    patches, detectors = (list(index.matrix[name]) for name in ('patches', 'detectors'))
    names = [matrix_entry(patch, name) for patch in patches for name in detectors]
    values = frame[key].reindex(names).to_numpy().reshape(len(patches), len(detectors))
    label = index.matrix['label'] or key
    if index.matrix['number'] is None:
        values = 100 * values
        label = 'recall (%) of All at delta 0.99'
    save_figure(path, plot_matrix(values, patches, detectors, index.title, label))


def _draw_f_beta(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """Of entries with several seeds the mean.

    Raises:
        ValueError: If entries differ in the range of AF_beta.
    """
    # By beta, then by group: one of each seed.
    curves: dict[float, dict[str, list[Any]]] = {beta: {} for beta in PAPER_BETAS}
    areas: dict[float, dict[str, list[Any]]] = {beta: {} for beta in PAPER_BETAS}
    thresholds = None
    for entry in _evaluated(index, store):
        record = store.evaluation(entry.evaluation)
        file = _needed(store.curves(entry.evaluation), 'curves', entry)
        group = entry.group or entry.name
        with np.load(file, allow_pickle=False) as content:
            prefix = next(iter(content)).split('/')[0]
            own = content[f'{prefix}/margin_thresholds']
            if thresholds is not None and not np.array_equal(own, thresholds):
                raise ValueError(
                    f'{index.config}: {entry.name!r} has another range of AF_beta '
                    "than the entries before it; figure 'f_beta' needs entries of one "
                    'detector'
                )
            thresholds = own
            for beta in PAPER_BETAS:
                curve = content[f'{prefix}/all/F{beta:g}']
                area = [
                    record and record.numbers.get(f'all/AF{beta:g}{end}')
                    for end in ('', CONFIDENT)
                ]
                curves[beta].setdefault(group, []).append(curve)
                areas[beta].setdefault(group, []).append(area)
    if thresholds is not None and len(thresholds):
        save_figure(path, plot_f_beta(thresholds, _means(curves), _means(areas)))


def _means(values: Mapping[float, Mapping[str, list[Any]]]) -> dict[float, dict]:
    return {
        beta: {name: np.array(seeds, float).mean(axis=0) for name, seeds in by.items()}
        for beta, by in values.items()
    }


def _draw_gallery(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """The finished patch of every attack."""
    tiles = {
        entry.name: _tile(_needed(store.patch(entry.attack), 'patch', entry))
        for entry in _attacked(index, store)
    }
    _save_page(path, _rows(tiles, ROW))


def _draw_pictures(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """For each image that evaluations have drawn, what they found in every entry."""
    drawn: dict[str, dict[str, Picture]] = {}
    for entry in _evaluated(index, store):
        folder = _needed(store.folder(entry.evaluation), 'pictures', entry)
        for file in sorted((folder / 'pictures').glob('*.png')):
            picture = mmcv.imread(file, channel_order='rgb')
            drawn.setdefault(file.name, {})[entry.name] = picture
    for image, pictures in drawn.items():
        _save_page(path.with_name(f'figure_{image}'), _rows(pictures, PICTURE_ROW))


def _draw_ranking(index: ExperimentIndex, store: RunStore, path: Path) -> None:
    """Scores of the surest detections, as many as there are faces."""
    saved = SavedEvaluations()
    rankings = {}
    for entry in _evaluated(index, store):
        folder = _needed(store.folder(entry.evaluation), 'detections', entry)
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
        files = epochs or [_needed(store.patch(entry.attack), 'patch', entry)]
        count = min(5, len(files))
        picked = [files[round(i)] for i in np.linspace(0, len(files) - 1, count)]
        titles = [f'{entry.name}, {file.stem.replace("_", " ")}' for file in picked]
        tiles = [_tile(file) for file in picked]
        rows.append(side_by_side(tiles, titles, legend=False))
    if rows and not complete:
        raise MaterialError('the patches of the epochs')
    _save_page(path, rows)


def _rows(pictures: Mapping[str, Picture], length: int) -> list[Picture]:
    """Pictures with their names above, so many beside each other."""
    names, images = list(pictures), list(pictures.values())
    return [
        side_by_side(images[i : i + length], names[i : i + length], legend=False)
        for i in range(0, len(names), length)
    ]


def _save_page(path: Path, rows: list[Picture]) -> None:
    """Rows of pictures below each other; nothing where there is none."""
    if not rows:
        return
    width = max(row.shape[1] for row in rows)
    white = (255, 255, 255)
    page = [mmcv.impad(row, shape=(len(row), width), pad_val=white) for row in rows]
    save_png(path, np.concatenate(page))


def _tile(path: Path) -> Picture:
    patch = mmcv.imread(path, channel_order='rgb')
    return mmcv.imresize(patch, (TILE, TILE), interpolation='nearest', backend='pillow')
