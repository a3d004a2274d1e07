"""Group sampling: equal numbers of training samples from every anchor scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from .overlaps import best_overlaps, best_priors


def scale_groups(priors: Tensor, scales: Sequence[float]) -> Tensor:
    """Index (A,) of the scale nearest to ``sqrt(area)`` of each prior, in octaves.

    Priors are (A, 4) xyxy, scales positive sides, all in pixels.
    """
    wh = (priors[:, 2:] - priors[:, :2]).clamp(min=1e-6)
    octave = wh.log2().mean(dim=1)
    centers = torch.as_tensor(scales, dtype=octave.dtype, device=octave.device)
    return (octave[:, None] - centers.log2()).abs().argmin(dim=1)


def _random_choice(candidates: Tensor, size: int) -> Tensor:
    """Up to ``size`` of the indices ``candidates``, uniformly, in any order."""
    if len(candidates) <= size:
        return candidates
    order = torch.randperm(len(candidates), device=candidates.device)
    return candidates[order[:size]]


def group_sample(
    gt_inds: Tensor,
    groups: Tensor,
    num_groups: int,
    num_per_group: int,
    pos_fraction: float,
) -> Tensor:
    """Keep the same number of samples in every group (Ming et al. 2019).

    In each group at most ``pos_fraction * num_per_group`` positives are kept,
    chosen at random, and random negatives fill the group up to
    ``num_per_group``: where positives are too few, there are more negatives.
    A group that has fewer candidates than that contributes all it has.

    ``gt_inds`` (A,) is mmdet's assignment: -1 ignored, 0 negative, 1 + index of the
    face for positives; ``groups`` (A,) has the group of each prior.

    Returns:
        Tensor: A copy of ``gt_inds`` with -1 for everything that was not sampled.
    """
    sampled = torch.full_like(gt_inds, -1)
    max_pos = int(num_per_group * pos_fraction)
    for group in range(num_groups):
        inside = groups == group
        pos = _random_choice(torch.nonzero(inside & (gt_inds > 0)).squeeze(1), max_pos)
        neg = _random_choice(
            torch.nonzero(inside & (gt_inds == 0)).squeeze(1), num_per_group - len(pos)
        )
        sampled[pos] = gt_inds[pos]
        sampled[neg] = 0
    return sampled


@TASK_UTILS.register_module()
class GroupSamplingAssigner(BaseAssigner):
    """Match anchors by IoU, then sample equally from each scale's group.

    Used as ``assigner`` of any mmdet anchor head together with
    ``PseudoSampler``, which takes positives and negatives as they stand.

    1. Every anchor is matched to the face that it overlaps most.
    2. IoU > ``pos_iou_thr``: positive; IoU < ``neg_iou_thr``: negative;
       between: ignored (paper, section 3.1: 0.6 and 0.4).
    3. With ``match_low_quality``, the best anchor of each face is positive
       too: a face between two anchor scales reaches at most IoU 0.5. Of several
       faces with the same best anchor the last has it, as in mmdet's
       ``MaxIoUAssigner``; none takes an anchor that is positive by its IoU.
    4. Negatives that lie in an ignored box (invalid faces) are ignored.
    5. :func:`group_sample` keeps the same number in each group; all others
       are marked -1, which mmdet's heads leave out of the loss.

    Args:
        scales (Sequence[float]): Anchor sides in pixels; one group each. Defaults to
            (16, 32, 64, 128).
        pos_iou_thr (float): IoU above which an anchor is positive. Defaults to 0.6.
        neg_iou_thr (float): IoU below which an anchor is negative. Defaults to 0.4.
        match_low_quality (bool): Keep the best anchor of every face. Default off, as
            the paper does not mention it.
        num_per_group (int): Samples from each group and image. The paper does not say;
            512 makes 2,048 an image with four scales. Defaults to 512.
        pos_fraction (float): Largest share of positives; 0.25 is 1 : 3. Defaults to
            0.25.
        ignore_iof_thr (float): Share of an anchor that must lie in an ignored box for
            it to be left out, below 1; negative for none, as in mmdet. Defaults to 0.5.

    Raises:
        ValueError: If a threshold, count or scale is out of its range.
    """

    def __init__(
        self,
        scales: Sequence[float] = (16, 32, 64, 128),
        pos_iou_thr: float = 0.6,
        neg_iou_thr: float = 0.4,
        match_low_quality: bool = False,
        num_per_group: int = 512,
        pos_fraction: float = 0.25,
        ignore_iof_thr: float = 0.5,
    ) -> None:
        if not scales or min(scales) <= 0:
            raise ValueError(
                'GroupSamplingAssigner: scales must be positive '
                f'sides in pixels, got {scales}'
            )
        if not 0 <= neg_iou_thr <= pos_iou_thr <= 1:
            raise ValueError(
                'GroupSamplingAssigner: need 0 <= neg_iou_thr <= pos_iou_thr <= 1, '
                f'got {neg_iou_thr} and {pos_iou_thr}'
            )
        if ignore_iof_thr >= 1:
            raise ValueError(
                'GroupSamplingAssigner: ignore_iof_thr must be below 1, '
                f'got {ignore_iof_thr}'
            )
        if num_per_group < 1 or not 0 < pos_fraction <= 1:
            raise ValueError(
                'GroupSamplingAssigner: need num_per_group >= 1 and '
                f'0 < pos_fraction <= 1, got {num_per_group} and {pos_fraction}'
            )
        self.scales = tuple(scales)
        self.pos_iou_thr = pos_iou_thr
        self.neg_iou_thr = neg_iou_thr
        self.match_low_quality = match_low_quality
        self.num_per_group = num_per_group
        self.pos_fraction = pos_fraction
        self.ignore_iof_thr = ignore_iof_thr

    def match(
        self,
        priors: Tensor,
        faces: Tensor,
        ignored: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Steps 1 to 4, without randomness, on xyxy boxes in pixels.

        Returns:
            tuple[Tensor, Tensor]: ``gt_inds`` (A,) int64 as in mmdet, and the best IoU
            (A,) float.
        """
        overlaps, index = best_overlaps(priors, faces)
        gt_inds = torch.full_like(index, -1)
        gt_inds[overlaps < self.neg_iou_thr] = 0
        if ignored is not None and len(ignored) and self.ignore_iof_thr >= 0:
            iof, _ = best_overlaps(priors, ignored, mode='iof')
            gt_inds[(gt_inds == 0) & (iof > self.ignore_iof_thr)] = -1
        positive = overlaps > self.pos_iou_thr
        gt_inds[positive] = index[positive] + 1
        if self.match_low_quality and len(faces) and len(priors):
            iou, best = best_priors(priors, faces)
            # A prior that a face above the threshold holds stays with it.
            free = (iou > 0) & ~positive[best]
            # The last, said so: an index that occurs twice has no order on a GPU.
            gt_inds.scatter_reduce_(
                0, best[free], torch.nonzero(free).squeeze(1) + 1, 'amax'
            )
        return gt_inds, overlaps

    @torch.no_grad()
    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs,
    ) -> AssignResult:
        """Match and sample the priors of one image; arguments are mmdet's.

        ``gt_inds`` is -1 for unsampled and ignored priors.
        """
        priors = pred_instances.priors
        faces = gt_instances.bboxes
        ignored = None if gt_instances_ignore is None else gt_instances_ignore.bboxes
        gt_inds, overlaps = self.match(priors, faces, ignored)
        gt_inds = group_sample(
            gt_inds,
            scale_groups(priors, self.scales),
            len(self.scales),
            self.num_per_group,
            self.pos_fraction,
        )
        labels = torch.full_like(gt_inds, -1)
        positive = gt_inds > 0
        labels[positive] = gt_instances.labels[gt_inds[positive] - 1]
        return AssignResult(len(faces), gt_inds, overlaps, labels=labels)
