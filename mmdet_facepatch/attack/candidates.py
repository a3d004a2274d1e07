"""Candidates: the boxes and scores that an attack can act on, and log S of a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.dense_heads.margins import class_log_odds

#: What stands for the anchors of the paper: anchors, proposals, or boxes that a head
#: predicts.
BoxKind = Literal['anchors', 'proposals', 'predictions']


@dataclass(frozen=True)
class BoxBlock:
    """Candidates in a row whose boxes are of one kind.

    Attributes:
        kind (BoxKind): What they are.
        count (int): Number of boxes.
        copies (int): Target classes, each of which has all of these boxes.
    """

    kind: BoxKind
    count: int
    copies: int = 1


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
        blocks (tuple[BoxBlock, ...]): What the boxes are, in their order; empty where a
            reader does not say it. Defaults to ().

    Raises:
        ValueError: If there is not one score for each box, or the blocks have another
            number of boxes.
    """

    boxes: Tensor
    log_scores: Tensor
    blocks: tuple[BoxBlock, ...] = ()

    def __post_init__(self) -> None:
        expected = (*self.log_scores.shape, 4)
        if self.log_scores.ndim != 1 or self.boxes.shape != expected:
            raise ValueError(
                'Candidates: boxes are (A, 4) and log_scores (A,), but got '
                f'{tuple(self.boxes.shape)} and {tuple(self.log_scores.shape)}'
            )
        described = sum(block.count * block.copies for block in self.blocks)
        if self.blocks and described != len(self.boxes):
            raise ValueError(
                f'Candidates: {len(self.boxes)} boxes in blocks of {described}'
            )
        if self.boxes.dtype in (torch.float16, torch.bfloat16):
            # An area of 256 x 256 is infinite in half precision.
            self.boxes = self.boxes.float()

    @classmethod
    def of_classes(
        cls, kind: BoxKind, boxes: Tensor, log_scores: Tensor, copies: int
    ) -> Candidates:
        """Each box as a candidate of each target class.

        Args:
            kind (BoxKind): What the boxes are.
            boxes (Tensor): (A, 4) float xyxy, pixels.
            log_scores (Tensor): (K * A,) float, one class after the other.
            copies (int): K, the number of target classes.
        """
        block = BoxBlock(kind, len(boxes), copies)
        return cls(boxes.repeat(copies, 1), log_scores, (block,))

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
