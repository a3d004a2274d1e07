"""IoU least-square regression loss, focal loss over softmax scores."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses import IoULoss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.registry import MODELS

from mmdet_facepatch.models.losses import (
    IoURegressionLoss,
    SoftmaxFocalLoss,
    iou_regression_loss,
    softmax_focal_loss,
)

# IoU 1, 1/3 (shifted by half) and 0.
PRED = torch.tensor(
    [[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [20.0, 20.0, 30.0, 30.0]]
)
TARGET = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 3)


def test_exact_values():
    loss = iou_regression_loss(PRED, TARGET, reduction='none')
    torch.testing.assert_close(loss, torch.tensor([0.0, 4 / 9, 1.0]))


def test_differs_from_mmdets_square_mode():
    ours = IoURegressionLoss()(PRED[1:2], TARGET[1:2])
    theirs = IoULoss(mode='square')(PRED[1:2], TARGET[1:2])
    torch.testing.assert_close(ours, torch.tensor(4 / 9))
    torch.testing.assert_close(theirs, torch.tensor(8 / 9))


def test_weights_avg_factor_and_loss_weight():
    module = MODELS.build(dict(type='IoURegressionLoss', loss_weight=2.0))
    weight = torch.tensor([1.0, 0.5, 0.0])
    expected = torch.tensor(2 * (0.5 * 4 / 9) / 4)
    torch.testing.assert_close(module(PRED, TARGET, weight, avg_factor=4), expected)
    torch.testing.assert_close(
        module(PRED, TARGET, weight[:, None].expand(-1, 4), avg_factor=4), expected
    )


def test_gradient_matches_finite_differences():
    pred = PRED[:2].double() + torch.tensor([[0.3, -0.4, 0.2, 0.1]])
    pred.requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda boxes: IoURegressionLoss()(boxes, TARGET[:2].double()), pred
    )


def test_no_positives_is_zero_with_a_graph():
    pred = torch.zeros(0, 4, requires_grad=True)
    loss = IoURegressionLoss()(pred, torch.zeros(0, 4), avg_factor=1)
    assert loss.item() == 0
    loss.backward()


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
def test_reductions(reduction):
    loss = IoURegressionLoss(reduction=reduction)(PRED, TARGET)
    values = torch.tensor([0.0, 4 / 9, 1.0])
    expected = values if reduction == 'none' else getattr(values, reduction)()
    torch.testing.assert_close(loss, expected)


LOGITS = torch.tensor([[2.0, -1.0], [0.0, 0.0], [-3.0, 3.0], [1.0, 2.0]])
TARGETS = torch.tensor([0, 0, 1, 0])


def test_softmax_focal_exact_value():
    loss = softmax_focal_loss(torch.zeros(2, 2), torch.tensor([0, 1]), reduction='none')
    log_2 = torch.tensor(2.0).log()
    torch.testing.assert_close(loss, torch.stack([log_2 / 16, 3 * log_2 / 16]))


def test_softmax_focal_of_one_class_is_the_sigmoids_of_the_difference():
    ours = softmax_focal_loss(LOGITS, TARGETS, gamma=1.5, alpha=0.4, reduction='none')
    theirs = py_sigmoid_focal_loss(
        (LOGITS[:, 0] - LOGITS[:, 1])[:, None],
        1 - TARGETS[:, None],
        gamma=1.5,
        alpha=0.4,
        reduction='none',
    )
    torch.testing.assert_close(ours, theirs.squeeze(1))


def test_softmax_focal_without_gamma_is_half_the_cross_entropy():
    logits, targets = torch.randn(20, 4), torch.arange(20) % 4
    ours = MODELS.build(dict(type='SoftmaxFocalLoss', gamma=0, alpha=0.5))
    torch.testing.assert_close(
        ours(logits, targets), F.cross_entropy(logits, targets) / 2
    )


def test_softmax_focal_reduces_as_mmdet_does():
    loss = SoftmaxFocalLoss(loss_weight=3.0)
    each = loss(LOGITS, TARGETS, reduction_override='none')
    weight = torch.tensor([1.0, 0.0, 0.5, 2.0])
    torch.testing.assert_close(
        loss(LOGITS, TARGETS, weight, avg_factor=2), (each * weight).sum() / 2
    )
    torch.testing.assert_close(loss(LOGITS, TARGETS), each.mean())


def test_softmax_focal_gradient_matches_finite_differences():
    logits = LOGITS.double().requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda pred: SoftmaxFocalLoss()(pred, TARGETS), logits
    )


@pytest.mark.parametrize('gamma', [0.5, 2.0])
def test_softmax_focal_of_certain_samples_stays_finite(gamma):
    logits = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    loss = SoftmaxFocalLoss(gamma=gamma, reduction='none')
    right = loss(logits, torch.tensor([0, 1]))
    wrong = loss(logits, torch.tensor([1, 0]))
    assert right.tolist() == [0.0, 0.0]
    torch.testing.assert_close(wrong, torch.tensor([0.75 * 160, 0.25 * 160]))
    (right.sum() + wrong.sum()).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize('options', [dict(gamma=-1), dict(alpha=1.5)])
def test_softmax_focal_refuses_what_is_out_of_range(options):
    with pytest.raises(ValueError, match='gamma >= 0 and alpha in'):
        SoftmaxFocalLoss(**options)
