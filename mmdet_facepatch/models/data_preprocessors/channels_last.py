"""Batches in the memory format in which convolutions are faster."""

from __future__ import annotations

import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS


@MODELS.register_module()
class ChannelsLastDetDataPreprocessor(DetDataPreprocessor):
    """mmdet's preprocessor, with batches in the channels-last memory format.

    Convolutions keep the format of their input, so the whole of any detector
    runs in it. Results are the same up to rounding; on CPUs it is faster. But
    mmcv's own operators take contiguous memory for granted: two-stage detectors need
    :class:`ContiguousSingleRoIExtractor`.
    Arguments are those of :class:`mmdet.models.DetDataPreprocessor`.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """As in mmdet, with ``inputs`` (B, 3, H, W) channels last."""
        data = super().forward(data, training)
        data['inputs'] = data['inputs'].contiguous(memory_format=torch.channels_last)
        return data
