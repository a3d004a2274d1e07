"""Is a patch taken for a face? Detectors on pictures that show the patch alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmcv.transforms import to_tensor
from mmdet.structures import DetDataSample
from numpy.typing import NDArray
from torch import nn

from ..attack import PastePatch
from ..datasets.synthetic_sources import PHOTOGRAPHS, Photograph, load_photograph
from ..evaluation.patch_detections import best_patch_scores

# Backgrounds, as results name them.
GREY, PHOTOGRAPH = 'grey', 'photograph'


@dataclass(frozen=True)
class Scenes:
    """What a patch is shown on, and how.

    Attributes:
        size: Side of the square pictures, pixels.
        sides: Sides at which the patch is shown, pixels.
        shifts: Of the patch from the middle of the picture, (x, y) in pixels, on
            the grey background.
        grey: Level of the grey background, in [0, 255].
        photographs: Files of scikit-image that serve as backgrounds, the patch in
            their middle; of
            :data:`~mmdet_facepatch.datasets.synthetic_sources.PHOTOGRAPHS`,
            which show no face.

    Raises:
        ValueError: If a patch would not fit into the picture, or a photograph is not
            known to be without faces.
    """

    size: int = 256
    sides: tuple[int, ...] = (12, 16, 24, 32, 48, 64, 96, 128)
    shifts: tuple[tuple[int, int], ...] = ((0, 0),)
    grey: int = 127
    photographs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = _photographs()
        unknown = [name for name in self.photographs if name not in known]
        if unknown:
            raise ValueError(f'scenes.photographs: {unknown} are not known to be '
                             f'without faces; there are {sorted(known)}')
        for side in self.sides:
            for shift in self.shifts:
                start = [(self.size - side) // 2 + offset for offset in shift]
                if side < 1 or min(start) < 0 or max(start) + side > self.size:
                    raise ValueError(
                        f'scenes: a patch of {side} pixels, shifted by {tuple(shift)} '
                        f'from the middle, is not inside a picture of {self.size}')


@dataclass(frozen=True)
class Likeness:
    """How much a detector takes a patch for a face at one size.

    Attributes:
        detector: Its name.
        patch: Its name.
        background: 'grey' or 'photograph'.
        side: Of the patch, pixels.
        scores: Of each picture the highest score of a detection on the patch, 0
            where there is none.
    """

    detector: str
    patch: str
    background: str
    side: int
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the pictures."""
        return float(np.mean(self.scores))


def _photographs() -> dict[str, Photograph]:
    return {photograph.name: photograph
            for several in PHOTOGRAPHS.values() for photograph in several}


def middle_of(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The square in the middle of an image.

    Args:
        image: (H, W, 3) uint8.
        size: Its side, pixels.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: If the image is smaller.
    """
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    if min(top, left) < 0:
        raise ValueError(f'a photograph of {image.shape[1]} x {image.shape[0]} pixels '
                         f'has no square of {size}; make scenes.size smaller')
    return np.ascontiguousarray(image[top:top + size, left:left + size])


def canvases(scenes: Scenes
             ) -> Iterator[tuple[str, NDArray[np.uint8], tuple[int, int]]]:
    """Every background, with the shift of the patch on it.

    Args:
        scenes: What to show.

    Yields:
        'grey' or 'photograph', the picture (size, size, 3) uint8 BGR without a
        patch, and the shift (x, y) in pixels.
    """
    plain = np.full((scenes.size, scenes.size, 3), scenes.grey, dtype=np.uint8)
    for shift in scenes.shifts:
        yield GREY, plain, shift
    for name in scenes.photographs:
        photograph = load_photograph(_photographs()[name])
        yield PHOTOGRAPH, middle_of(photograph, scenes.size), (0, 0)


def show_patch(paste: PastePatch, canvas: NDArray[np.uint8], side: int,
               shift: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A picture with the patch on it.

    Args:
        paste: With the patch; it fills the box that it is given.
        canvas: (H, W, 3) uint8 BGR.
        side: Of the patch, pixels.
        shift: Of the patch from the middle, (x, y) in pixels.

    Returns:
        The picture, and the box of the patch, (1, 4) xyxy in pixels.
    """
    height, width = canvas.shape[:2]
    x, y = (width - side) // 2 + shift[0], (height - side) // 2 + shift[1]
    shown = paste.transform(dict(
        img=canvas, ori_shape=(height, width),
        instances=[dict(bbox=[x, y, x + side, y + side])]))
    return shown['img'], shown['patch_boxes']


@torch.no_grad()
def detect_faces(detector: nn.Module, image: NDArray[np.uint8]
                 ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Detections of class 0 at scale 1.

    Args:
        detector: An mmdet detector.
        image: (H, W, 3) uint8 BGR.

    Returns:
        Boxes (N, 4) xyxy in pixels, and scores (N,).
    """
    shape = image.shape[:2]
    sample = DetDataSample(metainfo=dict(
        ori_shape=shape, img_shape=shape, scale_factor=(1.0, 1.0)))
    batch = dict(inputs=[to_tensor(image).permute(2, 0, 1).contiguous()],
                 data_samples=[sample])
    model: Any = detector
    found = model.test_step(batch)[0].pred_instances
    found = found[found.labels == 0]
    return found.bboxes.cpu().numpy(), found.scores.cpu().numpy()


def filling_paste(patch: Any) -> PastePatch:
    """A transform that fills boxes with a patch.

    Args:
        patch: What :meth:`PastePatch.set_patch` takes: an init or a file.
    """
    return PastePatch(patch, placement=dict(
        type='PatchPlacement', alpha=1.0, center='middle'))


def patch_digest(paste: PastePatch) -> str:
    """SHA-256 of a patch's pixels, as float32."""
    pixels = paste.pixels
    if pixels is None:
        raise ValueError('a patch is needed; clean images show none')
    return hashlib.sha256(pixels.numpy().tobytes()).hexdigest()


def measure_likeness(
    name: str,
    detector: nn.Module,
    patches: Mapping[str, PastePatch],
    scenes: Scenes,
    iou_thr: float = 0.3,
    share: float = 0.5,
) -> list[Likeness]:
    """What a detector makes of patches that are shown alone.

    Args:
        name: Of the detector.
        detector: An mmdet detector in ``eval()``.
        patches: By name, see :func:`filling_paste`.
        scenes: What they are shown on.
        iou_thr: Least IoU of a detection with the patch.
        share: Or least share of its area that lies on the patch: a face that fills
            a part of it.

    Returns:
        One for each patch, background and side.
    """
    scores: dict[tuple[str, str, int], list[float]] = {}
    for background, canvas, shift in canvases(scenes):
        for patch, paste in patches.items():
            for side in scenes.sides:
                image, box = show_patch(paste, canvas, side, shift)
                boxes, found = detect_faces(detector, image)
                best = best_patch_scores(boxes, found, box, iou_thr, share)[0]
                scores.setdefault((patch, background, side), []).append(float(best))
    return [Likeness(name, *key, tuple(values)) for key, values in scores.items()]
