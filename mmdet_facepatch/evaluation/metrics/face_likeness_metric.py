"""Maximum face score on a patch that is shown alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmdet.registry import METRICS

from ...utils.target_classes import Target
from ..functional.patch_detections import best_patch_scores
from .target_metric import TargetMetric

# Background, side of the canvas's box in pixels, highest score.
Score = tuple[str, int, float]


@METRICS.register_module()
class FaceLikenessMetric(TargetMetric):
    """Maximum face score on the patch, on images of a ``PatchCanvasDataset``.

    Of each image the highest score of a detection on the patch, 0 where there is
    none; see :func:`~..functional.patch_detections.on_patch`. Clean images are
    the control: there the box counts that a patch would fill.

    :meth:`evaluate` returns, with the prefix ``likeness``,

    - ``likeness/grey/32``: the mean over the images of a background at a side of
      the patch (pixels), in [0, 1];
    - ``likeness/grey``: the highest of these means over the sides.

    Data samples need ``background``, ``side`` and ``instances``, which have to be
    among the ``meta_keys`` of ``PackDetInputs``, as ``patch_boxes`` (1, 4) where a
    patch was pasted.

    Args:
        patch_iou_thr (float): Least IoU of a detection with the patch, in (0, 1].
            Defaults to 0.3.
        share (float): Or least share of its area on the patch, in (0, 1]: a face that
            fills a part of it. Defaults to 0.5.
        target (Target): As in :class:`TargetMetric`. Defaults to None.
        collect_device (str): As in mmengine, 'cpu' or 'gpu'. Defaults to 'cpu'.
        prefix (str, optional): Replaces ``likeness``. Defaults to None.
    """

    default_prefix = 'likeness'

    def __init__(
        self,
        patch_iou_thr: float = 0.3,
        share: float = 0.5,
        target: Target = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(target, collect_device=collect_device, prefix=prefix)
        self.patch_iou_thr = patch_iou_thr
        self.share = share

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take the highest score on the patch of each image.

        Raises:
            KeyError: If a key is missing.
        """
        for sample in data_samples:
            self.results.append(self._score(sample))

    def _score(self, sample: Mapping[str, Any]) -> Score:
        missing = [
            key for key in ('background', 'side', 'instances') if key not in sample
        ]
        if missing:
            raise KeyError(
                f'{sample.get("img_id", "a data sample")}: no {", ".join(missing)}; '
                'FaceLikenessMetric needs a PatchCanvasDataset, with these among the '
                'meta_keys of PackDetInputs'
            )
        found = sample['pred_instances']
        labels = found['labels'].cpu().numpy()
        wanted = np.isin(labels, self.target_labels.detector)
        boxes = sample.get('patch_boxes')
        if boxes is None:
            boxes = [instance['bbox'] for instance in sample['instances']]
        best = best_patch_scores(
            found['bboxes'].cpu().numpy()[wanted],
            found['scores'].cpu().numpy()[wanted],
            boxes,
            self.patch_iou_thr,
            self.share,
        )
        return sample['background'], int(sample['side']), float(best.max())

    def compute_metrics(self, results: list[Score]) -> dict[str, float]:
        """Means by ``background/side``, and their maximum by background."""
        scores: dict[tuple[str, int], list[float]] = {}
        for background, side, score in results:
            scores.setdefault((background, side), []).append(score)
        highest: dict[str, float] = {}
        by_side: dict[str, float] = {}
        for (name, side), values in scores.items():
            mean = by_side[f'{name}/{side}'] = float(np.mean(values))
            highest[name] = max(mean, highest.get(name, 0.0))
        return {**highest, **by_side}
