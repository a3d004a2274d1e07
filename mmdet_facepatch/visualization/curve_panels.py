"""Figures of panels with curves, each condition in a colour and line style.

They know nothing of what the curves are. Figures are unknown to pyplot.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float]

# Any two colours differ by at least 15 in CIELAB, the first five by 24, also
# under simulated protanopia, deuteranopia and tritanopia; none is too light
# for a thin line on white. The first four also differ in lightness.
COLOURS = (
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
ROOM = 0.03  # beyond 0 and 1, so that lines there are not cut

# 1200 pixels wide as PNG. Lengths are in inches, sizes of text in points.
_DPI = 150
_WIDTH = 8.0
_PLOT_HEIGHT, _LONE_PLOT_HEIGHT = 2.9, 4.4
_AXIS_HEIGHT = 0.46
_TICKS_WIDTH = 0.4  # numbers of the vertical axis, at the least
_MARGIN = 0.08
_TITLE_SIZE, _PANEL_SIZE, _LABEL_SIZE, _TEXT_SIZE = 13.0, 11.0, 9.5, 8.0
_INK, _NEUTRAL, _GRID = '#202020', '#606060', '#e2e2e2'
# In sizes of the text: a line sample has to show its dashes.
_SAMPLE_LENGTH, _SAMPLE_GAP = 4.0, 0.6
_LEGEND: dict[str, Any] = dict(
    fontsize=_TEXT_SIZE,
    labelcolor=_INK,
    frameon=False,
    handlelength=_SAMPLE_LENGTH,
    handletextpad=_SAMPLE_GAP,
    columnspacing=1.2,
    labelspacing=0.35,
    borderpad=0.2,
    borderaxespad=0.2,
)


@dataclass(frozen=True)
class Marker:
    """Looks of a marker, on the axes and in the legend. Lengths are in points.

    As with the lines, later conditions lie on top and are smaller.
    """

    shape: str
    largest: float
    smallest: float
    edge: float
    filled: bool


# The white rim of a dot sets it off from its line.
DOT = Marker('o', largest=9.5, smallest=5.5, edge=1.0, filled=True)
END = Marker('s', largest=12.0, smallest=3.5, edge=1.2, filled=False)


@dataclass(frozen=True)
class Panel:
    """One pair of axes: lines, legend texts and marked points by condition."""

    title: str
    lines: Mapping[str, tuple[Array, Array]]
    texts: Mapping[str, str]
    dots: Mapping[str, Point]
    ends: Mapping[str, Point]


def conditions_of(parts: Iterable[Iterable[str]]) -> list[str]:
    """The conditions of all panels in the order they are first named."""
    return list(dict.fromkeys(name for part in parts for name in part))


def draw_panels(
    panels: Sequence[Panel],
    title: str,
    x_label: str,
    y_label: str,
    notes: Mapping[str, Marker],
) -> tuple[Figure, list[Axes]]:
    """Panels with lines and legends; y from 0 to 1.

    Legends stand below their panels, or below all of them, never on a plot:
    a curve may be anywhere on it. ``notes`` explain markers there.
    """
    styles = _line_styles(panels)
    # Up to three panels in a row, else nearly square.
    count = len(panels)
    columns = count if count <= 3 else math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    figure = _new_figure(title)
    all_axes = []
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, i + 1)
        _dress(axes, panel.title, x_label, '' if i % columns else y_label)
        for name, (x, y) in panel.lines.items():
            axes.plot(x, y, label=name, **styles[name])
        _mark(axes, panel.ends, styles, END)
        _mark(axes, panel.dots, styles, DOT)
        all_axes.append(axes)
    row = _AXIS_HEIGHT + (_LONE_PLOT_HEIGHT if columns == 1 else _PLOT_HEIGHT)
    below = [_marker_sample(text, marker) for text, marker in notes.items()]
    # One legend serves all panels where it says nothing of a single one.
    if all(text == name for panel in panels for name, text in panel.texts.items()):
        names = dict(zip(styles, styles))
        below = _line_samples(names, styles, _WIDTH - _TICKS_WIDTH) + below
    else:
        # A wider legend would make its plot narrower.
        room = _WIDTH / columns - _TICKS_WIDTH
        row += max(
            _add_panel_legend(
                figure, axes, _line_samples(panel.texts, styles, room), room
            )
            for axes, panel in zip(all_axes, panels, strict=True)
        )
    height = rows * row + 0.4 * bool(title)
    if below:
        place = dict(loc='outside lower center')
        height += _add_legend(figure, below, _WIDTH - _TICKS_WIDTH, place)
    figure.set_size_inches(_WIDTH, height)
    return figure, all_axes


def literal(text: str) -> str:
    """Text that is shown as it is, though it may have dollar signs."""
    return text.replace('$', r'\$')


def _line_styles(panels: Sequence[Panel]) -> dict[str, dict[str, Any]]:
    names = conditions_of(panel.lines for panel in panels)
    widths = np.linspace(_WIDEST, _THINNEST, len(names))
    return {
        name: dict(
            color=colour,
            linestyle=(0, dashes) if dashes else '-',
            linewidth=float(width),
            dash_capstyle='butt',
            solid_capstyle='butt',
        )
        for name, colour, dashes, width in zip(names, COLOURS, _DASHES, widths)
    }


def _new_figure(title: str) -> Figure:
    layout = ConstrainedLayoutEngine(h_pad=_MARGIN, w_pad=_MARGIN)
    figure = Figure(figsize=(_WIDTH, _WIDTH), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    figure.set_facecolor('white')
    if title:
        figure.suptitle(title, fontsize=_TITLE_SIZE, color=_INK)
    return figure


def _dress(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, fontsize=_PANEL_SIZE, color=_INK)
    axes.set_xlabel(x_label, fontsize=_LABEL_SIZE, color=_INK)
    axes.set_ylabel(y_label, fontsize=_LABEL_SIZE, color=_INK)
    axes.set_ylim(-ROOM, 1 + ROOM)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=_TEXT_SIZE, colors=_INK)
    axes.grid(True, color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def _mark(
    axes: Axes,
    points: Mapping[str, Point],
    styles: Mapping[str, dict[str, Any]],
    marker: Marker,
) -> None:
    """Markers in the colours of their conditions, above all lines."""
    sizes = np.linspace(marker.largest, marker.smallest, len(styles))
    size = dict(zip(styles, sizes.tolist()))
    for name, (x, y) in points.items():
        colour = styles[name]['color']
        axes.scatter(
            [x],
            [y],
            s=size[name] ** 2,
            marker=marker.shape,
            facecolors=colour if marker.filled else 'none',
            edgecolors='white' if marker.filled else colour,
            linewidths=marker.edge,
            zorder=4,
            clip_on=False,
            label=name,
        )


def _marker_sample(text: str, marker: Marker) -> Line2D:
    """A marker for the legend; grey, as it is of no condition."""
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


def _line_samples(
    texts: Mapping[str, str], styles: Mapping[str, dict[str, Any]], width: float
) -> list[Line2D]:
    """Lines for a legend of that width in inches."""
    return [
        Line2D([], [], label=_wrapped(literal(text), width), **styles[name])
        for name, text in texts.items()
    ]


def _wrapped(text: str, width: float) -> str:
    """Text broken into lines that fit beside a line sample, with plain spaces."""
    font = FontProperties(size=_TEXT_SIZE)
    needed = text_to_path.get_text_width_height_descent(text, font, False)[0]
    room = (width - 2 * _MARGIN) * 72 - (_SAMPLE_LENGTH + _SAMPLE_GAP) * _TEXT_SIZE
    if needed > room:
        # A tenth less than the share that fits: letters differ in width.
        text = textwrap.fill(text, max(8, int(0.9 * len(text) * room / needed)))
    return text.replace('\xa0', ' ')


def _add_panel_legend(
    figure: Figure, axes: Axes, handles: list[Line2D], width: float
) -> float:
    """Below the label of the horizontal axis, whatever the axes' height."""
    # In the middle of the panel, which the numbers on the left are part of.
    shift = ScaledTranslation(-_TICKS_WIDTH / 2, -_AXIS_HEIGHT, figure.dpi_scale_trans)
    place = dict(
        loc='upper center',
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=axes.transAxes + shift,
    )
    return _add_legend(axes, handles, width, place)


def _add_legend(
    owner: Axes | Figure, handles: list[Line2D], width: float, place: dict[str, Any]
) -> float:
    """Add a legend with as few rows as fit the width; returns its height. Inches."""
    for rows in range(1, len(handles) + 1):
        columns = math.ceil(len(handles) / rows)
        legend = owner.legend(handles=handles, ncols=columns, **place, **_LEGEND)
        size = legend.get_window_extent()
        if columns == 1 or size.width <= width * _DPI:
            break
        legend.remove()
    return size.height / _DPI
