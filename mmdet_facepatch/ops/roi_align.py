"""RoIAlign (He et al., Mask R-CNN, ICCV 2017) in vectorised torch.

A bin's average is a weighted sum of pixels, four for each of its sample points, and the
weights are products of one for the row and one for the column. The bins of many
regions are summed at once, without a copy of each pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .bilinear import pixel_rows, sum_rows

#: Entries of indices and weights that are held at once.
CHUNK = 1 << 21
#: What mmcv's maximum starts from, and gives for a bin without sample points.
LOWEST = -10000.0
#: A place so far outside that nothing is read there.
OUTSIDE = -2.0


@dataclass(frozen=True)
class RoIGrid:
    """How regions are laid over a map.

    Attributes:
        output_size (tuple[int, int]): Bins in height and width.
        spatial_scale (float): Size of the map / size of the image.
        sampling_ratio (int): Sample points of a bin in each direction; 0 takes as many
            as the bin has pixels, rounded up.
        aligned (bool): Whether pixel centres lie at half a pixel; otherwise regions are
            half a pixel off and at least one pixel large, as they were before
            Detectron2.
    """

    output_size: tuple[int, int]
    spatial_scale: float
    sampling_ratio: int
    aligned: bool


def _corners(at: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The two pixels around each coordinate of an axis, and their weights.

    Args:
        at (Tensor): Coordinates of any shape, in pixels.
        size (int): Pixels of the axis.

    Returns:
        tuple[Tensor, Tensor]: (..., 2) int64 and (..., 2) float. Weights are 0 more
        than a pixel outside.
    """
    inside = (at >= -1) & (at <= size)
    at = at.clamp(min=0)
    low = at.long().clamp(0, size - 1)
    share = torch.where(low < size - 1, at - low, torch.zeros_like(at))
    weights = torch.stack([1 - share, share], -1) * inside[..., None]
    high = (low + 1).clamp(max=size - 1)
    return torch.stack([low, high], -1), weights


def _grids(regions: Tensor, grid: RoIGrid) -> Iterator[tuple[Tensor, int, int]]:
    """Regions by their number of sample points in height and width of a bin."""
    if grid.sampling_ratio > 0:
        every = torch.arange(len(regions), device=regions.device)
        yield every, grid.sampling_ratio, grid.sampling_ratio
        return
    bins = regions.new_tensor(grid.output_size)
    counts = (regions[:, 2:] / bins).ceil().long().clamp(min=0)
    pairs, inverse = counts.unique(dim=0, return_inverse=True)
    for number, (height, width) in enumerate(pairs.tolist()):
        yield (inverse == number).nonzero()[:, 0], height, width


def _place(rois: Tensor, grid: RoIGrid) -> Tensor:
    """Top, left, height and width of regions on the map, (K, 4)."""
    left, top, right, bottom = (
        rois[:, 1:] * grid.spatial_scale - (0.5 if grid.aligned else 0.0)
    ).unbind(1)
    height, width = bottom - top, right - left
    if not grid.aligned:
        height, width = height.clamp(min=1), width.clamp(min=1)
    elif bool(((height < 0) | (width < 0)).any()):
        raise ValueError('roi_align: a region has a negative height or width')
    return torch.stack([top, left, height, width], 1)


def _points(start: Tensor, extent: Tensor, bins: int, count: int) -> Tensor:
    """Coordinates of the sample points of an axis, (K, bins, count)."""
    size = (extent / bins)[:, None, None]
    numbers = torch.arange(max(bins, count), device=start.device, dtype=start.dtype)
    edges = start[:, None, None] + numbers[:bins, None] * size
    return edges + (numbers[:count] + 0.5) * size / count


def _chunks(
    maps: Tensor, rois: Tensor, grid: RoIGrid, entries: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Numbers of the regions, row offsets of their images, and their points.

    Args:
        entries (int): Numbers that a sample point takes up in memory.

    Yields:
        (k,), (k,), (k, bins, points) of the height and the same of the width, with at
        least one point in each bin.
    """
    height, width = grid.output_size
    regions = _place(rois, grid)
    for group, rows, columns in _grids(regions, grid):
        if not len(group) * rows * columns:
            continue
        step = max(CHUNK // (height * width * rows * columns * entries), 1)
        for which in group.split(step):
            top, left, extent_y, extent_x = regions[which].unbind(1)
            yield (
                which,
                rois[which, 0].long() * (maps.size(2) * maps.size(3)),
                _points(top, extent_y, height, rows),
                _points(left, extent_x, width, columns),
            )


def _bins(
    maps: Tensor, rois: Tensor, grid: RoIGrid
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The pixels of each bin and their weights.

    Yields:
        Numbers of the regions (k,), and indices into :func:`pixel_rows` and weights,
        (k * bins, entries) each.
    """
    for which, image, at_y, at_x in _chunks(maps, rois, grid, 4):
        y, weights_y = _corners(at_y, maps.size(2))
        x, weights_x = _corners(at_x, maps.size(3))
        # (k, bins in height, 1, 2 * points, 1) and (k, 1, bins in width, 1, ...).
        y, weights_y = (t.flatten(2)[:, :, None, :, None] for t in (y, weights_y))
        x, weights_x = (t.flatten(2)[:, None, :, None, :] for t in (x, weights_x))
        indices = y * maps.size(3) + image[:, None, None, None, None] + x
        weights = weights_y / (at_y.size(2) * at_x.size(2)) * weights_x
        yield which, indices.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)


