"""Candidate readers: from a forward pass to anchors and their face scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from ..models.dense_heads import SLNHead, log_odds


@dataclass
class Candidates:
    """What one image's forward pass offers the sample sets.

    Attributes:
        boxes: Anchors, (A, 4) float xyxy, pixels of the network input; no
            gradient.
        margins: Log-odds of the target class, (A,) float, differentiable in
            the image. For a two-class softmax they are ``s_p - s_n``.
    """

    boxes: Tensor
    margins: Tensor

    @property
    def scores(self) -> Tensor:
        """Scores S after softmax or sigmoid, (A,) float in [0, 1]."""
        return self.margins.sigmoid()

    @property
    def log_scores(self) -> Tensor:
        """``log S``, (A,) float <= 0, finite also where S rounds to 0."""
        return F.logsigmoid(self.margins)


@TASK_UTILS.register_module()
class SLNCandidateReader:
    """Read anchors and face log-odds of a single-stage detector with SLNHead.

    Args:
        class_id: Target class; faces are class 0.

    Raises:
        ValueError: If ``class_id`` is negative.
    """

    def __init__(self, class_id: int = 0) -> None:
        if class_id < 0:
            raise ValueError(f'SLNCandidateReader: class_id {class_id} is negative')
        self.class_id = class_id

    def __call__(self, detector: Any, inputs: Tensor) -> list[Candidates]:
        """Run the detector up to its class scores.

        Args:
            detector: A single-stage detector whose ``bbox_head`` is an
                :class:`SLNHead`.
            inputs: Normalised, padded images, (B, 3, H, W) float.

        Returns:
            The candidates of each image, all with the same anchors.

        Raises:
            TypeError: If the head is of another kind.
            ValueError: If the head has no class ``class_id``.
        """
        head = getattr(detector, 'bbox_head', None)
        if not isinstance(head, SLNHead):
            raise TypeError(
                'SLNCandidateReader reads detectors with an SLNHead, but '
                f'{type(detector).__name__} has {type(head).__name__}; configure '
                'another candidate reader')
        if self.class_id >= head.num_classes:
            raise ValueError(
                f'SLNCandidateReader: class_id {self.class_id}, but the detector '
                f'has {head.num_classes} class(es)')
        cls_scores, _ = head(detector.extract_feat(inputs))
        margins = log_odds(head.flat_logits(cls_scores))[..., self.class_id]
        anchors = head.priors(cls_scores)
        return [Candidates(anchors, image_margins) for image_margins in margins]
