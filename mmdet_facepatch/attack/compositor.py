"""Paste one patch onto many places of many images, differentiably.

Three stages, each a pure function:

1. :func:`topmost_runs` (numpy): which patch owns which pixels of an image. Patches
   are painted in order onto one integer plane, and the plane is cut into runs: the
   stretches of pixels in one row that show one patch.
2. :func:`plan_paste` (numpy): patches of equal size look alike, so each distinct
   size is rendered once for the whole batch. Renderings are packed into batches
   ("atlases") of bounded size, and each run is told where in its atlas it starts.
3. ``_Paste`` (torch): for each atlas, two matrix products render it and the runs
   are copied from it into the images. Backward walks the same way: the gradient
   is added up in the atlas, and two products bring it to the patch.

The operation is linear in the patch, so backward needs neither images nor patch,
only the runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor
from torch.autograd.function import once_differentiable

from .placement import COORDINATE_LIMIT

DEFAULT_CHUNK = 2**16


# --------------------------------------------------------------------- resampling
def area_weights(
    sizes: Tensor, first: Tensor, count: int, source: int, dtype: torch.dtype
) -> Tensor:
    """Weights that resample an axis of ``source`` pixels to each of S sizes.

    Output pixel i of n covers the source interval ``[i * source / n,
    (i + 1) * source / n]``, widened about its centre to at least one source pixel
    and cut at the border; each source pixel weighs in by the share of the interval
    that it covers. That is exact area averaging when shrinking (every source pixel
    gets weight) and bilinear interpolation with half-pixel centres and clamped
    border when enlarging.

    Args:
        sizes: Output sizes n, (S,) int64.
        first: First output pixel wanted of each size, (S,) int64.
        count: Number of output pixels wanted. Those beyond n repeat pixel n - 1.
        source: Number of source pixels.
        dtype: Floating dtype of the result; computed in float64.

    Returns:
        Tensor: (S, count, source), each row nonnegative and summing to 1.
    """
    sizes = sizes.double()[:, None]
    steps = torch.arange(count, device=sizes.device, dtype=sizes.dtype)
    index = torch.minimum(first[:, None] + steps, sizes - 1)
    scale = source / sizes
    centre, half = (index + 0.5) * scale, scale.clamp(min=1) / 2
    low = (centre - half).clamp(min=0)[..., None]
    high = (centre + half).clamp(max=source)[..., None]
    edges = torch.arange(source + 1, device=sizes.device, dtype=sizes.dtype)
    # Share of the interval left of each source edge; its growth from edge to edge
    # is the share of one source pixel.
    left = (edges - low).mul_(1 / (high - low)).clamp_(0, 1)
    return (left[..., 1:] - left[..., :-1]).to(dtype)


def resize_area(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (C, h, w) float pixels to ``size`` = (height, width), differentiably.

    Same resampling as :func:`paste_patch`; see :func:`area_weights`.
    """
    weights = []
    for target, source in zip(size, pixels.shape[1:], strict=True):
        if target < 1:
            raise ValueError(f'size {tuple(size)} must be at least 1 x 1')
        whole = torch.tensor([target], device=pixels.device)
        weights.append(
            area_weights(whole, torch.zeros_like(whole), target, source, pixels.dtype)
        )
    return weights[0] @ pixels @ weights[1].transpose(1, 2)


# ------------------------------------------------------------------------ planning
@dataclass(frozen=True)
class Runs:
    """Visible stretches of patches in one image, in raster order.

    Attributes:
        start: Flat pixel index ``y * width + x`` of the first pixel, (R,) int64.
        length: Number of pixels, (R,) int64, at least 1.
        face: Row of the box that owns them, (R,) int64.
    """

    start: np.ndarray
    length: np.ndarray
    face: np.ndarray


