"""Plots of attacks over their epochs, of detections by rank, and heat maps.

All return a new :class:`~matplotlib.figure.Figure` without pyplot's state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from ..evaluation.functional.matching import IGNORED, TRUE_POSITIVE

# Colours of matplotlib's qualitative map, in strokes of these kinds.
_COLOURS = 10
_STROKES = ('-', '--', ':', '-.')
# What a detection is, with a colour that matplotlib knows and a size in points.
_OUTCOMES = (
    ('face', 'tab:blue', 6),
    ('on a patch', 'tab:red', 12),
    ('other false positive', 'tab:orange', 6),
)
_COLUMNS = 3


@dataclass(frozen=True)
class Ranking:
    """Detections of a data set under one condition."""

    scores: ArrayLike  # (N,) in [0, 1], in any order
    status: ArrayLike  # (N,) 1 true positive, 0 false positive, -1 ignored
    on_patch: ArrayLike  # (N,) bool, false positives that sit on a patch
    delta: float  # threshold, a dashed line; NaN where there is none
    caption: str = ''  # below the name, such as the numbers


def plot_convergence(
    objective: Mapping[str, Sequence[float | None]],
    recall: Mapping[str, Sequence[float | None]],
    groups: Mapping[str, str] | None = None,
) -> Figure:
    """Objective and held-out recall of attacks over the epochs, side by side.

    Args:
        objective (dict): Attack -> (E,) what it maximises, the mean of each epoch from
            the first; NaN or None leaves a gap.
        recall (dict): Attack -> (E + 1,) recall in [0, 1] at a score of 0.5 of held-out
            images: clean, then with the patch after each epoch; NaN or None where it
            was not measured.
        groups (dict, optional): Attack -> name of its line in the legend; attacks of
            one name, such as seeds, look alike. By default its own name.

    Raises:
        ValueError: If there is no attack.
    """
    if not objective:
        raise ValueError('there is no attack whose history could be drawn')
    named = {name: (groups or {}).get(name, name) for name in objective}
    order = list(dict.fromkeys(named.values()))
    lines = -(-len(order) // 3)
    figure = Figure(figsize=(10, 3.8 + 0.22 * lines), dpi=110, layout='constrained')
    left, right = figure.subplots(1, 2)
    for name, group in named.items():
        look = order.index(group)
        style: Any = dict(
            color=f'C{look % _COLOURS}',
            marker='o',
            markersize=2.5,
            linewidth=1.2,
            linestyle=_STROKES[look // _COLOURS % len(_STROKES)],
        )
        values = np.asarray(objective[name], float)
        left.plot(1 + np.arange(len(values)), values, label=group, **style)
        percent = 100 * np.asarray(recall[name], float)
        # Validation may skip epochs, the objective leaves a gap.
        measured = np.flatnonzero(np.isfinite(percent))
        right.plot(measured, percent[measured], **style)
    for axes in (left, right):
        axes.set_xlabel('epoch')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    left.set_title('objective (maximised)', fontsize='medium')
    right.set_title(
        'recall (%) at 0.5 of held-out training images (0: clean)', fontsize='medium'
    )
    # The margin above stays, which an earlier limit would take away.
    right.update_datalim([(0, 0)])
    right.autoscale_view()
    right.set_ylim(bottom=0)
    found = dict(zip(*reversed(left.get_legend_handles_labels()), strict=True))
    place: Any = dict(ncols=3, fontsize='small', loc='outside lower center')
    figure.legend(list(found.values()), list(found), **place)
    return figure


def plot_matrix(
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    label: str,
    high: float | None = None,
) -> Figure:
    """Heat map of a matrix, such as patches by detectors, with its numbers.

    Args:
        values (array): (R, C) numbers from 0 on; NaN is drawn as a blank cell with a
            dash.
        rows (list[str]): R names.
        columns (list[str]): C names.
        title (str): Above the matrix.
        label (str): What the colour means, with its unit.
        high (float, optional): Value of the darkest colour; by default the largest that
            there is.

    Raises:
        ValueError: If there are no values, or the names do not fit them.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.size == 0 or matrix.shape != (len(rows), len(columns)):
        raise ValueError(
            f'a matrix of shape {matrix.shape} does not fit {len(rows)} rows and '
            f'{len(columns)} columns'
        )
    known = matrix[~np.isnan(matrix)]
    top = high if high is not None else max(known.max(initial=0.0), 1e-9)
    size = (3.6 + 1.1 * len(columns), 1.9 + 0.42 * len(rows))
    figure = Figure(figsize=size, dpi=150, layout='constrained')
    axes = figure.subplots()
    drawn = axes.imshow(matrix, cmap='Blues', vmin=0, vmax=top, aspect='auto')
    for (row, column), value in np.ndenumerate(matrix):
        text = '-' if np.isnan(value) else f'{value:.1f}'
        colour = 'white' if value > 0.6 * top else 'black'
        axes.text(column, row, text, ha='center', va='center', color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=20, ha='right')
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title(title, loc='left', fontsize='medium')
    figure.colorbar(drawn, ax=axes, label=label)
    return figure


