"""Figures of panels with curves, each condition in a colour and line style.

They know nothing of what the curves are. Figures are unknown to pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from .legends import INK, MARGIN, TEXT_SIZE, Legend, lay_out_legend

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
_TITLE_SIZE, _PANEL_SIZE, _LABEL_SIZE = 13.0, 11.0, 9.5
_NEUTRAL, _GRID = '#606060', '#e2e2e2'


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
    """One pair of axes: lines and legend texts by condition."""

    title: str
    lines: dict[str, tuple[Array, Array]]
    texts: dict[str, str]


def conditions_of(parts: Iterable[Iterable[str]]) -> list[str]:
    """The conditions of all panels in the order they are first named."""
    return list(dict.fromkeys(name for part in parts for name in part))


def colours_of(panels: Sequence[Panel]) -> dict[str, str]:
    """The colour of each condition."""
    return dict(zip(conditions_of(panel.lines for panel in panels), COLOURS))


def _line_styles(panels: Sequence[Panel]) -> dict[str, dict[str, Any]]:
    """Arguments for the line of each condition."""
    colours = colours_of(panels)
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


def draw_panels(
    panels: Sequence[Panel],
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
    legends = [lay_out_legend(panel.texts, styles, room) for panel in panels]
    # One legend serves all panels where it says nothing of a single one.
    shared = all(text == name for panel in panels for name, text in panel.texts.items())
    names = list(styles) if shared else []
    below = lay_out_legend(
        dict(zip(names, names)), styles, _WIDTH - _TICKS_WIDTH, notes)
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
    layout = ConstrainedLayoutEngine(h_pad=MARGIN, w_pad=MARGIN)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    figure.set_facecolor('white')
    if title:
        figure.suptitle(title, fontsize=_TITLE_SIZE, color=INK)
    return figure


def _dress(ax: Axes, title: str, x_label: str, y_label: str) -> None:
    ax.set_title(title, fontsize=_PANEL_SIZE, color=INK)
    ax.set_xlabel(x_label, fontsize=_LABEL_SIZE, color=INK)
    ax.set_ylabel(y_label, fontsize=_LABEL_SIZE, color=INK)
    ax.set_ylim(-ROOM, 1 + ROOM)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    ax.tick_params(labelsize=TEXT_SIZE, colors=INK)
    ax.grid(True, color=_GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[['top', 'right']].set_visible(False)


def mark(
    ax: Axes,
    points: Mapping[str, Point],
    colours: Mapping[str, str],
    marker: Marker,
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


def _add_panel_legend(figure: Figure, ax: Axes, legend: Legend) -> None:
    """Below the label of the horizontal axis, whatever the axes' height."""
    # In the middle of the panel, which the numbers on the left are part of.
    shift = ScaledTranslation(-_TICKS_WIDTH / 2, -_AXIS_HEIGHT, figure.dpi_scale_trans)
    ax.legend(
        loc='upper center',
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=ax.transAxes + shift,
        **legend.arguments,
    )


def marker_sample(text: str, marker: Marker) -> Line2D:
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