def roi_align(maps: Tensor, rois: Tensor, grid: RoIGrid) -> Tensor:
    """Average of each bin's sample points.

    Args:
        maps (Tensor): (B, C, H, W) float, in any memory format.
        rois (Tensor): (K, 5) float: image of the batch, then xyxy in pixels of the
            image.
        grid (RoIGrid): How regions are laid over the maps.

    Returns:
        Tensor: (K, C, output height, output width) float. A bin without sample points
        is 0. Gradients reach the maps, not the regions.

    Raises:
        ValueError: If a region is of negative size and ``aligned`` is set.
    """
    rows = pixel_rows(maps)
    output = rows.new_zeros(len(rois), *grid.output_size, maps.size(1))
    for which, indices, weights in _bins(maps, rois, grid):
        values = sum_rows(rows, indices, weights)
        output = output.index_copy(0, which, values.view(len(which), *output.shape[1:]))
    return output.permute(0, 3, 1, 2)


def roi_max(maps: Tensor, rois: Tensor, grid: RoIGrid) -> tuple[Tensor, Tensor, Tensor]:
    """Maximum of each bin's sample points; arguments as in :func:`roi_align`.

    Returns:
        tuple[Tensor, Tensor, Tensor]: The maxima and the y and the x of the points
        where they are, (K, C, output height, output width) float each, in pixels of the
        map. A bin without sample points is -10000 at -2.
    """
    rows = pixel_rows(maps)
    shape = (len(rois), *grid.output_size, maps.size(1))
    best = rows.new_full(shape, LOWEST)
    best_y, best_x = rows.new_full(shape, OUTSIDE), rows.new_full(shape, OUTSIDE)
    for which, image, at_y, at_x in _chunks(maps, rois, grid, 4 * maps.size(1)):
        y, weights_y = _corners(at_y, maps.size(2))
        x, weights_x = _corners(at_x, maps.size(3))
        # (k, bins in height, bins in width, points in height, in width, 2, 2).
        y, weights_y = (t[:, :, None, :, None, :, None] for t in (y, weights_y))
        x, weights_x = (t[:, None, :, None, :, None, :] for t in (x, weights_x))
        indices = y * maps.size(3) + image.view(-1, *[1] * 6) + x
        weights = weights_y * weights_x
        values = sum_rows(
            rows, indices.flatten(5).flatten(0, 4), weights.flatten(5).flatten(0, 4)
        )
        values, point = values.view(*indices.shape[:3], -1, shape[-1]).max(3)
        found = values > LOWEST
        point_y = point.div(at_x.size(2), rounding_mode='floor')
        for target, source in (
            (best, values),
            (
                best_y,
                at_y[:, :, None, None]
                .expand(*values.shape, -1)
                .gather(4, point_y[..., None])[..., 0],
            ),
            (
                best_x,
                at_x[:, None, :, None]
                .expand(*values.shape, -1)
                .gather(4, (point % at_x.size(2))[..., None])[..., 0],
            ),
        ):
            target[which] = torch.where(found, source, target[which])
    first, second, third = (t.permute(0, 3, 1, 2) for t in (best, best_y, best_x))
    return first, second, third


def roi_max_backward(
    gradient: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, maps: Tensor
) -> None:
    """Add the gradient of :func:`roi_max` to that of the maps.

    Args:
        gradient (Tensor): (K, C, output height, output width) float.
        rois (Tensor): (K, 5) float.
        argmax_y (Tensor): Where the maxima are, as :func:`roi_max` returns it.
        argmax_x (Tensor): The same.
        maps (Tensor): (B, C, H, W) float, contiguous; is added to.
    """
    _, channels, height, width = maps.shape
    y, weights_y = _corners(argmax_y, height)
    x, weights_x = _corners(argmax_x, width)
    image = rois[:, 0].long().view(-1, 1, 1, 1) * channels
    plane = image + torch.arange(channels, device=maps.device).view(-1, 1, 1)
    indices = (plane[..., None, None] * height + y[..., :, None]) * width
    values = weights_y[..., :, None] * weights_x[..., None, :]
    maps.view(-1).scatter_add_(
        0,
        (indices + x[..., None, :]).flatten(),
        (values * gradient[..., None, None]).flatten(),
    )
