"""RoIAlign against a literal transcription, mmcv's compiled one and differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmcv.ops import RoIAlign
from torch import Tensor

from mmdet_facepatch.ops import roi_align as module

BATCH, CHANNELS, HEIGHT, WIDTH = 2, 3, 13, 17


def maps(dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(
        BATCH, CHANNELS, HEIGHT, WIDTH, generator=generator, dtype=torch.float64
    ).to(dtype)


ROIS = torch.tensor(
    [
        [0, 3.0, 4.0, 30.0, 25.0],
        [1, -20.0, -10.0, 90.0, 70.0],  # beyond all borders
        [0, 10.0, 10.0, 10.0, 10.0],  # a point
        [1, 60.0, 44.0, 67.9, 51.9],  # at the last pixel
        [1, 200.0, 200.0, 220.0, 210.0],  # outside
        [0, 5.3, 40.0, 11.0, 40.5],
    ]
)


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    return (1 - dy) * ((1 - dx) * plane[top, left] + dx * plane[top, right]) + dy * (
        (1 - dx) * plane[bottom, left] + dx * plane[bottom, right]
    )


def literal(
    features: Tensor, rois: Tensor, size, scale, ratio, mode, aligned
) -> Tensor:
    """Region by region, bin by bin, point by point, in float64."""
    planes = features.double().numpy()
    output = torch.zeros(len(rois), planes.shape[1], *size, dtype=torch.float64)
    for k, (image, *box) in enumerate(rois.tolist()):
        left, top, right, bottom = (v * scale - 0.5 * aligned for v in box)
        height, width = bottom - top, right - left
        if not aligned:
            height, width = max(height, 1.0), max(width, 1.0)
        bin_h, bin_w = height / size[0], width / size[1]
        rows = ratio or math.ceil(bin_h)
        columns = ratio or math.ceil(bin_w)
        for c in range(planes.shape[1]):
            for i in range(size[0]):
                for j in range(size[1]):
                    values = [
                        bilinear(
                            planes[int(image), c],
                            top + i * bin_h + (a + 0.5) * bin_h / rows,
                            left + j * bin_w + (b + 0.5) * bin_w / columns,
                        )
                        for a in range(rows)
                        for b in range(columns)
                    ]
                    if mode == 'max':
                        output[k, c, i, j] = max(values, default=-10000)
                    else:
                        output[k, c, i, j] = sum(values) / max(len(values), 1)
    return output


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 1, 2])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_literal(operators, use, mode, ratio, aligned, layout):
    use(operators)
    layer = RoIAlign((3, 2), 0.25, ratio, mode, aligned)
    found = layer(maps().contiguous(memory_format=layout), ROIS)
    expected = literal(maps(), ROIS, (3, 2), 0.25, ratio, mode, aligned)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
def test_gradients_against_finite_differences(operators, use, mode, ratio, aligned):
    use(operators)
    layer = RoIAlign((2, 3), 0.25, ratio, mode, aligned)
    rois = ROIS[[0, 1, 3, 5]].double()
    features = maps(torch.float64)[:, :1].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, rois), features)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_no_regions(operators, use, mode):
    use(operators)
    features = maps().requires_grad_()
    found = RoIAlign((3, 2), 0.25, 2, mode)(features, ROIS[:0])
    assert found.shape == (0, CHANNELS, 3, 2)
    (gradient,) = torch.autograd.grad(found.sum(), features)
    assert gradient.shape == features.shape and not gradient.any()


def many(count: int, size: float) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(count, 2, generator=generator) * 70 - 5
    extent = torch.rand(count, 2, generator=generator) * size + 0.1
    image = torch.randint(0, BATCH, (count, 1), generator=generator)
    return torch.cat([image.float(), corner, corner + extent], 1)


@pytest.mark.parametrize('mode', [0, 1], ids=['max', 'avg'])
@pytest.mark.parametrize('ratio', [0, 1, 2, 3])
@pytest.mark.parametrize('aligned', [True, False])
def test_equals_compiled(operators, compiled, mode, ratio, aligned):
    features = maps()
    for rois in (ROIS, many(300, 60), many(300, 8), ROIS[:0]):
        arguments = dict(
            aligned_height=7,
            aligned_width=5,
            spatial_scale=0.25,
            sampling_ratio=ratio,
            pool_mode=mode,
            aligned=aligned,
        )
        shape = (len(rois), CHANNELS, 7, 5)
        gradient = torch.rand(shape, generator=torch.Generator().manual_seed(2))
        found = []
        for library in (operators, compiled):
            output = torch.zeros(shape)
            argmax = [torch.zeros(shape if mode == 0 else 0) for _ in range(2)]
            library.roi_align_forward(features, rois, output, *argmax, **arguments)
            back = torch.zeros_like(features)
            # Of equal maxima either may be named: both get the same ones.
            argmax = found[0][2] if found else argmax
            library.roi_align_backward(gradient, rois, *argmax, back, **arguments)
            found.append((output, back, argmax))
        torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=2e-5)


def test_chunks_change_nothing(monkeypatch):
    grid = module.RoIGrid((7, 5), 0.25, 0, True)
    rois = many(50, 60)
    expected = module.roi_align(maps(), rois, grid), *module.roi_max(maps(), rois, grid)
    monkeypatch.setattr(module, 'CHUNK', 1)
    found = module.roi_align(maps(), rois, grid), *module.roi_max(maps(), rois, grid)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_region_of_negative_size():
    rois = torch.tensor([[0, 10.0, 10.0, 5.0, 20.0]])
    with pytest.raises(ValueError, match='negative height or width'):
        module.roi_align(maps(), rois, module.RoIGrid((2, 2), 0.25, 2, True))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(operators, use, dtype):
    use(operators)
    layer = RoIAlign((3, 2), 0.25, 2)
    features = maps().to(dtype).requires_grad_()
    rois = ROIS.to(dtype)
    found = layer(features, rois)
    found.sum().backward()
    expected = layer(features.detach().float(), rois.float())
    assert found.dtype == features.grad.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
