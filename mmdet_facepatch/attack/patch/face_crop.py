"""A face cut from a data set, for a patch to start from."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmdet.registry import DATASETS, TRANSFORMS
from torch import Tensor


def crop_square(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Cut the square about a box's centre whose side is the box's longer one.

    The side is ``n = max(1, round(max(w, h)))`` pixels; the left edge is
    ``floor(cx - n / 2 + 0.5)``, the top edge likewise. Beyond the border of the image
    its outermost pixels are repeated: the face stays in the middle.

    Args:
        image (np.ndarray): (H, W, C), any dtype.
        box (Sequence[float]): (x1, y1, x2, y2) in pixels, w > 0 and h > 0.

    Returns:
        np.ndarray: (n, n, C), a copy.

    Raises:
        ValueError: If the box has no extent or does not touch the image.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    inside = x1 < width and y1 < height and x2 > 0 and y2 > 0
    if not (x2 > x1 and y2 > y1 and inside):
        raise ValueError(
            f'box {list(box)} (x1, y1, x2, y2) has no extent or lies outside the '
            f'image of width {width} and height {height}'
        )
    side = max(1, round(max(x2 - x1, y2 - y1)))
    left = math.floor((x1 + x2) / 2 - side / 2 + 0.5)
    top = math.floor((y1 + y2) / 2 - side / 2 + 0.5)
    rows = np.arange(top, top + side).clip(0, height - 1)
    cols = np.arange(left, left + side).clip(0, width - 1)
    return image[rows[:, None], cols]


def dataset_face(dataset: Mapping, img_id: str | int, face: int = 0) -> Tensor:
    """Cut one annotated face from an image of a data set.

    Args:
        dataset (Mapping): Config of an mmdet data set. Its pipeline is left aside: the
            face comes from the original image.
        img_id (str | int): Id of the image as the data set gives it. In WIDER FACE that
            is event and file without suffix,
            ``'0--Parade/0_Parade_marchingband_1_849'``.
        face (int): Which one, counted from 0 in the order of the data set's
            ``instances``: for WIDER FACE that of the annotation file, ignored faces
            included. Defaults to 0.

    Returns:
        Tensor: (3, n, n) float32 RGB in [0, 1]; see :func:`crop_square`.

    Raises:
        ValueError: If there is no such image or face, or the face has no extent.
    """
    info = _find_image(dataset, img_id)
    name = f"patch init 'face': image {img_id!r}"
    instances = info['instances']
    if type(face) is not int or face not in range(len(instances)):
        known = f'0 to {len(instances) - 1}' if instances else 'none'
        raise ValueError(f'{name} has no face {face!r}; known: {known}')
    load = TRANSFORMS.build(
        dict(type='LoadIntactImage', backend_args=dataset.get('backend_args'))
    )
    image = load(dict(img_path=info['img_path']))['img']
    try:
        square = crop_square(image, instances[face]['bbox'])
    except ValueError as error:
        raise ValueError(f'{name}, face {face}: {error}') from error
    rgb = square[..., ::-1].transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(rgb)).float() / 255


def _find_image(dataset: Mapping, img_id: str | int) -> dict:
    """The data info of an image by its id."""
    built = DATASETS.build({k: v for k, v in dataset.items() if k != 'pipeline'})
    known = []
    for index in range(len(built)):
        info = built.get_data_info(index)
        if str(info['img_id']) == str(img_id):
            return info
        known.append(str(info['img_id']))
    close = difflib.get_close_matches(str(img_id), known, n=3, cutoff=0) or ['none']
    raise ValueError(
        f"patch init 'face': img_id {img_id!r} is none of the {len(known)} images of "
        f'{dataset.get("type")} (ids are as the data set gives them, after its '
        f'image list and filter); closest: {", ".join(close)}'
    )
