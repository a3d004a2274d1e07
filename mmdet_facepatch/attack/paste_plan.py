"""Where which pixels of a patch go, before any of them is rendered.

1. :func:`visible_rectangles`: which patch owns which pixels of an image. Patches are
   painted in order onto one integer plane, and what shows of each is cut into
   rectangles; a patch that nothing covers is one.
2. :func:`plan_paste`: patches of equal size look alike, so each distinct size is
   rendered once for the whole batch. Renderings are packed into batches ("atlases")
   of bounded size, and each rectangle is told where in its atlas it starts.

All of it is numpy on the CPU; :mod:`~mmdet_facepatch.attack.compositor` renders and
copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: Texels of an atlas and pixels of a copy, at most about so many.
DEFAULT_CHUNK = 2**16


@dataclass(frozen=True)
class Rectangles:
    """What shows of the patches in one image; no pixel is in two of them.

    Attributes:
        x, y (np.ndarray): First column and row in pixels of the image, (Q,) int64.
        width, height (np.ndarray): Extent in pixels, (Q,) int64, at least 1.
        face (np.ndarray): Row of the box that owns them, (Q,) int64, ascending.
    """

    x: np.ndarray
    y: np.ndarray
    width: np.ndarray
    height: np.ndarray
    face: np.ndarray


def visible_rectangles(boxes: np.ndarray, height: int, width: int) -> Rectangles:
    """Find which box owns each pixel; later boxes lie over earlier ones.

    Args:
        boxes (np.ndarray): (N, 4) int64 xyxy, upper bounds exclusive. They may leave
            the image and may be empty.
        height (int): Image height in pixels.
        width (int): Image width in pixels.

    Returns:
        Rectangles: Every pixel inside a box once. At most one for each pixel and at
        most two for each visible box row.
    """
    clipped = boxes.clip(0, np.array([width, height, width, height]))
    seen = np.flatnonzero((clipped[:, 2:] > clipped[:, :2]).all(axis=1))
    if not seen.size:
        return Rectangles(*np.zeros((5, 0), np.int64))
    top, bottom = int(clipped[seen, 1].min()), int(clipped[seen, 3].max())
    small = np.int16 if len(boxes) <= np.iinfo(np.int16).max else np.int32
    owner = np.full((bottom - top, width), -1, small)
    for face, (x1, y1, x2, y2) in zip(
        seen.tolist(), clipped[seen].tolist(), strict=True
    ):
        owner[y1 - top : y2 - top, x1:x2] = face
    flat = owner.ravel()
    change = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=change[1:])
    change[::width] = True
    start = np.flatnonzero(change)
    length = np.diff(start, append=flat.size)
    owned = flat[start] >= 0
    start, length = start[owned], length[owned]
    y, x = np.divmod(start + top * width, width)
    return _stack_rows(x, y, length, flat[start].astype(np.int64))


def _stack_rows(
    x: np.ndarray, y: np.ndarray, length: np.ndarray, face: np.ndarray
) -> Rectangles:
    """Join stretches of one row, in raster order, to the same ones of the next row."""
    # A stable sort: the rows of equal columns stay in order.
    order = np.lexsort((x, face))
    x, y, length, face = x[order], y[order], length[order], face[order]
    first = np.ones(len(x), bool)
    first[1:] = (np.diff(face) != 0) | (np.diff(x) != 0) | (np.diff(length) != 0)
    first[1:] |= np.diff(y) != 1
    top = np.flatnonzero(first)
    height = np.diff(top, append=len(x))
    return Rectangles(x[top], y[top], length[top], height, face[top])


class Chunk(NamedTuple):
    """Rectangles of one canvas that are copied from one atlas in one go.

    Attributes:
        canvas (int): Index in ``PastePlan.canvases``.
        first, end (int): Their place in ``PastePlan.rectangles``.
        rows (int): Number of rows of all of them.
        pixels (int): Number of pixels of all of them, at most about ``chunk_size``.
    """

    canvas: int
    first: int
    end: int
    rows: int
    pixels: int


@dataclass(frozen=True)
class Atlas:
    """Renderings of the patch that are made in one go.

    Rendering s has the height ``frames[0, s]`` and width ``frames[1, s]``; of it the
    ``rows`` x ``cols`` pixels from row ``frames[2, s]``, column ``frames[3, s]`` on are
    made. The atlas is laid out as (S, rows, channels, cols).

    Attributes:
        frames (np.ndarray): (4, S) int64.
        rows, cols (int): Common extent, that of the largest rendering.
        square (bool): Whether rows and columns are alike in all of this.
        chunks (list[Chunk]): What is copied from this atlas.
    """

    frames: np.ndarray
    rows: int
    cols: int
    square: bool
    chunks: list[Chunk]


@dataclass(frozen=True)
class PastePlan:
    """All geometry of one call of :func:`paste_patch`.

    Attributes:
        canvases (list[int]): Indices of the canvases on which something shows,
            ascending; ``Chunk.canvas`` counts in this list.
        rectangles (Tensor): (4, Q) int64: index of the first pixel in its flat canvas,
            index of the first texel in its flat atlas (both for channel 0), height,
            width.
        atlases (list[Atlas]): What to render, in order.
    """

    canvases: list[int]
    rectangles: Tensor
    atlases: list[Atlas]


def plan_paste(
    canvases: Sequence[tuple[int, int]],
    boxes: Sequence[Sequence[np.ndarray]],
    patch_shape: tuple[int, int, int],
    chunk_size: int = DEFAULT_CHUNK,
    parts: Sequence[Sequence[np.ndarray]] | None = None,
) -> PastePlan:
    """Decide what to render and which pixels to copy where.

    Only sizes that own a pixel are rendered, and of those only the rows and columns
    that show; what exceeds ``chunk_size`` is rendered in bands of rows.

    Args:
        canvases (Sequence[tuple[int, int]]): (height, width) of each canvas.
        boxes (Sequence[Sequence[np.ndarray]]): For each canvas the boxes of each of its
            B images, (N, 4) int64.
        patch_shape (tuple[int, int, int]): (channels, height, width) of the patch.
        chunk_size (int): Bound of an atlas and of a copy; see
            :func:`~mmdet_facepatch.attack.compositor.paste_patch`. Defaults to
            DEFAULT_CHUNK.
        parts (Sequence[Sequence[np.ndarray]], optional): Part of each box that is
            pasted, inside its box, in the form of ``boxes``; by default all of it.

    Returns:
        PastePlan: On the CPU. Empty (no atlas) if no box shows.
    """
    channels = patch_shape[0]
    cells = zip(canvases, boxes, boxes if parts is None else parts, strict=True)
    found = [
        _locate(
            visible_rectangles(part, *shape), image, shape, canvas, index * channels
        )
        for canvas, (shape, images, pasted) in enumerate(cells)
        for index, (image, part) in enumerate(zip(images, pasted, strict=True))
    ]
    table = np.concatenate([np.zeros((8, 0), np.int64), *found], axis=1)
    if not table.shape[1]:
        return PastePlan([], torch.zeros((4, 0), dtype=torch.int64), [])

    # One key for each distinct size; COORDINATE_LIMIT keeps both halves in 32 bits.
    keys, size = np.unique(table[4] << 32 | table[5], return_inverse=True)
    window = _windows(size, len(keys), *table[[6, 2, 7, 3]])
    entries, band_rows, first_entry = _bands(window, patch_shape, chunk_size)
    pitch = np.array([width for _, width in canvases])[table[0]]
    table, band, piece = _cut_at_bands(table, pitch, window[0][size], band_rows[size])
    entry = first_entry[size[piece]] + band
    group, slot, extents = _pack(entries, patch_shape, chunk_size)

    canvas, pixel, height, width, *_, row, col = table
    touched, canvas = np.unique(canvas, return_inverse=True)
    own_group = group[entry]
    rows, cols = extents[own_group].T
    texel = (slot[entry] * rows + row - entries[entry, 1]) * channels * cols
    texel += col - entries[entry, 3]

    order = np.lexsort((canvas, own_group))
    rectangles = np.stack([pixel, texel, height, width])[:, order]
    extent = rectangles[2], rectangles[3]
    chunks = _chunks(own_group[order], canvas[order], *extent, chunk_size)
    key = keys[entries[:, 0]]
    frames = np.stack([key >> 32, key & 0xFFFFFFFF, entries[:, 1], entries[:, 3]])
    atlases = []
    for g, (rows, cols) in enumerate(extents.tolist()):
        own = frames[:, group == g]
        square = rows == cols and bool((own[::2] == own[1::2]).all())
        atlases.append(Atlas(own, rows, cols, square, chunks[g]))
    return PastePlan(touched.tolist(), torch.from_numpy(rectangles), atlases)


def _locate(
    shown: Rectangles,
    boxes: np.ndarray,
    shape: tuple[int, int],
    canvas: int,
    planes: int,
) -> np.ndarray:
    """Table (8, Q) of one image's rectangles.

    Its rows: canvas, first pixel, height, width, then of the patch that they show:
    height, width, first row, first column.
    """
    x1, y1, x2, y2 = boxes[shown.face].T
    pixel = (planes * shape[0] + shown.y) * shape[1] + shown.x
    which = np.full_like(pixel, canvas)
    extent = [shown.height, shown.width, y2 - y1, x2 - x1]
    return np.stack([which, pixel, *extent, shown.y - y1, shown.x - x1])


def _windows(
    size: np.ndarray,
    count: int,
    row: np.ndarray,
    height: np.ndarray,
    col: np.ndarray,
    width: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """First and end row, first and end column that show of each distinct size."""
    far = np.iinfo(np.int64).max
    first_row, first_col = np.full((2, count), far)
    end_row, end_col = np.zeros((2, count), np.int64)
    np.minimum.at(first_row, size, row)
    np.maximum.at(end_row, size, row + height)
    np.minimum.at(first_col, size, col)
    np.maximum.at(end_col, size, col + width)
    return first_row, end_row, first_col, end_col


def _cut_at_bands(
    table: np.ndarray, pitch: np.ndarray, top: np.ndarray, band_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut rectangles where their size's rendering is cut into bands of rows.

    Args:
        table (np.ndarray): (8, Q) of :func:`_locate`.
        pitch (np.ndarray): Pixels from one row to the next in each rectangle's canvas,
            (Q,).
        top (np.ndarray): First row that is rendered of each rectangle's size, (Q,).
        band_rows (np.ndarray): Rows in each band of it, (Q,).

    Returns:
        tuple: the table of the pieces (8, P), the band of each, (P,), and the rectangle
        that it was part of, (P,).
    """
    row, height = table[6], table[2]
    first = (row - top) // band_rows
    count = (row + height - 1 - top) // band_rows - first + 1
    piece = np.repeat(np.arange(len(count)), count)
    band = first[piece] + np.arange(len(piece)) - (np.cumsum(count) - count)[piece]
    edge = top[piece] + band * band_rows[piece]
    start = np.maximum(row[piece], edge)
    end = np.minimum((row + height)[piece], edge + band_rows[piece])
    table = table[:, piece]
    table[1] += (start - table[6]) * pitch[piece]
    table[2], table[6] = end - start, start
    return table, band, piece


