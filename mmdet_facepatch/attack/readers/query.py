"""Reader of transformer detectors: the queries of the last decoder layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import DETRHead, GroundingDINOHead
from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor

from ...models.dense_heads.margins import refuse_custom_cls_channels
from ..candidates import Candidates, class_log_scores, each_class
from .base import CandidateReader, refuse_head, register_reader


@torch.no_grad()
def _to_pixels(boxes: Tensor, img_shape: tuple[int, int]) -> Tensor:
    """Boxes (Q, 4) cxcywh relative to the image as xyxy in pixels, clipped."""
    # Pixels of large images are too fine for the half precision of AMP.
    boxes = boxes.float()
    height, width = img_shape[:2]
    size = boxes.new_tensor([width, height, width, height])
    return (bbox_cxcywh_to_xyxy(boxes) * size).clamp(min=0).minimum(size)


@TASK_UTILS.register_module()
@register_reader(DETRHead)
class QueryCandidateReader(CandidateReader):
    """Reads DETR, Deformable DETR, DINO and their like.

    The predicted boxes of the last decoder layer's queries stand for anchors.
    S is the score after softmax (DETR) or sigmoid (most later ones).
    """

    def read(
        self, detector: Any, inputs: Tensor, data_samples: Sequence[DetDataSample]
    ) -> list[Candidates]:
        """As declared in the base class; ValueError for custom class channels."""
        head = detector.bbox_head
        refuse_custom_cls_channels(head)
        features = detector.extract_feat(inputs)
        logits, boxes = head(**detector.forward_transformer(features, data_samples))
        log_scores = each_class(
            lambda i: class_log_scores(logits[-1], i, head.loss_cls.use_sigmoid),
            self.class_ids,
        )
        images = zip(boxes[-1], log_scores, data_samples, strict=True)
        times = len(self.class_ids)
        return [
            Candidates.of_classes(
                'predictions', _to_pixels(found, sample.img_shape), scores, times
            )
            for found, scores, sample in images
        ]


refuse_head(GroundingDINOHead, 'whose scores depend on a text')
