"""Heat map of numbers in rows and columns, such as patches by detectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


def plot_matrix(
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    label: str,
    high: float | None = None,
) -> Figure:
    """Draw a matrix with its numbers written into the cells.

    Args:
        values (array): (R, C) numbers from 0 on; NaN is drawn as a blank cell with a
            dash.
        rows (list[str]): R names.
        columns (list[str]): C names.
        title (str): Above the matrix.
        label (str): What the colour means, with its unit.
        high (float, optional): Value of the darkest colour; by default the largest that
            there is.

    Returns:
        Figure: Without pyplot's state, see
        :func:`~mmdet_facepatch.visualization.save_figure`.

    Raises:
        ValueError: If there are no values, or the names do not fit them.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.size == 0 or matrix.shape != (len(rows), len(columns)):
        raise ValueError(
            f'a matrix of shape {matrix.shape} does not fit {len(rows)} rows and '
            f'{len(columns)} columns'
        )
    known = matrix[~np.isnan(matrix)]
    top = high if high is not None else max(known.max(initial=0.0), 1e-9)
    figure = Figure(
        figsize=(3.6 + 1.1 * len(columns), 1.9 + 0.42 * len(rows)),
        dpi=150,
        layout='constrained',
    )
    axes = figure.subplots()
    drawn = axes.imshow(matrix, cmap='Blues', vmin=0, vmax=top, aspect='auto')
    for (row, column), value in np.ndenumerate(matrix):
        text = '-' if np.isnan(value) else f'{value:.1f}'
        colour = 'white' if value > 0.6 * top else 'black'
        axes.text(column, row, text, ha='center', va='center', color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=20, ha='right')
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title(title, loc='left', fontsize='medium')
    figure.colorbar(drawn, ax=axes, label=label)
    return figure
