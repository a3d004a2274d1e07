"""Plots of evaluation curves: threshold-F_beta and precision-recall.

All return a new :class:`~matplotlib.figure.Figure` without pyplot's state, so that
they can be called inside a training process and without a display.

A condition (clean, grey, noise, patch, ...) has one colour and one line style
throughout a figure, given by the order in which conditions are first named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .curve_panels import (
    COLOURS,
    ROOM,
    Array,
    Panel,
    conditions_of,
    draw_panels,
    literal,
)

_SHORT_RECALL = 0.05  # a curve that ends below this gets a marker
_UNSEEN = 5e-4  # a change of a curve by a quarter of a pixel
_ROUNDING = 1e-6  # how far outside [0, 1] a value may lie


def plot_f_beta(
    thresholds: ArrayLike,
    curves: Mapping[float, Mapping[str, ArrayLike]],
    beta_areas: Mapping[float, Mapping[str, Sequence[float]]] | None = None,
    title: str = r'Threshold-$F_\beta$ curves',
    x_limits: tuple[float, float] | None = None,
) -> Figure:
    r"""Threshold-F_beta curves, one panel a beta, as in the paper's Figure 8.

    The lower F_beta, the better the attack. Precision counts little at small
    beta: the paper's F_beta = (1 + b^2) / (b^2 / precision + 1 / recall).

    Unless ``x_limits`` are given, the threshold axis is **cut** to the interval in
    which any curve of any panel changes, plus a margin; it is the same for all
    panels. In what is cut away
    each curve stays within 0.0005 of its first or last value, a quarter of a
    pixel. Where no curve changes, all thresholds are shown.

    Args:
        thresholds (array): (K,) thresholds of s = s_p - s_n (difference of logits), K
            >= 2, finite, ascending or descending.
        curves (dict): beta -> condition -> (K,) F_beta in [0, 1]. NaN leaves a gap; a
            curve of nothing else is said to have no faces.
        beta_areas (dict, optional): beta -> condition -> AF_beta over all thresholds
            and over s >= 0, shown in the legend. Those without a curve are not shown.
            Defaults to None.
        title (str): Title of the figure, mathtext allowed; '' for none. Defaults to
            'Threshold-$F_\\beta$ curves'.
        x_limits (tuple, optional): Lowest and highest threshold shown. Defaults to
            None.

    Returns:
        Figure: 1200 pixels wide at its own resolution. The lines of its axes are the
        curves, in the order of the conditions of that panel.

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
    panels = []
    for beta, by_condition in curves.items():
        panel = Panel(rf'$\beta$ = {beta:g}')
        areas = (beta_areas or {}).get(beta, {})
        for condition, values in by_condition.items():
            name = f'F_beta of {condition!r} at beta {beta:g}'
            scores = _vector(values, name, share=True)
            _check_length(name, scores, 'thresholds', limits)
            panel.lines[condition] = (limits, scores)
            lacking = 'faces' if np.isnan(scores).all() else None
            panel.texts[condition] = _text(condition, _area(areas, condition), lacking)
        panels.append(panel)
    shown = _changing_interval(panels) if x_limits is None else x_limits
    if len(shown) != 2 or not -math.inf < shown[0] < shown[1] < math.inf:
        raise ValueError(f'x_limits must be two finite numbers in order, got {shown}')
    x_label, y_label = (
        r'threshold of $s = s_p - s_n$',
        r'$F_\beta$  (lower: better attack)',
    )
    return draw_panels(panels, title, x_label, y_label, shown)


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
        curves (dict): subset -> condition -> (recall, precision), each (K,) in [0, 1]
            or NaN. K may differ between curves. Note the order:
            :func:`~mmdet_facepatch.evaluation.precision_recall_at` returns precision
            first.
        average_precision (dict, optional): subset -> condition -> AP, shown in the
            legend. Those without a curve are not shown. Defaults to None.
        points (dict, optional): subset -> condition -> (recall, precision), drawn as a
            dot. Those without a curve, and NaN, are not shown. Defaults to None.
        title (str): Title of the figure, mathtext allowed; '' for none. Defaults to
            'Precision and recall'.
        point_label (str): What the points are, for the legend. Defaults to 'at the
            calibrated $\\delta$'.

    Returns:
        Figure: 1200 pixels wide at its own resolution. The lines of its axes are the
        curves, in the order of the conditions of that panel; markers are collections.

    Raises:
        ValueError: If there is no curve, recall and precision differ in
            length, values lie outside [0, 1], or there are more than ten
            conditions.
    """
    _check_curves(curves, 'subset')
    panels = []
    for subset, by_condition in curves.items():
        panel = Panel(literal(subset))
        areas = (average_precision or {}).get(subset, {})
        marked = (points or {}).get(subset, {})
        for condition, (recall, precision) in by_condition.items():
            name = f'of {condition!r} on {subset!r}'
            x = _vector(recall, f'recall {name}', share=True)
            y = _vector(precision, f'precision {name}', share=True)
            _check_length(f'recall {name}', x, 'its precision', y)
            there = ~np.isnan(x) & ~np.isnan(y)
            # Recall is a share of the faces, precision of the detections.
            lacking = 'faces' if np.isnan(x).all() else 'detections'
            area = f'AP\xa0{_number(areas[condition])}' if condition in areas else ''
            text = _text(condition, area, None if there.any() else lacking)
            panel.texts[condition] = text
            x, y = panel.lines[condition] = (x[there], y[there])
            if len(x) and x.max() < _SHORT_RECALL:
                last = np.flatnonzero(x == x.max())[-1]
                panel.ends[condition] = (float(x[last]), float(y[last]))
            if condition in marked:
                point = _vector(marked[condition], f'point {name}', share=True)
                if len(point) != 2:
                    raise ValueError(
                        f'point {name} must be (recall, precision), got {point}'
                    )
                if not np.isnan(point).any():
                    panel.dots[condition] = (float(point[0]), float(point[1]))
        panels.append(panel)
    end_label = f'end of a curve with recall below {_SHORT_RECALL:g}'
    limits = (-ROOM, 1 + ROOM)
    return draw_panels(
        panels, title, 'recall', 'precision', limits, point_label, end_label
    )


def _text(condition: str, area: str, lacking: str | None) -> str:
    """A condition in the legend, with its AF or AP, and why it has no curve.

    The spaces around numbers do not break.
    """
    parts = [condition, area, f'no {lacking}' if lacking else '']
    return ', '.join(filter(None, parts))


def _area(areas: Mapping[str, Sequence[float]], condition: str) -> str:
    if condition not in areas:
        return ''
    whole, confident = map(_number, areas[condition])
    return f'AF\xa0{whole} (s\xa0≥\xa00:\xa0{confident})'


def _number(value: float) -> str:
    return 'n/a' if math.isnan(value) else f'{value:.3f}'


def _changing_interval(panels: Sequence[Panel]) -> tuple[float, float]:
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
    names = conditions_of(curves.values())
    if len(names) > len(COLOURS):
        raise ValueError(
            f'{len(names)} conditions cannot be told apart in one figure; give at '
            f'most {len(COLOURS)}'
        )
