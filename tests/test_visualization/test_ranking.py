"""Detections by rank."""

from __future__ import annotations

import numpy as np
import pytest

from mmdet_facepatch.visualization import Ranking, plot_ranking, save_figure


def drawn(axes):
    """(rank, score) of each outcome, in the order of the legend."""
    return [np.asarray(points.get_offsets()).tolist() for points in axes.collections]


def test_ranks_and_outcomes(tmp_path):
    ranking = Ranking(
        scores=[0.25, 0.75, 0.5, 1.0, 0.5],
        status=[0, 1, 0, -1, 1],
        on_patch=[False, False, True, False, False],
        delta=0.6,
        caption='AP 0.5',
    )
    figure = plot_ranking({'clean': ranking}, 10)
    (axes,) = figure.axes
    # The ignored one has no rank; the face goes before the patch of the same score.
    assert drawn(axes) == [[[1, 0.75], [2, 0.5]], [[3, 0.5]], [[4, 0.25]]]
    assert axes.get_title() == 'clean\nAP 0.5'
    (line,) = axes.lines
    assert list(line.get_ydata()) == [0.6, 0.6]
    save_figure(tmp_path / 'a.png', figure)
    assert (tmp_path / 'a.png').stat().st_size > 1000


def test_only_the_surest_are_drawn():
    ranking = Ranking([0.1, 0.9, 0.8], [1, 0, 1], [False] * 3, float('nan'))
    figure = plot_ranking({'a': ranking}, 2)
    assert drawn(figure.axes[0]) == [[[2, 0.8]], [], [[1, 0.9]]]


def test_one_panel_a_condition():
    nothing = Ranking([], [], [], 0.5)
    figure = plot_ranking(dict.fromkeys('abcd', nothing), 3)
    assert [axes.get_title()[0] for axes in figure.axes] == list('abcd')


def test_errors():
    with pytest.raises(ValueError, match='no condition'):
        plot_ranking({}, 3)
    with pytest.raises(ValueError, match='noise: 2 scores, 1 statuses and 2 flags'):
        plot_ranking({'noise': Ranking([0.1, 0.2], [1], [False, False], 0.5)}, 3)
