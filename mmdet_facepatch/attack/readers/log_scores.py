"""Log S of one class, from logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...models.dense_heads.margins import class_log_odds


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
