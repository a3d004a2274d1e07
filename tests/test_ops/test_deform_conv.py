"""Deformable convolution against the plain one, mmcv's compiled one and differences."""

from __future__ import annotations

import pytest
import torch
from mmcv.ops import deform_conv2d, modulated_deform_conv2d
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.utils import _pair

GEOMETRIES = [
    # groups, groups of offsets, stride, padding, dilation
    (1, 1, 1, 1, 1),
    (2, 1, 2, 0, 1),
    (1, 2, 1, 2, 2),
    (2, 2, (1, 2), (0, 1), 1),
]


def tensors(geometry, dtype=torch.float32, shift=2.0) -> list[Tensor]:
    """Input, offsets, kernel, mask and bias."""
    groups, deform_groups, stride, padding, dilation = geometry
    generator = torch.Generator().manual_seed(3)
    size = [
        (n + 2 * p - (2 * d + 1)) // s + 1
        for n, s, p, d in zip((7, 9), *map(_pair, (stride, padding, dilation)))
    ]
    shapes = (
        (2, 4, 7, 9),
        (2, deform_groups * 18, *size),
        (6, 4 // groups, 3, 3),
        (2, deform_groups * 9, *size),
        (6,),
    )
    found = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    found[1] *= shift
    found[3] = found[3].sigmoid()
    return [t.to(dtype) for t in found]


def convolve(inputs: list[Tensor], geometry) -> Tensor:
    """v1 with three tensors, v2 with five."""
    groups, deform_groups, stride, padding, dilation = geometry
    if len(inputs) == 3:
        return deform_conv2d(*inputs, stride, padding, dilation, groups, deform_groups)
    maps, offset, weight, mask, bias = inputs
    return modulated_deform_conv2d(
        maps,
        offset,
        mask,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        deform_groups,
    )


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_without_shifts_it_is_a_convolution(operators, use, geometry):
    use(operators)
    groups, _, *rest = geometry
    maps, offset, weight, mask, bias = tensors(geometry, shift=0.0)
    found = convolve([maps, offset, weight], geometry)
    expected = F.conv2d(maps, weight, None, *rest, groups)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found = convolve([maps, offset, weight, mask * 0 + 0.5, bias], geometry)
    expected = F.conv2d(maps * 0.5, weight, bias, *rest, groups)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_whole_shifts_move_the_input(operators, use):
    use(operators)
    geometry = GEOMETRIES[0]
    maps, offset, weight, *_ = tensors(geometry, shift=0.0)
    offset[:, 0::2], offset[:, 1::2] = 1.0, -2.0
    moved = F.pad(maps, (2, 0, 0, 1))[:, :, 1:, :-2]
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    found = convolve([maps, offset, weight], geometry)[inner]
    expected = F.conv2d(moved, weight, padding=1)[inner]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('version', [1, 2])
def test_gradients_against_finite_differences(operators, use, geometry, version):
    use(operators)
    inputs = tensors(geometry, torch.float64)[: 3 if version == 1 else 5]
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(
        lambda *moved: convolve(list(moved), geometry), inputs, fast_mode=True
    )


@pytest.mark.parametrize('shift', [0.0, 2.0, 20.0])
@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('version', [1, 2])
def test_equals_compiled(operators, compiled, use, geometry, version, shift):
    found = []
    for library in (operators, compiled):
        use(library)
        inputs = tensors(geometry, shift=shift)[: 3 if version == 1 else 5]
        inputs = [tensor.requires_grad_() for tensor in inputs]
        output = convolve(inputs, geometry)
        weights = torch.linspace(-1, 1, output.numel()).view_as(output)
        found.append([output, *torch.autograd.grad((output * weights).sum(), inputs)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5)
