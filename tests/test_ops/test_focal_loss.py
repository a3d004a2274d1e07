"""Focal loss and deformable attention, which mmcv calls on GPUs alone."""

from __future__ import annotations

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch.nn import functional as F

from mmdet_facepatch.ops.focal_loss import sigmoid_focal_loss as ours


def data(dtype=torch.float64):
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(20, 3, generator=generator, dtype=torch.float64) * 4
    # 3 is background.
    return logits.to(dtype), torch.arange(20) % 4


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9)])
def test_against_mmdets_formula(operators, use, gamma, alpha):
    use(operators)
    logits, target = data()
    logits.requires_grad_()
    found = sigmoid_focal_loss(logits, target, gamma, alpha, None, 'none')
    one_hot = F.one_hot(target, 4)[:, :3]
    expected = py_sigmoid_focal_loss(
        logits, one_hot, gamma=gamma, alpha=alpha, reduction='none'
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    gradients = [
        torch.autograd.grad(loss.sum(), logits)[0] for loss in (found, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize('reduction', ['sum', 'mean'])
def test_gradient_against_finite_differences(operators, use, reduction):
    use(operators)
    logits, target = data()
    weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: sigmoid_focal_loss(
            x, target.clamp(max=2), 2.0, 0.25, weight, reduction
        ),
        logits.requires_grad_(),
    )


def test_large_logits_stay_finite(operators, use):
    """The logarithm is cut at the smallest normal float32, as in mmcv's kernel."""
    use(operators)
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    for target in (0, 1):
        loss = sigmoid_focal_loss(
            logits, torch.full((2,), target), 2.0, 0.25, None, 'none'
        )
        assert loss.isfinite().all()
        assert torch.autograd.grad(loss.sum(), logits)[0].isfinite().all()
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    worst = ours(logits[1:], torch.tensor([0]), torch.empty(0), 2.0, 0.25)
    assert worst.item() == pytest.approx(-0.25 * smallest.log().item())


def test_deformable_attention(operators, use):
    use(operators)
    generator = torch.Generator().manual_seed(5)
    shapes = torch.tensor([[4, 6], [2, 3]])
    value = torch.randn(2, 30, 2, 4, generator=generator, dtype=torch.float64)
    places = torch.rand(2, 5, 2, 2, 3, 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(2, 5, 2, 2, 3, generator=generator, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (value, places, weights)]

    def attend(value, places, weights):
        return MultiScaleDeformableAttnFunction.apply(
            value, shapes, torch.tensor([0, 24]), places, weights, 64
        )

    expected = multi_scale_deformable_attn_pytorch(value, shapes, places, weights)
    torch.testing.assert_close(attend(*inputs), expected)
    assert torch.autograd.gradcheck(attend, inputs, fast_mode=True)
