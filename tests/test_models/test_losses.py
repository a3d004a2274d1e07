"""IoU least-square regression loss."""

import pytest
import torch
from mmdet.models.losses import IoULoss
from mmdet.registry import MODELS

from mmdet_facepatch.models.losses import IoURegressionLoss, iou_regression_loss

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
