"""IoU least-square regression loss."""

from __future__ import annotations

from mmdet.models.losses.utils import weighted_loss
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor, nn


@weighted_loss
def iou_regression_loss(pred: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """Squared distance of the IoU from one, per pair: ``(1 - IoU)^2``.

    This is the paper's ``L_reg`` (section 3.1). mmdet's
    ``IoULoss(mode='square')`` is another function, ``1 - IoU^2``.

    Args:
        pred (Tensor): Decoded boxes, (N, 4) float xyxy, pixels.
        target (Tensor): Faces they belong to, (N, 4) float xyxy, pixels.
        eps (float): Lower bound of the union's area, square pixels. Defaults to 1e-06.

    Returns:
        Tensor: Losses in [0, 1], (N,), which ``weighted_loss`` weights and reduces.
    """
    ious = bbox_overlaps(pred, target, is_aligned=True, eps=eps)
    return (1 - ious).square()


@MODELS.register_module()
class IoURegressionLoss(nn.Module):
    """The IoU least-square loss as an mmdet module.

    It acts on decoded boxes: heads must set ``reg_decoded_bbox=True``. Boxes
    that do not overlap have a loss of one and no gradient; positives are
    chosen by IoU with their anchor, so they start with overlap.

    Args:
        eps (float): Lower bound of the union's area, square pixels. Defaults to 1e-06.
        reduction (str): 'mean', 'sum' or 'none'. Defaults to 'mean'.
        loss_weight (float): Factor on the loss. Defaults to 1.0.
    """

    def __init__(
        self, eps: float = 1e-6, reduction: str = 'mean', loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.eps = eps
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

        ``pred`` are decoded boxes and ``target`` faces, (N, 4) float xyxy in pixels;
        ``weight`` is (N,) or (N, 4).
        """
        if pred.numel() == 0:
            # A step without positives is legal; the sum keeps the graph.
            return pred.sum() * 0
        if weight is not None and weight.dim() == 2:
            weight = weight.mean(-1)
        loss = iou_regression_loss(
            pred,
            target,
            weight,
            eps=self.eps,
            reduction=reduction_override or self.reduction,
            avg_factor=avg_factor,
        )
        return self.loss_weight * loss
