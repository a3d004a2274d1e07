"""Candidates: the boxes and scores that an attack can act on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Candidates:
    """What one image's forward pass offers the sample sets.

    Attributes:
        boxes: Anchors, or what stands for them, (A, 4) float xyxy, pixels of
            the padded network input; no gradient. Half precision, as networks
            predict it under AMP, becomes float32.
        log_scores: ``log S`` of the target class, (A,) float <= 0,
            differentiable in the image. Finite, like its gradient, also where
            S rounds to 0 or 1.

    Raises:
        ValueError: If there is not one score for each box.
    """

    boxes: Tensor
    log_scores: Tensor

    def __post_init__(self) -> None:
        expected = (*self.log_scores.shape, 4)
        if self.log_scores.ndim != 1 or self.boxes.shape != expected:
            raise ValueError(
                'Candidates: boxes are (A, 4) and log_scores (A,), but got '
                f'{tuple(self.boxes.shape)} and {tuple(self.log_scores.shape)}')
        if self.boxes.dtype in (torch.float16, torch.bfloat16):
            # An area of 256 x 256 is infinite in half precision.
            self.boxes = self.boxes.float()

    @property
    def scores(self) -> Tensor:
        """Scores S after softmax or sigmoid, (A,) float in [0, 1]."""
        return self.log_scores.exp()
