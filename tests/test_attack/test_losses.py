"""Attack losses: values and gradients by hand, sign of the focal weight."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config

from mmdet_facepatch.attack import (
    adversarial_objective,
    focal_adversarial_objective,
)

BOTH = pytest.mark.parametrize('detach_weight', [True, False])


def log_scores(*scores, dtype=torch.float64):
    return torch.tensor(scores, dtype=dtype).log().requires_grad_()


def gradient(objective, values):
    return torch.autograd.grad(objective, values)[0]


# ------------------------------------------------------------------ values by hand
def test_plain_loss_by_hand():
    values = log_scores(0.5, 0.75)
    loss = MODELS.build(dict(type='AdversarialLoss', loss_weight=3.0))(values)
    # -1/2 (log 1/2 + log 3/4) = 1/2 log 8/3
    assert loss.item() == pytest.approx(-3 * math.log(8 / 3) / 2)
    torch.testing.assert_close(
        gradient(loss, values), torch.tensor([1.5, 1.5]).double()
    )


@BOTH
def test_focal_loss_by_hand(detach_weight):
    values = log_scores(0.5, 0.75)
    loss = MODELS.build(
        dict(
            type='FocalAdversarialLoss',
            gamma=2.0,
            detach_weight=detach_weight,
            loss_weight=3.0,
        )
    )(values)
    # Weights 1/4 and 9/16; 1/2 (1/4 log 2 + 9/16 log 4/3).
    expected = (math.log(2) / 4 + 9 / 16 * math.log(4 / 3)) / 2
    assert loss.item() == pytest.approx(-3 * expected)
    weights = [1 / 4, 9 / 16]
    if not detach_weight:
        weights = [1 / 4 * (1 - 2 * math.log(2)), 9 / 16 * (1 - 2 * math.log(4 / 3))]
    torch.testing.assert_close(
        gradient(loss, values), 1.5 * torch.tensor(weights).double()
    )


def test_focal_default_is_the_detached_form():
    loss = MODELS.build(dict(type='FocalAdversarialLoss'))
    assert (loss.gamma, loss.detach_weight, loss.loss_weight) == (2.0, True, 1.0)


@pytest.mark.parametrize(
    ('score', 'literal_sign'), [(0.55, 1), (0.6065, 1), (0.6066, -1), (0.99, -1)]
)
def test_literal_gradient_changes_sign_at_exp_minus_a_half(score, literal_sign):
    """d/dS of -S^2 log S is zero at S = 0.60653; ascent goes along it."""
    values = torch.tensor([score], dtype=torch.float64, requires_grad=True)
    literal = focal_adversarial_objective(values.log(), 2.0, detach_weight=False)
    detached = focal_adversarial_objective(values.log(), 2.0, detach_weight=True)
    assert gradient(literal, values).sign().item() == literal_sign
    assert gradient(detached, values).item() < 0


@pytest.mark.parametrize('gamma', [0.5, 1.0, 2.0, 5.0])
def test_literal_gradient_vanishes_at_exp_minus_one_over_gamma(gamma):
    values = torch.tensor([-1 / gamma], dtype=torch.float64, requires_grad=True)
    objective = focal_adversarial_objective(values, gamma, detach_weight=False)
    assert gradient(objective, values).item() == pytest.approx(0, abs=1e-15)


def test_a_step_drives_scores_as_documented():
    """One step of descent on the loss: literal lifts 0.55, detached lowers it."""
    for detach_weight, lifted in ((True, False), (False, True)):
        logits = torch.tensor([0.55, 0.9]).logit().requires_grad_()
        loss = MODELS.build(
            dict(type='FocalAdversarialLoss', detach_weight=detach_weight)
        )
        loss(torch.nn.functional.logsigmoid(logits)).backward()
        moved = (logits - 0.1 * logits.grad).sigmoid()
        assert (moved[0] > 0.55).item() == lifted
        assert moved[1] < 0.9


# ----------------------------------------------------------------------- gradients
@pytest.mark.parametrize('gamma', [0.0, 1.0, 2.0])
def test_literal_gradient_equals_finite_differences(gamma):
    values = log_scores(0.5, 0.6, 0.61, 0.95, 0.01)
    assert torch.autograd.gradcheck(
        lambda v: focal_adversarial_objective(v, gamma, detach_weight=False), values
    )


def test_other_gradients_equal_finite_differences():
    values = log_scores(0.5, 0.6, 0.61, 0.95, 0.01)
    assert torch.autograd.gradcheck(adversarial_objective, values)
    # The detached form is the derivative of a sum with fixed weights.
    weights = (2 * values.detach()).exp()
    expected = torch.autograd.functional.jacobian(
        lambda v: -(weights * v).mean(), values
    )
    got = gradient(focal_adversarial_objective(values, 2.0, True), values)
    torch.testing.assert_close(got, expected)


# --------------------------------------------------------------------- odd samples
@BOTH
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_extreme_scores_stay_finite(detach_weight, dtype):
    values = torch.tensor([0.0, -1e-30, -200.0, -1e4], dtype=dtype, requires_grad=True)
    for objective in (
        adversarial_objective(values),
        focal_adversarial_objective(values, 2.0, detach_weight),
    ):
        assert objective.isfinite() and objective >= 0
        assert gradient(objective, values).isfinite().all()


@pytest.mark.parametrize('kind', ['AdversarialLoss', 'FocalAdversarialLoss'])
def test_no_samples_is_zero_with_a_graph(kind):
    values = log_scores(0.5, 0.9)
    loss = MODELS.build(dict(type=kind))(values[:0])
    assert loss.item() == 0
    assert gradient(loss, values).tolist() == [0, 0]


# ---------------------------------------------------------------------- properties
scores = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=8)


@given(scores, st.floats(0, 5))
@settings(max_examples=60, deadline=None)
def test_properties_of_the_focal_objective(values, gamma):
    logs = torch.tensor(values, dtype=torch.float64).log().requires_grad_()
    plain = adversarial_objective(logs)
    literal = focal_adversarial_objective(logs, gamma, detach_weight=False)
    detached = focal_adversarial_objective(logs, gamma, detach_weight=True)
    assert torch.equal(literal, detached)
    assert 0 <= detached <= plain
    # The order of the samples does not matter.
    torch.testing.assert_close(
        focal_adversarial_objective(logs.flip(0), gamma), detached
    )
    # Every weight is at most 1, and the highest score has the largest.
    pull = -gradient(detached, logs) * len(values)
    assert (pull > 0).all() and (pull <= 1).all()
    assert pull.argmax() == logs.argmax() or pull.max() == pull[logs.argmax()]


@given(scores)
@settings(max_examples=20, deadline=None)
def test_gamma_zero_is_the_plain_objective(values):
    logs = torch.tensor(values, dtype=torch.float64).log().requires_grad_()
    for detach_weight in (True, False):
        focal = focal_adversarial_objective(logs, 0.0, detach_weight)
        plain = adversarial_objective(logs)
        assert torch.equal(focal, plain)
        assert torch.equal(gradient(focal, logs), gradient(plain, logs))


@pytest.mark.parametrize(
    ('name', 'loss'),
    [('patch_score', 'AdversarialLoss'), ('patch_score_focal', 'FocalAdversarialLoss')],
)
def test_configs_name_set_and_loss(name, loss):
    path = Path(__file__).resolve().parents[2] / 'configs' / 'attack' / f'{name}.py'
    model = Config.fromfile(path).model
    assert type(MODELS.build(model.loss)).__name__ == loss
    sample_set = TASK_UTILS.build(model.sample_set)
    assert type(sample_set).__name__ == 'PatchScoreSampleSet'
    assert sample_set.score_thr == 0.5


@pytest.mark.parametrize('gamma', [-0.1, math.inf, math.nan])
def test_unfit_gamma(gamma):
    with pytest.raises(ValueError, match='FocalAdversarialLoss: gamma'):
        MODELS.build(dict(type='FocalAdversarialLoss', gamma=gamma))


@pytest.mark.parametrize('kind', ['AdversarialLoss', 'FocalAdversarialLoss'])
@pytest.mark.parametrize('weight', [0, -1.0, math.inf, math.nan])
def test_a_weight_that_is_not_positive(kind, weight):
    with pytest.raises(ValueError, match=f'{kind}: loss_weight must be positive'):
        MODELS.build(dict(type=kind, loss_weight=weight))
