"""WIDER FACE metric for mmengine's evaluation loops."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from .protocol import (
    FALSE_POSITIVE,
    OFFICIAL_SUBSETS,
    ImageRecord,
    PooledMatches,
    average_precision,
    calibrated_delta,
    load_subsets,
    pool_matches,
    precision_recall_at,
)


@METRICS.register_module()
class WiderFaceMetric(BaseMetric):
    """Precision and recall at delta, and AP, by the WIDER FACE protocol.

    Faces come from ``instances`` of each data sample, as the dataset wrote
    them (original coordinates, nothing dropped), so ``'instances'`` has to be
    among the ``meta_keys`` of ``PackDetInputs``. Detections are read from
    ``pred_instances``, also in original coordinates (``rescale=True``, mmdet's
    default). Images under attack carry ``patch_boxes``, by which detections
    on a patch are told apart.

    The subset ``all`` holds every annotated face with nothing ignored; with
    ``subset_dir``, the official ``easy``, ``medium`` and ``hard`` are added.
    Only the images that were evaluated count, so on a part of WIDER FACE the
    numbers are that part's.

    :meth:`evaluate` returns floats, each key preceded by the prefix
    (``face/``). For each subset (``all/``, ``easy/``, ...):

    - ``AP``: official AP on normalised scores; NaN without faces.
    - ``precision@D``, ``recall@D``: at raw scores >= D, for each delta (written
      with ``%g``: ``precision@0.99``) and for ``calibrated``. Precision is NaN
      where no detection counts, recall where the subset has no face.
    - ``on_patch@D``: false positives that overlap no face enough to match it
      and sit on a patch; only if some image carried ``patch_boxes``.
    - ``num_faces``: faces kept.

    And once:

    - ``calibrated_delta``: the threshold behind ``@calibrated``; NaN where the
      precision is never reached, and then every ``@calibrated`` is NaN.
    - ``num_images``, and ``num_images_without_faces``, whose detections the
      protocol leaves out.

    Args:
        deltas (Sequence[float]): Score thresholds.
        min_precision (float): Precision that defines the calibrated delta: the
            lowest score threshold at which the precision over *all* faces is at
            least this.
        reference_delta (float, optional): Threshold to use for ``@calibrated``
            in place of the run's own, as found on clean images. It is an
            attribute too, so that a loop can set it between a clean run and an
            attacked one; the value of ``calibrated_delta`` can be given as it
            is (NaN says that the clean run never reached the precision).
        subset_dir (str, optional): Folder with the official
            ``wider_{easy,medium,hard}_val.mat``.
        iou_thr (float): Least IoU (+1 convention) of a match.
        patch_thr (float): Least IoU of a detection on a patch, see
            :func:`~mmdet_facepatch.evaluation.protocol.on_patch`.
        count_empty_images (bool): Whether detections in images without any
            annotated face are false positives; not so in the protocol.
        face_label (int): Class that counts. Detections and annotations of other
            classes are left out, so that a detector of many classes can be
            judged by one of them.
        collect_device (str): As in mmengine, 'cpu' or 'gpu'.
        prefix (str, optional): Replaces ``face``.

    Example:
        >>> val_evaluator = dict(
        ...     type='WiderFaceMetric',
        ...     deltas=(0.99, 0.9, 0.5),
        ...     subset_dir='data/WIDERFace/eval_tools/ground_truth')
    """

    default_prefix = 'face'

    def __init__(
        self,
        deltas: Sequence[float] = (0.99, 0.9, 0.5),
        min_precision: float = 0.99,
        reference_delta: float | None = None,
        subset_dir: str | None = None,
        iou_thr: float = 0.5,
        patch_thr: float = 0.3,
        count_empty_images: bool = False,
        face_label: int = 0,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        _check_fraction('min_precision', min_precision)
        _check_fraction('iou_thr', iou_thr)
        _check_fraction('patch_thr', patch_thr)
        self.deltas = _check_deltas(deltas)
        self.min_precision = min_precision
        self.reference_delta = reference_delta
        self.iou_thr = iou_thr
        self.patch_thr = patch_thr
        self.count_empty_images = count_empty_images
        self.face_label = face_label
        # Read now: a missing file should not show after hours of training.
        self.subsets: dict[str, dict[str, NDArray[np.bool_]]] = (
            {} if subset_dir is None else load_subsets(subset_dir)
        )

    @property
    def subset_names(self) -> tuple[str, ...]:
        """Subsets evaluated, 'all' last."""
        return (*(OFFICIAL_SUBSETS if self.subsets else ()), 'all')

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take detections and faces of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Data samples as dicts, with
                ``img_id``, ``instances``, ``pred_instances`` (``bboxes`` (N, 4)
                xyxy, ``scores`` (N,), ``labels`` (N,)) and, where patches were
                pasted, ``patch_boxes`` (P, 4) xyxy.

        Raises:
            KeyError: If a key is missing.
            ValueError: If boxes or scores are not finite, of the wrong shape,
                of negative size (detections only), or scores not in [0, 1].
        """
        for sample in data_samples:
            self.results.append(self._to_record(sample))

    def compute_metrics(self, results: list[ImageRecord]) -> dict[str, float]:
        """Sum up over all images.

        Args:
            results (list[ImageRecord]): Records of all images, of all ranks.

        Returns:
            dict: Numbers by name, see the class.

        Raises:
            ValueError: If there are no images, an image occurs twice, or an
                image does not fit the subset lists.
        """
        _check_images(results)
        pool = pool_matches(
            results, self.iou_thr, self.patch_thr, self.count_empty_images
        )
        keeps = self._keep_masks(results)
        delta = self._delta_in_use(pool, keeps['all'])
        attacked = any(record.patch_boxes is not None for record in results)
        metrics: dict[str, float] = {}
        for name in self.subset_names:
            numbers = self._subset_metrics(pool, keeps[name], delta, attacked)
            metrics.update({f'{name}/{key}': v for key, v in numbers.items()})
        metrics['calibrated_delta'] = delta
        metrics['num_images'] = float(len(results))
        metrics['num_images_without_faces'] = float(np.sum(pool.faces_per_image == 0))
        return metrics

    def _delta_in_use(self, pool: PooledMatches, keep: NDArray[np.bool_]) -> float:
        """The calibrated delta, given or found; NaN for none."""
        if self.reference_delta is not None:
            return float(self.reference_delta)
        found = calibrated_delta(pool.scores, pool.status(keep), self.min_precision)
        return math.nan if found is None else found

    def _subset_metrics(
        self,
        pool: PooledMatches,
        keep: NDArray[np.bool_],
        delta: float,
        attacked: bool,
    ) -> dict[str, float]:
        status = pool.status(keep)
        num_faces = int(keep.sum())
        metrics = {'AP': average_precision(pool.scores, status, num_faces)}
        thresholds = {f'{value:g}': value for value in self.deltas}
        thresholds['calibrated'] = delta
        patch_scores = pool.scores[pool.on_patch & (status == FALSE_POSITIVE)]
        for name, value in thresholds.items():
            precision, recall, hits = _at_threshold(
                pool.scores, status, num_faces, patch_scores, value
            )
            metrics[f'precision@{name}'] = precision
            metrics[f'recall@{name}'] = recall
            if attacked:
                metrics[f'on_patch@{name}'] = hits
        metrics['num_faces'] = float(num_faces)
        return metrics

    def _keep_masks(
        self, results: Sequence[ImageRecord]
    ) -> dict[str, NDArray[np.bool_]]:
        """For each subset, which of the faces of all images are kept."""
        masks = {}
        for name, subset in self.subsets.items():
            parts = [_subset_mask(name, subset, record) for record in results]
            masks[name] = np.concatenate(parts)
        num_faces = sum(len(record.gt_boxes) for record in results)
        masks['all'] = np.ones(num_faces, dtype=bool)
        return masks

    def _to_record(self, sample: Mapping[str, Any]) -> ImageRecord:
        if 'img_id' not in sample:
            raise KeyError(
                "a data sample has no 'img_id'; add 'img_id' to the meta_keys of "
                'PackDetInputs'
            )
        img_id = str(sample['img_id'])
        for key, where in (
            ('instances', 'the meta_keys of PackDetInputs'),
            ('pred_instances', "the detector's output"),
        ):
            if key not in sample:
                raise KeyError(
                    f'{img_id}: no {key!r} in the data sample; {where} must provide it'
                )
        boxes, scores = self._read_detections(img_id, sample['pred_instances'])
        patches = sample.get('patch_boxes')
        if patches is not None:
            patches = _to_boxes(img_id, 'patch', patches).astype(np.int64)
        return ImageRecord(
            img_id=img_id,
            det_boxes=boxes,
            det_scores=scores,
            gt_boxes=self._read_faces(img_id, sample['instances']),
            patch_boxes=patches,
        )

    def _read_detections(
        self, img_id: str, predictions: Any
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        boxes = _to_boxes(img_id, 'detected', predictions['bboxes'])
        scores = _to_numpy(predictions['scores']).reshape(-1)
        if len(scores) != len(boxes):
            raise ValueError(
                f'{img_id}: {len(scores)} scores for {len(boxes)} detected boxes'
            )
        if not np.isfinite(scores).all():
            raise ValueError(f'{img_id}: a score is NaN or infinite')
        if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
            raise ValueError(
                f'{img_id}: scores reach from {scores.min():g} to '
                f'{scores.max():g}; they have to lie in [0, 1]'
            )
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise ValueError(f'{img_id}: a detected box has a negative size')
        if 'labels' in predictions:
            labels = _to_numpy(predictions['labels']).reshape(-1)
            boxes, scores = (x[labels == self.face_label] for x in (boxes, scores))
        return boxes, scores

    def _read_faces(
        self, img_id: str, instances: Sequence[Mapping[str, Any]]
    ) -> NDArray[np.floating]:
        faces = [
            face['bbox']
            for face in instances
            if face.get('bbox_label', self.face_label) == self.face_label
        ]
        # Degenerate boxes stay: the protocol counts them as faces to find.
        return _to_boxes(img_id, 'annotated', np.array(faces, dtype=np.float32))


def _at_threshold(
    scores: NDArray[np.floating],
    status: NDArray[np.int8],
    num_faces: int,
    patch_scores: NDArray[np.floating],
    delta: float,
) -> tuple[float, float, float]:
    """Precision, recall and detections on a patch; NaN where delta is NaN."""
    if math.isnan(delta):
        return math.nan, math.nan, math.nan
    precision, recall = precision_recall_at(scores, status, num_faces, [delta])
    hits = np.sum(patch_scores >= scores.dtype.type(delta))
    return float(precision[0]), float(recall[0]), float(hits)


def _subset_mask(
    name: str, subset: Mapping[str, NDArray[np.bool_]], record: ImageRecord
) -> NDArray[np.bool_]:
    mask = subset.get(record.img_id)
    if mask is None:
        raise ValueError(
            f'{record.img_id} is not in wider_{name}_val.mat. The official subsets '
            'cover the validation set only; evaluate other images without '
            'subset_dir.'
        )
    if len(mask) != len(record.gt_boxes):
        raise ValueError(
            f'{record.img_id}: wider_{name}_val.mat lists {len(mask)} faces, the '
            f'data set {len(record.gt_boxes)}; the data set has to keep every '
            'annotated face, invalid ones too'
        )
    return mask


def _check_images(results: Sequence[ImageRecord]) -> None:
    if not results:
        raise ValueError('no images were evaluated: the data set is empty')
    ids = Counter(record.img_id for record in results)
    repeated = sorted(img_id for img_id, count in ids.items() if count > 1)
    if repeated:
        raise ValueError(
            f'{len(repeated)} images were evaluated more than once, the first is '
            f'{repeated[0]}; each must occur once in the data set'
        )


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f'{name} must lie in (0, 1], got {value}')


def _check_deltas(deltas: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(delta) for delta in deltas)
    if not all(0 <= delta <= 1 for delta in values):
        raise ValueError(f'deltas are score thresholds in [0, 1], got {values}')
    if len({f'{delta:g}' for delta in values}) != len(values):
        raise ValueError(f'deltas must differ in six digits, got {values}')
    return values


def _to_numpy(values: Any) -> NDArray:
    """Array on the CPU; half precision becomes float32 (numpy has no bfloat16)."""
    if isinstance(values, torch.Tensor):
        if values.dtype in (torch.float16, torch.bfloat16):
            values = values.float()
        return values.detach().cpu().numpy()
    return np.asarray(values)


def _to_boxes(img_id: str, kind: str, boxes: Any) -> NDArray:
    """(N, 4) finite boxes, or an error that names the image."""
    array = _to_numpy(getattr(boxes, 'tensor', boxes))
    if array.size == 0:
        return np.zeros((0, 4), dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(
            f'{img_id}: {kind} boxes have shape {array.shape}, expected (N, 4)'
        )
    if not np.isfinite(array).all():
        raise ValueError(f'{img_id}: one of the {kind} boxes is NaN or infinite')
    return array
