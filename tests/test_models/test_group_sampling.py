"""Matching and group sampling."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from mmdet_facepatch.models.task_modules import (
    GroupSamplingAssigner,
    group_sample,
    scale_groups,
)


def grid_priors(size=64, scales=(16, 32, 64, 128)):
    generator = TASK_UTILS.build(
        dict(
            type='AnchorGenerator',
            scales=[s / 4 for s in scales],
            ratios=[1.0],
            strides=[4],
            center_offset=0.5,
        )
    )
    return generator.grid_priors([(size // 4, size // 4)], device='cpu')[0]


def test_scale_groups_of_sln_anchors():
    priors = grid_priors(size=8)
    assert scale_groups(priors, (16, 32, 64, 128)).tolist() == [0, 1, 2, 3] * 4


def test_ratio_one_to_three_in_every_group():
    groups = torch.arange(4).repeat_interleave(100)
    gt_inds = torch.zeros(400, dtype=torch.long)
    gt_inds[groups * 100 + torch.arange(400) % 100 < groups * 100 + 30] = 1
    kept = group_sample(gt_inds, groups, 4, num_per_group=40, pos_fraction=0.25)
    for group in range(4):
        inside = kept[groups == group]
        assert (inside > 0).sum() == 10
        assert (inside == 0).sum() == 30


def test_negatives_fill_up_and_small_groups_give_all():
    groups = torch.tensor([0] * 50 + [1] * 5)
    gt_inds = torch.zeros(55, dtype=torch.long)
    gt_inds[[0, 1, 50]] = torch.tensor([3, 4, 5])
    kept = group_sample(gt_inds, groups, 2, num_per_group=40, pos_fraction=0.25)
    assert (kept[:50] > 0).sum() == 2
    assert (kept[:50] == 0).sum() == 38
    # The small group has one positive and four negatives, fewer than asked.
    assert kept[50:].tolist() == [5, 0, 0, 0, 0]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 30))
def test_sampling_only_removes(seed, num_per_group):
    generator = torch.Generator().manual_seed(seed)
    gt_inds = torch.randint(-1, 4, (200,), generator=generator)
    groups = torch.randint(0, 3, (200,), generator=generator)
    kept = group_sample(gt_inds, groups, 3, num_per_group, 0.25)
    sampled = kept >= 0
    assert torch.equal(kept[sampled], gt_inds[sampled])
    for group in range(3):
        inside = groups == group
        pos = min((gt_inds[inside] > 0).sum().item(), num_per_group // 4)
        neg = min((gt_inds[inside] == 0).sum().item(), num_per_group - pos)
        assert (kept[inside] > 0).sum() == pos
        assert (kept[inside] == 0).sum() == neg


@pytest.mark.parametrize('low_quality', [False, True])
def test_matching_equals_mmdets_assigner(low_quality):
    """mmdet's assigner is >= at the positive threshold; random IoUs differ."""
    generator = torch.Generator().manual_seed(1)
    priors = grid_priors()
    wh = torch.rand(12, 1, generator=generator) * 50 + 8
    xy = torch.rand(12, 2, generator=generator) * 50
    faces = torch.cat([xy, xy + wh], dim=1)
    ours = GroupSamplingAssigner(match_low_quality=low_quality)
    gt_inds, overlaps = ours.match(priors, faces)
    theirs = MaxIoUAssigner(
        pos_iou_thr=0.6,
        neg_iou_thr=0.4,
        min_pos_iou=1e-6,
        match_low_quality=low_quality,
        gt_max_assign_all=False,
    ).assign(
        InstanceData(priors=priors),
        InstanceData(bboxes=faces, labels=torch.zeros(12, dtype=torch.long)),
    )
    torch.testing.assert_close(overlaps, theirs.max_overlaps)
    if not low_quality:
        assert torch.equal(gt_inds, theirs.gt_inds)
    else:
        # mmdet lets a face take a prior that is positive for another one.
        free = overlaps <= 0.6
        assert torch.equal(gt_inds[free], theirs.gt_inds[free])
        assert torch.equal(gt_inds[~free], gt_inds[~free].clamp(min=1))


def test_best_anchor_key():
    # 24 px lies between 16 and 32: no IoU above 0.6 anywhere.
    priors = grid_priors()
    face = torch.tensor([[20.0, 20.0, 44.0, 44.0]])
    strict, overlaps = GroupSamplingAssigner().match(priors, face)
    assert overlaps.max() < 0.6
    assert (strict > 0).sum() == 0
    kept, _ = GroupSamplingAssigner(match_low_quality=True).match(priors, face)
    assert (kept > 0).sum() == 1
    assert overlaps[kept > 0] == overlaps.max()


def test_anchors_in_ignored_boxes_are_no_negatives():
    priors = grid_priors()
    ignored = torch.tensor([[0.0, 0.0, 32.0, 32.0]])
    gt_inds, _ = GroupSamplingAssigner().match(priors, torch.zeros(0, 4), ignored)
    inside = (priors[:, :2] >= 0).all(1) & (priors[:, 2:] <= 32).all(1)
    assert inside.any()
    assert (gt_inds[inside] == -1).all()
    far = (priors[:, :2] >= 32).all(1)
    assert (gt_inds[far] == 0).all()


def test_a_negative_threshold_ignores_no_anchor():
    """As in mmdet, where -1 says so."""
    ignored = torch.tensor([[0.0, 0.0, 32.0, 32.0]])
    gt_inds, _ = GroupSamplingAssigner(ignore_iof_thr=-1).match(
        grid_priors(), torch.zeros(0, 4), ignored
    )
    assert (gt_inds == 0).all()


def test_last_of_two_faces_with_the_same_best_anchor():
    """As in mmdet, and not by chance."""
    prior = torch.tensor([[0.0, 0.0, 16.0, 16.0], [100.0, 100.0, 116.0, 116.0]])
    faces = torch.tensor([[0.0, 0.0, 12.0, 12.0], [0.0, 0.0, 5.0, 5.0]])
    assigner = GroupSamplingAssigner(match_low_quality=True)
    assert assigner.match(prior, faces)[0].tolist() == [2, 0]
    assert assigner.match(prior, faces.flip(0))[0].tolist() == [2, 0]


def test_assign_image_without_faces():
    assigner = TASK_UTILS.build(dict(type='GroupSamplingAssigner', num_per_group=8))
    result = assigner.assign(
        InstanceData(priors=grid_priors()),
        InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long()),
    )
    assert (result.gt_inds == 0).sum() == 32
    assert (result.gt_inds > 0).sum() == 0


def test_assign_labels():
    priors = grid_priors()
    face = priors[100:101]
    result = GroupSamplingAssigner(num_per_group=16).assign(
        InstanceData(priors=priors), InstanceData(bboxes=face, labels=torch.tensor([2]))
    )
    assert result.gt_inds[100] == 1
    assert (result.labels[result.gt_inds > 0] == 2).all()
    assert (result.labels[result.gt_inds <= 0] == -1).all()


@pytest.mark.parametrize(
    'options',
    [
        dict(scales=()),
        dict(scales=(16, -1)),
        dict(pos_iou_thr=0.3),
        dict(num_per_group=0),
        dict(pos_fraction=0),
        dict(ignore_iof_thr=1),
    ],
)
def test_bad_arguments(options):
    with pytest.raises(ValueError, match='GroupSamplingAssigner'):
        GroupSamplingAssigner(**options)
