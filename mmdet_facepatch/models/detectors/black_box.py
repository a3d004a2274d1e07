"""Detectors that others have trained, to be evaluated and not to be attacked."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NoReturn

import torch
from mmcv.ops import batched_nms
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn


def instances_of(boxes: Tensor, scores: Tensor, **fields: Tensor) -> InstanceData:
    """Faces as mmdet's instances, all of class 0."""
    labels = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    return InstanceData(bboxes=boxes, scores=scores, labels=labels, **fields)


def cut_at_border(found: InstanceData, height: int, width: int) -> InstanceData:
    """Boxes cut at the border of the image; what lies outside is left out."""
    limit = found.bboxes.new_tensor([width, height, width, height])
    boxes = torch.minimum(found.bboxes.clamp(min=0), limit)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    found = found[inside]
    found.bboxes = boxes[inside]
    return found


class BlackBoxDetector(BaseDetector):
    """A face detector with weights of its own, which only answers.

    It takes part wherever a detector is evaluated (``tools/test.py``, conditions of
    an attack, the transfer matrix) and needs no checkpoint: its weights come from an
    installed package. There are no losses and no gradients. Detections have no cap.

    Subclasses implement :meth:`detect`.

    Args:
        test_cfg (dict): ``score_thr``, ``nms`` as in mmdet, and what else a subclass
            needs.
        data_preprocessor (dict, optional): Config; padding and the order of the
            channels are its business, normalisation is that of the subclass. Defaults
            to None.
        init_cfg (dict, optional): As in mmengine. Defaults to None.
    """

    def __init__(
        self,
        test_cfg: dict,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.test_cfg = ConfigDict(test_cfg)

    @abstractmethod
    def detect(self, image: Tensor) -> InstanceData:
        """Faces in an image.

        Args:
            image (Tensor): (3, H, W) float, whole numbers in [0, 255].

        Returns:
            By descending score: ``bboxes`` (N, 4) xyxy in pixels of the image,
            ``scores`` (N,) in [0, 1], ``labels`` (N,) all zero.
        """

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: list[DetDataSample],
        rescale: bool = True,
    ) -> list[DetDataSample]:
        """Faces in each of the padded images, (B, 3, H, W) float in [0, 255].

        Arguments are those of :meth:`mmdet.models.BaseDetector.predict`.
        """
        for image, sample in zip(batch_inputs, batch_data_samples, strict=True):
            height, width = sample.img_shape[:2]
            # What pads a batch is no part of the image.
            found = self.detect(image[:, :height, :width].detach().cpu())
            found = cut_at_border(found, height, width)
            if rescale:
                found.bboxes = found.bboxes / found.bboxes.new_tensor(
                    sample.scale_factor
                ).repeat(2)
            sample.pred_instances = found.to(image.device)
        return batch_data_samples

    def select(self, boxes: Tensor, scores: Tensor) -> InstanceData:
        """What ``test_cfg``'s ``score_thr`` and ``nms`` leave, by descending score."""
        above = scores >= self.test_cfg.score_thr
        found = instances_of(boxes[above], scores[above])
        if len(found) == 0:
            return found
        dets, keep = batched_nms(
            found.bboxes, found.scores, found.labels, self.test_cfg.nms
        )
        return instances_of(dets[:, :4], dets[:, 4])

    def refuse(self, wanted: str) -> NoReturn:
        """Raise NotImplementedError for what a black box does not give."""
        raise NotImplementedError(
            f'{type(self).__name__} is a black box: it has no {wanted}. It can be '
            'evaluated, but neither trained nor attacked; optimise the patch on '
            'another detector and evaluate it on this one'
        )

    def loss(self, batch_inputs: Tensor, batch_data_samples: Any) -> NoReturn:
        """Black boxes have no loss."""
        self.refuse('loss')

    def extract_feat(self, batch_inputs: Tensor) -> NoReturn:
        """Black boxes show no features."""
        self.refuse('features')

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: Any = None
    ) -> NoReturn:
        self.refuse('raw outputs')


def check_checkpoint(model: nn.Module, checkpoint: str | None, config: str) -> None:
    """Raise ValueError if a black box gets weights, or another detector gets none.

    ``config`` names the detector in the error.
    """
    own = any(isinstance(part, BlackBoxDetector) for part in model.modules())
    if own and checkpoint is not None:
        raise ValueError(
            f'the detector in {config} is a black box with weights of its own: leave '
            f'the checkpoint {checkpoint} away (in configs: checkpoint=None)'
        )
    if not own and checkpoint is None:
        raise ValueError(
            f'the detector in {config} has no weights yet: name its checkpoint'
        )
