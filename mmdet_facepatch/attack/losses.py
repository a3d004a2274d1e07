"""Attack losses."""

from __future__ import annotations

import math

from mmdet.registry import MODELS
from torch import Tensor, nn


def adversarial_objective(
    log_scores: Tensor, avg_factor: Tensor | float | None = None
) -> Tensor:
    """The paper's objective, equation 1: ``L_Adv = -1/N sum log S``.

    Gradient *ascent* on it drives the samples' scores down. Without samples
    it is zero, still tied to the graph.

    Args:
        log_scores (Tensor): ``log S`` of the samples, (N,) float; N may be 0.
        avg_factor (Tensor | float, optional): Divisor in place of N, positive if N is:
            what several processes divide by, so that the mean of their gradients is
            that over all samples. Defaults to None.

    Returns:
        Tensor: Scalar >= 0.
    """
    if log_scores.numel() == 0:
        return log_scores.sum()
    if avg_factor is None:
        return -log_scores.mean()
    return -log_scores.sum() / avg_factor


def focal_adversarial_objective(
    log_scores: Tensor,
    gamma: float = 2.0,
    detach_weight: bool = True,
    avg_factor: Tensor | float | None = None,
) -> Tensor:
    """The objective of *Patch-Score-Focal*, equation 2: ``-1/N sum S^g log S``.

    Its value does not depend on ``detach_weight``; its gradient does:

    * detached, the weight ``S^g`` is a constant of the step. Ascent drives
      every sample down, high scores the hardest: ``d/d(log S) = -S^g / N``.
    * literal, the gradient flows through the weight as well:
      ``d/d(log S) = -S^g (1 + g log S) / N``. It changes sign at
      ``S = exp(-1 / g)``, 0.607 for ``g = 2``: ascent drives samples below
      that **up**, those between 0.5 and 0.607 of the default sample set too.

    Args:
        log_scores (Tensor): ``log S`` of the samples, (N,) float, finite; N may be 0.
        gamma (float): ``g``, the focusing parameter, >= 0; 0 gives equation 1. Defaults
            to 2.0.
        detach_weight (bool): Hold the weight constant. Defaults to True.
        avg_factor (Tensor | float, optional): As in :func:`adversarial_objective`.
            Defaults to None.

    Returns:
        Tensor: Scalar >= 0; without samples it is zero, still tied to the graph.
    """
    # From the logarithm, so that S = 0 in float32 gives a weight of 0, not NaN.
    weights = (gamma * log_scores).exp()
    if detach_weight:
        weights = weights.detach()
    return adversarial_objective(weights * log_scores, avg_factor)


@MODELS.register_module()
class AdversarialLoss(nn.Module):
    """What an optimiser minimises so that :func:`adversarial_objective` grows.

    Args:
        loss_weight (float): Factor on the loss, > 0. Defaults to 1.0.

    Raises:
        ValueError: If ``loss_weight`` is not positive: the patch would attract.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 < loss_weight < math.inf:
            raise ValueError(
                f'{type(self).__name__}: loss_weight must be positive and '
                f'finite, got {loss_weight}'
            )
        self.loss_weight = loss_weight

    def objective(
        self, log_scores: Tensor, avg_factor: Tensor | float | None
    ) -> Tensor:
        """What descent on the loss maximises; arguments as in :meth:`forward`."""
        return adversarial_objective(log_scores, avg_factor)

    def forward(
        self, log_scores: Tensor, avg_factor: Tensor | float | None = None
    ) -> Tensor:
        """Negative objective over the samples of all images of a batch.

        Args:
            log_scores (Tensor): ``log S`` of the samples, (N,) float.
            avg_factor (Tensor | float, optional): As in :func:`adversarial_objective`.
                Defaults to None.

        Returns:
            Tensor: Scalar <= 0; its descent is the paper's gradient ascent.
        """
        return -self.loss_weight * self.objective(log_scores, avg_factor)


@MODELS.register_module()
class FocalAdversarialLoss(AdversarialLoss):
    """What an optimiser minimises so that :func:`focal_adversarial_objective` grows.

    Args:
        gamma (float): Focusing parameter, >= 0; 2 in the paper. Defaults to 2.0.
        detach_weight (bool): Hold the weight ``S^gamma`` constant (default), or let the
            gradient flow through it, as equation 2 taken literally does.
        loss_weight (float): Factor on the loss, > 0. Defaults to 1.0.

    Raises:
        ValueError: If ``gamma`` is negative or not finite, or ``loss_weight`` not
            positive.
    """

    def __init__(
        self, gamma: float = 2.0, detach_weight: bool = True, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        if not 0 <= gamma < math.inf:
            raise ValueError(
                'FocalAdversarialLoss: gamma must be finite and at '
                f'least 0, got {gamma}'
            )
        self.gamma = gamma
        self.detach_weight = detach_weight

    def objective(
        self, log_scores: Tensor, avg_factor: Tensor | float | None
    ) -> Tensor:
        """What descent on the loss maximises; arguments as in :meth:`forward`."""
        return focal_adversarial_objective(
            log_scores, self.gamma, self.detach_weight, avg_factor
        )
