"""Sample sets on hand-made candidates."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS, TASK_UTILS

from mmdet_facepatch.attack import (
    Candidates,
    adversarial_objective,
)
from mmdet_facepatch.attack.sample_sets import (
    patch_combination_samples,
    patch_iou_samples,
    patch_score_samples,
)

FACE = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
PATCH = torch.tensor([[20.0, 0.0, 30.0, 10.0]])
# Overlaps with the face: 1, 0.7, 0.6, 0.5, 0; the last lies on the patch.
ANCHORS = torch.tensor(
    [
        [0.0, 0.0, 10.0, 10.0],
        [0.0, 0.0, 10.0, 7.0],
        [0.0, 0.0, 10.0, 6.0],
        [0.0, 0.0, 10.0, 5.0],
        [50.0, 50.0, 60.0, 60.0],
        [20.0, 0.0, 30.0, 4.0],
    ]
)
SCORES = torch.tensor([0.9, 0.4, 0.6, 0.5, 0.95, 0.7])


def candidates():
    return Candidates(ANCHORS, SCORES.log())


def test_patch_iou_is_strict_and_blind_to_scores():
    assert patch_iou_samples(ANCHORS, FACE, 0.6).tolist() == [0, 1]
    sample_set = TASK_UTILS.build(dict(type='PatchIoUSampleSet'))
    assert sample_set(candidates(), FACE, PATCH).tolist() == [0, 1]


def test_patch_score_is_strict_and_blind_to_places():
    # 0.5 is met but not exceeded; 4 is nowhere near a face and counts.
    assert patch_score_samples(SCORES, 0.5).tolist() == [0, 2, 4, 5]
    assert patch_score_samples(SCORES, 0.94).tolist() == [4]
    assert patch_score_samples(SCORES, 0.95).tolist() == []
    assert patch_score_samples(SCORES[:0], 0.5).shape == (0,)
    assert patch_score_samples(SCORES, 0.5).dtype == torch.int64
    sample_set = TASK_UTILS.build(dict(type='PatchScoreSampleSet'))
    assert sample_set(candidates(), FACE, PATCH).tolist() == [0, 2, 4, 5]
    none = torch.zeros(0, 4)
    assert sample_set(candidates(), none, none).tolist() == [0, 2, 4, 5]


def test_selection_gives_no_gradient_and_keeps_that_of_the_samples():
    log_scores = SCORES.log().requires_grad_()
    found = Candidates(ANCHORS, log_scores)
    index = TASK_UTILS.build(dict(type='PatchScoreSampleSet'))(found, FACE, PATCH)
    assert not index.requires_grad
    found.log_scores[index].sum().backward()
    assert log_scores.grad.tolist() == [1, 0, 1, 0, 1, 1]


boxes = st.lists(
    st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 12)] * 2), max_size=8
).map(
    lambda rows: (
        torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows])
        .float()
        .reshape(-1, 4)
    )
)


@given(boxes, boxes, boxes, st.floats(0, 0.99), st.floats(0, 0.99))
@settings(max_examples=60, deadline=None)
def test_combination_is_a_subset_of_patch_score(
    anchors, faces, patches, score_thr, iou_thr
):
    scores = torch.rand(len(anchors), generator=torch.Generator().manual_seed(0))
    score = set(patch_score_samples(scores, score_thr).tolist())
    assert score == {i for i, s in enumerate(scores.tolist()) if s > score_thr}
    both = patch_combination_samples(
        anchors, scores, faces, patches, score_thr, iou_thr, iou_thr
    ).tolist()
    assert set(both) <= score
    near = {
        i
        for to in (faces, patches)
        for i in patch_iou_samples(anchors, to, iou_thr).tolist()
    }
    assert both == sorted(score & near)


def test_patch_combination():
    # 1 scores too low, 3 is not above 0.5, 4 is neither on face nor patch.
    chosen = patch_combination_samples(ANCHORS, SCORES, FACE, PATCH, 0.5, 0.3, 0.3)
    assert chosen.tolist() == [0, 2, 5]
    sample_set = TASK_UTILS.build(dict(type='PatchCombinationSampleSet'))
    # exp(log 0.5) is exactly 0.5, so the threshold is met but not exceeded.
    assert sample_set(candidates(), FACE, PATCH).tolist() == [0, 2, 5]


def test_patch_combination_without_patch_or_faces():
    none = torch.zeros(0, 4)
    assert patch_combination_samples(
        ANCHORS, SCORES, FACE, none, 0.5, 0.3, 0.3
    ).tolist() == [0, 2]
    assert (
        patch_combination_samples(ANCHORS, SCORES, none, none, 0.5, 0.3, 0.3).tolist()
        == []
    )
    assert patch_iou_samples(ANCHORS, none, 0.6).tolist() == []


@pytest.mark.parametrize(
    'kind', ['PatchIoUSampleSet', 'PatchScoreSampleSet', 'PatchCombinationSampleSet']
)
def test_unfit_threshold(kind):
    key = 'face_iou_thr' if kind == 'PatchIoUSampleSet' else 'score_thr'
    with pytest.raises(ValueError, match=f'{kind}: {key}'):
        TASK_UTILS.build({'type': kind, key: 1.0})
    with pytest.raises(ValueError, match=f"{kind}: {key} .*, got '0.5'"):
        TASK_UTILS.build({'type': kind, key: '0.5'})


def test_objective_and_its_gradient_by_hand():
    margins = torch.tensor([0.0, math.log(3)], requires_grad=True)
    log_scores = F.logsigmoid(margins)
    objective = adversarial_objective(log_scores)
    # S = 1/2 and 3/4.
    assert objective.item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    loss = MODELS.build(dict(type='AdversarialLoss'))(log_scores)
    assert loss.item() == pytest.approx(-objective.item())
    loss.backward()
    # d log S / d margin = 1 - S, over N = 2.
    torch.testing.assert_close(margins.grad, torch.tensor([0.25, 0.125]))


def test_extreme_margins_stay_finite():
    margins = torch.tensor([-1e4, 1e4, -200.0, 200.0], requires_grad=True)
    loss = -adversarial_objective(F.logsigmoid(margins))
    loss.backward()
    assert math.isfinite(loss.item())
    torch.testing.assert_close(margins.grad, torch.tensor([0.25, 0.0, 0.25, 0.0]))


def test_no_samples_is_zero_with_a_graph():
    margins = torch.ones(3, requires_grad=True)
    loss = MODELS.build(dict(type='AdversarialLoss'))(F.logsigmoid(margins)[:0])
    loss.backward()
    assert loss.item() == 0
    assert margins.grad.tolist() == [0, 0, 0]
