"""Top-down refusion that ends in one map."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class TopDownP2(BaseModule):
    """Fuse backbone maps top-down into the finest one (paper, Fig. 3).

    Each map passes a 1x1 convolution to ``out_channels``. From the coarsest
    on, the running sum is upsampled bilinearly to the next finer map's size
    and added to it. Only the finest sum is returned: with a ResNet it is P2
    with a stride of 4 pixels. There are no output convolutions for coarser
    levels, as FPN has them, since no head would read those.

    Args:
        in_channels (Sequence[int]): Channels of the input maps, finest first.
        out_channels (int): Channels of the lateral maps and of the output. The paper
            uses 256. Defaults to 256.
        init_cfg (dict | list[dict], optional): Initialisation config, as in mmengine.
            Defaults to None.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = dict(type='Xavier', layer='Conv2d', distribution='uniform')
        super().__init__(init_cfg)
        if not in_channels:
            raise ValueError(
                'TopDownP2: in_channels is empty; name the channels '
                'of at least one backbone map'
            )
        self.in_channels = list(in_channels)
        self.out_channels = out_channels
        self.lateral_convs = nn.ModuleList(
            nn.Conv2d(channels, out_channels, 1) for channels in in_channels
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor]:
        """Fuse maps (B, C_i, H_i, W_i), finest first.

        Returns:
            tuple[Tensor]: One map (B, out_channels, H_0, W_0).

        Raises:
            ValueError: If the number of maps is not that of ``in_channels``.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(
                f'TopDownP2: got {len(inputs)} maps for {len(self.in_channels)} '
                "in_channels; check the backbone's out_indices"
            )
        fused = self.lateral_convs[-1](inputs[-1])
        for conv, finer in zip(self.lateral_convs[-2::-1], inputs[-2::-1], strict=True):
            upsampled = F.interpolate(
                fused, size=finer.shape[-2:], mode='bilinear', align_corners=False
            )
            fused = conv(finer) + upsampled
        return (fused,)
