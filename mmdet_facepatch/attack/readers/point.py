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
from ..candidates import Candidates
from .anchor import head_priors
from .base import DenseCandidateReader, refuse_head, register_reader
from .log_scores import class_log_scores


class LevelOutputs(NamedTuple):
    """One level of a head's outputs, flattened to P priors.

    Attributes:
        logits: Class logits, (B, P, C) float.
        deltas: What boxes are decoded from, (B, P, D) float.
        quality: Logit of the factor of all classes' scores (centerness,
            objectness, IoU), (B, P) float, or None.
    """

    logits: Tensor
    deltas: Tensor
    quality: Tensor | None


@singledispatch
def level_outputs(head: Any, outputs: tuple) -> list[LevelOutputs]:
    """Flatten a head's outputs: class maps, box maps and perhaps quality maps.

    Args:
        head: The head.
        outputs: What it returned.

    Returns:
        Each level's outputs.
    """
    logit_maps, delta_maps, *rest = outputs
    quality_maps = rest[0] if rest else [None] * len(logit_maps)
    levels = []
    for logits, deltas, quality in zip(
            logit_maps, delta_maps, quality_maps, strict=True):
        per_cell = logits.shape[1] // head.cls_out_channels
        levels.append(LevelOutputs(
            flatten_map(logits, head.cls_out_channels),
            flatten_map(deltas, deltas.shape[1] // per_cell),
            None if quality is None else flatten_map(quality, 1).squeeze(-1)))
    return levels


@level_outputs.register
def _yolov3_outputs(head: YOLOV3Head, outputs: tuple) -> list[LevelOutputs]:
    rows = [flatten_map(level, head.num_attrib) for level in outputs[0]]
    return [LevelOutputs(row[..., 5:], row[..., :4], row[..., 4]) for row in rows]


@singledispatch
def point_log_scores(head: Any, logits: Tensor, quality: Tensor | None,
                     class_id: int) -> Tensor:
    """``log S``, S being the class score times the sigmoid of the quality.

    Args:
        head: The head.
        logits: (B, P, C) float.
        quality: (B, P) float, or None.
        class_id: Class, in [0, C).

    Returns:
        (B, P) float <= 0.
    """
    log_scores = class_log_scores(logits, class_id, head.use_sigmoid_cls)
    return log_scores if quality is None else log_scores + F.logsigmoid(quality)


@point_log_scores.register
def _yolov3_log_scores(head: YOLOV3Head, logits: Tensor, quality: Tensor,
                       class_id: int) -> Tensor:
    return F.logsigmoid(logits[..., class_id]) + F.logsigmoid(quality)


@point_log_scores.register
def _paa_log_scores(head: PAAHead, logits: Tensor, quality: Tensor,
                    class_id: int) -> Tensor:
    # The score is the geometric mean of class score and IoU.
    return 0.5 * (F.logsigmoid(logits[..., class_id]) + F.logsigmoid(quality))


@point_log_scores.register
def _tood_log_scores(head: TOODHead, logits: Tensor, quality: None,
                     class_id: int) -> Tensor:
    # The head returns scores. Where one underflows to 0 there is no gradient.
    scores = logits[..., class_id]
    return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()


def _stride(head: Any, level: int) -> int:
    """Horizontal stride of a level, pixels; these heads need square cells."""
    return head.prior_generator.strides[level][0]


@singledispatch
def decode_level(head: Any, deltas: Tensor, priors: Tensor, level: int,
                 img_shape: tuple[int, int]) -> Tensor:
    """Boxes of one image and level, decoded and clipped as the head does.

    Args:
        head: The head.
        deltas: (P, D) float.
        priors: Anchors (P, 4) or points (P, 2), pixels.
        level: Index of the level.
        img_shape: Height and width of the image without padding, pixels.

    Returns:
        (P, 4) float xyxy, pixels.
    """
    return head.bbox_coder.decode(priors, deltas, max_shape=img_shape)


@decode_level.register
def _decode_gfl(head: GFLHead, deltas: Tensor, priors: Tensor, level: int,
                img_shape: tuple[int, int]) -> Tensor:
    return head.bbox_coder.decode(
        head.anchor_center(priors), head.integral(deltas) * _stride(head, level),
        max_shape=img_shape)


@decode_level.register
def _decode_tood(head: TOODHead, deltas: Tensor, priors: Tensor, level: int,
                 img_shape: tuple[int, int]) -> Tensor:
    return deltas * _stride(head, level)


@decode_level.register
def _decode_yolox(head: YOLOXHead, deltas: Tensor, priors: Tensor, level: int,
                  img_shape: tuple[int, int]) -> Tensor:
    strides = priors.new_tensor(head.prior_generator.strides[level])
    priors = torch.cat([priors, strides.expand(len(priors), 2)], dim=1)
    return head._bbox_decode(priors, deltas)


@decode_level.register
def _decode_yolov3(head: YOLOV3Head, deltas: Tensor, priors: Tensor, level: int,
                   img_shape: tuple[int, int]) -> Tensor:
    deltas = torch.cat([deltas[:, :2].sigmoid(), deltas[:, 2:]], dim=1)
    return head.bbox_coder.decode(priors, deltas, head.featmap_strides[level])


@decode_level.register
def _decode_fovea(head: FoveaHead, deltas: Tensor, priors: Tensor, level: int,
                  img_shape: tuple[int, int]) -> Tensor:
    return head._bbox_decode(priors, deltas, head.base_edge_list[level], img_shape)


@decode_level.register
def _decode_reppoints(head: RepPointsHead, deltas: Tensor, priors: Tensor,
                      level: int, img_shape: tuple[int, int]) -> Tensor:
    return head._bbox_decode(priors, deltas, head.point_strides[level], img_shape)


@TASK_UTILS.register_module()
@register_reader(
    ATSSHead, CenterNetUpdateHead, DDODHead, FCOSHead, FoveaHead, GFLHead,
    RepPointsHead, YOLOV3Head, YOLOXHead)
class PointCandidateReader(DenseCandidateReader):
    """Reads dense heads without anchors, or whose scores judge decoded boxes.

    The decoded boxes, clipped where the head clips them, stand for anchors. S is
    the score that the detector reports, with its factors: class times centerness
    for FCOS, class times objectness for YOLOX.

    Two of mmdet's heads bound scores themselves, and have no gradient beyond:
    TOOD's underflow, and those of RTMDet with objectness stop at 1e-5 from 0
    and 1.

    Args:
        class_id: Target class; faces are class 0.

    Raises:
        ValueError: If ``class_id`` is no integer from 0 on.
    """

    def read_head(self, head: Any, features: Sequence[Tensor],
                  data_samples: Sequence[DetDataSample]) -> list[Candidates]:
        """Run a head up to its scores and boxes.

        Args:
            head: A head that this reader is registered for.
            features: Level maps, each (B, C_l, H_l, W_l) float.
            data_samples: B samples with ``img_shape``.

        Returns:
            The candidates of each image.

        Raises:
            ValueError: For a ``loss_cls`` with class channels of its own.
        """
        refuse_custom_cls_channels(head)
        outputs = head(features)
        levels = level_outputs(head, outputs)
        log_scores = torch.cat([
            point_log_scores(head, level.logits, level.quality, self.class_id)
            for level in levels], dim=1)
        priors = head_priors(head, outputs[0])
        boxes = [_decode(head, levels, priors, i, sample.img_shape)
                 for i, sample in enumerate(data_samples)]
        return [Candidates(*image) for image in zip(boxes, log_scores, strict=True)]


@torch.no_grad()
def _decode(head: Any, levels: list[LevelOutputs], priors: list[Tensor], image: int,
            img_shape: tuple[int, int]) -> Tensor:
    """Boxes of one image, (A, 4) float xyxy, pixels."""
    return torch.cat([
        decode_level(head, level.deltas[image], level_priors, index, img_shape)
        for index, (level, level_priors) in enumerate(
            zip(levels, priors, strict=True))])


refuse_head(ATSSVLFusionHead, 'whose scores depend on a text')
refuse_head(RTMDetInsHead, 'whose third kind of maps is not a factor of its scores')