def plot_ranking(rankings: Mapping[str, Ranking], num_ranks: int) -> Figure:
    """Scores over ranks, coloured by what was detected, as in the paper's Figure 6.

    It shows what AP sees, and what it misses.

    Args:
        rankings (dict): Condition -> detections, one panel each. Ignored ones have no
            rank; among equal scores false positives come last.
        num_ranks (int): How many of the surest detections are drawn, such as the number
            of faces.

    Raises:
        ValueError: If there is no condition, or not one status for each score.
    """
    if not rankings:
        raise ValueError('there is no condition whose detections could be drawn')
    columns = min(_COLUMNS, len(rankings))
    rows = -(-len(rankings) // columns)
    size = (3.4 * columns, 2.6 * rows + 0.4)
    figure = Figure(figsize=size, dpi=120, layout='constrained')
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(rankings) :]:
        axes.remove()
    for axes, (name, ranking) in zip(panels.flat, rankings.items(), strict=False):
        scores, kinds = _ranked(name, ranking)
        for kind, (label, colour, points) in enumerate(_OUTCOMES):
            ranks = np.flatnonzero(kinds[:num_ranks] == kind)
            look: Any = dict(s=points, color=colour, label=label, linewidths=0)
            axes.scatter(ranks + 1, scores[ranks], **look)
        axes.axhline(ranking.delta, color='black', linestyle='--', linewidth=0.8)
        axes.set_title(f'{name}\n{ranking.caption}', fontsize='small')
        axes.set_ylim(0, 1)
    figure.supxlabel('rank of the detection', fontsize='small')
    figure.supylabel('score', fontsize='small')
    place: Any = dict(ncols=len(_OUTCOMES), fontsize='small', loc='outside upper right')
    figure.legend(*panels.flat[0].get_legend_handles_labels(), **place)
    return figure


def _ranked(name: str, ranking: Ranking) -> tuple[NDArray, NDArray]:
    """Scores by rank, and the outcome of each as an index of ``_OUTCOMES``."""
    scores = np.asarray(ranking.scores, float).reshape(-1)
    status = np.asarray(ranking.status).reshape(-1)
    patch = np.asarray(ranking.on_patch, bool).reshape(-1)
    if not len(scores) == len(status) == len(patch):
        raise ValueError(
            f'{name}: {len(scores)} scores, {len(status)} statuses and '
            f'{len(patch)} flags; each detection needs one of each'
        )
    kinds = np.where(status == TRUE_POSITIVE, 0, np.where(patch, 1, 2))
    counted = status != IGNORED
    order = np.lexsort((kinds[counted], -scores[counted]))
    return scores[counted][order], kinds[counted][order]
