"""Which detections sit on a pasted patch, and how sure they are, in plain numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .overlaps import pairwise_areas, row_blocks


def on_patch(
    det_boxes: ArrayLike,
    patch_boxes: ArrayLike,
    patch_iou_thr: float = 0.3,
    patch_share: float = 0.5,
) -> NDArray[np.bool_]:
    """Whether a detection sits on a pasted patch, or on a part of one.

    A detection is on a patch where its IoU with some patch box is at least
    ``patch_iou_thr``, or at least ``patch_share`` of its own area lies inside. The
    first default is the overlap with the patch box at which the paper counts an
    anchor as the patch's (Patch-Combination, section 4.2); the second is for what
    looks like a face *in* a patch, a box too small to overlap the whole as much.
    Patch boxes are pixel squares with exclusive ends, so plain areas are used,
    without the +1 convention.

    With alpha = 0.5 the patch has a quarter of its face's area, so a box that
    fits the face has IoU 0.25 with the patch and is *not* on it. At larger
    alpha it is, by this function alone: the evaluation therefore asks only
    for false positives that overlap no face (see
    :class:`~mmdet_facepatch.evaluation.PooledMatches`).

    Args:
        det_boxes (array): (D, 4) xyxy boxes in pixels.
        patch_boxes (array): (P, 4) xyxy patch squares in pixels, x2 exclusive.
        patch_iou_thr (float): Least IoU, in (0, 1]. Defaults to 0.3.
        patch_share (float): Least share of the detection's area, in (0, 1]. Defaults to
            0.5.

    Returns:
        array: (D,) bool, all False without patches.
    """
    dets = np.asarray(det_boxes, dtype=np.float64).reshape(-1, 4)
    hit = np.zeros(len(dets), dtype=bool)
    for block, hits in _patch_hits(dets, patch_boxes, patch_iou_thr, patch_share):
        hit[block] = hits.any(axis=1)
    return hit


def best_patch_scores(
    det_boxes: ArrayLike,
    det_scores: ArrayLike,
    patch_boxes: ArrayLike,
    patch_iou_thr: float = 0.3,
    patch_share: float = 0.5,
) -> NDArray[np.float64]:
    """Highest score (D,) of a detection on each patch, 0 without one; (P,) float64.

    What is on a patch says :func:`on_patch`.
    """
    dets = np.asarray(det_boxes, dtype=np.float64).reshape(-1, 4)
    scores = np.asarray(det_scores, dtype=np.float64).reshape(-1, 1)
    best = np.zeros(np.size(patch_boxes) // 4)
    for block, hits in _patch_hits(dets, patch_boxes, patch_iou_thr, patch_share):
        best = np.maximum(best, np.where(hits, scores[block], 0.0).max(axis=0))
    return best


def _patch_hits(
    dets: NDArray[np.float64],
    patch_boxes: ArrayLike,
    patch_iou_thr: float,
    patch_share: float,
) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Blocks of detections, each with the (d, P) patches it sits on."""
    for name, value in (('patch_iou_thr', patch_iou_thr), ('patch_share', patch_share)):
        if not 0 < value <= 1:
            raise ValueError(f'{name} must lie in (0, 1], got {value}')
    patches = np.asarray(patch_boxes, dtype=np.float64).reshape(-1, 4)
    if len(patches) == 0:
        return
    for block in row_blocks(len(dets), len(patches)):
        inter, own, patch = pairwise_areas(dets[block], patches)
        # Not divided: nothing is on a patch without an intersection.
        enough = (inter >= patch_iou_thr * (own + patch - inter)) | (
            inter >= patch_share * own
        )
        yield block, (inter > 0) & enough
