"""Figures of panels with curves, each condition in a colour and line style.

They know nothing of what the curves are. Figures are unknown to pyplot.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
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
_DASHES: tuple[tuple[float, ...] | None, ...] = (
    None,
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
_NEUTRAL, _GRID = '#606060', '#e2e2e2'
# 1200 pixels wide as PNG. Lengths are in inches, sizes of text in points.
_DPI, _WIDTH = 150, 8.0
_PLOT_HEIGHT, _LONE_PLOT_HEIGHT, _AXIS_HEIGHT = 2.9, 4.4, 0.46
_TICKS_WIDTH = 0.4  # numbers of the vertical axis, at the least
_MARGIN, _TEXT_SIZE = 0.08, 8.0
# In sizes of the text: a line sample has to show its dashes.
_SAMPLE_LENGTH, _SAMPLE_GAP = 4.0, 0.6
_STYLE: Any = {
    'figure.constrained_layout.h_pad': _MARGIN,
    'figure.constrained_layout.w_pad': _MARGIN,
    'figure.titlesize': 13,
    'axes.titlesize': 11,
    'axes.labelsize': 9.5,
    'axes.grid': True,
    'axes.axisbelow': True,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'lines.dash_capstyle': 'butt',
    'lines.solid_capstyle': 'butt',
    'legend.fontsize': _TEXT_SIZE,
    'legend.frameon': False,
    'legend.handlelength': _SAMPLE_LENGTH,
    'legend.handletextpad': _SAMPLE_GAP,
    'legend.columnspacing': 1.2,
    'legend.labelspacing': 0.35,
    'legend.borderpad': 0.2,
    'legend.borderaxespad': 0.2,
}
ROOM = 0.03  # beyond 0 and 1, so that lines there are not cut


@dataclass(frozen=True)
class Panel:
    """One pair of axes: lines, legend texts and marked points by condition."""

    title: str
    lines: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    dots: dict[str, Point] = field(default_factory=dict)
    ends: dict[str, Point] = field(default_factory=dict)


def draw_panels(
    panels: Sequence[Panel],
    title: str,
    x_label: str,
    y_label: str,
    x_limits: tuple[float, float],
    dot_label: str = '',
    end_label: str = '',
) -> Figure:
    """Panels with lines and legends; y from 0 to 1.

    Legends stand below their panels, or below all of them, never on a plot: a curve
    may be anywhere on it.
    """
    styles = _line_styles(panels)
    # Up to three panels in a row, else nearly square.
    count = len(panels)
    columns = count if count <= 3 else math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _WIDTH), dpi=_DPI, layout='constrained')
        FigureCanvasAgg(figure)
        if title:
            figure.suptitle(title)
        for i, panel in enumerate(panels):
            axes = figure.add_subplot(
                rows,
                columns,
                i + 1,
                title=panel.title,
                xlabel=x_label,
                ylabel='' if i % columns else y_label,
                xlim=x_limits,
                ylim=(-ROOM, 1 + ROOM),
            )
            axes.locator_params(nbins=9, steps=[1, 2, 5, 10])
            axes.tick_params(labelsize=_TEXT_SIZE, grid_color=_GRID)
            for name, (x, y) in panel.lines.items():
                axes.plot(x, y, label=name, **styles[name])
            _mark(axes, panel.ends, styles, 's', (12.0, 3.5))
            _mark(axes, panel.dots, styles, 'o', (9.5, 5.5))
        row = _AXIS_HEIGHT + (_LONE_PLOT_HEIGHT if columns == 1 else _PLOT_HEIGHT)
        handles = []
        if any(panel.dots for panel in panels):
            handles.append(_marker_sample(dot_label, 'o', 'full'))
        if any(panel.ends for panel in panels):
            handles.append(_marker_sample(end_label, 's', 'none'))
        width = _WIDTH - _TICKS_WIDTH
        below: list[float] = []
        # One legend serves all panels where it says nothing of a single one.
        if all(text == name for panel in panels for name, text in panel.texts.items()):
            names = dict(zip(styles, styles, strict=True))
            handles = _line_samples(names, styles, width) + handles
        else:
            # A wider legend would make its plot narrower.
            room = _WIDTH / columns - _TICKS_WIDTH
            for axes, panel in zip(figure.axes, panels, strict=True):
                samples = _line_samples(panel.texts, styles, room)
                below.append(_add_panel_legend(figure, axes, samples, room))
        row += max(below, default=0)
        height = rows * row + 0.4 * bool(title)
        if handles:
            height += _add_legend(figure, handles, width, loc='outside lower center')
        figure.set_size_inches(_WIDTH, height)
    return figure


def _line_styles(panels: Sequence[Panel]) -> dict[str, dict[str, Any]]:
    names = conditions_of(panel.lines for panel in panels)
    # Later lines lie on top and are thinner, so that equal curves are all seen.
    widths = np.linspace(2.6, 1.5, len(names))
    return {
        name: dict(color=colour, linestyle=(0, dashes), linewidth=float(width))
        for name, colour, dashes, width in zip(names, COLOURS, _DASHES, widths)
    }


def conditions_of(parts: Iterable[Iterable[str]]) -> list[str]:
    """The conditions of all panels in the order they are first named."""
    return list(dict.fromkeys(name for part in parts for name in part))


def literal(text: str) -> str:
    """Text that is shown as it is, though it may have dollar signs."""
    return text.replace('$', r'\$')


def _mark(
    axes: Axes,
    points: Mapping[str, Point],
    styles: Mapping[str, dict[str, Any]],
    shape: str,
    sizes: tuple[float, float],
) -> None:
    """Markers in the colours of their conditions, above all lines.

    As with the lines, later ones are smaller, from the first size in points to the
    second. The white rim of a dot sets it off from its line.
    """
    for (name, style), size in zip(styles.items(), np.linspace(*sizes, len(styles))):
        if name in points:
            filled, colour = shape == 'o', style['color']
            axes.scatter(
                *points[name],
                s=size**2,
                marker=shape,
                facecolors=colour if filled else 'none',
                edgecolors='white' if filled else colour,
                linewidths=1.0,
                zorder=4,
                clip_on=False,
                label=name,
            )


def _marker_sample(text: str, shape: str, fill: Any) -> Line2D:
    """A marker for the legend; grey, as it is of no condition."""
    look: Any = dict(linestyle='none', color=_NEUTRAL, markersize=7.5)
    return Line2D([], [], label=text, marker=shape, fillstyle=fill, **look)


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
    place = dict(bbox_to_anchor=(0.5, 0.0), bbox_transform=axes.transAxes + shift)
    return _add_legend(axes, handles, width, loc='upper center', **place)


def _add_legend(
    owner: Axes | Figure, handles: list[Line2D], width: float, **place: Any
) -> float:
    """Add a legend with as few rows as fit the width; returns its height. Inches."""
    for rows in range(1, len(handles) + 1):
        columns = math.ceil(len(handles) / rows)
        legend = owner.legend(handles=handles, ncols=columns, **place)
        size = legend.get_window_extent()
        if columns == 1 or size.width <= width * _DPI:
            break
        legend.remove()
    return size.height / _DPI
