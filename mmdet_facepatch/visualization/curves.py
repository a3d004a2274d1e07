"""Plots of evaluation curves: threshold-F_beta and precision-recall.

All plotting functions are pure: they return a new
:class:`~matplotlib.figure.Figure` and know nothing of pyplot, so that they can
be called inside a training process and without a display, and leave no figure
behind.

A condition (clean, grey, noise, patch, ...) has one colour and one line style
throughout a figure, given by the order in which conditions are first named.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike, NDArray

from ..files import write_atomically

Array = NDArray[np.float64]

# Any two colours differ by at least 15 in CIELAB, the first five by 24, also
# under simulated protanopia, deuteranopia and tritanopia; none is too light
# for a thin line on white. The first four also differ in lightness.
_COLOURS = (
    '#1a1a1a',  # black
    '#0072b2',  # blue
    '#e69f00',  # orange
    '#c2185b',  # crimson
    '#56b4e9',  # sky
    '#7a4a1e',  # brown
    '#5e3fbe',  # violet
    '#8f8f8f',  # grey
    '#e8a0c8',  # pink
    '#332288',  # indigo
)
# Lengths of stroke and gap, in line widths; no two alike, for print in grey.
_DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (5, 2),
    (1.2, 1.4),
    (7, 1.8, 1.4, 1.8),
    (10, 3),
    (5, 1.5, 1.2, 1.5, 1.2, 1.5),
    (2.6, 1.2),
    (10, 1.5, 3, 1.5),
    (3, 1.2, 1.2, 1.2),
    (5, 1.5, 5, 1.5, 1.2, 1.5),
)
# Later lines lie on top and are thinner, so that equal curves are all seen.
_WIDEST, _THINNEST = 2.6, 1.5  # points

_SHORT_RECALL = 0.05  # a curve that ends below this gets a marker
_ROOM = 0.03  # beyond 0 and 1, so that lines there are not cut
_UNSEEN = 5e-4  # a change of a curve by a quarter of a pixel
_ROUNDING = 1e-6  # how far outside [0, 1] a value may lie

# 1200 pixels wide as PNG. Lengths are in inches, sizes of text in points.
_DPI = 150
_WIDTH = 8.0
_PLOT_HEIGHT, _LONE_PLOT_HEIGHT = 2.9, 4.4
_AXIS_HEIGHT = 0.46
_LINE_HEIGHT = 0.165
_MARGIN = 0.08
_TICKS_WIDTH = 0.4  # numbers of the vertical axis, at the least
_TITLE_SIZE, _PANEL_SIZE, _LABEL_SIZE, _TEXT_SIZE = 13.0, 11.0, 9.5, 8.0
# Of a legend, in sizes of its text: a line sample has to show its dashes.
_SAMPLE_LENGTH, _SAMPLE_GAP, _COLUMN_GAP = 4.0, 0.6, 1.2
_INK, _NEUTRAL, _GRID = '#202020', '#606060', '#e2e2e2'

_FORMATS = {'.png': 'png', '.pdf': 'pdf', '.svg': 'svg'}


@dataclass(frozen=True)
class _Marker:
    """Looks of a marker, on the axes and in the legend. Lengths are in points.

    As with the lines, later conditions lie on top and are smaller.
    """

    shape: str
    largest: float
    smallest: float
    edge: float
    filled: bool


# The white rim of a dot sets it off from its line.
_DOT = _Marker('o', largest=9.5, smallest=5.5, edge=1.0, filled=True)
_END = _Marker('s', largest=12.0, smallest=3.5, edge=1.2, filled=False)


@dataclass(frozen=True)
class _Panel:
    """One pair of axes: lines and legend texts by condition."""

    title: str
    lines: dict[str, tuple[Array, Array]]
    texts: dict[str, str]


def plot_f_beta(
    thresholds: ArrayLike,
    curves: Mapping[float, Mapping[str, ArrayLike]],
    beta_areas: Mapping[float, Mapping[str, float]] | None = None,
    title: str = r'Threshold-$F_\beta$ curves',
    x_limits: tuple[float, float] | None = None,
) -> Figure:
    r"""Threshold-F_beta curves, one panel a beta, as in the paper's Figure 8.

    The lower F_beta, the better the attack. Precision counts little at small
    beta: the paper's F_beta = (1 + b^2) / (b^2 / precision + 1 / recall).

    Thresholds usually cover far more than the scores of interest, and both
    ends of the curves are flat. Unless ``x_limits`` are given, the threshold
    axis is therefore **cut** to the interval in which any curve of any panel
    changes, plus a margin; it is the same for all panels. In what is cut away
    each curve stays within 0.0005 of its first or last value, a quarter of a
    pixel. Where no curve changes, all thresholds are shown.

    Args:
        thresholds (array): (K,) thresholds of s = s_p - s_n (difference of
            logits), K >= 2, finite, ascending or descending.
        curves (dict): beta -> condition -> (K,) F_beta in [0, 1]. NaN leaves a
            gap; a curve of nothing else is said to have no faces.
        beta_areas (dict, optional): beta -> condition -> AF_beta, shown in the
            legend. Those without a curve are not shown.
        title (str): Title of the figure, mathtext allowed; '' for none.
        x_limits (tuple, optional): Lowest and highest threshold shown.

    Returns:
        Figure: 1200 pixels wide at its own resolution. The lines of its axes
        are the curves, in the order of the conditions of that panel.

    Raises:
        ValueError: If there is no curve, a curve is not as long as
            ``thresholds``, values lie outside their range, the limits are not
            in order, or there are more than ten conditions.
    """
    limits = _vector(thresholds, 'thresholds')
    steps = np.diff(limits)
    if not len(steps) or not ((steps >= 0).all() or (steps <= 0).all()):
        raise ValueError(
            'thresholds must be at least two finite numbers, in ascending or '
            'descending order'
        )
    _check_curves(curves, 'beta')
    panels = [
        _f_beta_panel(limits, beta, by_condition, (beta_areas or {}).get(beta))
        for beta, by_condition in curves.items()
    ]
    shown = _changing_interval(panels) if x_limits is None else x_limits
    if len(shown) != 2 or not -math.inf < shown[0] < shown[1] < math.inf:
        raise ValueError(f'x_limits must be two finite numbers in order, got {shown}')
    figure, axes = _draw(
        panels,
        title=title,
        x_label=r'threshold of $s = s_p - s_n$',
        y_label=r'$F_\beta$  (lower: better attack)',
    )
    for ax in axes:
        ax.set_xlim(*shown)
    return figure


def plot_precision_recall(
    curves: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    average_precision: Mapping[str, Mapping[str, float]] | None = None,
    points: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    title: str = 'Precision and recall',
    point_label: str = r'at the calibrated $\delta$',
) -> Figure:
    r"""Precision-recall curves, one panel a subset.

    Where precision is NaN (no detection counts) there is no point. A curve
    left without any is named in the legend all the same, with the reason. A
    curve that ends below a recall of 0.05, as under a strong attack, is marked
    at its end by an open square: its line alone might not be seen.

    Args:
        curves (dict): subset -> condition -> (recall, precision), each (K,) in
            [0, 1] or NaN. K may differ between curves. Note the order:
            :func:`~mmdet_facepatch.evaluation.precision_recall_at`
            returns precision first.
        average_precision (dict, optional): subset -> condition -> AP, shown in
            the legend. Those without a curve are not shown.
        points (dict, optional): subset -> condition -> (recall, precision),
            drawn as a dot. Those without a curve, and NaN, are not shown.
        title (str): Title of the figure, mathtext allowed; '' for none.
        point_label (str): What the points are, for the legend.

    Returns:
        Figure: 1200 pixels wide at its own resolution. The lines of its axes
        are the curves, in the order of the conditions of that panel; markers
        are collections.

    Raises:
        ValueError: If there is no curve, recall and precision differ in
            length, values lie outside [0, 1], or there are more than ten
            conditions.
    """
    _check_curves(curves, 'subset')
    panels = [
        _pr_panel(subset, by_condition, (average_precision or {}).get(subset))
        for subset, by_condition in curves.items()
    ]
    dots = [
        _dots(panel, (points or {}).get(subset, {}))
        for subset, panel in zip(curves, panels, strict=True)
    ]
    ends = [_short_ends(panel) for panel in panels]
    notes = []
    if any(dots):
        notes.append(_marker_sample(point_label, _DOT))
    if any(ends):
        text = f'end of a curve with recall below {_SHORT_RECALL:g}'
        notes.append(_marker_sample(text, _END))
    figure, axes = _draw(
        panels,
        title=title,
        x_label='recall',
        y_label='precision',
        notes=notes,
    )
    colours = _colours(panels)
    for ax, at_points, at_ends in zip(axes, dots, ends, strict=True):
        ax.set_xlim(-_ROOM, 1 + _ROOM)
        _mark(ax, at_ends, colours, _END)
        _mark(ax, at_points, colours, _DOT)
    return figure


def save_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a figure as PNG, PDF or SVG, all or nothing.

    Args:
        path (str | Path): File to write, ``.png``, ``.pdf`` or ``.svg``; its
            folder must exist. An earlier file stays whole if drawing fails.
        figure (Figure): A figure of this module, or another. It is written at
            its own resolution.

    Raises:
        ValueError: If the suffix is none of the three.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(
            f'cannot write {os.fspath(path)!r}: the suffix must be one of '
            f'{", ".join(_FORMATS)}'
        )

    def write(file: BinaryIO) -> None:
        figure.savefig(file, format=_FORMATS[suffix], dpi='figure', facecolor='white')

    write_atomically(path, write)


# --- Panels ------------------------------------------------------------------


def _f_beta_panel(
    thresholds: Array,
    beta: float,
    curves: Mapping[str, ArrayLike],
    areas: Mapping[str, float] | None,
) -> _Panel:
    lines, texts = {}, {}
    for condition, values in curves.items():
        name = f'F_beta of {condition!r} at beta {beta:g}'
        scores = _vector(values, name, share=True)
        _check_length(name, scores, 'thresholds', thresholds)
        lines[condition] = (thresholds, scores)
        texts[condition] = condition + _number('AF', areas, condition)
        if np.isnan(scores).all():
            texts[condition] += ', no faces'
    return _Panel(rf'$\beta$ = {beta:g}', lines, texts)


def _pr_panel(
    subset: str,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    areas: Mapping[str, float] | None,
) -> _Panel:
    lines, texts = {}, {}
    for condition, (recall, precision) in curves.items():
        name = f'of {condition!r} on {subset!r}'
        x = _vector(recall, f'recall {name}', share=True)
        y = _vector(precision, f'precision {name}', share=True)
        _check_length(f'recall {name}', x, 'its precision', y)
        there = ~np.isnan(x) & ~np.isnan(y)
        lines[condition] = (x[there], y[there])
        texts[condition] = condition + _number('AP', areas, condition)
        if not there.any():
            # Recall is a share of the faces, precision of the detections.
            lacking = 'faces' if np.isnan(x).all() else 'detections'
            texts[condition] += f', no {lacking}'
    return _Panel(_literal(subset), lines, texts)


def _number(what: str, values: Mapping[str, float] | None, condition: str) -> str:
    """The part of a legend's text that gives AF or AP, '' without one.

    Its space does not break, so that a number stays with its name.
    """
    if values is None or condition not in values:
        return ''
    value = float(values[condition])
    return f', {what}\xa0' + ('n/a' if math.isnan(value) else f'{value:.3f}')


def _changing_interval(panels: Sequence[_Panel]) -> tuple[float, float]:
    """Thresholds between which any curve visibly changes, and a margin."""
    lines = [line for panel in panels for line in panel.lines.values()]
    x = lines[0][0]
    # From the last threshold at which all curves still have their first value,
    # to the first at which all have their last.
    first = min(_flat_start(y) for _, y in lines)
    last = len(x) - 1 - min(_flat_start(y[::-1]) for _, y in lines)
    ends = x[[first, last]] if first < last else x[[0, -1]]
    low, high = float(ends.min()), float(ends.max())
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _flat_start(y: Array) -> int:
    """Last index before a curve leaves its first value."""
    # Compared with the end, not step by step: a slow drift adds up.
    left = ~np.isclose(y, y[0], rtol=0, atol=_UNSEEN, equal_nan=True)
    return int(left.argmax()) - 1 if left.any() else len(y) - 1


Point = tuple[float, float]


def _dots(panel: _Panel, points: Mapping[str, Point]) -> dict[str, Point]:
    """The points of the conditions that have a line, checked."""
    dots = {}
    for condition in panel.lines:
        if condition in points:
            name = f'point of {condition!r} on {panel.title!r}'
            point = _vector(points[condition], name, share=True)
            if len(point) != 2:
                raise ValueError(f'{name} must be (recall, precision), got {point}')
            if not np.isnan(point).any():
                dots[condition] = (float(point[0]), float(point[1]))
    return dots


def _short_ends(panel: _Panel) -> dict[str, Point]:
    """Where the curves end that never reach the least recall."""
    ends = {}
    for condition, (recall, precision) in panel.lines.items():
        if len(recall) and recall.max() < _SHORT_RECALL:
            last = len(recall) - 1 - int(recall[::-1].argmax())
            ends[condition] = (float(recall[last]), float(precision[last]))
    return ends


# --- Checks ------------------------------------------------------------------


def _vector(values: ArrayLike, name: str, share: bool = False) -> Array:
    """A new (K,) float64 array: finite, or in [0, 1] with NaN if a share."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f'{name}: expected shape (K,), K >= 1, got {array.shape}')
    if not share and not np.isfinite(array).all():
        raise ValueError(f'{name}: a value is NaN or infinite')
    outside = (array < -_ROUNDING) | (array > 1 + _ROUNDING)
    if share and outside.any():
        raise ValueError(f'{name}: {array[outside][0]:g} is not in [0, 1]')
    return array


