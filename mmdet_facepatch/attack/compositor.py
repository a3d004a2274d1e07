"""Paste one patch onto many places of many images, differentiably.

:mod:`~mmdet_facepatch.attack.paste_plan` says which rectangle of which rendering of
the patch goes where. Here each atlas of renderings is made, rows first and then
columns, and the rectangles are copied from it into the images. Backward walks the same
way: the gradient is added up in the atlas and brought to the patch.

The operation is linear in the patch, so backward needs neither images nor patch,
only the rectangles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor
from torch.autograd.function import once_differentiable

from .paste_copies import rectangle_copies
from .paste_plan import DEFAULT_CHUNK, Atlas, PastePlan, plan_paste
from .patch.resampling import Taps, area_taps, gather_rows, scatter_rows
from .placement import COORDINATE_LIMIT


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
                    copies = rectangle_copies(rectangles, chunk, out.shape, atlas.cols)
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
                    copies = rectangle_copies(rectangles, chunk, grad.shape, atlas.cols)
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
        images (Sequence[Tensor] | Tensor): Images (C, H, W) of any sizes, or one batch
            (B, C, H, W); floating.
        patch (Tensor): Patch (C, h, w), floating, on the device of the images.
        boxes (Sequence[Tensor]): One (N, 4) integer tensor for each image, xyxy in
            pixels of that image, upper bounds exclusive, on any device. Squares are
            usual but not required.
        chunk_size (int): Pixels copied, and positions rendered, at a time. Defaults to
            DEFAULT_CHUNK.
        parts (Sequence[Tensor], optional): The rectangle of each box that is pasted, in
            the form of ``boxes``; what exceeds its box is cut off. Elsewhere in the box
            the image, or a patch below, shows; the pixels that are pasted are those of
            the whole patch. None pastes whole patches. :func:`remaining_boxes` makes
            parts. Defaults to None.

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
        chunk_size (int): Pixels copied, and positions rendered, at a time; bounds the
            working memory. Defaults to DEFAULT_CHUNK.

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
