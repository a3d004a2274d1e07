"""Detections on patches: exact cases."""

import numpy as np
import pytest

from mmdet_facepatch.evaluation import ImageRecord
from mmdet_facepatch.evaluation.functional.matching import pool_matches
from mmdet_facepatch.evaluation.functional.patch_detections import (
    best_patch_scores,
    on_patch,
)


def test_on_patch():
    patch = [[10, 10, 20, 20]]
    face = [5, 10, 25, 30]  # the face of which this is the patch, alpha 0.5
    # Around the patch, IoU 100 / 330 and 100 / 340.
    boxes = [patch[0], face, [10, 10, 20, 43], [10, 10, 20, 44], [0, 0, 5, 5]]
    assert on_patch(boxes, patch).tolist() == [True, False, True, False, False]
    assert on_patch(boxes, patch, patch_iou_thr=0.25).tolist()[1] is True
    assert on_patch(boxes, np.zeros((0, 4))).tolist() == [False] * 5


def test_on_a_part_of_a_patch():
    """A small face in the patch; one that looks over its edge; one that hides it."""
    patch = [[10, 10, 30, 30]]
    inside, half, less = [12, 12, 18, 18], [7, 12, 13, 18], [6.875, 12, 13, 18]
    around, empty = [0, 0, 40, 40], [15, 15, 15, 20]
    boxes = [inside, half, less, around, empty]
    assert on_patch(boxes, patch).tolist() == [True, True, False, False, False]
    assert on_patch(boxes, patch, patch_share=0.25).tolist() == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert on_patch(boxes, patch, patch_share=1.0).tolist() == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert best_patch_scores(boxes, [0.25, 0.5, 0.75, 0.9, 1.0], patch).tolist() == [
        0.5
    ]


@pytest.mark.parametrize('name', ['patch_iou_thr', 'patch_share'])
@pytest.mark.parametrize('value', [0, 1.5])
def test_shares_lie_between_0_and_1(name, value):
    with pytest.raises(ValueError, match=rf'{name} must lie in \(0, 1\]'):
        on_patch([[0, 0, 9, 9]], [[0, 0, 9, 9]], **{name: value})


def test_pool_leaves_boxes_on_a_face_to_the_face():
    """A patch over the whole face: its detections are the face's."""
    record = ImageRecord(
        img_id='event/a',
        det_boxes=np.array([[0.0, 0, 9, 9], [0, 0, 9, 9], [40, 40, 49, 49]]),
        det_scores=np.array([0.9, 0.8, 0.7]),
        gt_boxes=np.array([[0.0, 0, 9, 9]]),
        patch_boxes=np.array([[0, 0, 10, 10], [40, 40, 50, 50]]),
    )
    pool = pool_matches([record])
    assert pool.on_patch.tolist() == [False, False, True]
    assert pool.status([True]).tolist() == [1, 0, 0]


def test_pool_counts_faces_in_a_patch():
    record = ImageRecord(
        img_id='event/a',
        det_boxes=np.array([[42.0, 42, 46, 46], [46, 46, 52, 52], [30, 40, 44, 46]]),
        det_scores=np.array([0.9, 0.8, 0.7]),
        gt_boxes=np.array([[0.0, 0, 9, 9]]),
        patch_boxes=np.array([[40, 40, 50, 50]]),
    )
    # 16 of 16, 16 of 36 and 24 of 84 of their pixels lie on it.
    pool = pool_matches([record])
    assert pool.on_patch.tolist() == [True, False, False]
    assert pool.patch_scores.tolist() == [0.9]
    pool = pool_matches([record], patch_share=0.4)
    assert pool.on_patch.tolist() == [True, True, False]


def test_best_patch_scores():
    patches = [[10, 10, 20, 20], [40, 40, 50, 50], [80, 80, 90, 90]]
    boxes = [patches[0], [10, 10, 20, 18], patches[1], [0, 0, 5, 5]]
    best = best_patch_scores(boxes, [0.5, 0.75, 0.25, 0.9], patches)
    assert best.tolist() == [0.75, 0.25, 0.0]
    assert best_patch_scores(boxes, [0.5] * 4, np.zeros((0, 4))).shape == (0,)
    assert best_patch_scores(np.zeros((0, 4)), [], patches).tolist() == [0.0] * 3


def test_pool_counts_patch_scores_without_boxes_on_faces():
    record = ImageRecord(
        img_id='event/a',
        det_boxes=np.array([[0.0, 0, 9, 9], [40, 40, 49, 49]]),
        det_scores=np.array([0.9, 0.25]),
        gt_boxes=np.array([[0.0, 0, 9, 9]]),
        patch_boxes=np.array([[0, 0, 10, 10], [40, 40, 50, 50]]),
    )
    assert pool_matches([record]).patch_scores.tolist() == [0.0, 0.25]
