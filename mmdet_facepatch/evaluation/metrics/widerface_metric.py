"""WIDER FACE metric for mmengine's evaluation loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.logging import MMLogger
from numpy.typing import NDArray

from ...utils.target_classes import Target
from ..functional.detections import Detections, check_detections
from ..functional.evaluate import evaluate_faces
from ..functional.face_evaluation import ALL, EvaluationSettings, FaceEvaluation
from ..functional.faces import ATTRIBUTE_VALUES, ImageFaces, ImageRecord, to_record
from ..functional.reference import Reference
from ..io.ground_truth import load_ground_truth
from .calibrated_metric import CalibratedMetric
from .target_metric import TargetMetric


@METRICS.register_module()
class WiderFaceMetric(TargetMetric, CalibratedMetric):
    """Precision and recall at delta, AF_beta, and AP, by WIDER FACE's protocol.

    Detections are read from ``pred_instances``, in original coordinates
    (``rescale=True``, mmdet's default); where they have ``margins`` (log-odds),
    AF_beta runs over these, else over the log-odds of the scores. Images under
    attack carry ``patch_boxes``, by which detections on a patch are told apart.

    On WIDER FACE's validation set, give ``gt_dir``: faces, their attributes and
    the subsets easy, medium and hard come from the official files. Any part of
    the validation set can be evaluated; only the images that were evaluated
    count, so the numbers are that part's, and ``evaluation.data`` says of how
    many annotated images.

    Without ``gt_dir``, for any other data set (COCO, VOC, ...), faces come from
    ``instances`` of each data sample, as the dataset wrote them (original
    coordinates), so ``'instances'`` has to be among the ``meta_keys`` of
    ``PackDetInputs``. There are ``all`` faces and bands of height then.

    :meth:`evaluate` returns the headline numbers as floats, each key preceded
    by the prefix (``face/``), such as ``face/hard/recall@0.99``; everything else
    is in :attr:`evaluation`. What there is stands at
    :func:`~mmdet_facepatch.evaluation.functional.evaluate.evaluate_faces`.

    Args:
        gt_dir (str, optional): Folder with the official
            ``wider_{easy,medium,hard}_val.mat``. Defaults to None.
        reference (Reference | dict, optional): As in :class:`CalibratedMetric`.
            Defaults to None.
        target (Target): Class that counts, or several, by name (see ``dataset_meta``)
            or index. Detections and annotations of other classes are left out. Needed
            if the data set has several classes, but in an attack, whose target it is.
            Defaults to None.
        use_ignore_flag (bool): Whether annotations with ``ignore_flag`` (COCO's crowds,
            VOC's difficult objects) are neither to be found nor false. WIDER FACE's
            protocol counts all, also those flagged invalid. Defaults to False.
        collect_device (str): As in mmengine, 'cpu' or 'gpu'. Defaults to 'cpu'.
        prefix (str, optional): Replaces ``face``. Defaults to None.
        **settings (Any): Fields of
            :class:`~mmdet_facepatch.evaluation.functional.face_evaluation.EvaluationSettings`:
            ``deltas``, ``betas``, ``min_precision``, ``margin_range``, ...

    Attributes:
        evaluation (FaceEvaluation | None): The latest result, on the main process.
        records (list[ImageRecord]): What it was computed from, likewise.

    Example:
        >>> val_evaluator = dict(
        ...     type='WiderFaceMetric',
        ...     deltas=(0.99, 0.9, 0.5),
        ...     gt_dir='data/WIDERFace/eval_tools/ground_truth')
    """

    default_prefix = 'face'
    # What takes **settings, for the check of configs.
    kwargs_of = EvaluationSettings

    def __init__(
        self,
        gt_dir: str | None = None,
        reference: Reference | Mapping[str, Any] | None = None,
        target: Target = None,
        use_ignore_flag: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(
            target=target,
            reference=reference,
            collect_device=collect_device,
            prefix=prefix,
        )
        # Lists come from the command line, tuples from configs.
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in settings.items()
        }
        self.settings = EvaluationSettings(**values)
        self.use_ignore_flag = use_ignore_flag
        # Read now: a missing file should not show after hours of training.
        self.official: dict[str, ImageFaces] | None = (
            None if gt_dir is None else load_ground_truth(gt_dir)
        )
        self.evaluation: FaceEvaluation | None = None
        self.records: list[ImageRecord] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take detections and faces of a batch.

        Data samples are dicts with ``img_id``, ``pred_instances`` (``bboxes`` (N, 4)
        xyxy, ``scores`` (N,), ``labels`` (N,) and optionally ``margins`` (N,)),
        ``instances``, and, where patches were pasted, ``patch_boxes`` (P, 4) xyxy.

        Raises:
            KeyError: If a key is missing.
            ValueError: If boxes, scores or margins are not finite, of the wrong
                shape, of negative size (detections only), or scores not in
                [0, 1]; if the image is not in the official files, or its faces
                differ from theirs. Names the image.
        """
        for sample in data_samples:
            self.results.append(self._to_record(sample))

    def compute_metrics(self, results: list[ImageRecord]) -> dict[str, float]:
        """The headline numbers of all images, of all ranks.

        Raises:
            ValueError: If there are no images or an image occurs twice.
        """
        evaluation = evaluate_faces(results, self.settings, self.reference)
        if self.official is not None:
            evaluation.data['annotated_images'] = len(self.official)
        for warning in evaluation.warnings():
            MMLogger.get_current_instance().warning(warning)
        self.evaluation, self.records = evaluation, list(results)
        return evaluation.headline()

    def _to_record(self, sample: Mapping[str, Any]) -> ImageRecord:
        if 'img_id' not in sample:
            raise KeyError(
                "a data sample has no 'img_id'; add 'img_id' to the meta_keys of "
                'PackDetInputs'
            )
        img_id = str(sample['img_id'])
        if 'pred_instances' not in sample:
            raise KeyError(f"{img_id}: no 'pred_instances'; the detector must give it")
        detections = self._read_detections(img_id, sample)
        faces = self._read_faces(img_id, sample)
        return to_record(img_id, detections, faces)

    def _read_detections(self, img_id: str, sample: Mapping[str, Any]) -> Detections:
        predictions = sample['pred_instances']
        patches = _patch_squares(sample)
        margins = predictions.get('margins')
        detections = check_detections(
            img_id,
            Detections(
                boxes=_to_numpy(predictions['bboxes']),
                scores=_to_numpy(predictions['scores']),
                margins=None if margins is None else _to_numpy(margins),
                patch_boxes=patches,
            ),
        )
        if 'labels' not in predictions:
            return detections
        labels = _to_numpy(predictions['labels']).reshape(-1)
        wanted = np.isin(labels, self.target_labels.detector)
        chosen = {
            name: getattr(detections, name)[wanted]
            for name in ('boxes', 'scores', 'margins')
            if getattr(detections, name) is not None
        }
        return replace(detections, **chosen)

    def _read_faces(self, img_id: str, sample: Mapping[str, Any]) -> ImageFaces:
        if self.official is not None:
            return self._official_faces(img_id, sample)
        if 'instances' not in sample:
            raise KeyError(
                f"{img_id}: no 'instances' in the data sample; add 'instances' to the "
                'meta_keys of PackDetInputs, or give gt_dir'
            )
        labels = self.target_labels.data
        instances = [
            instance
            for instance in sample['instances']
            if instance.get('bbox_label', labels[0]) in labels
        ]
        keep = {}
        if self.use_ignore_flag:
            flags = [bool(instance.get('ignore_flag', 0)) for instance in instances]
            keep[ALL] = ~np.array(flags, dtype=bool)
        boxes = _to_boxes(img_id, [instance['bbox'] for instance in instances])
        return ImageFaces(boxes, _to_attributes(instances), keep)

    def _official_faces(self, img_id: str, sample: Mapping[str, Any]) -> ImageFaces:
        assert self.official is not None
        faces = self.official.get(img_id)
        if faces is None:
            raise ValueError(
                f'{img_id} is not in the official files of gt_dir, which cover the '
                'validation set only; evaluate other images without gt_dir'
            )
        if 'instances' in sample:
            boxes = [instance['bbox'] for instance in sample['instances']]
            own = _to_boxes(img_id, boxes)
            if len(own) != len(faces.boxes):
                raise ValueError(
                    f'{img_id}: the official files list {len(faces.boxes)} faces, the '
                    f'data set {len(own)}; the data set has to keep every annotated '
                    'face, invalid ones too'
                )
            if not np.allclose(own, faces.boxes, rtol=0, atol=1e-3):
                raise ValueError(
                    f'{img_id}: the faces of the data set are not those of the '
                    'official files; was the image resized or another one?'
                )
        return faces


def _patch_squares(sample: Mapping[str, Any]) -> NDArray | None:
    """(P, 4) patches that were pasted; a face without one has an empty row."""
    if sample.get('patch_boxes') is None:
        return None
    boxes = _to_numpy(sample['patch_boxes']).reshape(-1, 4)
    return boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]


def _to_numpy(values: Any) -> NDArray:
    """Array on the CPU; bfloat16, which numpy lacks, becomes float32."""
    values = getattr(values, 'tensor', values)
    if isinstance(values, torch.Tensor):
        if values.dtype == torch.bfloat16:
            values = values.float()
        return values.detach().cpu().numpy()
    return np.asarray(values)


def _to_boxes(img_id: str, boxes: Sequence[Any]) -> NDArray[np.float64]:
    """(G, 4) finite annotated boxes; degenerate ones count as faces to find."""
    array = np.array(boxes, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(
            f'{img_id}: annotated boxes have shape {array.shape}, expected (G, 4)'
        )
    if not np.isfinite(array).all():
        raise ValueError(f'{img_id}: one of the annotated boxes is NaN or infinite')
    return array


def _to_attributes(instances: Sequence[Mapping[str, Any]]) -> NDArray[np.int64] | None:
    """(G, 6) attributes, None where the data set has none."""
    if not all('attributes' in instance for instance in instances):
        return None
    rows = [
        [instance['attributes'][name] for name in ATTRIBUTE_VALUES]
        for instance in instances
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, len(ATTRIBUTE_VALUES))
