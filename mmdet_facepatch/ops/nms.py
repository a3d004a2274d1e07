"""Non-maximum suppression, hard and soft, in vectorised torch.

The arithmetic is that of mmcv's compiled operators, step by step in the dtype of the
boxes, so that the same boxes are kept where an IoU meets the threshold exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Boxes that are compared with each other at once.
BLOCK = 128


def wide(tensor: Tensor) -> Tensor:
    """In float32 at least: half precision is no place for coordinates and sums."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _columns(boxes: Tensor, offset: int) -> Tensor:
    """Left, top, right, bottom and area of each box, (5, N), contiguous."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([x1, y1, x2, y2, (x2 - x1 + offset) * (y2 - y1 + offset)])


def _ious(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """IoU of columns (5, M, 1) with columns (5, N) as (M, N); 0 / 0 is NaN."""
    # In place, as the large intermediate results are what takes time.
    width = torch.minimum(first[2], second[2]).sub_(torch.maximum(first[0], second[0]))
    height = torch.minimum(first[3], second[3]).sub_(torch.maximum(first[1], second[1]))
    if offset:
        width.add_(offset)
        height.add_(offset)
    overlap = width.clamp_(min=0).mul_(height.clamp_(min=0))
    return overlap / (first[4] + second[4]).sub_(overlap)


def _keep_in_block(columns: Tensor, threshold: Tensor, offset: int) -> Tensor:
    """Which boxes of a block, highest score first, stay; (M,) bool.

    A box goes if one that stays suppresses it. Starting from all of them, that rule
    settles one more box at least each time it is applied.
    """
    suppresses = (_ious(columns[:, :, None], columns, offset) > threshold).triu_(1)
    weights = suppresses.to(columns.dtype)
    keep = weights.new_ones(len(weights))
    while True:
        new = (keep @ weights == 0).to(keep.dtype)
        if torch.equal(new, keep):
            return keep.bool()
        keep = new


def nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    offset: int = 0,
) -> Tensor:
    """Greedy non-maximum suppression.

    1. Sort the boxes by score, highest first. Equal scores stand as torch's sort
       leaves them, which is how the compiled operator sorts, too.
    2. Take the first box and drop all later ones whose IoU with it is above
       ``iou_threshold``; go on with the next box that is left.

    Blocks of boxes are settled at once, then compared with all later ones.

    Args:
        boxes (Tensor): (N, 4) float, xyxy.
        scores (Tensor): (N,) float.
        iou_threshold (float): Boxes with a larger IoU are dropped.
        offset (int): 0, or 1 where widths and heights count pixels (``x2 - x1 + 1``).
            Defaults to 0.

    Returns:
        Tensor: (M,) int64, indices of the boxes that stay, by descending score.

    Example:
        >>> boxes = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.]])
        >>> nms(boxes, torch.tensor([0.5, 0.9]), iou_threshold=0.5)
        tensor([1])
    """
    order = scores.sort(dim=0, descending=True).indices
    columns = _columns(wide(boxes[order]), offset)
    # As a tensor: Python's float is of double precision.
    threshold = columns.new_tensor(iou_threshold)
    kept = []
    while len(order):
        block = columns[:, :BLOCK]
        keep = _keep_in_block(block, threshold, offset)
        kept.append(order[:BLOCK][keep])
        order, columns = order[BLOCK:], columns[:, BLOCK:]
        if not len(order):
            break
        ious = _ious(block[:, keep].unsqueeze(2), columns, offset)
        left = ~(ious > threshold).any(0)
        order, columns = order[left], columns[:, left]
    return torch.cat(kept) if kept else order


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int = 0,
) -> tuple[Tensor, Tensor]:
    """Soft-NMS (Bodla et al., ICCV 2017): overlapping boxes lose score.

    1. Take the box with the highest score, the first of equals.
    2. Multiply the score of each box left by a weight that falls with its IoU with
       that box; remove those below ``min_score``. A removed box's place is taken by
       the last one, which is what the order of equal scores depends on.

    Args:
        boxes (Tensor): (N, 4) float, xyxy.
        scores (Tensor): (N,) float.
        iou_threshold (float): IoU from which the hard and the linear weight act.
        sigma (float): Width of the Gaussian weight.
        min_score (float): Boxes below it are removed.
        method (int): 0 hard (weight 0), 1 linear (``1 - IoU``), 2 Gaussian (``exp(-IoU
            ** 2 / sigma)``).
        offset (int): As in :func:`nms`. Defaults to 0.

    Returns:
        tuple[Tensor, Tensor]: (M, 5) float, boxes with their new scores in the order in
        which they were taken, and (M,) int64, their indices.
    """
    columns = _columns(wide(boxes), offset)
    scores = wide(scores).clone()
    left = torch.arange(len(scores), device=scores.device)
    threshold = columns.new_tensor(iou_threshold)
    taken, values = [], []
    while len(left):
        best = int(scores.argmax())
        taken.append(int(left[best]))
        values.append(scores[best].clone())
        first = columns[:, best].clone()
        # The first one takes its place and leaves its own.
        left[best], scores[best] = left[0], scores[0]
        columns[:, best] = columns[:, 0]
        left, scores, columns = left[1:], scores[1:], columns[:, 1:]
        ious = _ious(first[:, None, None], columns, offset)[0]
        if method == 2:
            scores = scores * torch.exp(-(ious * ious) / sigma)
        else:
            weight = torch.zeros_like(ious) if method == 0 else 1 - ious
            scores = torch.where(ious >= threshold, scores * weight, scores)
        removed = scores < min_score
        if removed.any():
            order = _swap_with_last(removed)
            left, scores, columns = left[order], scores[order], columns[:, order]
    indices = torch.tensor(taken, dtype=torch.long, device=boxes.device)
    new = torch.stack(values) if values else scores
    return torch.cat([boxes[indices].to(new.dtype), new[:, None]], 1), indices


def _swap_with_last(removed: Tensor) -> Tensor:
    """Order of what is left where each removed entry is replaced by the last one."""
    count = int((~removed).sum())
    order = torch.arange(count, device=removed.device)
    holes = removed[:count].nonzero()[:, 0]
    fillers = (~removed[count:]).nonzero()[:, 0] + count
    order[holes] = fillers.flip(0)
    return order


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group each box that NMS keeps with those that it suppresses.

    Args:
        dets (Tensor): (N, 5) float, xyxy and score.
        iou_threshold (float): Boxes with an IoU of this or more are suppressed.

    Returns:
        list[list[int]]: For each box that stays its index and those of the boxes that
        it suppresses, all by descending score.
    """
    order = dets[:, 4].sort(dim=0, descending=True).indices
    columns = _columns(wide(dets[order, :4]), 0)
    threshold = columns.new_tensor(iou_threshold)
    groups = []
    while len(order):
        ious = _ious(columns[:, :1, None], columns[:, 1:], 0)[0]
        matched = ious >= threshold
        groups.append([int(order[0]), *order[1:][matched].tolist()])
        order, columns = order[1:][~matched], columns[:, 1:][:, ~matched]
    return groups
