"""Paste a finished patch on original images, inside a data pipeline."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TASK_UTILS, TRANSFORMS
from torch import Tensor

from ...attack.compositor import paste_patch
from ...attack.patch.parts import REMOVABLE_PARTS, check_removed, remaining_boxes
from ...attack.patch.universal_patch import (
    Size,
    check_pixels,
    initial_pixels,
    load_patch,
    parse_size,
)
from ...attack.placement import check_scale

Source = Tensor | str | os.PathLike | dict
Patch = Source | None
# Stands for the patch that an attack optimises.
CURRENT = 'current'


@TRANSFORMS.register_module()
class PastePatch(BaseTransform):
    """Paste the patch on every face of the original 8-bit image.

    That is what a printed patch would be (paper, Section 3.2), so the transform
    stands right behind ``LoadImageFromFile``, before any resize or pyramid. Faces
    come from ``instances``, all of them, whether ignored or not; a face with w <= 0
    or h <= 0 gets none. Patches of later faces lie over those of earlier ones (in
    an attack those of ignored faces come last). Pasted values are rounded
    to the nearest 8-bit value, halves up; all other pixels stay as they are.

    Required keys:

    - img (np.ndarray, (H, W, 3) uint8 BGR, at its original size)
    - ori_shape
    - instances (list of dict with 'bbox', xyxy in original pixels)

    Modified keys:

    - img

    Added keys:

    - patch_boxes (np.ndarray, (N, 4) int64 xyxy in original pixels, not cut at the
      image border, one row an instance in its order; of a patch with a part
      removed, what remains; an empty box, x1 == x2, where there is no patch).
      **Absent when the transform has no patch**, so that a metric can tell clean
      images from attacked ones.

    Args:
        patch (Patch): What :meth:`set_patch` takes; None leaves images clean until it
            is called. Defaults to None.
        placement (dict, optional): Config of the placement; by default that of the
            paper.
        size (Size): Height and width of the patch: what inits make, and what data
            loader workers are ready for when the patch changes while they live.
            Defaults to 128.
        labels (Sequence[int], optional): ``bbox_label`` of the instances that get the
            patch, in a data set with several classes; None gives it to all. The others
            have an empty row in ``patch_boxes``. Defaults to None.
    """

    def __init__(
        self,
        patch: Patch = None,
        placement: dict | None = None,
        size: Size = 128,
        labels: Sequence[int] | None = None,
    ) -> None:
        self.labels = labels
        self.placement = TASK_UTILS.build(placement or dict(type='PatchPlacement'))
        self.size = parse_size(size)
        self._pixels = torch.zeros(3, *self.size).share_memory_()
        # Is there a patch; which buffer holds it; which part of it is removed, 0 for
        # none. Shared with workers, as is the scale.
        self._state = torch.zeros(3, dtype=torch.int64).share_memory_()
        self._scale = torch.ones(1, dtype=torch.float64).share_memory_()
        self._buffer = 0
        self.set_patch(patch)

    def set_patch(
        self, patch: Patch, current: Callable[[], Tensor] | None = None
    ) -> None:
        """Use this patch from now on, in living data loader workers as well.

        Patch and state lie in shared memory, so that persistent workers see the
        new patch. One of a size that they are not ready for makes them stop with
        an error rather than go on with the old one.

        Args:
            patch (Patch): None for clean images, or

                * (3, H, W) floating RGB in [0, 1], copied;
                * a file for :func:`load_patch`, as its path or as
                  ``dict(type='file', path=...)``;
                * ``'current'`` or ``dict(type='current')``: what ``current`` returns;
                * an init for :func:`initial_pixels`, such as
                  ``dict(type='constant', value=0.5)``, with an optional ``size``.

                Every dict may also have ``scale``, the side relative to that at full
                size (paper, Table 5; see :func:`patch_boxes`), and ``removed``, the
                name of a part that is not pasted (Table 4; see
                :func:`remaining_boxes`).
            current (Callable[[], Tensor], optional): Returns the patch that an attack
                optimises, (3, H, W) in [0, 1]; None where there is no attack. Defaults
                to None.

        Raises:
            TypeError, ValueError, FileNotFoundError: If this is no patch. The patch
                in use then stays.
        """
        if patch is None:
            self._state[0] = 0
            return
        source, removed, scale = _split_condition(patch)
        pixels = self._read(source, current).detach().float().cpu()
        if pixels.shape != self._pixels.shape:
            self._pixels = torch.zeros(pixels.shape).share_memory_()
            self._buffer += 1
            self._state[1] = self._buffer
        self._pixels.copy_(pixels)
        self._scale[0] = scale
        self._state[2] = 0 if removed is None else 1 + REMOVABLE_PARTS.index(removed)
        self._state[0] = 1

    def _read(self, source: Source, current: Callable[[], Tensor] | None) -> Tensor:
        """Pixels of what :meth:`set_patch` takes, (3, H, W) floating in [0, 1]."""
        if isinstance(source, Tensor):
            return check_pixels(source, 'PastePatch')
        if source == CURRENT and current is not None:
            source = dict(type=CURRENT)
        if not isinstance(source, dict):
            return load_patch(source)
        kind, options = source.get('type'), dict(source)
        if kind == 'file':
            del options['type']
            return load_patch(**options)
        if kind == CURRENT:
            return _current_pixels(options, current)
        return initial_pixels(options.pop('size', self.size), options)

    @property
    def removed(self) -> str | None:
        """Name of the part that is not pasted, or None."""
        part = int(self._state[2])
        return REMOVABLE_PARTS[part - 1] if part else None

    @property
    def scale(self) -> float:
        """Side of the pasted patch relative to that at full size, in (0, 1]."""
        return self._scale.item()

    @property
    def pixels(self) -> Tensor | None:
        """A copy of the patch, (3, H, W) float32 RGB in [0, 1], or None."""
        active, buffer, _ = self._state.tolist()
        if not active:
            return None
        if buffer != self._buffer:
            raise RuntimeError(
                'PastePatch got a patch of another size after this data loader worker '
                'had started; name its size in the config of PastePatch or give the '
                'data loader persistent_workers=False'
            )
        return self._pixels.clone()

    def transform(self, results: dict) -> dict:
        """Paste the patch; see the class.

        Raises:
            KeyError: If a required key is missing.
            ValueError: If the image is not (H, W, 3) uint8 or was resized or
                flipped before.
        """
        results.pop('patch_boxes', None)
        pixels = self.pixels
        if pixels is None:
            return results
        image = _original_image(results)
        # A box without extent gets no patch, but keeps its row.
        rows = [
            instance['bbox']
            if self.labels is None or instance['bbox_label'] in self.labels
            else (0, 0, 0, 0)
            for instance in results['instances']
        ]
        faces = torch.as_tensor(np.array(rows, np.float64).reshape(-1, 4))
        # A placement of one's own need not know scales that nobody asks for.
        scale = {} if self.scale == 1 else dict(scale=self.scale)
        try:
            boxes = self.placement(faces, **scale)
        except ValueError as error:
            name = results.get('img_path', 'image')
            raise ValueError(f'{name}: {error}') from error
        below = torch.from_numpy(image).permute(2, 0, 1).float()
        # RGB in [0, 1] -> BGR in [0, 255]. In float64 the resampling of a grey 127.5
        # is off by too little to show in float32: halves go up, everywhere alike.
        patch = pixels.double().flip(0) * 255
        parts = remaining_boxes(boxes, self.removed)
        shown = None if parts is boxes else [parts]
        pasted = paste_patch([below], patch, [boxes], parts=shown)[0]
        results['img'] = (pasted + 0.5).byte().permute(1, 2, 0).contiguous().numpy()
        results['patch_boxes'] = parts.numpy()
        return results

    def __deepcopy__(self, memo: dict) -> PastePatch:
        """Copy, with shared memory of its own."""
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        clone.__dict__ = copy.deepcopy(self.__dict__, memo)
        clone._pixels.share_memory_()
        clone._state.share_memory_()
        clone._scale.share_memory_()
        return clone

    def __repr__(self) -> str:
        pixels = self.pixels
        size = None if pixels is None else tuple(pixels.shape[1:])
        return (
            f'{type(self).__name__}(patch size={size}, removed={self.removed}, '
            f'scale={self.scale}, placement={self.placement})'
        )


def _split_condition(patch: Source) -> tuple[Source, str | None, float]:
    """Separate whose pixels, which part is removed and the scale."""
    if not isinstance(patch, dict):
        return patch, None, 1.0
    source = dict(patch)
    removed = check_removed(source.pop('removed', None))
    return source, removed, check_scale(source.pop('scale', 1.0))


def _current_pixels(options: dict, current: Callable[[], Tensor] | None) -> Tensor:
    """Pixels of ``dict(type='current')``."""
    if current is None:
        raise ValueError(
            f'PastePatch: patch {options} needs an attack, and there is none here; '
            "name a patch by dict(type='file', path=...)"
        )
    if len(options) > 1:
        raise ValueError(
            "PastePatch: dict(type='current') takes 'scale' and 'removed', not "
            f'{sorted(set(options) - {"type"})}'
        )
    return check_pixels(current(), 'PastePatch, current patch')


def _original_image(results: dict[str, Any]) -> np.ndarray:
    """Return the image if it is as loaded, else raise naming it."""
    name = results.get('img_path', 'image')
    for key in ('img', 'ori_shape', 'instances'):
        if key not in results:
            raise KeyError(
                f'{name}: PastePatch needs {key!r} in the results; it belongs right '
                'behind LoadImageFromFile, on a dataset that gives instances'
            )
    image = results['img']
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'{name}: PastePatch needs an (H, W, 3) uint8 image, got {image.shape} '
            f'{image.dtype}'
        )
    if tuple(image.shape[:2]) != tuple(results['ori_shape'][:2]) or results.get('flip'):
        raise ValueError(
            f'{name}: the image is {tuple(image.shape[:2])}, the original is '
            f'{tuple(results["ori_shape"][:2])}, flip is {results.get("flip", False)}; '
            'PastePatch must come before any resize, crop or flip'
        )
    return image
