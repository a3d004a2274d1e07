"""Training on few images: crops around faces that are scaled to a random size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type

from .cropping import (
    centre_inside,
    check_no_masks,
    finish_boxes,
    update_homography,
)


@dataclass(frozen=True)
class CropWindow:
    """Where a square crop comes from.

    Attributes:
        x (int): Left edge in the source image, in source pixels; may be negative.
        y (int): Top edge, likewise.
        scale (float): Output pixels per source pixel.
    """

    x: int
    y: int
    scale: float


@TRANSFORMS.register_module()
class RandomFaceScaleCrop(BaseTransform):
    """Square crop around a random face that is scaled to a random size.

    For training on few images: every step sees faces of all sizes at a fixed
    cost. In order:

    1. With probability ``prob_negative``, or if the image has no usable face,
       the crop's place is uniform in the image; else around a random face
       whose ignore flag is not set.
    2. The scale makes ``sqrt(w * h)`` of a random face log-uniform in
       ``face_size``; without any face it is log-uniform in ``free_scale``.
       It is then limited to ``scale_range``.
    3. The place is uniform among those that hold the face's centre and leave
       the image as little as possible.
    4. Only that window of the image is resized, with area interpolation when
       it shrinks (bilinear sampling would alias) and bilinear when it grows.
       Where the image ends, the crop is filled with ``pad_value``.
    5. Faces whose centre is outside the crop are removed. Faces with
       ``sqrt(w * h) < min_face`` get the ignore flag.

    Required Keys: ``img``, ``gt_bboxes`` and ``gt_ignore_flags`` (both
    optional), ``gt_bboxes_labels`` (optional). Modified Keys: the same,
    ``img_shape``, ``scale_factor``, ``homography_matrix``. ``instances``
    (original coordinates) stays as it is.

    Args:
        crop_size (int): Side of the result in pixels. Defaults to 320.
        face_size (tuple[float, float]): Range of ``sqrt(w * h)`` of the chosen face in
            the result, in pixels. Defaults to (12, 140).
        prob_negative (float): Probability of a place drawn without regard to faces, in
            [0, 1]. Defaults to 0.1.
        min_face (float): Smaller faces are ignored in training, in pixels of the
            result. Defaults to 6.
        free_scale (tuple[float, float]): Range of the scale for images without usable
            faces. Defaults to (0.5, 1.5).
        scale_range (tuple[float, float]): Limits of the scale, which go before
            ``face_size``: a face of 3 px enlarged 40 times teaches nothing, and an
            image shrunk to a spot is nearly all padding. Defaults to (0.25, 4), from
            the paper's smallest scale to twice its largest.
        pad_value (tuple[float, float, float]): Fill, in the image's channel order.
            Defaults to ImageNet's mean colour, BGR.
        clip_boxes (bool): Whether boxes are clipped to the crop; False for the attack,
            see :class:`FaceCrop`. Defaults to True.
        labels (Sequence[int], optional): Classes of the faces around which is cropped;
            an attack sets those of its target. None takes all boxes. Defaults to None.
    """

    def __init__(
        self,
        crop_size: int = 320,
        face_size: tuple[float, float] = (12, 140),
        prob_negative: float = 0.1,
        min_face: float = 6,
        free_scale: tuple[float, float] = (0.5, 1.5),
        scale_range: tuple[float, float] = (0.25, 4.0),
        pad_value: tuple[float, ...] = (103.53, 116.28, 123.675),
        clip_boxes: bool = True,
        labels: Sequence[int] | None = None,
    ) -> None:
        if crop_size < 2 or int(crop_size) != crop_size:
            raise ValueError(f'crop_size must be an integer >= 2, got {crop_size}')
        ranges = dict(
            face_size=face_size, free_scale=free_scale, scale_range=scale_range
        )
        for key, (low, high) in ranges.items():
            if not 0 < low <= high < math.inf:
                raise ValueError(f'{key} must be 0 < low <= high, got {(low, high)}')
        if not 0 <= prob_negative <= 1:
            raise ValueError(f'prob_negative must be in [0, 1], got {prob_negative}')
        self.crop_size = int(crop_size)
        self.face_size = tuple(face_size)
        self.prob_negative = prob_negative
        self.min_face = min_face
        self.free_scale = tuple(free_scale)
        self.scale_range = tuple(scale_range)
        self.pad_value = tuple(pad_value)
        self.clip_boxes = clip_boxes
        self.labels = labels

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Draw a window, resize it and move the boxes.

        Args:
            results (dict): See the class.

        Returns:
            dict: The same dict with an image of exactly ``crop_size``.
        """
        check_no_masks(results, type(self).__name__)
        faces = self._usable_faces(results)
        window = self._random_window(results['img'].shape[:2], faces)
        image, origin, scale, pad = self._cut(results['img'], window)
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        results['scale_factor'] = scale
        shift = [p - o * s for o, s, p in zip(origin, scale, pad)]
        update_homography(
            results, [[scale[0], 0, shift[0]], [0, scale[1], shift[1]], [0, 0, 1]]
        )
        boxes = results.get('gt_bboxes')
        if boxes is not None:
            # in this order a centre on the window's edge stays exactly there
            boxes.translate_([-origin[0], -origin[1]])
            boxes.rescale_(scale)
            boxes.translate_(pad)
            self._ignore_small(results)
        finish_boxes(results, self.clip_boxes)
        return results

    def _usable_faces(self, results: dict) -> np.ndarray:
        """(n, 4) target boxes, not ignored, with area and centre in the image."""
        boxes = results.get('gt_bboxes')
        if boxes is None or len(boxes) == 0:
            return np.zeros((0, 4), dtype=np.float32)
        usable = (boxes.widths > 0) & (boxes.heights > 0)
        usable &= centre_inside(boxes, *results['img'].shape[:2])
        flags = results.get('gt_ignore_flags')
        if flags is not None:
            usable &= ~torch.from_numpy(np.asarray(flags, dtype=bool))
        labels = results.get('gt_bboxes_labels')
        if self.labels is not None and labels is not None:
            usable &= torch.from_numpy(np.isin(labels, list(self.labels)))
        return boxes.tensor[usable].numpy()

    @cache_randomness
    def _random_window(
        self, image_shape: tuple[int, int], faces: np.ndarray
    ) -> CropWindow:
        """Draw scale and place.

        Args:
            image_shape (tuple[int, int]): (height, width) of the image.
            faces (np.ndarray): (n, 4) boxes xyxy that may be chosen.
        """
        height, width = image_shape
        face = faces[np.random.randint(len(faces))] if len(faces) else None
        if face is None:
            scale = _log_uniform(*self.free_scale)
        else:
            size = math.sqrt((face[2] - face[0]) * (face[3] - face[1]))
            scale = _log_uniform(*self.face_size) / size
        scale = min(max(scale, self.scale_range[0]), self.scale_range[1])
        # a window below 2 source pixels could not be placed on whole pixels
        scale = min(scale, self.crop_size / 2)
        extent = self.crop_size / scale
        if face is None or np.random.rand() < self.prob_negative:
            x, y = _random_start(width, extent), _random_start(height, extent)
        else:
            margin = 1 / scale
            x = _random_start(width, extent, (face[0] + face[2]) / 2, margin)
            y = _random_start(height, extent, (face[1] + face[3]) / 2, margin)
        return CropWindow(x, y, scale)

    def _cut(
        self, image: np.ndarray, window: CropWindow
    ) -> tuple[np.ndarray, tuple[int, int], tuple[float, float], tuple[int, int]]:
        """Resize the window and pad it.

        Returns:
            The crop; then, each as (x, y), the window's origin in the image, the exact
            scale, which rounding to whole pixels makes differ slightly from the
            window's, and the origin's place in the crop.
        """
        size = self.crop_size
        height, width = image.shape[:2]
        left, right, pad_x, new_w = _axis(window.x, window.scale, size, width)
        top, bottom, pad_y, new_h = _axis(window.y, window.scale, size, height)
        scale = new_w / (right - left), new_h / (bottom - top)
        part = mmcv.imresize(
            np.ascontiguousarray(image[top:bottom, left:right]),
            (new_w, new_h),
            interpolation='area' if window.scale < 1 else 'bilinear',
        )
        part = part[: size - pad_y, : size - pad_x]
        if part.shape[:2] == (size, size):
            crop = np.ascontiguousarray(part)
        else:
            crop = np.empty((size, size, *image.shape[2:]), dtype=image.dtype)
            crop[...] = self._fill(image)
            crop[pad_y : pad_y + part.shape[0], pad_x : pad_x + part.shape[1]] = part
        return crop, (left, top), scale, (pad_x, pad_y)

    def _fill(self, image: np.ndarray) -> np.ndarray:
        """``pad_value`` in the image's type, rounded if that is integral."""
        fill = np.asarray(self.pad_value)
        if np.issubdtype(image.dtype, np.integer):
            fill = fill.round()
        return fill.astype(image.dtype)

    def _ignore_small(self, results: dict) -> None:
        """Set the ignore flag of faces below ``min_face``."""
        boxes = results['gt_bboxes']
        # degenerate boxes may have a negative side
        area = boxes.widths.clamp(min=0) * boxes.heights.clamp(min=0)
        small = (area.sqrt() < self.min_face).numpy()
        flags = results.get('gt_ignore_flags')
        results['gt_ignore_flags'] = small if flags is None else flags | small

    def __repr__(self) -> str:
        arguments = ', '.join(f'{key}={value}' for key, value in vars(self).items())
        return f'{type(self).__name__}({arguments})'


