"""Pictures beside each other, and pictures and figures as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import mmcv
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mmengine.visualization.utils import color_val_matplotlib
from numpy.typing import NDArray
from PIL import Image

from ..utils.files import write_atomically
from .face_visualizer import LEGEND, check_image

_FORMATS = {'.png': 'png', '.pdf': 'pdf', '.svg': 'svg'}
# Of one inch, so that lengths in figures are pixels.
_DPI = 100
_POINTS = 72 / _DPI
_INK = '#202020'


def side_by_side(
    images: Sequence[NDArray[np.uint8]], titles: Sequence[str], legend: bool = True
) -> NDArray[np.uint8]:
    """Put pictures such as clean and attacked beside each other.

    They are brought to the height of the tallest. Each has its title in a bar above; a
    legend of :class:`FaceVisualizer`'s lines stands below.

    Args:
        images (list[array]): (H, W, 3) uint8 RGB.
        titles (list[str]): One for each; '' leaves the bar empty.
        legend (bool): Whether to draw the legend. Defaults to True.

    Returns:
        array: (H', W', 3) uint8 RGB.

    Raises:
        ValueError: If there is no picture, or not one title for each.
    """
    if not images or len(images) != len(titles):
        raise ValueError(
            f'{len(images)} images and {len(titles)} titles; give at least one '
            'image, and one title for each'
        )
    height = max(check_image(image).shape[0] for image in images)
    panels = [mmcv.imrescale(image, height / image.shape[0]) for image in images]
    gap = max(4, height // 60)
    width = sum(panel.shape[1] + gap for panel in panels) + gap
    size = int(np.clip(min(height / 22, width / 40), 10, 48))
    bottom = 2 * size if legend else gap
    page = 2 * size + height + bottom
    figure = Figure((width / _DPI, page / _DPI), dpi=_DPI, facecolor='white')
    canvas = FigureCanvasAgg(figure)
    left = gap
    texts = []
    for panel, title in zip(panels, titles, strict=True):
        figure.figimage(panel, left, bottom)
        text = figure.text(
            (left + panel.shape[1] / 2) / width,
            1 - size / page,
            title,
            ha='center',
            va='center',
            color=_INK,
            fontsize=size * _POINTS,
            parse_math=False,
        )
        texts.append(panel.shape[1] / max(1, text.get_window_extent().width))
        left += panel.shape[1] + gap
    for text in figure.texts:
        text.set_fontsize(size * _POINTS * min(1, *texts))
    if legend:
        _add_legend(figure, size)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _add_legend(figure: Figure, size: float) -> None:
    """Below the pictures, in letters that fit the figure's width."""
    handles = [
        Line2D([], [], color=color_val_matplotlib(colour), ls=style, label=text)
        for text, colour, style in LEGEND
    ]
    place: Any = dict(
        loc='lower center', ncols=len(handles), frameon=False, borderpad=0
    )
    while True:
        legend = figure.legend(handles=handles, fontsize=size * _POINTS, **place)
        too_wide = legend.get_window_extent().width / figure.bbox.width
        if too_wide <= 1 or size < 4:
            return
        legend.remove()
        size *= 0.95 / too_wide


def save_png(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write a PNG, all or nothing, of (H, W, 3) uint8 RGB; its folder must exist."""
    picture = Image.fromarray(check_image(image))
    write_atomically(path, lambda file: picture.save(file, format='PNG'))


def save_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a figure as PNG, PDF or SVG, all or nothing.

    Args:
        path (str | Path): File to write, ``.png``, ``.pdf`` or ``.svg``; its folder
            must exist. An earlier file stays whole if drawing fails.
        figure (Figure): Written at its own resolution.

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
