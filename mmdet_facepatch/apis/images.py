"""Images with boxes, in whatever form they are given, as the data part of a config."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from mmengine.config import Config
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ..engine import check_data_config, data_config
from ..utils.files import write_atomically
from ..utils.json_files import write_json
from ..utils.target_classes import Target, split_target

#: The package's configs, wherever it is installed.
CONFIGS = Path(__file__).parents[1] / '.mim' / 'configs'

#: Name or path of a data config, a config, a folder, or arrays.
Images: TypeAlias = str | os.PathLike | Mapping | Config | Sequence[NDArray]
#: A COCO file, or one array of boxes for each image.
Boxes: TypeAlias = str | os.PathLike | Sequence[ArrayLike] | None

_ANNOTATIONS = 'annotations.json'


def image_config(
    images: Images,
    boxes: Boxes,
    folder: Path,
    purpose: str,
    *,
    name: str = 'face',
    channel_order: str = 'bgr',
) -> Config:
    """Dataloaders and evaluators for images with boxes.

    Args:
        images (Images): See :func:`mmdet_facepatch.apis.attack`.
        boxes (Boxes): Likewise.
        folder (Path): Gets the images where they are given as arrays.
        purpose (str): 'train' or 'test', for which a dataloader must be there.
        name (str): Of the class of boxes that are arrays. Defaults to 'face'.
        channel_order (str): Of images that are arrays, 'bgr' or 'rgb'. Defaults to
            'bgr'.

    Returns:
        Config: To be laid over the config of an attack. Without a ``val_dataloader`` of
        its own it switches validation off.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        TypeError: If images and boxes are none of the known forms.
        ValueError: If a config or array is unfit.
    """
    if boxes is None and isinstance(images, (str, os.PathLike)):
        cfg = data_config(os.fspath(images), CONFIGS)
    elif boxes is None and isinstance(images, (Mapping, Config)):
        if 'type' in images:
            cfg = _loaders(images)
        else:
            given = copy.deepcopy(images)
            cfg = given if isinstance(given, Config) else Config(dict(given))
    elif isinstance(images, (str, os.PathLike)) and isinstance(
        boxes, (str, os.PathLike)
    ):
        cfg = _loaders(_coco(Path(images), Path(boxes)))
    elif isinstance(images, (list, tuple)) and isinstance(boxes, (list, tuple)):
        saved = save_images(images, boxes, folder, name, channel_order)
        cfg = _loaders(_coco(saved, saved / _ANNOTATIONS))
    else:
        raise TypeError(
            'images and boxes must be a data config or data set config and None, a '
            'folder and a COCO file, or a list of arrays and a list of boxes; got '
            f'{type(images).__name__} and {type(boxes).__name__}'
        )
    check_data_config(cfg, [f'{purpose}_dataloader'], cfg.filename or 'images')
    if not cfg.get('val_dataloader'):
        cfg.update(val_dataloader=None, val_evaluator=None, val_cfg=None)
    return cfg


def class_name(target: Target) -> str:
    """What boxes that are arrays show: the target by name, else faces.

    Args:
        target (Target): See :func:`mmdet_facepatch.apis.attack`.
    """
    data, _ = split_target(target)
    return data if isinstance(data, str) else 'face'


def _loaders(dataset: Mapping) -> Config:
    """Dataloaders of a data set, with the training pipeline of the embedded data."""
    cfg = data_config('embedded', CONFIGS)
    given = {key: value for key, value in dataset.items() if key != 'pipeline'}
    cfg.train_dataloader.dataset = dict(
        copy.deepcopy(given), pipeline=cfg.train_pipeline
    )
    cfg.test_dataloader.dataset = dict(copy.deepcopy(given), test_mode=True)
    cfg.val_dataloader = None
    return cfg


def _coco(folder: Path, annotations: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise FileNotFoundError(f'the image folder {folder} does not exist')
    if not annotations.is_file():
        raise FileNotFoundError(f'the COCO file {annotations} does not exist')
    return dict(
        type='CocoFaceDataset',
        ann_file=str(annotations.resolve()),
        data_prefix=dict(img=str(folder.resolve())),
        filter_cfg=dict(filter_empty_gt=True),
    )


def save_images(
    images: Sequence[NDArray],
    boxes: Sequence[ArrayLike],
    folder: Path,
    name: str = 'face',
    channel_order: str = 'bgr',
) -> Path:
    """Write images as PNG files and their boxes as a COCO file.

    What a run depends on then lies in files, as with every other data set: data loading
    workers, a resumed run and the report read them there.

    Args:
        images (Sequence[NDArray]): (H, W, 3) uint8 each, or floats in [0, 1].
        boxes (Sequence[ArrayLike]): (N, 4) of each image, xyxy in pixels; N may be 0.
        folder (Path): Gets a folder named by the digest of all of it.
        name (str): Of the boxes' class. Defaults to 'face'.
        channel_order (str): 'bgr', as mmcv reads images, or 'rgb'. Defaults to 'bgr'.

    Returns:
        Path: The folder with the images and ``annotations.json``.

    Raises:
        ValueError: If an array is unfit, or there are not as many images as boxes.
    """
    if channel_order not in ('bgr', 'rgb'):
        raise ValueError(f"channel_order must be 'bgr' or 'rgb', got {channel_order!r}")
    if not len(images) or len(images) != len(boxes):
        raise ValueError(f'{len(images)} images with {len(boxes)} arrays of boxes')
    pictures = [_checked_image(i, image) for i, image in enumerate(images)]
    faces = [
        _checked_boxes(i, found, picture)
        for i, (found, picture) in enumerate(zip(boxes, pictures, strict=True))
    ]
    digest = hashlib.sha256(f'{channel_order} {name}'.encode())
    for picture, found in zip(pictures, faces, strict=True):
        digest.update(f'{picture.shape}{found.shape}'.encode())
        digest.update(picture.tobytes() + found.tobytes())
    target = folder / digest.hexdigest()[:16]
    if (target / _ANNOTATIONS).is_file():
        return target
    target.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        rgb = picture if channel_order == 'rgb' else picture[..., ::-1]
        image = Image.fromarray(np.ascontiguousarray(rgb))
        save = partial(image.save, format='PNG', compress_level=1)
        write_atomically(target / f'{i:06d}.png', save)
    write_json(target / _ANNOTATIONS, _to_coco(pictures, faces, name))
    return target


def _checked_image(index: int, image: NDArray) -> NDArray[np.uint8]:
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f'image {index} is {array.shape}, but must be (H, W, 3)')
    if np.issubdtype(array.dtype, np.floating):
        low, high = array.min(), array.max()
        # Not true of NaN.
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f'image {index} has floats from {low:g} to {high:g}, but they must lie '
                'in [0, 1]; give pixels of 0 to 255 as uint8'
            )
        array = (255 * array).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(
            f'image {index} is {array.dtype}, but must be uint8, or floats in [0, 1]'
        )
    return np.ascontiguousarray(array)


def _checked_boxes(index: int, boxes: ArrayLike, image: NDArray) -> NDArray[np.float64]:
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise ValueError(
            f'boxes of image {index} must be (N, 4) finite numbers, x1, y1, x2, y2 in '
            f'pixels; got shape {array.shape}'
        )
    height, width = image.shape[:2]
    x1, y1, x2, y2 = array.T
    unfit = (x2 - x1 < 1) | (y2 - y1 < 1)
    unfit |= (x1 >= width) | (y1 >= height) | (x2 <= 0) | (y2 <= 0)
    if unfit.any():
        raise ValueError(
            f'box {array[unfit][0].tolist()} of image {index} ({width} x {height} '
            'pixels) lies outside of it or has a side of less than 1 pixel'
        )
    return array


def _to_coco(
    pictures: Sequence[NDArray], faces: Sequence[NDArray], name: str
) -> dict[str, Any]:
    images = [
        dict(
            id=i, file_name=f'{i:06d}.png', height=image.shape[0], width=image.shape[1]
        )
        for i, image in enumerate(pictures)
    ]
    found = [(i, *box.tolist()) for i, boxes in enumerate(faces) for box in boxes]
    annotations = [
        dict(
            id=number,
            image_id=i,
            category_id=1,
            iscrowd=0,
            bbox=[x1, y1, x2 - x1, y2 - y1],
            area=(x2 - x1) * (y2 - y1),
        )
        for number, (i, x1, y1, x2, y2) in enumerate(found, start=1)
    ]
    return dict(
        images=images, annotations=annotations, categories=[dict(id=1, name=name)]
    )
