"""Curves of attacks over their epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Colours of matplotlib's qualitative map, in strokes of these kinds.
_COLOURS = 10
_STROKES = ('-', '--', ':', '-.')


def plot_convergence(
    objective: Mapping[str, Sequence[float]],
    recall: Mapping[str, Sequence[float]],
    groups: Mapping[str, str] | None = None,
) -> Figure:
    """Objective and held-out recall over the epochs, side by side.

    Args:
        objective (dict): Attack -> (E,) what it maximises, the mean of each epoch from
            the first; NaN leaves a gap.
        recall (dict): Attack -> (E + 1,) recall in [0, 1] at a score of 0.5 of held-out
            images: clean, then with the patch after each epoch; NaN where it was not
            measured.
        groups (dict, optional): Attack -> name of its line in the legend; attacks of
            one name, such as seeds, look alike. By default its own name.

    Returns:
        Figure: Without pyplot's state, see
        :func:`~mmdet_facepatch.visualization.save_figure`.

    Raises:
        ValueError: If there is no attack.
    """
    if not objective:
        raise ValueError('there is no attack whose history could be drawn')
    named = {name: (groups or {}).get(name, name) for name in objective}
    order = list(dict.fromkeys(named.values()))
    lines = -(-len(order) // 3)
    figure = Figure(figsize=(10, 3.8 + 0.22 * lines), dpi=110, layout='constrained')
    left, right = figure.subplots(1, 2)
    for name, group in named.items():
        look = order.index(group)
        style = dict(
            color=f'C{look % _COLOURS}',
            marker='o',
            markersize=2.5,
            linewidth=1.2,
            linestyle=_STROKES[look // _COLOURS % len(_STROKES)],
        )
        values = np.asarray(objective[name], float)
        left.plot(1 + np.arange(len(values)), values, label=group, **style)
        percent = 100 * np.asarray(recall[name], float)
        # Validation may skip epochs, the objective leaves a gap.
        measured = np.flatnonzero(np.isfinite(percent))
        right.plot(measured, percent[measured], **style)
    for axes in (left, right):
        axes.set_xlabel('epoch')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    left.set_title('objective (maximised)', fontsize='medium')
    right.set_title(
        'recall (%) at 0.5 of held-out training images (0: clean)', fontsize='medium'
    )
    # The margin above stays, which an earlier limit would take away.
    right.update_datalim([(0, 0)])
    right.autoscale_view()
    right.set_ylim(bottom=0)
    found = dict(zip(*reversed(left.get_legend_handles_labels()), strict=True))
    figure.legend(
        list(found.values()),
        list(found),
        ncols=3,
        fontsize='small',
        loc='outside lower center',
    )
    return figure
