"""Best overlap of many priors with many boxes in bounded memory."""

from __future__ import annotations

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

# Pairs whose IoU is held at one time: 4 M floats are 16 MB, a few times that
# with the intermediate corners.
MAX_PAIRS = 1 << 22


@torch.no_grad()
def best_overlaps(
    priors: Tensor,
    boxes: Tensor,
    mode: str = 'iou',
    max_pairs: int = MAX_PAIRS,
) -> tuple[Tensor, Tensor]:
    """Overlap of each prior with the box that it overlaps most.

    The (A, G) matrix is never held whole: boxes are taken in chunks, and a
    running maximum is kept. Selecting gives no gradient.

    Args:
        priors: (A, 4) float xyxy, pixels.
        boxes: (G, 4) float xyxy, pixels; G may be 0.
        mode: 'iou', or 'iof' for the intersection over the prior's area.
        max_pairs: How many pairs are computed at one time.

    Returns:
        Best overlap, (A,) float in [0, 1], zero without boxes; and the index
        of the box that has it, (A,) int64, the first on ties, -1 without
        boxes.
    """
    best = priors.new_zeros(len(priors))
    index = torch.full_like(best, -1, dtype=torch.long)
    if len(priors) == 0:
        return best, index
    chunk = max(1, max_pairs // len(priors))
    for start in range(0, len(boxes), chunk):
        overlaps = bbox_overlaps(priors, boxes[start:start + chunk], mode=mode)
        value, where = overlaps.max(dim=1)
        # Strictly greater, so that the first box wins a tie across chunks;
        # -1 marks priors that no box has claimed yet.
        better = (value > best) | (index < 0)
        best = torch.where(better, value, best)
        index = torch.where(better, where + start, index)
    return best, index


@torch.no_grad()
def best_priors(
    priors: Tensor,
    boxes: Tensor,
    max_pairs: int = MAX_PAIRS,
) -> tuple[Tensor, Tensor]:
    """Prior that overlaps each box most: :func:`best_overlaps` turned round.

    Args:
        priors: (A, 4) float xyxy, pixels.
        boxes: (G, 4) float xyxy, pixels.
        max_pairs: How many pairs are computed at one time.

    Returns:
        Best IoU (G,) float in [0, 1] and index of the prior (G,) int64.
    """
    return best_overlaps(boxes, priors, max_pairs=max_pairs)
