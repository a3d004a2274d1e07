"""The Single Level Network, the paper's baseline face detector."""

from __future__ import annotations

from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS


@MODELS.register_module()
class SLN(SingleStageDetector):
    """Single Level Network (paper, section 3.1 and Fig. 3; Ming et al. 2019).

    A backbone, a top-down neck that ends at the stride-4 map P2, and one dense
    head on it whose anchors have four scales and one ratio. Training samples
    are chosen by group sampling, boxes are learnt with the IoU least-square
    loss. Nothing that only coarser detection levels would need is computed.

    Use :class:`TopDownP2` as ``neck`` and :class:`SLNHead` as ``bbox_head`` to
    get the network of the paper.

    Arguments are those of :class:`mmdet.models.SingleStageDetector`.
    """
