"""Heat maps."""

from __future__ import annotations

import math

import pytest

from mmdet_facepatch.visualization import plot_matrix, save_figure


def test_numbers_and_names(tmp_path):
    figure = plot_matrix(
        [[50.0, 0.25], [math.nan, 100.0]],
        ['clean', 'patch'],
        ['sln', 'ssd'],
        'Transfer',
        'recall (%)',
    )
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ['50.0', '0.2', '-', '100.0']
    assert [text.get_text() for text in axes.get_xticklabels()] == ['sln', 'ssd']
    assert [text.get_text() for text in axes.get_yticklabels()] == ['clean', 'patch']
    # White on dark, black on light.
    assert [text.get_color() for text in axes.texts][-1] == 'white'
    assert axes.texts[1].get_color() == 'black'
    save_figure(tmp_path / 'a.png', figure)
    assert (tmp_path / 'a.png').stat().st_size > 1000


def test_all_blank():
    figure = plot_matrix([[math.nan]], ['a'], ['b'], 'T', 'l')
    assert figure.axes[0].texts[0].get_text() == '-'


@pytest.mark.parametrize('values', [[], [[1.0, 2.0]], [1.0]])
def test_names_must_fit(values):
    with pytest.raises(ValueError, match='does not fit 1 rows and 1 columns'):
        plot_matrix(values, ['a'], ['b'], 'T', 'l')
