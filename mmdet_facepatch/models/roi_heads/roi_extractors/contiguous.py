"""RoI extractor for feature maps in any memory format."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from torch import Tensor

# mmdet gives regions the dtype of the maps: under AMP their coordinates would be
# rounded to half a pixel from 512 on, and to four with bfloat16.
HALF = (torch.float16, torch.bfloat16)


@MODELS.register_module()
class ContiguousSingleRoIExtractor(SingleRoIExtractor):
    """mmdet's extractor, on maps that are laid out anew where they need to be.

    mmcv's compiled RoI operators read a map's memory as contiguous whatever its strides
    are: on the channels-last maps of :class:`ChannelsLastDetDataPreprocessor` they
    pool values of the wrong places and channels, without an error. Arguments are
    those of :class:`mmdet.models.SingleRoIExtractor`.
    """

    def forward(
        self,
        feats: Sequence[Tensor],
        rois: Tensor,
        roi_scale_factor: float | None = None,
    ) -> Tensor:
        """As in mmdet, but float32 under AMP."""
        contiguous = tuple(
            (level.float() if level.dtype in HALF else level).contiguous()
            for level in feats
        )
        return super().forward(contiguous, rois, roi_scale_factor)
