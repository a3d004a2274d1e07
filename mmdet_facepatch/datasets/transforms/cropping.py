"""Training transforms for face detection: random scale, random crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import Resize
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import BaseBoxes, autocast_box_type


@TRANSFORMS.register_module()
class RandomStepResize(BaseTransform):
    """Resize by ``step * n`` with n uniform in 1..``num_steps``.

    The paper's training scales (section 3.1): 0.25, 0.5, ..., 2. The aspect
    ratio is kept up to rounding to whole pixels; no side falls below 1 pixel.
    The work is done by mmdet's ``Resize``, which sees to boxes, ``img_shape``,
    ``scale_factor`` and the homography.

    Args:
        step (float): Step between scales, > 0. Defaults to 0.25.
        num_steps (int): Number of scales, >= 1. Defaults to 8.
        **kwargs (Any): Further arguments of mmdet's ``Resize``, such as
            ``interpolation``, ``backend`` and ``clip_object_border``.
    """

    # What takes **kwargs, for the check of configs.
    kwargs_of = Resize

    def __init__(self, step: float = 0.25, num_steps: int = 8, **kwargs: Any) -> None:
        if not step > 0:
            raise ValueError(f'step must be > 0, got {step}')
        if num_steps < 1 or int(num_steps) != num_steps:
            raise ValueError(f'num_steps must be an integer >= 1, got {num_steps}')
        for key in ('scale', 'scale_factor', 'keep_ratio'):
            if key in kwargs:
                raise ValueError(f'RandomStepResize sets {key!r} itself')
        self.step = step
        self.num_steps = int(num_steps)
        # both sides are given, so Resize has no ratio left to keep
        self.resize = Resize(scale=(1, 1), keep_ratio=False, **kwargs)

    @cache_randomness
    def _random_factor(self) -> float:
        """Draw the factor."""
        return self.step * np.random.randint(1, self.num_steps + 1)

    def transform(self, results: dict) -> dict:
        """Resize image and boxes.

        Args:
            results (dict): Needs ``img``.

        Returns:
            dict: The same dict, resized as by mmdet's ``Resize``.
        """
        factor = self._random_factor()
        height, width = results['img'].shape[:2]
        self.resize.scale = (
            max(1, int(width * factor + 0.5)),
            max(1, int(height * factor + 0.5)),
        )
        return self.resize(results)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(step={self.step}, num_steps={self.num_steps}, '
            f'resize={self.resize})'
        )


# Keys with one entry per box that have to be filtered with the boxes.
_PER_BOX_KEYS = ('gt_bboxes_labels', 'gt_ignore_flags', 'gt_instances_ids')


def finish_boxes(results: dict, clip_boxes: bool) -> None:
    """Drop faces whose centre is outside ``img_shape``; clip those that stay."""
    boxes = results.get('gt_bboxes')
    if boxes is None:
        return
    height, width = results['img_shape'][:2]
    inside = centre_inside(boxes, height, width)
    results['gt_bboxes'] = boxes[inside]
    if clip_boxes:
        results['gt_bboxes'].clip_((height, width))
    for key in _PER_BOX_KEYS:
        if results.get(key) is not None:
            results[key] = results[key][inside.numpy()]


def centre_inside(boxes: BaseBoxes, height: int, width: int) -> torch.Tensor:
    """Bool (n,): 0 <= cx < width and 0 <= cy < height."""
    x, y = boxes.centers.unbind(-1)
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)


def check_no_masks(results: dict, name: str) -> None:
    """Raise for masks, which the crops here would leave behind."""
    for key in ('gt_masks', 'gt_seg_map'):
        if results.get(key) is not None:
            raise ValueError(f'{name} crops images and boxes, not {key!r}')


def update_homography(results: dict, matrix: Sequence[Sequence[float]]) -> None:
    """Record a geometric step as mmdet's transforms do."""
    step = np.array(matrix, dtype=np.float32)
    before = results.get('homography_matrix')
    results['homography_matrix'] = step if before is None else step @ before


@TRANSFORMS.register_module()
class FaceCrop(BaseTransform):
    """Random crop so that the longer side is at most ``max_size``.

    A side that is short enough is kept whole. Faces whose centre leaves the
    crop are removed together with their labels and flags; an image may end
    without faces. ``instances`` (original coordinates) stays as it is.

    Required Keys: ``img``, and optionally ``gt_bboxes``,
    ``gt_bboxes_labels``, ``gt_ignore_flags``. Modified Keys: the same,
    ``img_shape`` and ``homography_matrix``.

    Args:
        max_size (int): Largest side of the result in pixels. Defaults to 1200, the
            paper's.
        clip_boxes (bool): Whether boxes are clipped to the crop. With False they keep
            their part beyond the border, which the attack needs to place the patch
            relative to the whole face. Defaults to True.
    """

    def __init__(self, max_size: int = 1200, clip_boxes: bool = True) -> None:
        if max_size < 1 or int(max_size) != max_size:
            raise ValueError(f'max_size must be an integer >= 1, got {max_size}')
        self.max_size = int(max_size)
        self.clip_boxes = clip_boxes

    @cache_randomness
    def _random_offset(self, height: int, width: int) -> tuple[int, int]:
        """Draw the top left corner (y, x) of the crop."""
        y = np.random.randint(0, max(height - self.max_size, 0) + 1)
        x = np.random.randint(0, max(width - self.max_size, 0) + 1)
        return y, x

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Crop image and boxes.

        Args:
            results (dict): See the class.

        Returns:
            dict: The same dict, cropped.
        """
        check_no_masks(results, type(self).__name__)
        image = results['img']
        y, x = self._random_offset(*image.shape[:2])
        # contiguous, so that the rest of the image can be freed
        image = np.ascontiguousarray(
            image[y : y + self.max_size, x : x + self.max_size]
        )
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        update_homography(results, [[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        if results.get('gt_bboxes') is not None:
            results['gt_bboxes'].translate_([-x, -y])
        finish_boxes(results, self.clip_boxes)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(max_size={self.max_size}, '
            f'clip_boxes={self.clip_boxes})'
        )
