"""What is wrong with a data set, found before hours of work on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmdet.datasets import CocoDataset
from PIL import Image, UnidentifiedImageError

from ..utils.json_files import read_json
from .transforms.loading import LoadIntactImage, find_image_loaders

# EXIF: from here on an image lies on its side, and is turned when it is loaded.
_ORIENTATION, _TURNED = 274, 5
_SCHEMES = '://'


@dataclass(frozen=True)
class DataCheck:
    """What a data set holds, and what a user should know of it.

    Attributes:
        images (int): Number of images.
        objects (int): Boxes of the target, those without area left out.
        warnings (list[str]): Things that are left out or look wrong.
    """

    images: int
    objects: int
    warnings: list[str]


def check_data(dataset: Any, labels: Sequence[int], owner: str) -> DataCheck:
    """Look at every image file and box of a data set.

    Of image files the header is read, not the content.

    Args:
        dataset (Any): Built; may be wrapped.
        labels (Sequence[int]): Labels of the target.
        owner (str): Where it stands in the config, for messages.

    Returns:
        DataCheck: What it holds.

    Raises:
        FileNotFoundError: If image files are missing.
        ValueError: If there is no image, a file is no image, a box is not finite, or no
            object of the target.
    """
    warnings: list[str] = []
    images = objects = 0
    for leaf in _leaves(dataset):
        infos = [leaf.get_data_info(i) for i in range(len(leaf))]
        sizes = _read_sizes(infos, owner, _skips_unreadable(leaf), warnings)
        images += len(infos)
        objects += _check_boxes(infos, sizes, labels, owner, warnings)
        if isinstance(leaf, CocoDataset):
            warnings += _dropped(leaf, owner)
    if not images:
        raise ValueError(f'{owner} has no images')
    if not objects:
        raise ValueError(
            f'{owner}: none of {images} images has an object of the target (label '
            f'{", ".join(map(str, labels))})'
        )
    return DataCheck(images, objects, warnings)


def _leaves(dataset: Any) -> Iterator[Any]:
    """Data sets inside wrappers."""
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from _leaves(part)
    elif 'dataset' in vars(dataset):
        yield from _leaves(dataset.dataset)
    else:
        yield dataset


def _skips_unreadable(dataset: Any) -> bool:
    return any(
        isinstance(step, LoadIntactImage) and step.unreadable == 'skip'
        for step in find_image_loaders(dataset)
    )


def _read_sizes(
    infos: Sequence[Mapping[str, Any]], owner: str, skips: bool, warnings: list[str]
) -> list[tuple[int, int] | None]:
    """Width and height of each image; None where no local file is to be read."""
    paths = [_local_path(info) for info in infos]
    # In the order of the data set, each once.
    missing = dict.fromkeys(
        path for path in paths if path is not None and not os.path.isfile(path)
    )
    if missing:
        message = (
            f'{owner}: {len(missing)} of {len(paths)} image files do not exist, the '
            f'first is {next(iter(missing))}'
        )
        if not skips:
            raise FileNotFoundError(message)
        warnings.append(message)
    sizes = []
    for info, path in zip(infos, paths, strict=True):
        if path is None or path in missing:
            image = info.get('img')
            sizes.append(None if image is None else image.shape[1::-1])
            continue
        try:
            sizes.append(_size(path))
        except (OSError, UnidentifiedImageError) as error:
            if not skips:
                raise ValueError(f'{owner}: {path} is no image: {error}') from error
            warnings.append(f'{owner}: {path} is no image')
            sizes.append(None)
    return sizes


def _local_path(info: Mapping[str, Any]) -> str | None:
    path = info.get('img_path')
    return None if path is None or 'img' in info or _SCHEMES in str(path) else str(path)


def _size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(_ORIENTATION, 1) >= _TURNED
    return (height, width) if turned else (width, height)


def _check_boxes(
    infos: Sequence[Mapping[str, Any]],
    sizes: Sequence[tuple[int, int] | None],
    labels: Sequence[int],
    owner: str,
    warnings: list[str],
) -> int:
    """Number of objects of the target that have an area."""
    objects, outside, resized = 0, [], []
    for info, size in zip(infos, sizes, strict=True):
        name = info.get('img_path', info.get('img_id'))
        if size and 'width' in info and (info['width'], info['height']) != size:
            resized.append(name)
        boxes = [
            one['bbox'] for one in info['instances'] if one['bbox_label'] in labels
        ]
        array: Any = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        if not np.isfinite(array).all():
            raise ValueError(f'{owner}: a box of {name} is NaN or infinite')
        array = array[(array[:, 2:] > array[:, :2]).all(axis=1)]
        objects += len(array)
        if size is not None:
            away = (array[:, 2:] <= 0) | (array[:, :2] >= size)
            if away.any():
                outside.append(name)
    if outside:
        warnings.append(
            f'{owner}: boxes outside of the image in {len(outside)} images, the first '
            f'is {outside[0]}'
        )
    if resized:
        warnings.append(
            f'{owner}: {len(resized)} images have another size than the annotation '
            f'says, the first is {resized[0]}'
        )
    return objects


def _check_order(
    dataset: CocoDataset, categories: Sequence[Mapping[str, Any]], owner: str
) -> None:
    """mmdet counts labels in the order of the file, and names them by ``metainfo``."""
    wanted = tuple(dataset.metainfo['classes'])
    listed = tuple(c['name'] for c in categories if c['name'] in wanted)
    if listed != wanted[: len(listed)]:
        raise ValueError(
            f'{owner}: metainfo.classes are {", ".join(wanted[:8])}, but '
            f'{dataset.ann_file} lists {", ".join(listed[:8])}, and mmdet numbers '
            'labels in that order: write metainfo.classes in the order of the file'
        )


def _dropped(dataset: CocoDataset, owner: str) -> list[str]:
    """What mmdet leaves out of a COCO file without a word.

    Raises:
        ValueError: If a box is not finite.
    """
    content = read_json(dataset.ann_file)
    _check_order(dataset, content['categories'], owner)
    known = {image['id']: image for image in content['images']}
    names = dict.fromkeys(dataset.cat_ids)
    outside, unknown = [], 0
    for annotation in content['annotations']:
        x, y, width, height = np.asarray(annotation['bbox'], dtype=np.float64)
        where = f'annotation {annotation.get("id")}'
        if not np.isfinite([x, y, width, height]).all():
            raise ValueError(
                f'{owner}: the box of {where} of {dataset.ann_file} is NaN or infinite'
            )
        if annotation['category_id'] not in names:
            unknown += 1
            continue
        image = known.get(annotation['image_id'])
        if image is None:
            continue
        right, bottom = min(x + width, image['width']), min(y + height, image['height'])
        if min(width, height) < 1 or right <= max(x, 0) or bottom <= max(y, 0):
            outside.append(f'{where} ({image["file_name"]})')
    found = []
    if outside:
        found.append(
            f'{owner}: {len(outside)} boxes lie outside of their image or have a side '
            f'of less than 1 pixel and are left out, the first is {outside[0]}'
        )
    if unknown:
        classes = ', '.join(dataset.metainfo['classes'][:8])
        found.append(
            f'{owner}: {unknown} boxes of other categories than its classes '
            f'({classes}) are left out'
        )
    return found
