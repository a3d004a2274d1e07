"""Attack losses."""

from __future__ import annotations

from mmdet.registry import MODELS
from torch import Tensor, nn


def adversarial_objective(log_scores: Tensor) -> Tensor:
    """The paper's objective, equation 1: ``L_Adv = -1/N sum log S``.

    Gradient *ascent* on it drives the samples' scores down. Without samples
    it is zero, still tied to the graph.

    Args:
        log_scores: ``log S`` of the samples, (N,) float; N may be 0.

    Returns:
        Scalar >= 0.
    """
    if log_scores.numel() == 0:
        return log_scores.sum()
    return -log_scores.mean()


@MODELS.register_module()
class AdversarialLoss(nn.Module):
    """What an optimiser minimises so that :func:`adversarial_objective` grows.

    Args:
        loss_weight: Factor on the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, log_scores: Tensor) -> Tensor:
        """Negative objective over the samples of all images of a batch.

        Args:
            log_scores: ``log S`` of the samples, (N,) float.

        Returns:
            Scalar <= 0; its descent is the paper's gradient ascent.
        """
        return -self.loss_weight * adversarial_objective(log_scores)
