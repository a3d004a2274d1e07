"""mmdet's anchor heads, with the log-odds of each detection as ``margins``."""

from __future__ import annotations

from mmdet.models.dense_heads import RetinaHead, SSDHead
from mmdet.registry import MODELS

from .margins import MarginMixin


@MODELS.register_module()
class SSDMarginHead(MarginMixin, SSDHead):
    """SSD's head with ``margins``; takes SSDHead's config and checkpoints.

    Of a softmax over background and classes, one map with its own number of
    anchors per level.
    """


@MODELS.register_module()
class RetinaMarginHead(MarginMixin, RetinaHead):
    """RetinaNet's head with ``margins``; takes RetinaHead's config and checkpoints.

    With the usual sigmoid focal loss they are the class logits.
    """
