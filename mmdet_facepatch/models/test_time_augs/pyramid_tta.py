"""Image pyramid at test time."""

from __future__ import annotations

from mmcv.ops import batched_nms
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.structures import InstanceData
from torch import Tensor


def _original_boxes(sample: DetDataSample) -> Tensor:
    """Boxes of one view in the original image: flipped back if need be."""
    meta, boxes = sample.metainfo, sample.pred_instances.bboxes
    if meta.get('flip', False):
        boxes = bbox_flip(boxes, meta['ori_shape'], meta['flip_direction'])
    return boxes


@MODELS.register_module()
class PyramidTTA(DetTTAModel):
    """Merge detections of all scales of an image by one NMS.

    mmdet's :class:`DetTTAModel` keeps boxes, scores and labels; this one keeps
    every field that a detection has, the log-odds ``margins`` above all. It
    works with any mmdet detector, and views need not say whether they are
    flipped.

    Args:
        tta_cfg: ``nms`` as in mmdet's ``test_cfg``, and optionally ``max_per_img``;
            without it there is no cap, as the WIDER FACE protocol wants it (one image
            has 709 faces).
        **kwargs: As in :class:`mmengine.model.BaseTTAModel`.
    """

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        views = []
        for sample in data_samples:
            view = sample.pred_instances.clone()
            view.bboxes = _original_boxes(sample)
            views.append(view)
        # mmdet's two-stage heads leave fields out where there is no proposal.
        views = [view for view in views if len(view)] or views[:1]
        merged = InstanceData.cat(views)
        if len(merged):
            dets, keep = batched_nms(
                merged.bboxes, merged.scores, merged.labels, self.tta_cfg['nms']
            )
            merged = merged[keep]
            # soft-NMS changes the scores.
            merged.scores = dets[:, -1]
            merged = merged[: self.tta_cfg.get('max_per_img')]
        result = data_samples[0]
        result.pred_instances = merged
        return result
