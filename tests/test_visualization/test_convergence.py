"""Curves of attacks over their epochs."""

from __future__ import annotations

import math

import pytest

from mmdet_facepatch.visualization import plot_convergence, save_figure


def test_curves(tmp_path):
    figure = plot_convergence(
        {'iou, seed 0': [0.5, 2.0], 'iou, seed 1': [0.4, 1.0], 'score': [1.0, 1.5]},
        {
            'iou, seed 0': [0.75, math.nan, 0.25],
            'iou, seed 1': [0.75, 0.5, 0.25],
            'score': [],
        },
        {'iou, seed 0': 'iou', 'iou, seed 1': 'iou', 'score': 'score'},
    )
    left, right = figure.axes
    assert [list(line.get_ydata()) for line in left.lines] == [
        [0.5, 2.0],
        [0.4, 1.0],
        [1.0, 1.5],
    ]
    assert list(left.lines[0].get_xdata()) == [1, 2]
    # In percent, clean images first; what was not measured leaves no gap.
    assert list(right.lines[1].get_xdata()) == [0, 1, 2]
    assert list(right.lines[1].get_ydata()) == [75, 50, 25]
    assert list(right.lines[0].get_xdata()) == [0, 2]
    assert list(right.lines[0].get_ydata()) == [75, 25]
    # Seeds look alike, and are named once.
    colours = [line.get_color() for line in left.lines]
    assert colours[0] == colours[1] != colours[2]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['iou', 'score']
    save_figure(tmp_path / 'a.png', figure)
    assert (tmp_path / 'a.png').stat().st_size > 1000


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='no attack'):
        plot_convergence({}, {})
