"""Detections by rank, as in the paper's Figure 6: what AP sees, and what it misses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..evaluation.functional.matching import IGNORED, TRUE_POSITIVE

# What a detection is, with a colour that matplotlib knows and a size in points.
_OUTCOMES = (
    ('face', 'tab:blue', 6),
    ('on a patch', 'tab:red', 12),
    ('other false positive', 'tab:orange', 6),
)
_COLUMNS = 3


@dataclass(frozen=True)
class Ranking:
    """Detections of a data set under one condition.

    Attributes:
        scores (ArrayLike): (N,) in [0, 1], in any order.
        status (ArrayLike): (N,) 1 true positive, 0 false positive, -1 ignored.
        on_patch (ArrayLike): (N,) bool, false positives that sit on a patch.
        delta (float): Threshold, a dashed line; NaN where there is none.
        caption (str): Below the name, such as the numbers.
    """

    scores: ArrayLike
    status: ArrayLike
    on_patch: ArrayLike
    delta: float
    caption: str = ''


def plot_ranking(rankings: Mapping[str, Ranking], num_ranks: int) -> Figure:
    """Scores over ranks, one panel a condition, coloured by what was detected.

    Args:
        rankings (dict): Condition -> detections. Ignored ones have no rank; among equal
            scores false positives come last.
        num_ranks (int): How many of the surest detections are drawn, such as the number
            of faces.

    Returns:
        Figure: Without pyplot's state, see
        :func:`~mmdet_facepatch.visualization.save_figure`.

    Raises:
        ValueError: If there is no condition, or not one status for each score.
    """
    if not rankings:
        raise ValueError('there is no condition whose detections could be drawn')
    columns = min(_COLUMNS, len(rankings))
    rows = -(-len(rankings) // columns)
    figure = Figure(
        figsize=(3.4 * columns, 2.6 * rows + 0.4), dpi=120, layout='constrained'
    )
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(rankings) :]:
        axes.remove()
    for axes, (name, ranking) in zip(panels.flat, rankings.items(), strict=False):
        scores, kinds = _ranked(name, ranking)
        for kind, (label, colour, size) in enumerate(_OUTCOMES):
            ranks = np.flatnonzero(kinds[:num_ranks] == kind)
            axes.scatter(
                ranks + 1,
                scores[ranks],
                s=size,
                color=colour,
                label=label,
                linewidths=0,
            )
        axes.axhline(ranking.delta, color='black', linestyle='--', linewidth=0.8)
        axes.set_title(f'{name}\n{ranking.caption}', fontsize='small')
        axes.set_ylim(0, 1)
    figure.supxlabel('rank of the detection', fontsize='small')
    figure.supylabel('score', fontsize='small')
    figure.legend(
        *panels.flat[0].get_legend_handles_labels(),
        ncols=len(_OUTCOMES),
        fontsize='small',
        loc='outside upper right',
    )
    return figure


def _ranked(name: str, ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
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
