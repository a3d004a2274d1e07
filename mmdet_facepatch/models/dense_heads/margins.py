"""Log-odds of classes, and how a dense head keeps them with its detections.

A softmax score rounds to 1.0 in float32 where the log-odds exceed about 16.6, and
then no longer ranks detections. Heads that inherit :class:`MarginMixin` keep
the log-odds as well, in the field ``margins`` of their detections.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.utils import filter_scores_and_topk
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor


def class_log_odds(logits: Tensor, class_id: int, use_sigmoid: bool) -> Tensor:
    """Log-odds of one class: the sigmoid of them is its score.

    With a two-class softmax they are ``s_p - s_n`` (paper, footnote 4).

    Args:
        logits (Tensor): (..., C) float for a sigmoid, (..., C + 1) with the background
            last for a softmax.
        class_id (int): Class, in [0, C).
        use_sigmoid (bool): Scores are a sigmoid per class, not a softmax.

    Returns:
        Tensor: (...) float, unbounded, differentiable.
    """
    if use_sigmoid:
        return logits[..., class_id]
    # One class only: the log-odds of all C would take C times the memory.
    others = torch.cat([logits[..., :class_id], logits[..., class_id + 1 :]], dim=-1)
    return logits[..., class_id] - others.logsumexp(dim=-1)


def class_margins(logits: Tensor, use_sigmoid: bool) -> Tensor:
    """Log-odds (..., C) of each foreground class, see :func:`class_log_odds`."""
    if use_sigmoid:
        return logits
    classes = range(logits.shape[-1] - 1)
    return torch.stack([class_log_odds(logits, i, False) for i in classes], dim=-1)


def flatten_map(level: Tensor, channels: int) -> Tensor:
    """One level's map as rows, cell by cell and anchor by anchor.

    (..., K * channels, H, W) for K anchors a cell becomes (..., H * W * K, channels).
    """
    return level.movedim(-3, -1).reshape(*level.shape[:-3], -1, channels)


def refuse_custom_cls_channels(head: object) -> None:
    """Raise ValueError for a head whose ``loss_cls`` has its own activation.

    Such as ``SeesawLoss``.
    """
    loss = getattr(head, 'loss_cls', None)
    if getattr(loss, 'custom_cls_channels', False):
        raise ValueError(
            f'{type(head).__name__}: margins are the log-odds of a softmax or a '
            f'sigmoid, but {type(loss).__name__} has class channels of its own'
        )


class MarginMixin:
    """Keeps log-odds as ``margins`` through score filtering and NMS.

    To be inherited before a head that is an :class:`mmdet.models.AnchorHead`
    with softmax or sigmoid scores. Parameters, forward pass and losses stay as
    they are, so that checkpoints of the plain head fit.

    Thresholds and NMS work on the scores, as in mmdet. An NMS that lowers
    scores (soft-NMS) leaves the margins alone.

    Raises:
        ValueError: For a ``loss_cls`` with class channels of its own.
    """

    test_cfg: ConfigDict
    use_sigmoid_cls: bool
    cls_out_channels: int
    bbox_coder: Any
    _bbox_post_process: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_custom_cls_channels(self)

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        *args: Any,
        **kwargs: Any,
    ) -> list[InstanceData]:
        """Detections of a batch, computed in float32 also under autocast.

        mmdet makes the priors in the precision of the scores, in which a half has
        no place for coordinates above 512, and NMS no kernel on the CPU.
        """
        predict: Any = super()
        return predict.predict_by_feat(
            [level.float() for level in cls_scores],
            [level.float() for level in bbox_preds],
            *args,
            **kwargs,
        )

    def _predict_by_feat_single(
        self,
        cls_score_list: list[Tensor],
        bbox_pred_list: list[Tensor],
        score_factor_list: list[Tensor | None],
        mlvl_priors: list[Tensor],
        img_meta: dict,
        cfg: ConfigDict | None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceData:
        """Detections of one image, each with its log-odds as ``margins``.

        As :meth:`mmdet.models.AnchorHead._predict_by_feat_single`, but scores come
        from the log-odds, which stay with the detections through NMS: (N,), unbounded.

        Raises:
            ValueError: If scores have factors, e.g. centerness: the margins
                would not be their log-odds.
        """
        if any(factor is not None for factor in score_factor_list):
            raise ValueError(
                f'{type(self).__name__}: margins are not the log-odds '
                'of scores that are multiplied by score factors'
            )
        cfg = self.test_cfg if cfg is None else cfg
        results = InstanceData.cat(
            [
                self._level_candidates(*level, cfg)
                for level in zip(cls_score_list, bbox_pred_list, mlvl_priors)
            ]
        )
        results.bboxes = self.bbox_coder.decode(
            results.pop('priors'),
            results.pop('deltas'),
            max_shape=img_meta['img_shape'],
        )
        return self._bbox_post_process(
            results=results,
            cfg=cfg,
            rescale=rescale,
            with_nms=with_nms,
            img_meta=img_meta,
        )

    def _level_candidates(
        self, cls_score: Tensor, bbox_pred: Tensor, priors: Tensor, cfg: ConfigDict
    ) -> InstanceData:
        """A level's best ``nms_pre`` pairs of anchor and class above the threshold."""
        margins = class_margins(
            flatten_map(cls_score, self.cls_out_channels), self.use_sigmoid_cls
        )
        deltas = flatten_map(bbox_pred, self.bbox_coder.encode_size)
        scores, labels, _, kept = filter_scores_and_topk(
            margins.sigmoid(),
            cfg.get('score_thr', 0),
            cfg.get('nms_pre', -1),
            dict(deltas=deltas, priors=priors, margins=margins),
        )
        # The filter keeps an anchor's margins of all classes.
        kept['margins'] = kept['margins'].gather(1, labels[:, None]).squeeze(1)
        return InstanceData(scores=scores, labels=labels, **kept)
