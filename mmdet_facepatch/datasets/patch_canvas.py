"""Images that show a patch alone: a square canvas with one box for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS
from numpy.typing import NDArray

from .embedded.sources import PHOTOGRAPHS, load_photograph

GREY, PHOTOGRAPH = 'grey', 'photograph'


def center_crop(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The square of ``size`` pixels in the middle of an (H, W, 3) image.

    Raises:
        ValueError: If the image is smaller.
    """
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    if min(top, left) < 0:
        raise ValueError(
            f'a photograph of {image.shape[1]} x {image.shape[0]} pixels '
            f'has no square of {size}; use a smaller canvas'
        )
    return np.ascontiguousarray(image[top : top + size, left : left + size])


@DATASETS.register_module()
class PatchCanvasDataset(BaseDetDataset):
    """Canvases without faces, each with the one box that a patch is to fill.

    A detection there tells whether a detector detects the patch itself as a face;
    :class:`~mmdet_facepatch.evaluation.FaceLikenessMetric` measures it. The images
    are made in memory: the pipeline begins with ``LoadImageFromNDArray``, and a
    :class:`PastePatch` with ``dict(type='PatchPlacement', alpha=1.0,
    center='middle')`` fills the box. Grey canvases come with every side and shift,
    photographs with every side and the box in the middle.

    Items have ``img`` ((size, size, 3) uint8 BGR), ``img_id``, ``background``
    ('grey' or 'photograph'), ``side`` (of the box, pixels) and ``instances`` with the
    box.

    Args:
        size (int): Side of the canvas, pixels. Defaults to 256.
        sides (Sequence[int]): Sides of the box, pixels. Defaults to 12 to 128.
        shifts (Sequence[Sequence[int]]): Of the box from the middle of grey canvases,
            (x, y) in pixels: a network sees its grid at different offsets. Defaults to
            ((0, 0),).
        grey (int): Level of grey canvases, in [0, 255]. Defaults to 127.
        photographs (Sequence[str]): Files of scikit-image whose middle serves as
            canvas, of those without faces in
            :data:`~mmdet_facepatch.datasets.embedded.sources.PHOTOGRAPHS`. Defaults to
            ().
        **kwargs (Any): ``pipeline`` and what else mmengine's ``BaseDataset`` takes.

    Raises:
        ImportError: If there are photographs and scikit-image is not installed.
        ValueError: If a box is not inside the canvas, a photograph is too small or
            not among those without faces, or the level is out of range.

    Example:
        >>> dataset = PatchCanvasDataset(size=64, sides=(8, 16), pipeline=[])
        >>> info = dataset[1]
        >>> info['img_id'], info['instances'][0]['bbox']
        ('grey_16_0_0', [24, 24, 40, 40])
    """

    METAINFO = {'classes': ('face',), 'palette': [(0, 0, 255)]}

    def __init__(
        self,
        size: int = 256,
        sides: Sequence[int] = (12, 16, 24, 32, 48, 64, 96, 128),
        shifts: Sequence[Sequence[int]] = ((0, 0),),
        grey: int = 127,
        photographs: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        if not 0 <= grey <= 255:
            raise ValueError(f'PatchCanvasDataset: grey={grey} is not in [0, 255]')
        self.size, self.sides, self.shifts = size, sides, shifts
        self.photographs = photographs
        self._canvases: dict[str, NDArray[np.uint8]] = {
            GREY: np.full((size, size, 3), grey, dtype=np.uint8)
        }
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """One item for each canvas, side and shift; images come later."""
        known = {p.name: p for several in PHOTOGRAPHS.values() for p in several}
        unknown = [name for name in self.photographs if name not in known]
        if unknown:
            raise ValueError(
                f'PatchCanvasDataset: photographs {unknown} are not known to be '
                f'without faces; there are {sorted(known)}'
            )
        for name in self.photographs:
            photograph = load_photograph(known[name])
            self._canvases[name] = center_crop(photograph, self.size)
        backgrounds = [(GREY, GREY, shift) for shift in self.shifts]
        backgrounds += [(PHOTOGRAPH, name, (0, 0)) for name in self.photographs]
        return [
            self._info(background, canvas, side, shift)
            for background, canvas, shift in backgrounds
            for side in self.sides
        ]

    def _info(
        self, background: str, canvas: str, side: int, shift: Sequence[int]
    ) -> dict:
        x, y = ((self.size - side) // 2 + offset for offset in shift)
        if side < 1 or min(x, y) < 0 or max(x, y) + side > self.size:
            raise ValueError(
                f'PatchCanvasDataset: a box of {side} pixels, shifted by '
                f'{tuple(shift)} from the middle, is not inside a canvas of {self.size}'
            )
        box = [x, y, x + side, y + side]
        return dict(
            img_id=f'{canvas}_{side}_{shift[0]}_{shift[1]}',
            background=background,
            canvas=canvas,
            side=side,
            height=self.size,
            width=self.size,
            instances=[dict(bbox=box, bbox_label=0, ignore_flag=0)],
        )

    def get_data_info(self, idx: int) -> dict:
        """An item with its image, a copy.

        Args:
            idx (int): Its index.
        """
        info = super().get_data_info(idx)
        return dict(info, img=self._canvases[info['canvas']].copy())