def topmost_runs(boxes: np.ndarray, height: int, width: int) -> Runs:
    """Find which box owns each pixel; later boxes lie over earlier ones.

    Args:
        boxes: (N, 4) int64 xyxy, upper bounds exclusive. They may leave the image
            and may be empty.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        Runs: Every pixel inside a box once. At most one run for each pixel and at
        most two for each visible box row.
    """
    clipped = boxes.clip(0, np.array([width, height, width, height]))
    seen = np.flatnonzero((clipped[:, 2:] > clipped[:, :2]).all(axis=1))
    if not seen.size:
        none = np.zeros(0, np.int64)
        return Runs(none, none, none)
    top, bottom = int(clipped[seen, 1].min()), int(clipped[seen, 3].max())
    owner = np.full((bottom - top, width), -1, np.int32)
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
    face = flat[start].astype(np.int64)
    owned = face >= 0
    return Runs(start[owned] + top * width, length[owned], face[owned])


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
        chunks: (canvas, first run, end run, number of pixels) of the runs that are
            copied from this atlas, at most about ``chunk_size`` pixels each.
    """

    frames: Tensor
    rows: int
    cols: int
    square: bool
    chunks: list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class PastePlan:
    """All geometry of one call of :func:`paste_patch`.

    Attributes:
        canvases: Indices of the canvases on which something shows, ascending;
            ``Atlas.chunks`` counts in this list.
        runs: (3, R) int64: index of the first pixel in its flat canvas, index of
            the first texel in its flat atlas (both for channel 0), length.
        atlases: What to render, in order.
    """

    canvases: list[int]
    runs: Tensor
    atlases: list[Atlas]

    def to(self, device: torch.device) -> PastePlan:
        """Move the tensors to a device."""
        atlases = [replace(a, frames=a.frames.to(device)) for a in self.atlases]
        return replace(self, runs=self.runs.to(device), atlases=atlases)


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
        _locate(topmost_runs(shown, *shape), image, shape, canvas, index * channels)
        for canvas, (shape, images, pasted) in enumerate(cells)
        for index, (image, shown) in enumerate(zip(images, pasted, strict=True))
    ]
    table = np.concatenate([np.zeros((7, 0), np.int64), *found], axis=1)
    if not table.shape[1]:
        return PastePlan([], torch.zeros((3, 0), dtype=torch.int64), [])
    canvas, pixel, length, height, width, row, col = table
    touched, canvas = np.unique(canvas, return_inverse=True)

    # One key for each distinct size; COORDINATE_LIMIT keeps both halves in 32 bits.
    keys, size = np.unique(height << 32 | width, return_inverse=True)
    window = _windows(size, len(keys), row, col, length)
    entries, band_rows, first_entry = _bands(window, patch_shape, chunk_size)
    entry = first_entry[size] + (row - window[0][size]) // band_rows[size]
    group, slot, extents = _pack(entries, patch_shape, chunk_size)

    run_group = group[entry]
    rows, cols = extents[run_group].T
    texel = (slot[entry] * rows + row - entries[entry, 1]) * channels * cols
    texel += col - entries[entry, 3]

    order = np.lexsort((canvas, run_group))
    runs = np.stack([pixel, texel, length])[:, order]
    chunks = _chunks(run_group[order], canvas[order], length[order], chunk_size)
    key = keys[entries[:, 0]]
    frames = np.stack([key >> 32, key & 0xFFFFFFFF, entries[:, 1], entries[:, 3]])
    atlases = []
    for g, (rows, cols) in enumerate(extents.tolist()):
        own = frames[:, group == g]
        square = rows == cols and bool((own[::2] == own[1::2]).all())
        atlases.append(Atlas(torch.from_numpy(own), rows, cols, square, chunks[g]))
    return PastePlan(touched.tolist(), torch.from_numpy(runs), atlases)


def _locate(
    runs: Runs, boxes: np.ndarray, shape: tuple[int, int], canvas: int, planes: int
) -> np.ndarray:
    """Rows canvas, pixel, length, patch height, patch width, patch row, patch col."""
    x1, y1, x2, y2 = boxes[runs.face].T
    y, x = np.divmod(runs.start, shape[1])
    pixel = runs.start + planes * shape[0] * shape[1]
    which = np.full_like(pixel, canvas)
    return np.stack([which, pixel, runs.length, y2 - y1, x2 - x1, y - y1, x - x1])


def _windows(
    size: np.ndarray, count: int, row: np.ndarray, col: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """First and end row, first and end column that show of each distinct size."""
    far = np.iinfo(np.int64).max
    first_row, first_col = np.full((2, count), far)
    end_row, end_col = np.zeros((2, count), np.int64)
    np.minimum.at(first_row, size, row)
    np.maximum.at(end_row, size, row + 1)
    np.minimum.at(first_col, size, col)
    np.maximum.at(end_col, size, col + length)
    return first_row, end_row, first_col, end_col


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
    group: np.ndarray, canvas: np.ndarray, length: np.ndarray, chunk_size: int
) -> list[list[tuple[int, int, int, int]]]:
    """Cut runs sorted by group and canvas into the chunks of each group."""
    end_pixel = np.cumsum(length)
    changes = (np.diff(group) != 0) | (np.diff(canvas) != 0)
    changes |= np.diff((end_pixel - 1) // chunk_size) != 0
    cuts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(length)]
    chunks: list[list[tuple[int, int, int, int]]] = [[] for _ in range(group[-1] + 1)]
    for first, end in pairwise(cuts):
        pixels = int(end_pixel[end - 1] - end_pixel[first] + length[first])
        chunks[group[first]].append((int(canvas[first]), first, end, pixels))
    return chunks


# ------------------------------------------------------------------------- pasting
def _weights(
    atlas: Atlas, patch_shape: torch.Size, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Row weights (S, rows, h) and column weights (S, cols, w) of an atlas."""
    heights, widths, first_rows, first_cols = atlas.frames
    _, h, w = patch_shape
    by_row = area_weights(heights, first_rows, atlas.rows, h, dtype)
    if atlas.square and h == w:
        return by_row, by_row
    return by_row, area_weights(widths, first_cols, atlas.cols, w, dtype)


