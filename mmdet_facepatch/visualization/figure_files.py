"""Figures as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from matplotlib.figure import Figure

from ..files import write_atomically

_FORMATS = {'.png': 'png', '.pdf': 'pdf', '.svg': 'svg'}


def save_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a figure as PNG, PDF or SVG, all or nothing.

    Args:
        path (str | Path): File to write, ``.png``, ``.pdf`` or ``.svg``; its
            folder must exist. An earlier file stays whole if drawing fails.
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
