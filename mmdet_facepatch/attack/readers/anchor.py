"""Reader of dense heads with anchors: SLN, SSD, RetinaNet, RPN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from ...models.dense_heads.margins import flatten_map, refuse_custom_cls_channels
from ..candidates import Candidates, class_log_scores, each_class
from .base import DenseCandidateReader, no_reader, register_reader


def head_priors(head: Any, maps: Sequence[Tensor]) -> list[Tensor]:
    """Anchors or points of each level, in the order of :func:`flatten_map`.

    Args:
        head (Any): A dense head with a ``prior_generator``.
        maps (Sequence[Tensor]): Level maps, each (B, channels, H_l, W_l).

    Returns:
        list[Tensor]: Of each level (A_l, 4) xyxy for anchors or (A_l, 2) for points,
        float, pixels of the network input.
    """
    sizes = [level.shape[-2:] for level in maps]
    # Under automatic mixed precision maps are of half precision; pixels are not.
    dtype = torch.promote_types(maps[0].dtype, torch.float32)
    priors = head.prior_generator.grid_priors(sizes, dtype=dtype, device=maps[0].device)
    return [get_box_tensor(level) for level in priors]


@TASK_UTILS.register_module()
@register_reader(AnchorHead)
class AnchorCandidateReader(DenseCandidateReader):
    """Reads heads that score the anchors of one or more maps.

    As in the paper, a candidate's box is its anchor, before regression. Scores
    are a softmax over background and classes, or a sigmoid.
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
        if len(outputs) != 2:
            raise no_reader(
                head,
                f'which returns {len(outputs)} kinds of maps where '
                'AnchorHead returns scores and boxes',
            )
        maps = [flatten_map(level, head.cls_out_channels) for level in outputs[0]]
        logits = torch.cat(maps, dim=1)
        log_scores = each_class(
            lambda i: class_log_scores(logits, i, head.use_sigmoid_cls), self.class_ids
        )
        anchors = torch.cat(head_priors(head, outputs[0]))
        times = len(self.class_ids)
        return [
            Candidates.of_classes('anchors', anchors, image, times)
            for image in log_scores
        ]
