"""Sample set of the anchors that a detector's own training would call positive."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..models.task_modules import GroupSamplingAssigner
from .candidates import BoxBlock, BoxKind, Candidates
from .sample_sets import SampleSet

WAYS_OUT = (
    'give it an assigner that judges boxes alone, as '
    "assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4), or take "
    'PatchIoUSampleSet'
)


@torch.no_grad()
def assigned_boxes(assigner: Any, boxes: Tensor, faces: Tensor) -> Tensor:
    """Boxes that an assigner matches to a face.

    Args:
        assigner (Any): One of mmdet's assigners that needs nothing but boxes. Of
            :class:`GroupSamplingAssigner` the matching counts, and not which positives
            its quota lets through, which is random.
        boxes (Tensor): (A, 4) float xyxy, pixels.
        faces (Tensor): (G, 4) float xyxy, pixels. Their classes are not told apart.

    Returns:
        Tensor: Indices of the positives, (N,) int64, ascending.
    """
    if isinstance(assigner, GroupSamplingAssigner):
        gt_inds, _ = assigner.match(boxes, faces)
    else:
        labels = torch.zeros(len(faces), dtype=torch.int64, device=faces.device)
        gt_inds = assigner.assign(
            InstanceData(priors=boxes), InstanceData(bboxes=faces, labels=labels)
        ).gt_inds
    return torch.nonzero(gt_inds > 0).squeeze(1)


def training_assigner(detector: Any, kind: BoxKind) -> Any | None:
    """The assigner that a detector was trained with.

    Args:
        detector (Any): Built with its ``train_cfg``.
        kind (BoxKind): What the assigner judges.

    Returns:
        Any, optional: That of the dense head or proposal network for anchors, that of
        the last stage for proposals; None if there is none.
    """
    if kind == 'anchors':
        rpn_head = getattr(detector, 'rpn_head', None)
        head = getattr(detector, 'bbox_head', None) if rpn_head is None else rpn_head
        return getattr(head, 'assigner', None)
    if kind == 'proposals':
        found = getattr(detector.roi_head, 'bbox_assigner', None)
        stages = found if isinstance(found, list) else [found]
        return stages[-1] if stages else None
    return None


def _check_assigner(assigner: Any, owner: str) -> None:
    """Try an assigner on one box; some need points, levels, scores or predictions."""
    box = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    try:
        assigned_boxes(assigner, box, box)
    except Exception as error:
        raise ValueError(
            f'DetectorPositivesSampleSet: {type(assigner).__name__} of {owner} needs '
            f'more than boxes ({type(error).__name__}: {error}); {WAYS_OUT}'
        ) from error


@TASK_UTILS.register_module()
class DetectorPositivesSampleSet(SampleSet):
    """Sample set of *Patch-IoU*, by the assigner that the detector was trained with.

    The paper's samples are "exactly the same as the selection of positive samples in
    the baseline model" (section 3.2). So here: each detector's candidates that its own
    assigner matches to a face, with its thresholds, and with the best anchor of each
    face where it has ``match_low_quality``. Of the training, three things are left out:
    samplers and quotas, which choose among positives at random; ``allowed_border``; and
    ignored faces, since all faces that got a patch count.

    Anchors are judged by ``train_cfg.assigner`` (of proposal networks, by
    ``train_cfg.rpn.assigner``), proposals by ``train_cfg.rcnn.assigner``, of Cascade
    R-CNN by that of the last stage. Where a detector predicts the boxes that stand for
    anchors (FCOS, DETR), its assigner judges something else, and ``assigner`` must be
    given.

    Args:
        assigner (dict, optional): Config of an assigner that is used for all candidates
            of all detectors. Defaults to None, the detector's own.

    Raises:
        ValueError: If ``assigner`` needs more than boxes. When it is called, if the
            detector has no assigner for its candidates, or one that needs more.
    """

    def __init__(self, assigner: dict | None = None) -> None:
        super().__init__()
        self.assigner = assigner
        self._given = None if assigner is None else TASK_UTILS.build(assigner)
        if self._given is not None:
            _check_assigner(self._given, 'the sample set')
        self._detector: nn.Module | None = None
        self._name = 'no detector'
        self._own: dict[BoxKind, Any] = {}

    def of_detector(self, detector: nn.Module, name: str) -> DetectorPositivesSampleSet:
        """A copy that asks the assigners of this detector."""
        bound = copy.copy(self)
        bound._detector, bound._name, bound._own = detector, name, {}
        return bound

    def _assigner(self, kind: BoxKind) -> Any:
        if self._given is not None:
            return self._given
        if kind not in self._own:
            found = training_assigner(self._detector, kind)
            if found is None:
                raise ValueError(
                    f'DetectorPositivesSampleSet: {self._name} has no assigner of '
                    f'{kind} in its train_cfg; {WAYS_OUT}'
                )
            _check_assigner(found, self._name)
            self._own[kind] = found
        return self._own[kind]

    def __call__(
        self, candidates: Candidates, faces: Tensor, patches: Tensor
    ) -> Tensor:
        """Select samples; see :meth:`SampleSet.__call__`."""
        blocks = candidates.blocks
        if not blocks and self._given is None:
            raise ValueError(
                'DetectorPositivesSampleSet: the reader does not say what the '
                f"candidates' boxes are (Candidates.blocks); {WAYS_OUT}"
            )
        start, samples = 0, []
        for block in blocks or [BoxBlock('predictions', len(candidates.boxes))]:
            boxes = candidates.boxes[start : start + block.count]
            found = assigned_boxes(self._assigner(block.kind), boxes, faces)
            for _ in range(block.copies):
                samples.append(start + found)
                start += block.count
        return torch.cat(samples)