def _check_length(name: str, values: Array, other_name: str, other: Array) -> None:
    if len(values) != len(other):
        raise ValueError(
            f'{name} has {len(values)} values and {other_name} {len(other)}; they '
            'must be equally many'
        )


def _check_curves(curves: Mapping[Any, Mapping[str, Any]], what: str) -> None:
    if not curves:
        raise ValueError(f'there is nothing to plot: give at least one {what}')
    for key, by_condition in curves.items():
        if not by_condition:
            raise ValueError(f'{what} {key!r} has no curve; give at least one')
    names = _conditions(curves.values())
    if len(names) > len(_COLOURS):
        raise ValueError(
            f'{len(names)} conditions cannot be told apart in one figure; give at '
            f'most {len(_COLOURS)}'
        )


def _conditions(parts: Iterable[Iterable[str]]) -> list[str]:
    """The conditions of all panels in the order they are first named."""
    return list(dict.fromkeys(name for part in parts for name in part))


# --- Drawing -----------------------------------------------------------------


def _colours(panels: Sequence[_Panel]) -> dict[str, str]:
    return dict(zip(_conditions(panel.lines for panel in panels), _COLOURS))


def _line_styles(panels: Sequence[_Panel]) -> dict[str, dict[str, Any]]:
    """Arguments for the line of each condition."""
    colours = _colours(panels)
    widths = np.linspace(_WIDEST, _THINNEST, len(colours))
    return {
        name: dict(
            color=colour,
            linestyle=(0, dashes) if dashes else '-',
            linewidth=float(width),
            dash_capstyle='butt',
            solid_capstyle='butt',
        )
        for (name, colour), dashes, width in zip(colours.items(), _DASHES, widths)
    }


