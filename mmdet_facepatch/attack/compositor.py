"""Paste one patch onto many places of many images, differentiably.

Three stages, each a pure function:

1. :func:`visible_rectangles` (numpy): which patch owns which pixels of an image.
   Patches are painted in order onto one integer plane, and what shows of each is cut
   into rectangles; a patch that nothing covers is one.
2. :func:`plan_paste` (numpy): patches of equal size look alike, so each distinct
   size is rendered once for the whole batch. Renderings are packed into batches
   ("atlases") of bounded size, and each rectangle is told where in its atlas it
   starts.
3. ``_Paste`` (torch): each atlas is rendered, rows first and then columns, and the
   rectangles are copied from it into the images. Backward walks the same way: the
   gradient is added up in the atlas and brought to the patch.

The operation is linear in the patch, so backward needs neither images nor patch,
only the rectangles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor
from torch.autograd.function import once_differentiable

from .placement import COORDINATE_LIMIT
from .resampling import Taps, area_taps, gather_rows, scatter_rows

DEFAULT_CHUNK = 2**16


# ------------------------------------------------------------------------ planning
@dataclass(frozen=True)
class Rectangles:
    """What shows of the patches in one image; no pixel is in two of them.

    Attributes:
        x, y: First column and row in pixels of the image, (Q,) int64.
        width, height: Extent in pixels, (Q,) int64, at least 1.
        face: Row of the box that owns them, (Q,) int64, ascending.
    """

    x: np.ndarray
    y: np.ndarray
    width: np.ndarray
    height: np.ndarray
    face: np.ndarray


def visible_rectangles(boxes: np.ndarray, height: int, width: int) -> Rectangles:
    """Find which box owns each pixel; later boxes lie over earlier ones.

    Args:
        boxes: (N, 4) int64 xyxy, upper bounds exclusive. They may leave the image
            and may be empty.
        height: Image height in pixels.
        width: Image width in pixels.

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
        canvas: Index in ``PastePlan.canvases``.
        first, end: Their place in ``PastePlan.rectangles``.
        rows: Number of rows of all of them.
        pixels: Number of pixels of all of them, at most about ``chunk_size``.
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
        frames: (4, S) int64.
        rows, cols: Common extent, that of the largest rendering.
        square: Whether rows and columns are alike in all of this.
        chunks: What is copied from this atlas.
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
        canvases: Indices of the canvases on which something shows, ascending;
            ``Chunk.canvas`` counts in this list.
        rectangles: (4, Q) int64: index of the first pixel in its flat canvas, index
            of the first texel in its flat atlas (both for channel 0), height, width.
        atlases: What to render, in order.
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
        canvases: (height, width) of each canvas.
        boxes: For each canvas the boxes of each of its B images, (N, 4) int64.
        patch_shape: (channels, height, width) of the patch.
        chunk_size: Bound of an atlas and of a copy; see :func:`paste_patch`.
        parts: Part of each box that is pasted, inside its box, in the form of
            ``boxes``; by default all of it.

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
    table, band, piece = _cut_at_bands(
        table, pitch, window[0][size], band_rows[size]
    )
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
        table: (8, Q) of :func:`_locate`.
        pitch: Pixels from one row to the next in each rectangle's canvas, (Q,).
        top: First row that is rendered of each rectangle's size, (Q,).
        band_rows: Rows in each band of it, (Q,).

    Returns:
        tuple: the table of the pieces (8, P), the band of each, (P,), and the
        rectangle that it was part of, (P,).
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
        tuple: entries (E, 5): size, first row, end row, first column, end column;
        the band height of each size; the first entry of each size.
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


# ------------------------------------------------------------------------- pasting
def _taps(atlas: Atlas, patch_shape: torch.Size, like: Tensor) -> tuple[Taps, Tensor]:
    """Taps of the rows of an atlas, and the weights (S, cols, w) of its columns."""
    heights, widths, first_rows, first_cols = atlas.frames
    _, h, w = patch_shape
    by_row = area_taps(heights, first_rows, atlas.rows, h, like)
    if atlas.square and h == w:
        return by_row, by_row.dense()
    return by_row, area_taps(widths, first_cols, atlas.cols, w, like).dense()


