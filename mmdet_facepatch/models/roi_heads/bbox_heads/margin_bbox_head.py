"""mmdet's box head of two-stage detectors, with log-odds as ``margins``."""

from __future__ import annotations

from typing import Any

from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from ...dense_heads.margins import class_margins, refuse_custom_cls_channels


@MODELS.register_module()
class Shared2FCMarginBBoxHead(Shared2FCBBoxHead):
    """Faster R-CNN's box head with the log-odds of each detection as ``margins``.

    Takes Shared2FCBBoxHead's config and checkpoints; scores are its softmax over
    background and classes. Thresholds and NMS work on the scores, and an NMS that
    lowers scores (soft-NMS) leaves the margins alone.

    Raises:
        ValueError: For a ``loss_cls`` with class channels of its own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_custom_cls_channels(self)

    def _predict_by_feat_single(
        self,
        roi: Tensor,
        cls_score: Tensor,
        bbox_pred: Tensor | None,
        img_meta: dict,
        rescale: bool = False,
        rcnn_test_cfg: ConfigDict | None = None,
    ) -> InstanceData:
        """Detections of one image, each with its log-odds as ``margins``.

        As :meth:`mmdet.models.BBoxHead._predict_by_feat_single`.

        Returns:
            InstanceData: ``bboxes`` (N, 4), ``scores`` (N,) in [0, 1], ``margins`` (N,)
            unbounded and ``labels`` (N,). Without ``rcnn_test_cfg``, of each proposal
            ``bboxes`` as ``bbox_pred``, ``scores`` (R, C + 1) and ``margins`` (R, C).
        """
        # mmdet keeps no trace of which logits a detection came from, but without
        # a test config it returns one row per proposal.
        results = super()._predict_by_feat_single(
            roi, cls_score, bbox_pred, img_meta, rescale=rescale
        )
        results.margins = class_margins(cls_score, use_sigmoid=False)
        return results if rcnn_test_cfg is None else _suppress(results, rcnn_test_cfg)


def _suppress(results: InstanceData, cfg: ConfigDict) -> InstanceData:
    """Detections above the threshold after NMS, from one row per proposal."""
    dets, labels, keep = multiclass_nms(
        results.bboxes,
        results.scores,
        cfg.score_thr,
        cfg.nms,
        cfg.max_per_img,
        return_inds=True,
    )
    return InstanceData(
        bboxes=dets[:, :-1],
        scores=dets[:, -1],
        labels=labels,
        # Indices count pairs of proposal and class.
        margins=results.margins.flatten()[keep],
    )