def _grid(count: int) -> tuple[int, int]:
    """Rows and columns: up to three panels in a row, else nearly square."""
    columns = count if count <= 3 else math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def _draw(
    panels: Sequence[_Panel],
    title: str,
    x_label: str,
    y_label: str,
    notes: Sequence[Line2D] = (),
) -> tuple[Figure, list[Axes]]:
    """Panels with lines and legends; y from 0 to 1.

    Legends stand below their panels, or below all of them, never on a plot:
    there is no place in it that a curve cannot take.
    """
    styles = _line_styles(panels)
    rows, columns = _grid(len(panels))
    # A wider legend would make its plot narrower.
    room = _WIDTH / columns - _TICKS_WIDTH
    legends = [_legend(panel.texts, styles, room) for panel in panels]
    # One legend serves all panels where it says nothing of a single one.
    shared = all(text == name for panel in panels for name, text in panel.texts.items())
    names = list(styles) if shared else []
    below = _legend(dict(zip(names, names)), styles, _WIDTH - _TICKS_WIDTH, notes)
    row = _AXIS_HEIGHT + (_LONE_PLOT_HEIGHT if columns == 1 else _PLOT_HEIGHT)
    if not shared:
        row += max(legend.height for legend in legends)
    height = rows * row + below.height + 0.4 * bool(title)

    figure = _new_figure(height, title)
    all_axes = []
    for i, (panel, legend) in enumerate(zip(panels, legends, strict=True)):
        ax = figure.add_subplot(rows, columns, i + 1)
        _dress(ax, panel.title, x_label, '' if i % columns else y_label)
        for name, (x, y) in panel.lines.items():
            ax.plot(x, y, label=name, **styles[name])
        if not shared:
            _add_panel_legend(figure, ax, legend)
        all_axes.append(ax)
    if below.handles:
        figure.legend(loc='outside lower center', **below.arguments)
    return figure, all_axes