def _render(patch: Tensor, atlas: Atlas) -> Tensor:
    """Render an atlas, flat in the order (S, rows, channels, cols)."""
    channels, h, w = patch.shape
    by_row, by_col = _weights(atlas, patch.shape, patch.dtype)
    tall = by_row.flatten(0, 1) @ patch.transpose(0, 1).reshape(h, channels * w)
    tall = tall.view(len(by_row), atlas.rows * channels, w)
    return (tall @ by_col.transpose(1, 2)).flatten()


def _unrender(grad: Tensor, patch_shape: torch.Size, atlas: Atlas) -> Tensor:
    """Transpose of :func:`_render`: gradient of the atlas to that of the patch."""
    channels, h, w = patch_shape
    by_row, by_col = _weights(atlas, patch_shape, grad.dtype)
    tall = grad.view(len(by_row), atlas.rows * channels, atlas.cols) @ by_col
    flat = by_row.flatten(0, 1).t() @ tall.view(-1, channels * w)
    return flat.view(h, channels, w).transpose(0, 1)


def _expand(runs: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Flat pixel and texel index of each of the ``total`` pixels of runs (3, r)."""
    first_pixel, first_texel, length = runs
    before = length.cumsum(0) - length
    run = torch.repeat_interleave(length, output_size=total)
    step = torch.arange(total, device=runs.device)
    pixel = (first_pixel - before).index_select(0, run).add_(step)
    texel = (first_texel - before).index_select(0, run).add_(step)
    return pixel, texel


def _planes(canvas: Tensor) -> list[Tensor]:
    """Flat views whose element ``b * C * H * W + p`` is pixel p of channel c.

    One-dimensional gathers and scatters are serial on the CPU: deterministic,
    and several times faster than those along a dimension of a matrix.
    """
    channels, height, width = canvas.shape[-3:]
    flat = canvas.view(-1)
    return [flat[c * height * width :] for c in range(channels)]


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
        ctx.save_for_backward(plan.runs)
        outs = tuple(c.clone(memory_format=torch.contiguous_format) for c in canvases)
        planes = [_planes(out) for out in outs]
        with torch.autocast(patch.device.type, enabled=False):
            for atlas in plan.atlases:
                texels = _render(patch, atlas)
                for canvas, first, end, total in atlas.chunks:
                    pixel, texel = _expand(plan.runs[:, first:end], total)
                    for c, plane in enumerate(planes[canvas]):
                        shown = texels[c * atlas.cols :].index_select(0, texel)
                        plane.scatter_(0, pixel, shown.to(plane.dtype))
        return outs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (runs,) = ctx.saved_tensors
        shape, dtype = ctx.patch
        wants_patch, _, *wants_canvas = ctx.needs_input_grad
        grads = tuple(g if g is None else g.contiguous() for g in grads)
        planes = [[] if g is None else _planes(g) for g in grads]
        # Pasted pixels do not depend on what lay under them.
        below = [
            g.clone() if wanted and g is not None else None
            for g, wanted in zip(grads, wants_canvas, strict=True)
        ]
        below_planes = [[] if g is None else _planes(g) for g in below]
        on_patch = torch.zeros(shape, dtype=dtype, device=runs.device)
        with torch.autocast(runs.device.type, enabled=False):
            for atlas in ctx.atlases:
                texels = on_patch.new_zeros(
                    atlas.frames.shape[1] * atlas.rows * shape[0] * atlas.cols
                )
                for canvas, first, end, total in atlas.chunks:
                    pixel, texel = _expand(runs[:, first:end], total)
                    if wants_patch:
                        for c, plane in enumerate(planes[canvas]):
                            shown = plane.index_select(0, pixel).to(dtype)
                            texels[c * atlas.cols :].scatter_add_(0, texel, shown)
                    for plane in below_planes[canvas]:
                        plane.scatter_(0, pixel, 0)
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
    averaging when shrinking, bilinear when enlarging (:func:`area_weights`), so
    that every patch pixel that shows gets a gradient at any size. Every value of
    the patch is opaque, black too. Boxes are cut at the image border; a box outside
    the image or with no extent draws nothing. Where boxes of one image overlap, the
    one that comes later lies over the earlier one. Images and patch need the same
    channel order and value range; nothing is clamped.

    Memory beside the returned images: one int32 plane of the size of one image
    while planning, 24 bytes for each run (stretch of pixels of one patch in one
    row; at most one run a pixel, at most two for each visible box row), which is
    all that is kept for backward, and working memory of about
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
        pasted = _Paste.apply(patch, plan.to(patch.device), *below)
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