def _log_uniform(low: float, high: float) -> float:
    """Draw from [low, high], uniform in the logarithm."""
    return math.exp(np.random.uniform(math.log(low), math.log(high)))


def _random_start(
    length: int,
    extent: float,
    centre: float | None = None,
    margin: float = 0.0,
) -> int:
    """Draw where a window of length ``extent`` begins on an axis of so many pixels.

    It holds the point ``centre``, if any, at least ``margin`` from its end. Returns a
    whole pixel, uniform over the places that leave the image as little as possible:
    inside the image if the window is shorter, around it if it is longer.
    """
    low = math.ceil(min(0.0, length - extent))
    high = math.floor(max(0.0, length - extent))
    if centre is not None:
        first = math.floor(centre - extent + margin) + 1
        last = math.floor(centre)
        # the point's own condition wins at the image's very end, where
        # rounding can leave no place that satisfies both
        low = min(max(low, first), last)
        high = max(min(high, last), low)
    return int(np.random.randint(low, high + 1))


def _axis(
    start: int, scale: float, size: int, length: int
) -> tuple[int, int, int, int]:
    """Source span, padding before it and its resized length, on one axis.

    The window begins at ``start``, maybe negative; ``size`` is the length of the crop,
    ``length`` that of the image, ``scale`` output pixels per source pixel.
    """
    begin = max(start, 0)
    end = min(max(math.ceil(start + size / scale), begin + 1), length)
    pad = min(round(max(-start, 0) * scale), size - 1)
    return begin, end, pad, max(1, round((end - begin) * scale))
