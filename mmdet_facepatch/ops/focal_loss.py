"""Sigmoid focal loss (Lin et al., RetinaNet, ICCV 2017), as mmcv's CUDA operator."""

from __future__ import annotations

import torch
from torch import Tensor


def _terms(logits: Tensor, target: Tensor, alpha: float) -> tuple[Tensor, ...]:
    """Whether each entry is its sample's class, its factor, and p, log p, log(1 - p).

    Logarithms are of probabilities not below the smallest normal float32.
    """
    positive = target[:, None] == torch.arange(logits.size(1), device=target.device)
    factor = torch.where(positive, -alpha, -(1 - alpha)).to(logits.dtype)
    probability = logits.sigmoid()
    smallest = torch.finfo(torch.float32).tiny
    return (
        positive,
        factor,
        probability,
        probability.clamp(min=smallest).log(),
        (1 - probability).clamp(min=smallest).log(),
    )


def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    gamma: float,
    alpha: float,
) -> Tensor:
    """Focal loss of each entry.

    Args:
        logits (Tensor): (N, C) float.
        target (Tensor): (N,) int64, a class in [0, C), or C for background.
        weight (Tensor): (C + 1,) or (C,) float, of each target, or empty.
        gamma (float): Exponent of the modulating factor.
        alpha (float): Weight of positive entries; negative ones have ``1 - alpha``.

    Returns:
        Tensor: (N, C) float, ``-alpha (1 - p)^gamma log p`` of a sample's class and
        ``-(1 - alpha) p^gamma log(1 - p)`` of others.
    """
    positive, factor, p, log_p, log_q = _terms(logits, target, alpha)
    loss = factor * torch.where(positive, (1 - p) ** gamma * log_p, p**gamma * log_q)
    return loss * weight[target][:, None] if weight.numel() else loss


def sigmoid_focal_loss_gradient(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    gamma: float,
    alpha: float,
) -> Tensor:
    """Derivative of :func:`sigmoid_focal_loss` by the logits, (N, C) float."""
    positive, factor, p, log_p, log_q = _terms(logits, target, alpha)
    gradient = factor * torch.where(
        positive,
        (1 - p) ** gamma * (1 - p - gamma * p * log_p),
        p**gamma * (gamma * (1 - p) * log_q - p),
    )
    return gradient * weight[target][:, None] if weight.numel() else gradient
