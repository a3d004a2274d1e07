"""Copying of rectangles between canvases and atlases, in either direction."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .paste_plan import Chunk

# Views are faster from about this many pixels a rectangle on.
_PIXELS_FOR_VIEWS = 256


def rectangle_copies(
    rectangles: Tensor, chunk: Chunk, shape: torch.Size, cols: int
) -> _ByView | _ByIndex:
    """The way of copying that suits the device and the rectangles of a chunk.

    Args:
        rectangles (Tensor): (4, Q) of :class:`PastePlan`, where the canvases are.
        chunk (Chunk): Which of them are copied.
        shape (torch.Size): Shape of their canvas, (..., C, H, W).
        cols (int): Columns of their atlas.

    Returns:
        _ByView | _ByIndex: With methods ``paste`` (atlas to canvas), ``collect`` (adds
        the canvas to the atlas) and ``erase`` (zeroes what the rectangles cover).
    """
    large = chunk.pixels >= _PIXELS_FOR_VIEWS * (chunk.end - chunk.first)
    way = _ByView if rectangles.is_cpu and large else _ByIndex
    return way(rectangles[:, chunk.first : chunk.end], chunk, shape, cols)


class _ByView:
    """Copies one rectangle after the other, as strided views.

    For large ones on the CPU, where a copy starts within microseconds and to fetch
    pixels by index takes far longer than to fetch them.

    Args:
        rectangles (Tensor): (4, q) of :class:`PastePlan`.
        chunk (Chunk): What they are.
        shape (torch.Size): Shape of their canvas, (..., C, H, W).
        cols (int): Columns of their atlas.
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
