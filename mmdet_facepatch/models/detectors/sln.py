"""The Single Level Network, the paper's baseline face detector."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class SLN(SingleStageDetector):
    """Single Level Network (paper, section 3.1 and Fig. 3; Ming et al. 2019).

    A backbone, a top-down neck that ends at the stride-4 map P2, and one dense
    head on it whose anchors have four scales and one ratio. Training samples
    are chosen by group sampling, boxes are learnt with the IoU least-square
    loss. Nothing that only coarser detection levels would need is computed.

    Use :class:`TopDownP2` as ``neck`` and :class:`SLNHead` as ``bbox_head`` to
    get the network of the paper.

    Args:
        *args: As in :class:`mmdet.models.SingleStageDetector`.
        channels_last: Run the convolutions in the channels-last memory
            format; same results up to rounding, faster on CPUs.
        **kwargs: As in :class:`mmdet.models.SingleStageDetector`.
    """

    def __init__(self, *args: Any, channels_last: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels_last = channels_last

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of a batch.

        Args:
            batch_inputs: Normalised images, (B, 3, H, W) float.

        Returns:
            The neck's maps; P2 alone with :class:`TopDownP2`.
        """
        if self.channels_last:
            # Convolutions keep the format of their input.
            batch_inputs = batch_inputs.contiguous(
                memory_format=torch.channels_last)
        return super().extract_feat(batch_inputs)
