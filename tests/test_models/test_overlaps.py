"""Best overlaps of the pairs that meet against mmdet's dense matrix."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules import AnchorGenerator
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from mmdet_facepatch.models.task_modules import (
    GroupSamplingAssigner,
    best_overlaps,
    best_priors,
    near_pairs,
)


def random_boxes(generator, count, size=64.0, spread=1.0):
    """Boxes with sides over some octaves, a few of them off by themselves."""
    xy = torch.rand(count, 2, generator=generator) * size - size / 4
    octaves = torch.rand(count, 2, generator=generator) * spread
    wh = torch.rand(count, 2, generator=generator) * size / 2 * 0.5**octaves
    boxes = torch.cat([xy, xy + wh], dim=1)
    # Whole pixels make ties, also with zero sides.
    return torch.where(
        torch.rand(count, 1, generator=generator) < 0.5, boxes.round(), boxes
    )


CASE = dict(
    num_priors=st.integers(0, 30),
    num_boxes=st.integers(1, 20),
    max_pairs=st.integers(1, 60),
    seed=st.integers(0, 9999),
    size=st.sampled_from([8.0, 64.0, 1000.0]),
    spread=st.sampled_from([0.0, 6.0]),
)


def case(num_priors, num_boxes, seed, size, spread):
    generator = torch.Generator().manual_seed(seed)
    priors = random_boxes(generator, num_priors, size, spread)
    boxes = random_boxes(generator, num_boxes, size, spread)
    # Repeated boxes and priors tie.
    return torch.cat([priors, priors[:1]]), torch.cat([boxes, boxes[:1]])


def first_best(dense):
    """Largest of each row and the first place that has it."""
    best = dense.max(dim=1).values
    return best, (dense == best[:, None]).int().argmax(dim=1)


@settings(max_examples=200, deadline=None)
@given(mode=st.sampled_from(['iou', 'iof']), **CASE)
def test_equals_dense(mode, max_pairs, **kwargs):
    priors, boxes = case(**kwargs)
    best, index = best_overlaps(priors, boxes, mode=mode, max_pairs=max_pairs)
    if len(priors):
        expected, first = first_best(bbox_overlaps(priors, boxes, mode=mode))
        assert torch.equal(best, expected)
        assert torch.equal(index, first)


@settings(max_examples=100, deadline=None)
@given(**CASE)
# Ties that are not found at one time.
@example(num_priors=27, num_boxes=5, max_pairs=1, seed=0, size=8.0, spread=0.0)
def test_best_priors_equals_dense(max_pairs, **kwargs):
    priors, boxes = case(**kwargs)
    if not len(priors):
        return
    best, index = best_priors(priors, boxes, max_pairs=max_pairs)
    expected, first = first_best(bbox_overlaps(boxes, priors))
    assert torch.equal(best, expected)
    assert torch.equal(index, first)


@settings(max_examples=200, deadline=None)
@given(above=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.6, 0.9]), **CASE)
def test_pairs_above_are_all_there_once(above, max_pairs, **kwargs):
    priors, boxes = case(**kwargs)
    pairs = list(near_pairs(priors, boxes, above, max_pairs))
    found = torch.zeros(len(priors), len(boxes))
    for prior, box in pairs:
        found.index_put_((prior, box), torch.ones(len(box)), accumulate=True)
    assert found.max() <= 1 if len(priors) else not pairs
    dense = bbox_overlaps(priors, boxes)
    assert (found[dense > above] == 1).all()
    order = torch.cat([box for _, box in pairs]) if pairs else torch.zeros(0)
    assert (order.diff() >= 0).all()


@settings(max_examples=100, deadline=None)
@given(above=st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.9]), **CASE)
def test_bound_keeps_what_exceeds_it(above, max_pairs, **kwargs):
    priors, boxes = case(**kwargs)
    best, index = best_overlaps(priors, boxes, above=above, max_pairs=max_pairs)
    expected, first = best_overlaps(priors, boxes)
    kept = expected > above
    assert torch.equal(best > above, kept)
    assert torch.equal(best[kept], expected[kept])
    assert torch.equal(index[kept], first[kept])


def grid_anchors(cells):
    generator = AnchorGenerator(strides=[4], ratios=[1.0], scales=[4, 8, 16, 32])
    return generator.grid_priors([(cells, cells)], device='cpu')[0]


def test_far_fewer_pairs_than_the_matrix():
    # 300 faces of 10 px on 4 x 90 x 90 anchors: of each anchor scale s, about
    # ((10 + s) / 4) ** 2 anchors overlap a face, 1,700 in all.
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(300, 2, generator=generator) * 350
    faces = torch.cat([corner, corner + 10], dim=1)
    anchors = grid_anchors(90)
    pairs = sum(len(box) for _, box in near_pairs(anchors, faces))
    meet = int((bbox_overlaps(anchors, faces) > 0).sum())
    assert meet <= pairs <= 1.5 * meet
    assert pairs < 0.06 * len(anchors) * len(faces)


def test_far_fewer_pairs_above_a_bound():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(300, 2, generator=generator) * 350
    faces = torch.cat([corner, corner + 14], dim=1)
    anchors = grid_anchors(90)
    pairs = sum(len(box) for _, box in near_pairs(anchors, faces, above=0.6))
    # Only anchors of 16 px reach an IoU of 0.6, with centres within
    # (14 + 16) / 2 - 0.6 * 16 = 5.4 px: (10.8 / 4 + 1) ** 2 tiles of one anchor.
    assert 0 < pairs <= 13.7 * len(faces)


@pytest.mark.parametrize('low_quality', [False, True])
def test_matches_as_max_iou_assigner(low_quality):
    generator = torch.Generator().manual_seed(3)
    faces = random_boxes(generator, 120, 400.0, 5.0)
    faces = faces[((faces[:, 2:] - faces[:, :2]) > 1).all(dim=1)]
    anchors = grid_anchors(80)
    labels = torch.zeros(len(faces), dtype=torch.long)
    theirs = MaxIoUAssigner(
        0.6,
        0.4,
        min_pos_iou=1e-9,
        gt_max_assign_all=False,
        match_low_quality=low_quality,
    ).assign(InstanceData(priors=anchors), InstanceData(bboxes=faces, labels=labels))
    ours = GroupSamplingAssigner(match_low_quality=low_quality)
    gt_inds, overlaps = ours.match(anchors, faces)
    assert torch.equal(overlaps, theirs.max_overlaps)
    above = theirs.max_overlaps > 0.6
    assert above.any()
    if not low_quality:
        assert torch.equal(gt_inds, theirs.gt_inds)
    # mmdet gives a face its best anchor even where that is above the threshold
    # for another face; ours leaves it there.
    assert torch.equal(gt_inds[~above], theirs.gt_inds[~above])


def test_far_away_and_infinite_boxes():
    inf = float('inf')
    priors = torch.tensor(
        [[0.0, 0.0, 4.0, 4.0], [1e30, 0.0, 1e30, 4.0], [-inf, 0.0, inf, 4.0]]
    )
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [1e30, 1e30, 2e30, 2e30]])
    best, index = best_overlaps(priors[:2], boxes)
    assert best.tolist() == [1, 0]
    assert index.tolist() == [0, 0]
    # The infinite one holds up nobody else.
    assert best_overlaps(priors, boxes[:1])[0][0] == 1


def test_no_boxes():
    best, index = best_overlaps(torch.ones(3, 4), torch.zeros(0, 4))
    assert best.tolist() == [0, 0, 0]
    assert index.tolist() == [-1, -1, -1]


def test_no_gradient():
    priors = torch.tensor([[0.0, 0.0, 2.0, 2.0]], requires_grad=True)
    best, _ = best_overlaps(priors, torch.tensor([[0.0, 0.0, 1.0, 2.0]]))
    assert not best.requires_grad
    assert best.tolist() == [0.5]