def _render(patch: Tensor, atlas: Atlas) -> Tensor:
    """Render an atlas, flat in the order (S, rows, channels, cols)."""
    channels, h, w = patch.shape
    by_row, by_col = _taps(atlas, patch.shape, patch)
    tall = gather_rows(patch.transpose(0, 1).reshape(h, channels * w), by_row)
    tall = tall.view(len(by_col), atlas.rows * channels, w)
    return (tall @ by_col.transpose(1, 2)).flatten()


def _unrender(grad: Tensor, patch_shape: torch.Size, atlas: Atlas) -> Tensor:
    """Transpose of :func:`_render`: gradient of the atlas to that of the patch."""
    channels, h, w = patch_shape
    by_row, by_col = _taps(atlas, patch_shape, grad)
    tall = grad.view(len(by_col), atlas.rows * channels, atlas.cols) @ by_col
    flat = scatter_rows(tall.view(-1, channels * w), by_row)
    return flat.view(h, channels, w).transpose(0, 1)


class _ByView:
    """Copies one rectangle after the other, as strided views.

    For large ones on the CPU, where a copy starts within microseconds and to fetch
    pixels by index takes far longer than to fetch them.

    Args:
        rectangles: (4, q) of :class:`PastePlan`.
        chunk: What they are.
        shape: Shape of their canvas, (..., C, H, W).
        cols: Columns of their atlas.
    """

    def __init__(
        self, rectangles: Tensor, chunk: Chunk, shape: torch.Size, cols: int
    ) -> None:
        self.rectangles: list[list[int]] = rectangles.t().tolist()
        self.channels, height, width = shape[-3:]
        self.on_canvas = (width, height * width, 1)
        self.in_atlas = (self.channels * cols, cols, 1)

    def _pairs(self, canvas: Tensor, texels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Views (rows, C, columns) of a contiguous canvas and of the flat atlas."""
        start = canvas.storage_offset()
        for pixel, texel, height, width in self.rectangles:
            size = height, self.channels, width
            shown = canvas.as_strided(size, self.on_canvas, start + pixel)
            yield shown, texels.as_strided(size, self.in_atlas, texel)

    def paste(self, canvas: Tensor, texels: Tensor) -> None:
        """Copy from the atlas to the canvas."""
        for shown, source in self._pairs(canvas, texels):
            shown.copy_(source)

    def collect(self, canvas: Tensor, texels: Tensor) -> None:
        """Add the canvas to the atlas."""
        for shown, source in self._pairs(canvas, texels):
            source.add_(shown)

    def erase(self, canvas: Tensor) -> None:
        """Set what the rectangles cover to zero."""
        start = canvas.storage_offset()
        for pixel, _, height, width in self.rectangles:
            size = height, self.channels, width
            canvas.as_strided(size, self.on_canvas, start + pixel).zero_()


class _ByIndex:
    """Copies all rectangles at once, pixel by pixel through an index.

    For many small ones, and on a GPU, where each copy would be a launch.
    Arguments and methods are those of :class:`_ByView`.
    """

    def __init__(
        self, rectangles: Tensor, chunk: Chunk, shape: torch.Size, cols: int
    ) -> None:
        self.channels, self.cols = shape[-3], cols
        self.plane = shape[-2] * shape[-1]
        pixel, texel, height, width = rectangles
        row, step = _expand(height, chunk.rows)
        pixel = pixel[row] + step * shape[-1]
        texel = texel[row] + step * (self.channels * cols)
        run, step = _expand(width[row], chunk.pixels)
        self.pixel, self.texel = pixel[run] + step, texel[run] + step

    def _planes(
        self, canvas: Tensor, texels: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Flat canvas and atlas, from the first pixel of each channel on."""
        flat = canvas.view(-1)
        for c in range(self.channels):
            yield flat[c * self.plane :], texels[c * self.cols :]

    def paste(self, canvas: Tensor, texels: Tensor) -> None:
        for plane, source in self._planes(canvas, texels):
            shown = source.index_select(0, self.texel)
            plane.scatter_(0, self.pixel, shown.to(plane.dtype))

    def collect(self, canvas: Tensor, texels: Tensor) -> None:
        for plane, source in self._planes(canvas, texels):
            shown = plane.index_select(0, self.pixel)
            source.scatter_add_(0, self.texel, shown.to(source.dtype))

    def erase(self, canvas: Tensor) -> None:
        for plane, _ in self._planes(canvas, canvas):
            plane.scatter_(0, self.pixel, 0)


def _expand(count: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """For each of the ``total`` parts of things with ``count`` parts: whose, which."""
    whole = torch.repeat_interleave(count, output_size=total)
    before = (count.cumsum(0) - count)[whole]
    return whole, torch.arange(total, device=count.device) - before


# Views are faster from about this many pixels a rectangle on.
_PIXELS_FOR_VIEWS = 256


def _copier(
    rectangles: Tensor, chunk: Chunk, shape: torch.Size, cols: int
) -> _ByView | _ByIndex:
    """The way of copying that suits the device and the rectangles of a chunk."""
    large = chunk.pixels >= _PIXELS_FOR_VIEWS * (chunk.end - chunk.first)
    way = _ByView if rectangles.is_cpu and large else _ByIndex
    return way(rectangles[:, chunk.first : chunk.end], chunk, shape, cols)


class _Paste(torch.autograd.Function):
    """Copy renderings of the patch into canvases, (C, H, W) or (B, C, H, W).

    Written by hand because autograd would keep two indices and three values for
    each pasted pixel, and because the backward of plain indexing adds up in an
    order that changes from run to run, on the CPU as well.
    """

    @staticmethod
    def forward(
        ctx: Any, patch: Tensor, plan: PastePlan, *canvases: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.atlases = plan.atlases
        ctx.patch = (patch.shape, patch.dtype)
        rectangles = plan.rectangles.to(patch.device)
        ctx.save_for_backward(rectangles)
        outs = tuple(c.clone(memory_format=torch.contiguous_format) for c in canvases)
        with torch.autocast(patch.device.type, enabled=False):
            for atlas in plan.atlases:
                texels = _render(patch, atlas)
                for chunk in atlas.chunks:
                    out = outs[chunk.canvas]
                    copies = _copier(rectangles, chunk, out.shape, atlas.cols)
                    copies.paste(out, texels)
        return outs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (rectangles,) = ctx.saved_tensors
        shape, dtype = ctx.patch
        wants_patch, _, *wants_canvas = ctx.needs_input_grad
        grads = tuple(g if g is None else g.contiguous() for g in grads)
        # Pasted pixels do not depend on what lay under them.
        below = [
            g.clone() if wanted and g is not None else None
            for g, wanted in zip(grads, wants_canvas, strict=True)
        ]
        on_patch = torch.zeros(shape, dtype=dtype, device=rectangles.device)
        with torch.autocast(rectangles.device.type, enabled=False):
            for atlas in ctx.atlases:
                texels = on_patch.new_zeros(
                    atlas.frames.shape[1] * atlas.rows * shape[0] * atlas.cols
                )
                for chunk in atlas.chunks:
                    grad, under = grads[chunk.canvas], below[chunk.canvas]
                    if grad is None:
                        continue
                    copies = _copier(rectangles, chunk, grad.shape, atlas.cols)
                    if wants_patch:
                        copies.collect(grad, texels)
                    if under is not None:
                        copies.erase(under)
                if wants_patch:
                    on_patch += _unrender(texels, shape, atlas)
        return on_patch if wants_patch else None, None, *below


Images = list[Tensor] | Tensor


def paste_patch(
    images: Sequence[Tensor] | Tensor,
    patch: Tensor,
    boxes: Sequence[Tensor],
    chunk_size: int = DEFAULT_CHUNK,
    parts: Sequence[Tensor] | None = None,
) -> Images:
    """Paste the patch into each box of each image (paper, Section 3.2).

    The patch is resampled to the size of the box, anti-aliased: exact area
    averaging when shrinking, bilinear when enlarging (``resampling.area_taps``), so
    that every patch pixel that shows gets a gradient at any size. Every value of
    the patch is opaque, black too. Boxes are cut at the image border; a box outside
    the image or with no extent draws nothing. Where boxes of one image overlap, the
    one that comes later lies over the earlier one. Images and patch need the same
    channel order and value range; nothing is clamped.

    Memory beside the returned images: one int32 plane of the size of one image
    while planning, 32 bytes for each rectangle that shows (one for a patch that
    nothing covers; at most one a pixel, at most two for each visible box row), which
    is all that is kept for backward, and working memory of about
    ``chunk_size * (8 * channels + 40)`` bytes, 4 MB by default. Neither grows with
    an image-sized tensor per box. Time grows with the pasted pixels and with the
    number of *different* box sizes, which are rendered once each for all images.

    The result is the same on every run on the CPU. On CUDA the gradient is added
    up with atomics unless ``torch.use_deterministic_algorithms(True)`` is set. The
    patch keeps its dtype under autocast. Double backward is not supported.

    Args:
        images: Images (C, H, W) of any sizes, or one batch (B, C, H, W); floating.
        patch: Patch (C, h, w), floating, on the device of the images.
        boxes: One (N, 4) integer tensor for each image, xyxy in pixels of that
            image, upper bounds exclusive, on any device. Squares are usual but
            not required.
        chunk_size: Pixels copied, and positions rendered, at a time.
        parts: The rectangle of each box that is pasted, in the form of ``boxes``;
            what exceeds its box is cut off. Elsewhere in the box the image, or a
            patch below, shows; the pixels that are pasted are those of the whole
            patch. None pastes whole patches. :func:`remaining_boxes` makes parts.

    Returns:
        list[Tensor] | Tensor: As ``images``, in their dtypes; differentiable in patch
        and images. An image on which nothing shows is returned as it came; if that
        holds for all of them, the result does not depend on the patch.

    Raises:
        TypeError: If a tensor has an unfit dtype.
        ValueError: If shapes, devices or counts do not fit, a box has a negative
            extent, or a coordinate is beyond 2**30.
    """
    stacked = isinstance(images, Tensor)
    canvases = [images] if isinstance(images, Tensor) else list(images)
    per_canvas = [len(images)] if stacked else [1] * len(images)
    _check(canvases, 4 if stacked else 3, patch, boxes, sum(per_canvas), chunk_size)
    host = _to_host(boxes)
    shown = None
    if parts is not None:
        _check_parts(parts, boxes)
        shown = _per_canvas(map(_intersect, _to_host(parts), host), per_canvas)
    plan = plan_paste(
        [(canvas.shape[-2], canvas.shape[-1]) for canvas in canvases],
        _per_canvas(host, per_canvas),
        (patch.shape[0], patch.shape[1], patch.shape[2]),
        chunk_size,
        shown,
    )
    if plan.canvases:
        below = [canvases[index] for index in plan.canvases]
        pasted = _Paste.apply(patch, plan, *below)
        for index, canvas in zip(plan.canvases, pasted, strict=True):
            canvases[index] = canvas
    return canvases[0] if stacked else canvases


def _to_host(boxes: Sequence[Tensor]) -> list[np.ndarray]:
    """Bring all boxes to the CPU in one transfer and check their values."""
    if not boxes:
        return []
    table = torch.cat([b.detach().long() for b in boxes]).cpu().numpy()
    unfit = ((table >= COORDINATE_LIMIT) | (table <= -COORDINATE_LIMIT)).any(axis=1)
    unfit |= (table[:, 2:] < table[:, :2]).any(axis=1)
    if unfit.any():
        raise ValueError(
            f'patch box {table[unfit][0].tolist()} is not xyxy with x1 <= x2, y1 <= y2 '
            f'and coordinates of magnitude below {COORDINATE_LIMIT}'
        )
    return np.split(table, np.cumsum([len(b) for b in boxes])[:-1])


def _per_canvas(
    arrays: Iterable[np.ndarray], counts: Sequence[int]
) -> list[list[np.ndarray]]:
    """Deal the arrays of all images out to canvases of so many images."""
    rest = iter(arrays)
    return [[next(rest) for _ in range(count)] for count in counts]


def _intersect(parts: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Rows that parts and boxes share; x2 < x1 or y2 < y1 where they do not."""
    low = np.maximum(parts[:, :2], boxes[:, :2])
    return np.concatenate([low, np.minimum(parts[:, 2:], boxes[:, 2:])], axis=1)


def _check_parts(parts: Sequence[Tensor], boxes: Sequence[Tensor]) -> None:
    """Raise unless there is one integer part for each box."""
    shapes = [tuple(part.shape) for part in parts]
    if shapes != [tuple(box.shape) for box in boxes]:
        raise ValueError(
            f'parts of shapes {shapes} for boxes of shapes '
            f'{[tuple(box.shape) for box in boxes]}: each box needs one'
        )
    for part in parts:
        if part.is_floating_point() or part.is_complex() or part.dtype == torch.bool:
            raise TypeError(f'parts of boxes must be integers, got {part.dtype}')


def _check(
    canvases: list[Tensor],
    ndim: int,
    patch: Tensor,
    boxes: Sequence[Tensor],
    images: int,
    chunk_size: int,
) -> None:
    """Raise unless shapes, dtypes, devices and counts fit together."""
    if chunk_size < 1:
        raise ValueError(f'chunk_size {chunk_size} must be at least 1')
    if patch.ndim != 3 or 0 in patch.shape:
        raise ValueError(
            f'the patch must have shape (C, h, w), got {tuple(patch.shape)}'
        )
    if not patch.is_floating_point():
        raise TypeError(f'the patch must be floating, got {patch.dtype}')
    for canvas in canvases:
        if canvas.ndim != ndim or canvas.shape[-3] != patch.shape[0]:
            raise ValueError(
                'images must be a list of (C, H, W), or one batch (B, C, H, W), with '
                f'the {patch.shape[0]} channels of the patch; got shape '
                f'{tuple(canvas.shape)}'
            )
        if not canvas.is_floating_point():
            raise TypeError(f'images must be floating, got {canvas.dtype}')
        if canvas.device != patch.device:
            raise ValueError(
                f'images are on {canvas.device}, the patch is on {patch.device}'
            )
    if len(boxes) != images:
        raise ValueError(f'{images} images but {len(boxes)} box tensors')
    for index, box in enumerate(boxes):
        if box.ndim != 2 or box.shape[1] != 4:
            raise ValueError(
                f'boxes of image {index} must be (N, 4), got {tuple(box.shape)}'
            )
        if box.is_floating_point() or box.is_complex() or box.dtype == torch.bool:
            raise TypeError(
                f'boxes of image {index} must be integers, got {box.dtype}; '
                'patch_boxes() makes them from faces'
            )


@TASK_UTILS.register_module()
class PatchCompositor:
    """Paste a patch into images; see :func:`paste_patch`.

    Args:
        chunk_size: Pixels copied, and positions rendered, at a time; bounds the
            working memory.

    Raises:
        ValueError: If ``chunk_size`` is below 1.
    """

    def __init__(self, chunk_size: int = DEFAULT_CHUNK) -> None:
        if chunk_size < 1:
            raise ValueError(f'chunk_size {chunk_size} must be at least 1')
        self.chunk_size = chunk_size

    def __call__(
        self,
        images: Sequence[Tensor] | Tensor,
        patch: Tensor,
        boxes: Sequence[Tensor],
        parts: Sequence[Tensor] | None = None,
    ) -> Images:
        """Return the images with the patch, or a part of it, in each box."""
        return paste_patch(images, patch, boxes, self.chunk_size, parts)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(chunk_size={self.chunk_size})'
