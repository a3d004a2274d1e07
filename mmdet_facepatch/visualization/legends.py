"""Legends that are laid out before they are drawn: their height has to be known."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

# Lengths are in inches, sizes of text in points.
LINE_HEIGHT = 0.165
MARGIN = 0.08
TEXT_SIZE = 8.0
INK = '#202020'
# In sizes of the text: a line sample has to show its dashes.
_SAMPLE_LENGTH, _SAMPLE_GAP, _COLUMN_GAP = 4.0, 0.6, 1.2


@dataclass(frozen=True)
class Legend:
    """What a legend needs, and its height in inches."""

    handles: list[Line2D]
    columns: int
    height: float

    @property
    def arguments(self) -> dict[str, Any]:
        """Of matplotlib's ``legend``, without the place."""
        return dict(
            handles=self.handles,
            ncols=self.columns,
            fontsize=TEXT_SIZE,
            labelcolor=INK,
            frameon=False,
            handlelength=_SAMPLE_LENGTH,
            handletextpad=_SAMPLE_GAP,
            columnspacing=_COLUMN_GAP,
            labelspacing=0.35,
            borderaxespad=0.2,
        )


def lay_out_legend(
    texts: Mapping[str, str],
    styles: Mapping[str, dict[str, Any]],
    width: float,
    notes: Sequence[Line2D] = (),
) -> Legend:
    """Lay out a legend in as many columns as fit the width (inches)."""
    handles = [
        Line2D([], [], label=_wrapped(literal(text), width), **styles[name])
        for name, text in texts.items()
    ]
    handles.extend(notes)
    if not handles:
        return Legend([], 1, 0.0)
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
    return Legend(handles, columns, lines * LINE_HEIGHT + MARGIN)


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
    return sum(texts) + gaps * TEXT_SIZE / 72


def _text_width(text: str) -> float:
    """Width in inches of the longest line of a legend's text."""
    font = FontProperties(size=TEXT_SIZE)
    # In points: the drawn text has no other unit here.
    return max(
        text_to_path.get_text_width_height_descent(line, font, False)[0] / 72
        for line in text.split('\n')
    )


def _wrapped(text: str, width: float) -> str:
    """Text broken into lines that fit beside a line sample, with plain spaces."""
    room = width - (_SAMPLE_LENGTH + _SAMPLE_GAP) * TEXT_SIZE / 72 - 2 * MARGIN
    needed = _text_width(text)
    if needed > room:
        # A tenth less than the share that fits: letters differ in width.
        text = textwrap.fill(text, max(8, int(0.9 * len(text) * room / needed)))
    return text.replace('\xa0', ' ')


def literal(text: str) -> str:
    """Text that is shown as it is, though it may have dollar signs."""
    return text.replace('$', r'\$')
