"""Log S of one class, from logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def class_log_odds(logits: Tensor, class_id: int, use_sigmoid: bool) -> Tensor:
    """Log-odds of one class: the sigmoid of them is its score.

    With a two-class softmax they are ``s_p - s_n`` (paper, footnote 4).

    Args:
        logits: (..., C) float for a sigmoid, (..., C + 1) with the background
            last for a softmax.
        class_id: Class, in [0, C).
        use_sigmoid: Scores are a sigmoid per class, not a softmax.

    Returns:
        (...) float, unbounded, differentiable.
    """
    if use_sigmoid:
        return logits[..., class_id]
    # One class only: the log-odds of all C would take C times the memory.
    others = torch.cat(
        [logits[..., :class_id], logits[..., class_id + 1:]], dim=-1)
    return logits[..., class_id] - others.logsumexp(dim=-1)


def class_log_scores(logits: Tensor, class_id: int, use_sigmoid: bool) -> Tensor:
    """``log S`` of one class.

    Through the log-odds rather than a log-softmax, whose gradient ``1 - S``
    is exactly zero in float32 for every score above ``1 - 2**-25``.

    Args:
        logits: (..., C) float for a sigmoid, (..., C + 1) with the background
            last for a softmax.
        class_id: Class, in [0, C).
        use_sigmoid: Scores are a sigmoid per class, not a softmax.

    Returns:
        (...) float <= 0, finite for finite logits, and so is the gradient.
    """
    return F.logsigmoid(class_log_odds(logits, class_id, use_sigmoid))
