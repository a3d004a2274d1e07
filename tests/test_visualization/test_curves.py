"""Plots of curves: what the lines, legends and files hold."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mmdet_facepatch.visualization import (
    plot_f_beta,
    plot_precision_recall,
    save_figure,
)

NAN = float('nan')
THRESHOLDS = np.linspace(-20, 40, 61)
NAMES = ('clean', 'grey', 'noise', 'patch')
BETAS = (0.001, 0.01, 0.1, 0.5)


def falling(middle):
    """Exactly 1, then a slope of 10 thresholds around the middle, exactly 0."""
    return np.clip((middle + 5 - THRESHOLDS) / 10, 0, 1)


def f_curves(betas=BETAS, names=NAMES):
    return {
        beta: {name: falling(10 - 2 * i) * (1 - beta) for i, name in enumerate(names)}
        for beta in betas
    }


def pr_curves(subsets=('Easy', 'Hard'), names=NAMES):
    recall = np.linspace(0, 0.9, 7)
    return {
        subset: {name: (recall, 1 - recall / (2 + i)) for i, name in enumerate(names)}
        for subset in subsets
    }


def numbers(curves):
    """A number between 0 and 1 for each curve."""
    return {
        key: {name: (i + 1) / 16 for i, name in enumerate(by_name)}
        for key, by_name in curves.items()
    }


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def look(line):
    return line.get_color(), line.get_linewidth(), str(line._unscaled_dash_pattern)


def offsets(axes):
    """Data of the markers of axes, by condition."""
    return [
        (mark.get_label(), tuple(mark.get_offsets()[0].tolist()))
        for mark in axes.collections
    ]


# --- Data --------------------------------------------------------------------


def test_f_beta_lines_are_the_curves():
    curves = f_curves()
    figure = plot_f_beta(THRESHOLDS, curves)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4
    for axes, beta in zip(figure.axes, BETAS, strict=True):
        assert f'= {beta:g}' in axes.get_title()
        assert [line.get_label() for line in axes.lines] == list(NAMES)
        for line, name in zip(axes.lines, NAMES, strict=True):
            assert np.array_equal(line.get_xdata(), THRESHOLDS)
            assert np.array_equal(line.get_ydata(), curves[beta][name])


def test_precision_recall_lines_are_the_curves():
    curves = pr_curves()
    figure = plot_precision_recall(curves)
    for axes, subset in zip(figure.axes, curves, strict=True):
        assert axes.get_title() == subset
        for line, name in zip(axes.lines, NAMES, strict=True):
            assert np.array_equal(line.get_xdata(), curves[subset][name][0])
            assert np.array_equal(line.get_ydata(), curves[subset][name][1])


def test_figures_share_no_memory_with_their_input():
    thresholds, curves = THRESHOLDS.copy(), f_curves([0.1], ['clean'])
    before = curves[0.1]['clean'].copy()
    line = plot_f_beta(thresholds, curves).axes[0].lines[0]
    thresholds[:], curves[0.1]['clean'][:] = 0, 0
    assert np.array_equal(line.get_xdata(), THRESHOLDS)
    assert np.array_equal(line.get_ydata(), before)


def test_points_without_precision_are_left_out():
    curves = {'All': {'clean': ([0.0, 0.1, NAN, 0.4], [NAN, 1.0, 0.5, 0.5])}}
    line = plot_precision_recall(curves).axes[0].lines[0]
    assert line.get_xdata().tolist() == [0.1, 0.4]
    assert line.get_ydata().tolist() == [1.0, 0.5]


def test_empty_curves_keep_their_place_and_say_why():
    lost, no_faces = ([0.0, 0.0], [NAN, NAN]), ([NAN, NAN], [0.0, 0.0])
    good = ([0.0, 0.5], [1.0, 1.0])
    curves = {'All': {'lost': lost, 'clean': good, 'odd': no_faces}}
    axes = plot_precision_recall(curves, {'All': {'lost': 0.0, 'odd': NAN}}).axes[0]
    assert [len(line.get_xdata()) for line in axes.lines] == [0, 2, 0]
    assert texts(axes.get_legend()) == [
        'lost, AP 0.000, no detections',
        'clean',
        'odd, AP n/a, no faces',
    ]


def test_f_beta_without_faces_says_so():
    curves = {0.1: {'clean': np.full(61, NAN), 'patch': falling(0)}}
    axes = plot_f_beta(THRESHOLDS, curves).axes[0]
    assert texts(axes.get_legend()) == ['clean, no faces', 'patch']


# --- Range of the axes -------------------------------------------------------


@pytest.mark.parametrize('order', [1, -1])
def test_x_limits_hold_every_change_and_little_else(order):
    curves = {0.1: {'a': falling(0)[::order]}, 0.5: {'b': falling(12)[::order]}}
    figure = plot_f_beta(THRESHOLDS[::order], curves)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        # The slopes reach from 0 - 5 to 12 + 5.
        assert -7 < low < -5
        assert 17 < high < 19


def test_x_limits_hold_the_borders_of_gaps():
    gap = np.zeros(61)
    gap[10:20] = NAN
    low, high = plot_f_beta(THRESHOLDS, {0.1: {'a': gap}}).axes[0].get_xlim()
    assert THRESHOLDS[8] < low < THRESHOLDS[9] < THRESHOLDS[20] < high < THRESHOLDS[21]


def test_x_limits_pass_over_what_cannot_be_seen():
    tails = 4e-4 * np.linspace(1, 0, 61)
    curves = {0.1: {'a': 0.9 * falling(0) + tails}}
    low, high = plot_f_beta(THRESHOLDS, curves).axes[0].get_xlim()
    assert -7 < low < -5 and 5 < high < 7


def test_x_limits_hold_a_slow_drift():
    # No step is larger than 0.0002, all together make 0.012.
    curves = {0.1: {'a': 2e-4 * np.arange(61)}}
    low, high = plot_f_beta(THRESHOLDS, curves).axes[0].get_xlim()
    assert low < THRESHOLDS[3] and high > THRESHOLDS[-4]


def test_flat_curves_are_shown_whole():
    low, high = plot_f_beta(THRESHOLDS, {0.1: {'a': np.zeros(61)}}).axes[0].get_xlim()
    assert low < THRESHOLDS[0] and high > THRESHOLDS[-1]


def test_x_limits_can_be_given():
    figure = plot_f_beta(THRESHOLDS, f_curves(), x_limits=(-1, 2.5))
    assert all(axes.get_xlim() == (-1, 2.5) for axes in figure.axes)


def test_shares_are_shown_from_0_to_1_with_room():
    axes = plot_precision_recall(pr_curves()).axes[0]
    for low, high in (axes.get_xlim(), axes.get_ylim()):
        assert -0.1 < low < 0 and 1 < high < 1.1


# --- Looks -------------------------------------------------------------------


def test_a_condition_looks_the_same_in_every_panel():
    curves = {
        0.1: {'clean': falling(1), 'patch': falling(2)},
        0.5: {'patch': falling(3), 'noise': falling(3), 'clean': falling(4)},
    }
    first, second = plot_f_beta(THRESHOLDS, curves).axes
    looks = [
        {line.get_label(): look(line) for line in ax.lines} for ax in (first, second)
    ]
    assert looks[0]['clean'] == looks[1]['clean']
    assert looks[0]['patch'] == looks[1]['patch']
    assert list(looks[1]) == ['patch', 'noise', 'clean']


def test_ten_conditions_differ_in_colour_and_dashes():
    names = [f'condition {i}' for i in range(10)]
    lines = plot_f_beta(THRESHOLDS, f_curves([0.1], names)).axes[0].lines
    for part in range(3):
        assert len({look(line)[part] for line in lines}) == 10


@pytest.mark.parametrize(
    ('count', 'grid'),
    [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (9, (3, 3))],
)
def test_panels_form_a_near_square_grid(count, grid):
    curves = f_curves([0.1 * (i + 1) for i in range(count)], ['clean'])
    figure = plot_f_beta(THRESHOLDS, curves)
    assert len(figure.axes) == count
    layout = figure.axes[0].get_subplotspec().get_gridspec()
    assert (layout.nrows, layout.ncols) == grid


# --- Legends -----------------------------------------------------------------


def test_one_legend_without_numbers():
    figure = plot_f_beta(THRESHOLDS, f_curves())
    assert all(axes.get_legend() is None for axes in figure.axes)
    assert [texts(legend) for legend in figure.legends] == [list(NAMES)]


def test_a_legend_for_each_panel_with_numbers():
    curves = f_curves()
    areas = {
        beta: {name: (area, area / 2) for name, area in by.items()}
        for beta, by in numbers(curves).items()
    }
    figure = plot_f_beta(THRESHOLDS, curves, areas)
    assert not figure.legends
    for axes in figure.axes:
        assert texts(axes.get_legend()) == [
            'clean, AF 0.062 (s ≥ 0: 0.031)',
            'grey, AF 0.125 (s ≥ 0: 0.062)',
            'noise, AF 0.188 (s ≥ 0: 0.094)',
            'patch, AF 0.250 (s ≥ 0: 0.125)',
        ]


def test_numbers_without_a_curve_are_not_shown():
    pair = (0.5, NAN)
    areas = {0.1: {'clean': pair, 'other': pair}, 7.0: {'clean': pair}}
    axes = plot_f_beta(THRESHOLDS, f_curves([0.1], ['clean', 'patch']), areas).axes[0]
    assert texts(axes.get_legend()) == ['clean, AF 0.500 (s ≥ 0: n/a)', 'patch']


@pytest.mark.parametrize('length', [5, 60])
def test_legends_hide_no_curve_and_fit_the_figure(length):
    names = [f'{i} '.ljust(length, 'w') for i in range(10)]
    curves = pr_curves(names=names)
    figure = plot_precision_recall(curves, numbers(curves))
    figure.canvas.draw()
    page = figure.bbox
    assert page.width == 1200
    boxes = [axes.get_legend().get_window_extent() for axes in figure.axes]
    assert boxes[0].x1 <= boxes[1].x0
    for axes, box in zip(figure.axes, boxes, strict=True):
        assert box.y1 < axes.get_window_extent().y0
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0
        assert axes.get_window_extent().width > 400


def test_names_are_no_mathtext():
    curves = {'$a$ of $b$': {'$x_1$ for $y$': ([0, 0.5], [1, 1])}}
    figure = plot_precision_recall(curves)
    figure.canvas.draw()
    assert texts(figure.legends[0]) == [r'\$x_1\$ for \$y\$']
    assert figure.axes[0].get_title() == r'\$a\$ of \$b\$'


# --- Markers -----------------------------------------------------------------


def test_points_are_marked_and_explained():
    curves = pr_curves()
    points = {'Easy': {'clean': (0.5, 0.9), 'patch': (NAN, 0.9), 'other': (0, 0)}}
    figure = plot_precision_recall(curves, points=points, point_label='here')
    assert offsets(figure.axes[0]) == [('clean', (0.5, 0.9))]
    assert offsets(figure.axes[1]) == []
    assert texts(figure.legends[0]) == [*NAMES, 'here']
    mark, line = figure.axes[0].collections[0], figure.axes[0].lines[0]
    face = to_hex(mark.get_facecolor()[0])
    assert face == to_hex(line.get_color())


def test_curves_in_the_corner_are_marked_at_their_end():
    curves = {
        'All': {
            'clean': ([0.0, 0.8], [1.0, 0.9]),
            'patch': ([0.0, 0.02, 0.02, 0.0], [0.0, 0.4, 0.3, NAN]),
            'single': ([0.0], [0.0]),
        }
    }
    figure = plot_precision_recall(curves)
    assert offsets(figure.axes[0]) == [('patch', (0.02, 0.3)), ('single', (0.0, 0.0))]
    assert texts(figure.legends[0])[-1] == 'end of a curve with recall below 0.05'


# --- Errors ------------------------------------------------------------------


@pytest.mark.parametrize(
    ('thresholds', 'curves', 'match'),
    [
        ([0, 1], {}, 'at least one beta'),
        ([0, 1], {0.1: {}}, 'beta 0.1 has no curve'),
        ([], {0.1: {'a': []}}, r'thresholds: expected shape \(K,\)'),
        ([0], {0.1: {'a': [0]}}, 'at least two'),
        ([0, 2, 1], {0.1: {'a': [0, 0, 0]}}, 'ascending or descending'),
        ([0, NAN], {0.1: {'a': [0, 0]}}, 'NaN or infinite'),
        ([0, 1], {0.1: {'a': [0, 0, 0]}}, "'a' at beta 0.1 has 3 values and .* 2"),
        ([0, 1], {0.1: {'a': [0, 50.0]}}, r'50 is not in \[0, 1\]'),
        ([0, 1], {0.1: {'a': [[0, 0]]}}, r'got \(1, 2\)'),
        ([0, 1], {0.1: {str(i): [0, 0] for i in range(11)}}, '11 conditions'),
    ],
)
def test_f_beta_refuses(thresholds, curves, match):
    with pytest.raises(ValueError, match=match):
        plot_f_beta(thresholds, curves)


@pytest.mark.parametrize('limits', [(1, 0), (0, NAN), (0, float('inf')), (1,)])
def test_f_beta_refuses_limits(limits):
    with pytest.raises(ValueError, match='x_limits'):
        plot_f_beta(THRESHOLDS, f_curves(), x_limits=limits)


@pytest.mark.parametrize(
    ('curves', 'points', 'match'),
    [
        ({}, None, 'at least one subset'),
        ({'All': {}}, None, "subset 'All' has no curve"),
        ({'All': {'a': ([], [])}}, None, "recall of 'a' on 'All': expected shape"),
        ({'All': {'a': ([0, 1], [1])}}, None, 'has 2 values and its precision 1'),
        ({'All': {'a': ([0, 1], [1, -1])}}, None, "precision of 'a' .*-1 is not in"),
        ({'All': {'a': ([0], [1])}}, {'All': {'a': (0, 0, 1)}}, r'\(recall, precision'),
        ({'All': {'a': ([0], [1])}}, {'All': {'a': (0, 9)}}, 'point .* 9 is not in'),
    ],
)
def test_precision_recall_refuses(curves, points, match):
    with pytest.raises(ValueError, match=match):
        plot_precision_recall(curves, points=points)


# --- Files -------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'start'),
    [('a.png', b'\x89PNG\r\n\x1a\n'), ('a.PDF', b'%PDF-'), ('a.svg', b'<?xml')],
)
def test_suffix_gives_the_format(tmp_path, name, start):
    figure = plot_f_beta(THRESHOLDS, f_curves([0.1]))
    save_figure(tmp_path / name, figure)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_png_is_1200_pixels_wide(tmp_path):
    save_figure(str(tmp_path / 'a.png'), plot_precision_recall(pr_curves()))
    header = (tmp_path / 'a.png').read_bytes()[16:20]
    assert int.from_bytes(header, 'big') == 1200


def test_earlier_file_stays_if_drawing_fails(tmp_path, monkeypatch):
    figure = plot_f_beta(THRESHOLDS, f_curves([0.1]))

    def fail(file, **kwargs):
        file.write(b'half')
        raise RuntimeError('no ink')

    monkeypatch.setattr(figure, 'savefig', fail)
    (tmp_path / 'a.png').write_bytes(b'whole')
    with pytest.raises(RuntimeError, match='no ink'):
        save_figure(tmp_path / 'a.png', figure)
    assert (tmp_path / 'a.png').read_bytes() == b'whole'
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']


@pytest.mark.parametrize('name', ['a.jpg', 'a', 'png'])
def test_other_suffixes_are_refused(tmp_path, name):
    figure = plot_f_beta(THRESHOLDS, f_curves([0.1]))
    with pytest.raises(ValueError, match='suffix must be one of .png, .pdf, .svg'):
        save_figure(tmp_path / name, figure)
    assert not list(tmp_path.iterdir())


def test_pyplot_and_settings_are_left_alone(tmp_path):
    before = dict(matplotlib.rcParams), pyplot.get_fignums()
    save_figure(tmp_path / 'a.pdf', plot_f_beta(THRESHOLDS, f_curves([0.1])))
    assert (dict(matplotlib.rcParams), pyplot.get_fignums()) == before
