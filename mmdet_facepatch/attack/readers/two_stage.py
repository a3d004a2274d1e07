"""Reader of two-stage detectors: proposals with their refined scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads import (
    CascadeRoIHead,
    HybridTaskCascadeRoIHead,
    MultiInstanceRoIHead,
    SABLHead,
    SCNetRoIHead,
    SparseRoIHead,
    StandardRoIHead,
    TridentRoIHead,
)
from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, get_box_tensor
from torch import Tensor

from ...models.dense_heads.margins import refuse_custom_cls_channels
from ..candidates import Candidates, class_log_scores
from .base import (
    CandidateReader,
    DenseCandidateReader,
    check_not_refused,
    find_reader,
    no_reader,
    refuse_head,
    register_reader,
)


def _box_heads(roi_head: Any) -> list[Any]:
    """The box head of each stage."""
    if isinstance(roi_head, CascadeRoIHead):
        return list(roi_head.bbox_head)
    return [roi_head.bbox_head]


def _proposal_network(detector: Any) -> Any:
    head = getattr(detector, 'rpn_head', None)
    if head is None:
        raise TypeError(
            f'TwoStageCandidateReader: {type(detector).__name__} has no proposal '
            'network; give the samples their proposals, without with_rpn'
        )
    return head


@torch.no_grad()
def _propose(
    detector: Any, features: Sequence[Tensor], data_samples: Sequence[DetDataSample]
) -> list[Tensor]:
    """Those of the samples, as in Fast R-CNN, or of the proposal network."""
    found = [sample.get('proposals', None) for sample in data_samples]
    if found[0] is None:
        rpn_head = _proposal_network(detector)
        found = rpn_head.predict(features, data_samples, rescale=False)
    return [get_box_tensor(proposals.bboxes) for proposals in found]


def _refine(
    roi_head: Any,
    features: Sequence[Tensor],
    proposals: list[Tensor],
    data_samples: Sequence[DetDataSample],
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Regions of each image, (R, 5), and their class logits, (R, C + 1)."""
    rois = bbox2roi(proposals)
    counts = tuple(len(boxes) for boxes in proposals)
    if isinstance(roi_head, CascadeRoIHead):
        metas = [sample.metainfo for sample in data_samples]
        regions, logits, _ = roi_head._refine_roi(features, rois, metas, counts)
        return regions, logits
    logits = roi_head._bbox_forward(features, rois)['cls_score']
    return rois.split(counts), logits.split(counts)


@TASK_UTILS.register_module()
@register_reader(StandardRoIHead, CascadeRoIHead)
class TwoStageCandidateReader(CandidateReader):
    """Reads Faster R-CNN and its like.

    The proposals stand for anchors, S is the refined score after softmax. The
    proposals are those of the detector's own prediction, and constants: the
    gradient reaches the image through RoIAlign on the features, not through
    the proposals' coordinates and not through their selection.

    Of Cascade R-CNN, S is that of the mean logits of all stages, and the
    regions that enter the last stage stand for anchors.

    Args:
        class_id (int | Sequence[int]): Target class, or several. Defaults to 0.
        with_rpn (bool): Also read the anchors of the proposal network and their
            objectness. They follow the proposals in one list, so that the sample set
            selects from both by the same thresholds, and the mean over the samples
            weighs every sample alike. There are many more anchors than proposals,
            mostly with low scores: a sample set without a score threshold takes its
            samples mostly from them. Defaults to False.

    Raises:
        ValueError: If ``class_id`` is no integer from 0 on.
    """

    def __init__(
        self, class_id: int | Sequence[int] = 0, with_rpn: bool = False
    ) -> None:
        super().__init__(class_id)
        self.with_rpn = with_rpn

    def num_classes(self, head: Any) -> int:
        """Number of classes of the last stage."""
        return _box_heads(head)[-1].num_classes

    def read(
        self, detector: Any, inputs: Tensor, data_samples: Sequence[DetDataSample]
    ) -> list[Candidates]:
        """As declared in the base class; ValueError for custom class channels."""
        for box_head in _box_heads(detector.roi_head):
            check_not_refused(box_head)
            refuse_custom_cls_channels(box_head)
        features = detector.extract_feat(inputs)
        candidates = self._read_proposals(detector, features, data_samples)
        if not self.with_rpn:
            return candidates
        anchors = _read_rpn(detector, features, data_samples)
        return [_join(*pair) for pair in zip(candidates, anchors, strict=True)]

    def _read_proposals(
        self,
        detector: Any,
        features: Sequence[Tensor],
        data_samples: Sequence[DetDataSample],
    ) -> list[Candidates]:
        proposals = _propose(detector, features, data_samples)
        if not any(len(boxes) for boxes in proposals):
            # Nothing to refine; the empty slice keeps the graph.
            nothing = features[0].flatten()[:0]
            return [
                Candidates.of_classes('proposals', boxes, nothing, 1)
                for boxes in proposals
            ]
        regions, logits = _refine(detector.roi_head, features, proposals, data_samples)
        ids = self.class_ids
        return [
            Candidates.of_classes(
                'proposals',
                region[:, 1:].detach(),
                torch.cat([class_log_scores(image, i, False) for i in ids]),
                len(ids),
            )
            for region, image in zip(regions, logits, strict=True)
        ]


def _read_rpn(
    detector: Any, features: Sequence[Tensor], data_samples: Sequence[DetDataSample]
) -> list[Candidates]:
    """Objectness is class 0 of the proposal network."""
    head = _proposal_network(detector)
    reader = find_reader(head)(class_id=0)
    if not isinstance(reader, DenseCandidateReader):
        raise no_reader(head, 'which is no dense proposal network')
    return reader.read_head(head, features, data_samples)


def _join(first: Candidates, second: Candidates) -> Candidates:
    return Candidates(
        torch.cat([first.boxes, second.boxes]),
        torch.cat([first.log_scores, second.log_scores]),
        first.blocks + second.blocks if first.blocks and second.blocks else (),
    )


refuse_head(HybridTaskCascadeRoIHead, 'whose stages take more than the features')
refuse_head(MultiInstanceRoIHead, 'which scores each proposal more than once')
refuse_head(SABLHead, 'whose scores are multiplied by a confidence of its boxes')
refuse_head(SCNetRoIHead, 'whose stages take more than the features')
refuse_head(SparseRoIHead, 'whose stages pass on features of their own')
refuse_head(TridentRoIHead, 'which sees every image in several branches')