def _bands(
    window: tuple[np.ndarray, ...], patch_shape: tuple[int, int, int], chunk_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut each size's window into bands of rows that fit into an atlas.

    Returns:
        tuple: entries (E, 5): size, first row, end row, first column, end column; the
        band height of each size; the first entry of each size.
    """
    first_row, end_row, first_col, end_col = window
    reach = np.maximum(end_col - first_col, max(patch_shape[1:]))
    band_rows = np.maximum(1, chunk_size // reach)
    entries: list[tuple[int, ...]] = []
    first_entry = []
    for size, height in enumerate(band_rows.tolist()):
        first_entry.append(len(entries))
        start, end = int(first_row[size]), int(end_row[size])
        for top in range(start, end, height):
            bottom = min(top + height, end)
            left, right = int(first_col[size]), int(end_col[size])
            entries.append((size, top, bottom, left, right))
    return np.array(entries, np.int64), band_rows, np.array(first_entry)


def _pack(
    entries: np.ndarray, patch_shape: tuple[int, int, int], chunk_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pack consecutive entries into atlases of a common extent.

    Entries come sorted by size, so that neighbours pad each other little.

    Returns:
        tuple: atlas (E,) and slot in it (E,) of each entry; (G, 2) common rows and
        columns of each atlas.
    """
    group, slot = np.zeros((2, len(entries)), np.int64)
    extents = [(0, 0)]
    members = 0
    for index, (_, top, bottom, left, right) in enumerate(entries.tolist()):
        rows = max(extents[-1][0], bottom - top)
        cols = max(extents[-1][1], right - left)
        if members and (members + 1) * rows * max(cols, *patch_shape[1:]) > chunk_size:
            extents.append((0, 0))
            rows, cols, members = bottom - top, right - left, 0
        extents[-1] = (rows, cols)
        group[index], slot[index] = len(extents) - 1, members
        members += 1
    return group, slot, np.array(extents)


def _chunks(
    group: np.ndarray,
    canvas: np.ndarray,
    height: np.ndarray,
    width: np.ndarray,
    chunk_size: int,
) -> list[list[Chunk]]:
    """Cut rectangles sorted by group and canvas into the chunks of each group."""
    end_pixel, end_row = np.cumsum(height * width), np.cumsum(height)
    changes = (np.diff(group) != 0) | (np.diff(canvas) != 0)
    changes |= np.diff((end_pixel - 1) // chunk_size) != 0
    cuts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(height)]
    chunks: list[list[Chunk]] = [[] for _ in range(group[-1] + 1)]
    for first, end in pairwise(cuts):
        rows, pixels = (
            int(ends[end - 1] - (ends[first - 1] if first else 0))
            for ends in (end_row, end_pixel)
        )
        chunk = Chunk(int(canvas[first]), first, end, rows, pixels)
        chunks[group[first]].append(chunk)
    return chunks
