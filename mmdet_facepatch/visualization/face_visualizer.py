"""Pictures of what a face detector finds, as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import cv2
import mmcv
import numpy as np
import torch
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData
from numpy.typing import ArrayLike, NDArray

from ..evaluation.functional.matching import (
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    match_detections,
)
from ..utils.target_classes import TargetLabels

Colour = tuple[int, int, int]
Style = Literal['-', '--', ':']

# RGB. Bright, so that they stand out on photographs, and apart in luminance,
# so that they can be told in grey print.
BLUE: Colour = (0, 96, 255)
RED: Colour = (255, 32, 24)
YELLOW: Colour = (255, 208, 0)
WHITE: Colour = (255, 255, 255)

#: Text, colour and line style of what pictures of outcomes show.
LEGEND: tuple[tuple[str, Colour, Style], ...] = (
    ('true positive', BLUE, '-'),
    ('false positive', RED, '-'),
    ('missed face', BLUE, '--'),
)
# A box with a side of fewer pixels would be hidden by wide lines or a white rim.
_SMALL = 24


@VISUALIZERS.register_module()
class FaceVisualizer(DetLocalVisualizer):
    """Draw true positives, false positives, missed faces and patches.

    Where a data sample has annotated faces, detections are matched to them: true
    positives are solid blue, false positives solid red, missed faces dashed blue.
    Pasted patches are dotted yellow. Missed faces are drawn first and false positives
    last, so that what is wrong is never hidden. A data sample without annotations, or
    ``draw_gt=False``, is drawn as by :class:`mmdet.visualization.DetLocalVisualizer`.

    Args:
        name (str): Name of the instance. Defaults to 'visualizer'.
        face_iou_thr (float): Least IoU of a detection with the face that it finds.
            Defaults to 0.5.
        **kwargs (Any): As in :class:`mmdet.visualization.DetLocalVisualizer`.

    Attributes:
        target_labels (TargetLabels): Classes of the detections and annotations that are
            drawn; class 0 until :class:`FaceVisualizationHook` sets those of a test.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        face_iou_thr: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        self.face_iou_thr = face_iou_thr
        self.target_labels = TargetLabels()

    def draw_outcomes(
        self,
        image: NDArray[np.uint8],
        boxes: ArrayLike,
        faces: ArrayLike,
        patch_boxes: ArrayLike = (),
    ) -> tuple[NDArray[np.uint8], str]:
        """Draw what the detections of an image are.

        Args:
            image (array): (H, W, 3) uint8 RGB.
            boxes (array): (D, 4) xyxy detections in pixels of ``image``, by descending
                score, those below the threshold of interest left out.
            faces (array): (G, 4) xyxy annotated faces.
            patch_boxes (array): (P, 4) xyxy pasted patches. Defaults to ().

        Returns:
            tuple[array, str]: The drawn copy of the image, (H, W, 3) uint8 RGB, and the
            counts, such as ``'12 of 15 faces found, 2 false positives'``.

        Raises:
            ValueError: If the image is not (H, W, 3) uint8, or a box is not finite.
        """
        dets, gts = _check_boxes(boxes), _check_boxes(faces)
        keep = np.ones(len(gts), bool)
        matches = match_detections(dets, gts, keep, self.face_iou_thr)
        self.set_image(check_image(image))
        self._outline(_check_boxes(patch_boxes), YELLOW, ':')
        self._outline(gts[~matches.gt_found], BLUE, '--')
        self._outline(dets[matches.status == TRUE_POSITIVE], BLUE, '-')
        self._outline(dets[matches.status == FALSE_POSITIVE], RED, '-')
        found, total = int(matches.gt_found.sum()), len(gts)
        false = int((matches.status == FALSE_POSITIVE).sum())
        return self.get_image(), (
            f'{found} of {total} {"face" if total == 1 else "faces"} found, '
            f'{false} false {"positive" if false == 1 else "positives"}'
        )

    def draw_faces(
        self,
        image: NDArray[np.uint8],
        faces: ArrayLike,
        patch_boxes: ArrayLike = (),
    ) -> NDArray[np.uint8]:
        """Draw annotated faces, solid blue, and patches; as :meth:`draw_outcomes`."""
        self.set_image(check_image(image))
        self._outline(_check_boxes(patch_boxes), YELLOW, ':')
        self._outline(_check_boxes(faces), BLUE, '-')
        return self.get_image()

    def add_datasample(
        self,
        name: str,
        image: NDArray[np.uint8],
        data_sample: DetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw a data sample, and show it, write it or give it to all backends.

        As in :meth:`mmdet.visualization.DetLocalVisualizer.add_datasample`. The sample
        has predictions, annotations (``instances``, in original coordinates, or
        ``gt_instances``) and ``patch_boxes``, as far as there are.
        """
        faces = self._faces_of(data_sample) if data_sample and draw_gt else None
        if data_sample is None or faces is None:
            super().add_datasample(
                name,
                image,
                data_sample,
                draw_gt=False,
                draw_pred=draw_pred,
                show=show,
                wait_time=wait_time,
                out_file=out_file,
                pred_score_thr=pred_score_thr,
                step=step,
            )
            return
        patches = data_sample.get('patch_boxes', ())
        if draw_pred and 'pred_instances' in data_sample:
            labels = self.target_labels.detector
            boxes = self._boxes_of(data_sample.pred_instances, labels, pred_score_thr)
            drawn, _ = self.draw_outcomes(image, boxes, faces, patches)
        else:
            drawn = self.draw_faces(image, faces, patches)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(drawn[..., ::-1], out_file)
        else:
            self.add_image(name, drawn, step)

    def _faces_of(self, sample: DetDataSample) -> NDArray[np.float64] | None:
        """(G, 4) annotated faces of a data sample, None where it has none."""
        labels = self.target_labels.data
        if 'instances' in sample.metainfo:
            return _check_boxes(
                [
                    instance['bbox']
                    for instance in sample.instances
                    if instance.get('bbox_label', labels[0]) in labels
                ]
            )
        if 'gt_instances' not in sample:
            return None
        return self._boxes_of(sample.gt_instances, labels)

    def _boxes_of(
        self, found: InstanceData, labels: Sequence[int], score_thr: float = 0.0
    ) -> NDArray[np.float64]:
        """(N, 4) boxes of faces, those with scores by descending score."""
        if 'labels' in found:
            wanted = found.labels.new_tensor(labels)
            found = found[torch.isin(found.labels, wanted)]
        if 'scores' in found:
            found = found[found.scores >= score_thr]
            found = found[found.scores.argsort(descending=True, stable=True)]
        boxes = getattr(found.bboxes, 'tensor', found.bboxes)
        return _check_boxes(boxes.cpu())

    def _outline(
        self, boxes: NDArray[np.float64], colour: Colour, style: Style
    ) -> None:
        """Draw boxes; what lies beyond the image is cut."""
        # mmdet's visualizer refuses boxes of negative size, and a detector's may lie
        # anywhere.
        size = np.array([self.width, self.height] * 2, float)
        low, high = boxes[:, :2], boxes[:, 2:]
        there = (low <= high) & (high >= 0) & (low <= size[:2])
        boxes = np.clip(boxes[there.all(axis=1)], 0, size - 0.5)
        if not len(boxes):
            return
        # In points; 1 on 400 pixels, and thinner on small boxes.
        widest = max(1.4, float(np.sqrt(self.width * self.height)) / 500)
        sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
        widths = np.clip(sides / 12, 0.6, widest)
        # For blue on a blue coat; on small faces it would hide them.
        rim = sides >= _SMALL
        if rim.any():
            rims = (widths[rim] + 1).tolist()
            self.draw_bboxes(boxes[rim], WHITE, '-', rims, alpha=1)
        self.draw_bboxes(boxes, colour, style, widths.tolist(), alpha=1)


def evaluated_image(data_batch: Mapping[str, Any], index: int = 0) -> NDArray[np.uint8]:
    """What the detector saw of an image, at its original size.

    Of a pyramid, the scale nearest to the original is taken. Where that is 1, the
    result is the original image with its patches, pixel by pixel.

    Args:
        data_batch (Mapping[str, Any]): What a test data loader yields: ``inputs``, BGR
            in [0, 255], and ``data_samples``, each a list of images, or a list of
            scales of such lists.
        index (int): Which image of the batch. Defaults to 0.

    Returns:
        array: (H, W, 3) uint8 RGB.
    """
    inputs, samples = data_batch['inputs'], data_batch['data_samples']
    if not isinstance(inputs[0], (list, tuple)):
        inputs, samples = [inputs], [samples]
    views = [(scale[index], of[index]) for scale, of in zip(inputs, samples)]
    tensor, sample = min(
        views, key=lambda view: abs(view[1].img_shape[0] - view[1].ori_shape[0])
    )
    height, width = sample.img_shape[:2]
    if 'scale_factor' in sample:
        # Pad counts what it adds to img_shape.
        scales = sample.scale_factor[1::-1]
        sides = zip(sample.ori_shape, scales, (height, width), strict=False)
        height, width = (min(round(side * scale), now) for side, scale, now in sides)
    image = tensor[:, :height, :width].permute(1, 2, 0).cpu().numpy()
    if sample.get('flip'):
        image = mmcv.imflip(image, sample.flip_direction)
    if image.shape[:2] != tuple(sample.ori_shape[:2]):
        size = (sample.ori_shape[1], sample.ori_shape[0])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1]).clip(0, 255).astype(np.uint8)


def check_image(image: NDArray) -> NDArray[np.uint8]:
    """The image; ValueError unless it is (H, W, 3) uint8 with pixels."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'expected an image of shape (H, W, 3) and type uint8, got '
            f'{image.shape} and {image.dtype}'
        )
    if 0 in image.shape:
        raise ValueError(f'the image has no pixels: its shape is {image.shape}')
    return image


def _check_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(array).all():
        raise ValueError('a box to draw is NaN or infinite')
    return array
