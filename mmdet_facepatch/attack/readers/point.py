"""Reader of dense heads whose decoded boxes stand for anchors.

Heads differ in how they decode boxes and in which factors their scores have.
Each difference is a generic function of the head's class (as in
:func:`functools.singledispatch`), so that a head of one's own needs only what
sets it apart: ``decode_level.register(MyHead)(function)``, then
``register_reader(MyHead)(PointCandidateReader)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import (
    ATSSHead,
    ATSSVLFusionHead,
    CenterNetUpdateHead,
    DDODHead,
    FCOSHead,
    FoveaHead,
    GFLHead,
    PAAHead,
    RepPointsHead,
    RTMDetInsHead,
    TOODHead,
    YOLOV3Head,
    YOLOXHead,
)
from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from torch import Tensor

from ...models.dense_heads.margins import flatten_map, refuse_custom_cls_channels
from ..candidates import Candidates, class_log_scores, each_class
from .anchor import head_priors
from .base import DenseCandidateReader, refuse_head, register_reader

#: Height and width in pixels.
Shape = tuple[int, int]


class LevelOutputs(NamedTuple):
    """One level of a head's outputs, flattened to P priors.

    Attributes:
        logits (Tensor): Class logits, (B, P, C) float.
        deltas (Tensor): What boxes are decoded from, (B, P, D) float.
        quality (Tensor, optional): Logit of the factor of all classes' scores
            (centerness, objectness, IoU), (B, P) float, or None.
    """

    logits: Tensor
    deltas: Tensor
    quality: Tensor | None


@singledispatch
def level_outputs(head: Any, outputs: tuple) -> list[LevelOutputs]:
    """Flatten a head's outputs: class maps, box maps and perhaps quality maps.

    Args:
        head (Any): The head.
        outputs (tuple): What it returned.

    Returns:
        list[LevelOutputs]: Each level's outputs.
    """
    logit_maps, delta_maps, *rest = outputs
    quality_maps = rest[0] if rest else [None] * len(logit_maps)
    maps = zip(logit_maps, delta_maps, quality_maps, strict=True)
    levels = []
    for logits, deltas, quality in maps:
        per_cell = logits.shape[1] // head.cls_out_channels
        classes = flatten_map(logits, head.cls_out_channels)
        boxes = flatten_map(deltas, deltas.shape[1] // per_cell)
        factor = None if quality is None else flatten_map(quality, 1).squeeze(-1)
        levels.append(LevelOutputs(classes, boxes, factor))
    return levels


@level_outputs.register
def _yolov3_outputs(head: YOLOV3Head, outputs: tuple) -> list[LevelOutputs]:
    rows = [flatten_map(level, head.num_attrib) for level in outputs[0]]
    return [LevelOutputs(row[..., 5:], row[..., :4], row[..., 4]) for row in rows]


@singledispatch
def point_log_scores(
    head: Any, logits: Tensor, quality: Tensor | None, class_id: int
) -> Tensor:
    """``log S``, S being the class score times the sigmoid of the quality.

    Args:
        head (Any): The head.
        logits (Tensor): (B, P, C) float.
        quality (Tensor, optional): (B, P) float, or None.
        class_id (int): Class, in [0, C).

    Returns:
        Tensor: (B, P) float <= 0.
    """
    log_scores = class_log_scores(logits, class_id, head.use_sigmoid_cls)
    return log_scores if quality is None else log_scores + F.logsigmoid(quality)


@point_log_scores.register
def _yolov3_log_scores(
    head: YOLOV3Head, logits: Tensor, quality: Tensor, class_id: int
) -> Tensor:
    return F.logsigmoid(logits[..., class_id]) + F.logsigmoid(quality)


@point_log_scores.register
def _paa_log_scores(
    head: PAAHead, logits: Tensor, quality: Tensor, class_id: int
) -> Tensor:
    # The score is the geometric mean of class score and IoU.
    return 0.5 * (F.logsigmoid(logits[..., class_id]) + F.logsigmoid(quality))


@point_log_scores.register
def _tood_log_scores(
    head: TOODHead, logits: Tensor, quality: None, class_id: int
) -> Tensor:
    # The head returns scores. Where one underflows to 0 there is no gradient.
    scores = logits[..., class_id]
    return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()


def _stride(head: Any, level: int) -> int:
    """Horizontal stride of a level, pixels; these heads need square cells."""
    return head.prior_generator.strides[level][0]


@singledispatch
def decode_level(
    head: Any, deltas: Tensor, priors: Tensor, level: int, img_shape: Shape
) -> Tensor:
    """Boxes of one image and level, decoded and clipped as the head does.

    Args:
        head (Any): The head.
        deltas (Tensor): (P, D) float.
        priors (Tensor): Anchors (P, 4) or points (P, 2), pixels.
        level (int): Index of the level.
        img_shape (Shape): Height and width of the image without padding, pixels.

    Returns:
        Tensor: (P, 4) float xyxy, pixels.
    """
    return head.bbox_coder.decode(priors, deltas, max_shape=img_shape)


@decode_level.register
def _decode_gfl(
    head: GFLHead, deltas: Tensor, priors: Tensor, level: int, img_shape: Shape
) -> Tensor:
    return head.bbox_coder.decode(
        head.anchor_center(priors),
        head.integral(deltas) * _stride(head, level),
        max_shape=img_shape,
    )


@decode_level.register
def _decode_tood(
    head: TOODHead, deltas: Tensor, priors: Tensor, level: int, img_shape: Shape
) -> Tensor:
    return deltas * _stride(head, level)


@decode_level.register
def _decode_yolox(
    head: YOLOXHead, deltas: Tensor, priors: Tensor, level: int, img_shape: Shape
) -> Tensor:
    strides = priors.new_tensor(head.prior_generator.strides[level])
    priors = torch.cat([priors, strides.expand(len(priors), 2)], dim=1)
    return head._bbox_decode(priors, deltas)


@decode_level.register
def _decode_yolov3(
    head: YOLOV3Head, deltas: Tensor, priors: Tensor, level: int, img_shape: Shape
) -> Tensor:
    deltas = torch.cat([deltas[:, :2].sigmoid(), deltas[:, 2:]], dim=1)
    return head.bbox_coder.decode(priors, deltas, head.featmap_strides[level])


@decode_level.register
def _decode_fovea(
    head: FoveaHead, deltas: Tensor, priors: Tensor, level: int, img_shape: Shape
) -> Tensor:
    return head._bbox_decode(priors, deltas, head.base_edge_list[level], img_shape)


@decode_level.register
def _decode_reppoints(
    head: RepPointsHead, deltas: Tensor, priors: Tensor, level: int, img_shape: Shape
) -> Tensor:
    return head._bbox_decode(priors, deltas, head.point_strides[level], img_shape)


@TASK_UTILS.register_module()
@register_reader(
    ATSSHead,
    CenterNetUpdateHead,
    DDODHead,
    FCOSHead,
    FoveaHead,
    GFLHead,
    RepPointsHead,
    YOLOV3Head,
    YOLOXHead,
)
class PointCandidateReader(DenseCandidateReader):
    """Reads dense heads without anchors, or whose scores judge decoded boxes.

    The decoded boxes, clipped where the head clips them, stand for anchors. S is
    the score that the detector reports, with its factors: class times centerness
    for FCOS, class times objectness for YOLOX.

    Two of mmdet's heads bound scores themselves, and have no gradient beyond:
    TOOD's underflow, and those of RTMDet with objectness stop at 1e-5 from 0
    and 1.
    """

    def read_head(
        self,
        head: Any,
        features: Sequence[Tensor],
        data_samples: Sequence[DetDataSample],
    ) -> list[Candidates]:
        """As declared in the base class; ValueError for custom class channels."""
        refuse_custom_cls_channels(head)
        outputs = head(features)
        levels = level_outputs(head, outputs)
        scores = each_class(
            lambda class_id: torch.cat(
                [
                    point_log_scores(head, level.logits, level.quality, class_id)
                    for level in levels
                ],
                dim=1,
            ),
            self.class_ids,
        )
        priors = head_priors(head, outputs[0])
        candidates = []
        for i, (sample, image) in enumerate(zip(data_samples, scores, strict=True)):
            boxes = _decode(head, levels, priors, i, sample.img_shape)
            times = len(self.class_ids)
            candidates.append(Candidates.of_classes('predictions', boxes, image, times))
        return candidates


@torch.no_grad()
def _decode(
    head: Any, levels: list[LevelOutputs], priors: list[Tensor], i: int, shape: Shape
) -> Tensor:
    """Boxes of image i, (A, 4) float xyxy, pixels."""
    pairs = enumerate(zip(levels, priors, strict=True))
    boxes = [
        decode_level(head, level.deltas[i], level_priors, index, shape)
        for index, (level, level_priors) in pairs
    ]
    return torch.cat(boxes)


refuse_head(ATSSVLFusionHead, 'whose scores depend on a text')
refuse_head(RTMDetInsHead, 'whose third kind of maps is not a factor of its scores')
