"""Focal loss over softmax scores."""

from __future__ import annotations

import torch
from mmdet.models.losses.utils import weighted_loss
from mmdet.registry import MODELS
from torch import Tensor, nn


@weighted_loss
def softmax_focal_loss(
    pred: Tensor, target: Tensor, gamma: float = 2.0, alpha: float = 0.25
) -> Tensor:
    """``-alpha_t (1 - p_t)^gamma log(p_t)`` per sample (Lin et al. 2017, eq. 5).

    ``p_t`` is the softmax score of the sample's own class. mmdet's
    ``FocalLoss`` is defined over sigmoid scores only; with one class the two
    are equal where the sigmoid reads the difference of the two logits.

    Args:
        pred (Tensor): Logits, (N, num_classes + 1), background last.
        target (Tensor): Class of each sample, (N,) int64; num_classes is background.
        gamma (float): Exponent that takes weight from what is already right. Defaults
            to 2.0.
        alpha (float): Weight of the classes; the background weighs ``1 - alpha``.
            Defaults to 0.25.

    Returns:
        Tensor: Losses, (N,), which ``weighted_loss`` weights and reduces.
    """
    log_p = pred.log_softmax(dim=1).gather(1, target[:, None]).squeeze(1)
    background = (target == pred.shape[1] - 1).to(log_p.dtype)
    alpha_t = alpha + (1 - 2 * alpha) * background
    # 1 - p_t from expm1 keeps its digits where p_t is nearly one; it is kept off
    # zero, where a gamma below one has no finite gradient.
    miss = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
    return -alpha_t * miss.pow(gamma) * log_p


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """Focal loss for heads whose scores are a softmax, as SLN's.

    With it all negatives can be samples: the easy ones weigh little, so a few
    hard ones are not lost among them. Divide by the number of positives, as
    RetinaNet does (``cls_average='positives'`` of
    :class:`~mmdet_facepatch.models.dense_heads.SLNHead`).

    Args:
        gamma (float): Exponent, not negative; 0 leaves a weighted cross entropy.
            Defaults to 2.0.
        alpha (float): Weight of the classes in [0, 1]. Defaults to 0.25.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.
        loss_weight (float): Factor on the loss. Defaults to 1.0.

    Raises:
        ValueError: If ``gamma`` or ``alpha`` is out of its range.
    """

    # mmdet's heads ask a loss for this to count their output channels.
    use_sigmoid = False

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float = 0.25,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if gamma < 0 or not 0 <= alpha <= 1:
            raise ValueError(
                'SoftmaxFocalLoss: need gamma >= 0 and alpha in [0, 1], '
                f'got {gamma} and {alpha}'
            )
        self.gamma = gamma
        self.alpha = alpha
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """As mmdet's losses: a scalar, or (N,) with the reduction 'none'.

        ``pred`` and ``target`` as in :func:`softmax_focal_loss`; ``weight`` is (N,).
        """
        loss = softmax_focal_loss(
            pred,
            target,
            weight,
            gamma=self.gamma,
            alpha=self.alpha,
            reduction=reduction_override or self.reduction,
            avg_factor=avg_factor,
        )
        return self.loss_weight * loss
