"""Deformable convolution, v1 (Dai et al., 2017) and v2 (Zhu et al., 2019), in torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bilinear import pixel_rows, sum_rows


@dataclass(frozen=True)
class ConvGeometry:
    """Geometry of a convolution; each pair is (height, width)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def _sample(maps: Tensor, at_y: Tensor, at_x: Tensor, scale: Tensor) -> Tensor:
    """Bilinear values of maps at any points, 0 outside.

    Args:
        maps (Tensor): (B, C, H, W) float.
        at_y (Tensor): (B, P) float.
        at_x (Tensor): (B, P) float.
        scale (Tensor): (B, P) float, factor on the values.

    Returns:
        Tensor: (B, P, C) float. Gradients reach all arguments. At a pixel's centre the
        derivative by the coordinates is that towards the next pixel.
    """
    batch, channels, height, width = maps.shape
    # A pixel or more outside even the gradient is 0.
    inside = (at_y > -1) & (at_y < height) & (at_x > -1) & (at_x < width)
    # Points outside are moved, so that no infinity spoils the gradient.
    at_y, at_x = (torch.where(inside, at, torch.zeros_like(at)) for at in (at_y, at_x))
    low_y, low_x = (at.detach().floor().long() for at in (at_y, at_x))
    share_y, share_x = at_y - low_y, at_x - low_x
    image = torch.arange(batch, device=maps.device)[:, None] * height
    indices, weights = [], []
    for step_y, weight_y in ((0, 1 - share_y), (1, share_y)):
        for step_x, weight_x in ((0, 1 - share_x), (1, share_x)):
            y, x = low_y + step_y, low_x + step_x
            valid = inside & (y >= 0) & (y < height) & (x >= 0) & (x < width)
            y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
            indices.append((image + y) * width + x)
            weights.append(weight_y * weight_x * scale * valid)
    rows = pixel_rows(maps)
    values = sum_rows(
        rows,
        torch.stack(indices, -1).flatten(0, 1),
        torch.stack(weights, -1).flatten(0, 1),
    )
    return values.view(batch, -1, channels)


def deform_conv2d(
    maps: Tensor,
    offset: Tensor,
    weight: Tensor,
    geometry: ConvGeometry,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Convolution whose kernel reads the input at shifted places.

    Args:
        maps (Tensor): (B, C, H, W) float.
        offset (Tensor): (B, D * kh * kw * 2, oh, ow) float, shifts (y, x) in pixels of
            each entry of the kernel, for each of D groups of channels.
        weight (Tensor): (O, C / groups, kh, kw) float.
        geometry (ConvGeometry): Stride, padding, dilation and groups.
        mask (Tensor, optional): (B, D * kh * kw, oh, ow) float, a factor on what each
            entry of the kernel reads. Defaults to None, which is 1.
        bias (Tensor, optional): (O,) float. Defaults to None.

    Returns:
        Tensor: (B, O, oh, ow) float. Gradients reach all tensors.
    """
    batch, channels = maps.shape[:2]
    kernel_h, kernel_w = weight.shape[2:]
    height, width = offset.shape[2:]
    taps = kernel_h * kernel_w
    deform_groups = offset.size(1) // (2 * taps)

    def grid(size: int, steps: tuple[int, int], which: int) -> Tensor:
        numbers = torch.arange(size, device=maps.device, dtype=maps.dtype)
        return numbers * steps[which]

    rows = grid(height, geometry.stride, 0)[:, None] - geometry.padding[0]
    columns = grid(width, geometry.stride, 1) - geometry.padding[1]
    tap_y = grid(kernel_h, geometry.dilation, 0).repeat_interleave(kernel_w)
    tap_x = grid(kernel_w, geometry.dilation, 1).repeat(kernel_h)
    base_y = tap_y[:, None, None] + rows
    base_x = tap_x[:, None, None] + columns
    shifts = offset.view(batch, deform_groups, taps, 2, height, width)
    at_y = base_y + shifts[:, :, :, 0]
    at_x = base_x + shifts[:, :, :, 1]
    scale = torch.ones_like(at_y) if mask is None else mask.view_as(at_y)
    # Groups of channels are images of their own.
    columns = _sample(
        maps.reshape(batch * deform_groups, -1, *maps.shape[2:]),
        *(t.reshape(batch * deform_groups, -1) for t in (at_y, at_x, scale)),
    )
    # (B, groups of channels, taps, places, channels) -> (B, all channels * taps, ...).
    columns = columns.view(batch, deform_groups, taps, height * width, -1)
    columns = columns.permute(0, 1, 4, 2, 3).reshape(
        batch, geometry.groups, -1, height * width
    )
    output = (weight.reshape(geometry.groups, -1, columns.size(2)) @ columns).reshape(
        batch, -1, height, width
    )
    return output if bias is None else output + bias[:, None, None]