def _new_figure(height: float, title: str) -> Figure:
    """An empty figure of that height in inches, unknown to pyplot."""
    layout = ConstrainedLayoutEngine(h_pad=_MARGIN, w_pad=_MARGIN)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    figure.set_facecolor('white')
    if title:
        figure.suptitle(title, fontsize=_TITLE_SIZE, color=_INK)
    return figure


def _dress(ax: Axes, title: str, x_label: str, y_label: str) -> None:
    ax.set_title(title, fontsize=_PANEL_SIZE, color=_INK)
    ax.set_xlabel(x_label, fontsize=_LABEL_SIZE, color=_INK)
    ax.set_ylabel(y_label, fontsize=_LABEL_SIZE, color=_INK)
    ax.set_ylim(-_ROOM, 1 + _ROOM)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    ax.tick_params(labelsize=_TEXT_SIZE, colors=_INK)
    ax.grid(True, color=_GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[['top', 'right']].set_visible(False)


def _mark(
    ax: Axes,
    points: Mapping[str, Point],
    colours: Mapping[str, str],
    marker: _Marker,
) -> None:
    """Markers in the colours of their conditions, above all lines."""
    sizes = np.linspace(marker.largest, marker.smallest, len(colours))
    size = dict(zip(colours, sizes.tolist()))
    for name, (x, y) in points.items():
        ax.scatter(
            [x],
            [y],
            s=size[name] ** 2,
            marker=marker.shape,
            facecolors=colours[name] if marker.filled else 'none',
            edgecolors='white' if marker.filled else colours[name],
            linewidths=marker.edge,
            zorder=4,
            clip_on=False,
            label=name,
        )


# --- Legends -----------------------------------------------------------------


@dataclass(frozen=True)
class _Legend:
    """What a legend needs, and its height in inches."""

    handles: list[Line2D]
    columns: int
    height: float

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(
            handles=self.handles,
            ncols=self.columns,
            fontsize=_TEXT_SIZE,
            labelcolor=_INK,
            frameon=False,
            handlelength=_SAMPLE_LENGTH,
            handletextpad=_SAMPLE_GAP,
            columnspacing=_COLUMN_GAP,
            labelspacing=0.35,
            borderaxespad=0.2,
        )


def _legend(
    texts: Mapping[str, str],
    styles: Mapping[str, dict[str, Any]],
    width: float,
    notes: Sequence[Line2D] = (),
) -> _Legend:
    """Lay out a legend in as many columns as fit the width (inches)."""
    handles = [
        Line2D([], [], label=_wrapped(_literal(text), width), **styles[name])
        for name, text in texts.items()
    ]
    handles.extend(notes)
    if not handles:
        return _Legend([], 1, 0.0)
    labels = [str(handle.get_label()) for handle in handles]
    # Not every number of columns shortens a legend; of those that do not, the
    # least makes the fullest rows.
    rows = min(
        math.ceil(len(labels) / count)
        for count in range(1, len(labels) + 1)
        if count == 1 or _columns_width(labels, count) <= width
    )
    columns = math.ceil(len(labels) / rows)
    lines = max(
        sum(label.count('\n') + 1 for label in column)
        for column in _columns(labels, columns)
    )
    return _Legend(handles, columns, lines * _LINE_HEIGHT + _MARGIN)


def _columns(labels: Sequence[str], count: int) -> list[list[str]]:
    """Distribute labels as matplotlib does: evenly, one column after another."""
    return [column.tolist() for column in np.array_split(np.array(labels), count)]


def _columns_width(labels: Sequence[str], count: int) -> float:
    """Width in inches of a legend in that many columns."""
    texts = [
        max(_text_width(label) for label in column)
        for column in _columns(labels, count)
    ]
    gaps = count * (_SAMPLE_LENGTH + _SAMPLE_GAP) + (count - 1) * _COLUMN_GAP
    return sum(texts) + gaps * _TEXT_SIZE / 72


def _text_width(text: str) -> float:
    """Width in inches of the longest line of a legend's text."""
    font = FontProperties(size=_TEXT_SIZE)
    # In points: the drawn text has no other unit here.
    return max(
        text_to_path.get_text_width_height_descent(line, font, False)[0] / 72
        for line in text.split('\n')
    )


def _wrapped(text: str, width: float) -> str:
    """Text broken into lines that fit beside a line sample, with plain spaces."""
    room = width - (_SAMPLE_LENGTH + _SAMPLE_GAP) * _TEXT_SIZE / 72 - 2 * _MARGIN
    needed = _text_width(text)
    if needed > room:
        # A tenth less than the share that fits: letters differ in width.
        text = textwrap.fill(text, max(8, int(0.9 * len(text) * room / needed)))
    return text.replace('\xa0', ' ')


def _add_panel_legend(figure: Figure, ax: Axes, legend: _Legend) -> None:
    """Below the label of the horizontal axis, whatever the axes' height."""
    # In the middle of the panel, which the numbers on the left are part of.
    shift = ScaledTranslation(-_TICKS_WIDTH / 2, -_AXIS_HEIGHT, figure.dpi_scale_trans)
    ax.legend(
        loc='upper center',
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=ax.transAxes + shift,
        **legend.arguments,
    )


def _marker_sample(text: str, marker: _Marker) -> Line2D:
    """A marker without a line, for the legend; grey, as it is of no condition."""
    return Line2D(
        [],
        [],
        label=text,
        linestyle='none',
        marker=marker.shape,
        markersize=(marker.largest + marker.smallest) / 2,
        markerfacecolor=_NEUTRAL if marker.filled else 'none',
        markeredgecolor='white' if marker.filled else _NEUTRAL,
        markeredgewidth=marker.edge,
    )


def _literal(text: str) -> str:
    """Text that is shown as it is, though it may have dollar signs."""
    return text.replace('$', r'\$')
