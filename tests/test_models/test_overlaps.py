"""Best overlaps in chunks against mmdet's dense matrix."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import bbox_overlaps

from mmdet_facepatch.models.task_modules import best_overlaps


def random_boxes(generator, count, size=64):
    xy = torch.rand(count, 2, generator=generator) * size
    wh = torch.rand(count, 2, generator=generator) * size / 2
    return torch.cat([xy, xy + wh], dim=1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 20), st.integers(1, 12), st.integers(1, 40),
       st.integers(0, 999), st.sampled_from(['iou', 'iof']))
def test_equals_dense(num_priors, num_boxes, max_pairs, seed, mode):
    generator = torch.Generator().manual_seed(seed)
    priors = random_boxes(generator, num_priors)
    boxes = random_boxes(generator, num_boxes)
    # A repeated box makes ties.
    boxes = torch.cat([boxes, boxes[:1]])
    best, index = best_overlaps(priors, boxes, mode=mode, max_pairs=max_pairs)
    dense = bbox_overlaps(priors, boxes, mode=mode)
    torch.testing.assert_close(best, dense.max(dim=1).values)
    for row, column in zip(dense, index, strict=True):
        first = torch.nonzero(row == row.max())[0, 0]
        assert column == first


def test_no_boxes():
    best, index = best_overlaps(torch.ones(3, 4), torch.zeros(0, 4))
    assert best.tolist() == [0, 0, 0]
    assert index.tolist() == [-1, -1, -1]


def test_no_gradient():
    priors = torch.tensor([[0., 0., 2., 2.]], requires_grad=True)
    best, _ = best_overlaps(priors, torch.tensor([[0., 0., 1., 2.]]))
    assert not best.requires_grad
    assert best.tolist() == [0.5]
