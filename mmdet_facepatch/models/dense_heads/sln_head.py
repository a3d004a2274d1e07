"""SLN's detection head: softmax scores and boxes from anchors on one map."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import AnchorHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from .margins import MarginMixin, flatten_map


def _flatten(maps: list[Tensor], channels: int) -> Tensor:
    """Concatenate level maps (B, K * channels, H, W) as (B, A, channels)."""
    return torch.cat([flatten_map(level, channels) for level in maps], dim=1)


@MODELS.register_module()
class SLNHead(MarginMixin, AnchorHead):
    """Anchor head whose loss reads the sampled anchors only.

    ``L = L_cls_pos + L_cls_neg + L_reg`` (paper, section 3.1): cross entropy
    over the sampled positives and negatives, logged apart, and a box loss over
    the positives. Detections carry their log-odds as ``margins``.

    Args:
        num_classes (int): Number of classes without the background.
        in_channels (int): Channels of the neck's map.
        feat_channels (int): Channels of the shared 3x3 convolutions. Defaults to 256.
        stacked_convs (int): How many shared 3x3 convolutions with ReLU come before the
            two output convolutions. The paper does not say; 1 as in RPN. Defaults to 1.
        cls_average (str): 'joint' divides both classification losses by the number of
            all samples, so that their sum is the usual mean cross entropy; 'separate'
            divides each by the number of its own samples. Defaults to 'joint'.
        loss_cls (dict, optional): Softmax classification loss. Defaults to None.
        loss_bbox (dict, optional): Box loss, on decoded boxes with
            ``reg_decoded_bbox``. Defaults to None.
        reg_decoded_bbox (bool): Whether ``loss_bbox`` gets decoded boxes. Defaults to
            True.
        norm_cfg (dict, optional): Norm layer of the shared convolutions, or None.
            Defaults to None.
        **kwargs (Any): As in :class:`mmdet.models.AnchorHead`.

    Raises:
        ValueError: For sigmoid scores or an unknown ``cls_average``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        feat_channels: int = 256,
        stacked_convs: int = 1,
        cls_average: str = 'joint',
        loss_cls: dict | None = None,
        loss_bbox: dict | None = None,
        reg_decoded_bbox: bool = True,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        loss_cls = loss_cls or dict(type='CrossEntropyLoss', use_sigmoid=False)
        loss_bbox = loss_bbox or dict(type='IoURegressionLoss')
        if loss_cls.get('use_sigmoid', False):
            raise ValueError(
                'SLNHead: scores are a softmax over background and '
                'classes; set loss_cls.use_sigmoid=False'
            )
        if cls_average not in ('joint', 'separate'):
            raise ValueError(
                "SLNHead: cls_average must be 'joint' or 'separate', "
                f'got {cls_average!r}'
            )
        self.stacked_convs = stacked_convs
        self.cls_average = cls_average
        self.norm_cfg = norm_cfg
        super().__init__(
            num_classes,
            in_channels,
            feat_channels,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            reg_decoded_bbox=reg_decoded_bbox,
            **kwargs,
        )

    def _init_layers(self) -> None:
        """Shared convolutions, then one output convolution each."""
        channels = self.in_channels
        self.shared_convs = nn.Sequential()
        for _ in range(self.stacked_convs):
            self.shared_convs.append(
                ConvModule(
                    channels, self.feat_channels, 3, padding=1, norm_cfg=self.norm_cfg
                )
            )
            channels = self.feat_channels
        self.conv_cls = nn.Conv2d(
            channels, self.num_base_priors * self.cls_out_channels, 1
        )
        self.conv_reg = nn.Conv2d(
            channels, self.num_base_priors * self.bbox_coder.encode_size, 1
        )

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits and box deltas of a level (B, in_channels, H, W).

        (B, K * (num_classes + 1), H, W) and (B, K * 4, H, W) for K anchors a cell.
        """
        x = self.shared_convs(x)
        return self.conv_cls(x), self.conv_reg(x)

    def flat_logits(self, cls_scores: list[Tensor]) -> Tensor:
        """Class logits as (B, A, num_classes + 1), background last."""
        return _flatten(cls_scores, self.cls_out_channels)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """Losses over the sampled anchors of a batch.

        Arguments are those of :meth:`mmdet.models.AnchorHead.loss_by_feat`.

        Returns:
            dict[str, Tensor]: Scalars ``loss_cls_pos``, ``loss_cls_neg``,
            ``loss_bbox``.
        """
        sizes = [level.shape[-2:] for level in cls_scores]
        anchors, flags = self.get_anchors(
            sizes, batch_img_metas, device=cls_scores[0].device
        )
        logits = self.flat_logits(cls_scores)
        deltas = _flatten(bbox_preds, self.bbox_coder.encode_size)

        samples = []
        for i, faces in enumerate(batch_gt_instances):
            ignored = (
                batch_gt_instances_ignore[i] if batch_gt_instances_ignore else None
            )
            # Anchors in the padding are no samples.
            valid = torch.nonzero(torch.cat(flags[i])).squeeze(1)
            candidates = InstanceData(priors=torch.cat(anchors[i])[valid])
            assigned = self.assigner.assign(candidates, faces, ignored)
            sampled = self.sampler.sample(assigned, candidates, faces)
            pos, neg = valid[sampled.pos_inds], valid[sampled.neg_inds]
            classified = logits[i, pos], sampled.pos_gt_labels, logits[i, neg]
            located = sampled.pos_priors, deltas[i, pos], sampled.pos_gt_bboxes
            samples.append((*classified, *located))
        joined = [torch.cat(parts) for parts in zip(*samples, strict=True)]
        losses = self._cls_losses(*joined[:3])
        losses['loss_bbox'] = self._box_loss(*joined[3:])
        return losses

    def _cls_losses(
        self, pos_logits: Tensor, pos_labels: Tensor, neg_logits: Tensor
    ) -> dict[str, Tensor]:
        num_pos, num_neg = len(pos_logits), len(neg_logits)
        if self.cls_average == 'joint':
            num_pos = num_neg = num_pos + num_neg
        background = pos_labels.new_full((len(neg_logits),), self.num_classes)
        return dict(
            loss_cls_pos=self.loss_cls(
                pos_logits, pos_labels, avg_factor=max(num_pos, 1)
            ),
            loss_cls_neg=self.loss_cls(
                neg_logits, background, avg_factor=max(num_neg, 1)
            ),
        )

    def _box_loss(self, priors: Tensor, deltas: Tensor, faces: Tensor) -> Tensor:
        num_pos = max(len(priors), 1)
        if self.reg_decoded_bbox:
            boxes = self.bbox_coder.decode(priors, deltas)
            return self.loss_bbox(boxes, faces, avg_factor=num_pos)
        targets = self.bbox_coder.encode(priors, faces)
        return self.loss_bbox(deltas, targets, avg_factor=num_pos)
