"""Candidates: the boxes and scores that an attack can act on, and log S of a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.dense_heads.margins import class_log_odds


@dataclass
class Candidates:
    """What one image's forward pass offers the sample sets.

    Attributes:
        boxes (Tensor): Anchors, or what stands for them, (A, 4) float xyxy, pixels of
            the padded network input; no gradient. Half precision, as networks predict
            it under AMP, becomes float32.
        log_scores (Tensor): ``log S`` of the target class, (A,) float <= 0,
            differentiable in the image. Finite, like its gradient, also where S rounds
            to 0 or 1.

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
                f'{tuple(self.boxes.shape)} and {tuple(self.log_scores.shape)}'
            )
        if self.boxes.dtype in (torch.float16, torch.bfloat16):
            # An area of 256 x 256 is infinite in half precision.
            self.boxes = self.boxes.float()

    @property
    def scores(self) -> Tensor:
        """Scores S after softmax or sigmoid, (A,) float in [0, 1]."""
        return self.log_scores.exp()


def class_log_scores(logits: Tensor, class_id: int, use_sigmoid: bool) -> Tensor:
    """``log S`` of one class.

    Through the log-odds rather than a log-softmax, whose gradient ``1 - S``
    is exactly zero in float32 for every score above ``1 - 2**-25``.

    Args:
        logits (Tensor): (..., C) float for a sigmoid, (..., C + 1) with the background
            last for a softmax.
        class_id (int): Class, in [0, C).
        use_sigmoid (bool): Scores are a sigmoid per class, not a softmax.

    Returns:
        Tensor: (...) float <= 0, finite for finite logits, and so is the gradient.
    """
    return F.logsigmoid(class_log_odds(logits, class_id, use_sigmoid))


def each_class(log_scores: Callable[[int], Tensor], class_ids: Sequence[int]) -> Tensor:
    """``log S`` of several classes, one after the other.

    Args:
        log_scores (Callable[[int], Tensor]): Returns (..., A) float of a class.
        class_ids (Sequence[int]): K classes.

    Returns:
        Tensor: (..., K * A) float.
    """
    return torch.cat([log_scores(class_id) for class_id in class_ids], dim=-1)
