"""WIDER FACE read from the official text annotation and folder layout."""

from __future__ import annotations

import os
import os.path as osp
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.utils import is_abs
from PIL import Image

from ..utils.wider_annotation import (
    WiderImage,
    first_names,
    parse_wider_annotation,
    read_image_list,
    select_images,
    to_instances,
)

_FILTER_KEYS = ('filter_empty_gt', 'min_size', 'bbox_min_size')
_LAYOUT = '<data_root>/WIDER_<split>/images/<event>/<image>.jpg'


def find_missing_images(img_dir: str, names: Iterable[str]) -> list[str]:
    """Which of the images are not on disk.

    Reads each event folder once instead of asking for every file, which on a
    network file system is the difference between 61 and 12,880 round trips.

    Args:
        img_dir (str): Local ``images/`` folder.
        names (Iterable[str]): Paths relative to it.

    Returns:
        list[str]: The missing paths in the order given.
    """
    names = list(names)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_folder[osp.dirname(name)].append(osp.basename(name))
    missing: set[str] = set()
    for folder, files in by_folder.items():
        try:
            with os.scandir(osp.join(img_dir, folder)) as entries:
                present = {entry.name for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            present = set()
        missing.update(osp.join(folder, f) for f in files if f not in present)
    return [name for name in names if name in missing]


def explain_layout(img_dir: str, events: Iterable[str]) -> str | None:
    """Say what is wrong with the image folder, or None if nothing is.

    Knows the usual accidents: the ``images/`` level left out, in the files or
    in the path, and a level too many (``WIDER_train/WIDER_train/images``).

    Args:
        img_dir (str): Local folder that should hold the event folders.
        events (Iterable[str]): Names of the event folders, of which one suffices.
    """
    events = sorted(set(events))
    img_dir = osp.normpath(img_dir)
    if _has_any(img_dir, events):
        return None
    if osp.isdir(img_dir):
        problem = (
            f'the image folder {img_dir} has no event folder ({first_names(events)})'
        )
    else:
        problem = f'the image folder {img_dir} does not exist'
    parent = osp.dirname(img_dir)
    split = osp.basename(parent)
    candidates = (
        osp.join(img_dir, 'images'),
        osp.join(parent, 'images'),
        osp.join(parent, split, 'images'),
        osp.join(parent, split),
        parent,
    )
    found = [c for c in candidates if c != img_dir and _has_any(c, events)]
    if found:
        problem += f', but {found[0]} has'
    return f'{problem}; the layout must be {_LAYOUT}'


def _has_any(folder: str, names: Iterable[str]) -> bool:
    """Whether the folder has one of the sub-folders."""
    return any(osp.isdir(osp.join(folder, name)) for name in names)


@DATASETS.register_module()
class WiderFaceDataset(BaseDetDataset):
    """WIDER FACE in its official form (text annotation, ``images/`` level).

    Not to be confused with mmdet's ``WIDERFaceDataset``, which reads Pascal VOC
    XML files made by a third-party script and loses attributes, flags and
    images without faces.

    Each data info has ``img_path``, ``img_id`` (event/name without suffix) and
    ``instances`` (see :func:`to_instances`), in annotation order and with
    nothing dropped, so that the evaluation's 1-based face indices hold. The
    annotation has no image size, and image files are not opened.

    Args:
        ann_file (str): The text annotation, relative to ``data_root``.
        data_root (str): Root folder.
        data_prefix (dict): ``img``: folder of the event folders, relative to
            ``data_root``. Defaults to ``dict(img='WIDER_train/images/')``.
        image_list (str, optional): Text file, relative to ``data_root``, that names
            the images to use, one path relative to ``images/`` a line. The data set has
            their order. Defaults to None, all images.
        filter_cfg (dict, optional): Honoured only if ``test_mode`` is False, as in
            mmdet's ``XMLDataset``: ``filter_empty_gt`` (bool) drops images in which no
            face has ``ignore_flag`` 0; ``min_size`` (int) drops images whose shorter
            side is smaller, in pixels, for which the header of every image is read;
            ``bbox_min_size`` (int) sets the ``ignore_flag`` of faces with a smaller
            side. Other keys are an error.
        **kwargs (Any): Arguments of mmdet's ``BaseDetDataset``.

    Raises:
        FileNotFoundError: If the root, the annotation, the image list or a
            selected image is missing, or the folders are laid out differently.
        ValueError: If annotation or image list are malformed.

    Example:
        >>> dataset = WiderFaceDataset(
        ...     data_root='data/WIDERFace',
        ...     ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
        ...     filter_cfg=dict(filter_empty_gt=True))
        >>> dataset.get_data_info(0)['img_id']
        '0--Parade/0_Parade_marchingband_1_849'
    """

    METAINFO = {'classes': ('face',), 'palette': [(0, 0, 255)]}
    # What takes **kwargs, for the check of configs.
    kwargs_of = BaseDetDataset

    def __init__(
        self,
        *args: Any,
        data_prefix: dict | None = None,
        image_list: str | None = None,
        **kwargs: Any,
    ) -> None:
        if data_prefix is None:
            data_prefix = dict(img='WIDER_train/images/')
        if 'img' not in data_prefix:
            raise ValueError(
                "data_prefix needs the key 'img' (the folder of the event folders), "
                f'got {dict(data_prefix)}'
            )
        unknown = set(kwargs.get('filter_cfg') or {}) - set(_FILTER_KEYS)
        if unknown:
            raise ValueError(
                f'filter_cfg has unknown keys {sorted(unknown)}; '
                f'known are {list(_FILTER_KEYS)}'
            )
        self.image_list = image_list
        super().__init__(*args, data_prefix=dict(data_prefix), **kwargs)

    def _join_prefix(self) -> None:
        """Also resolve ``image_list`` against ``data_root``."""
        super()._join_prefix()
        if self.image_list and self.data_root and not is_abs(self.image_list):
            self.image_list = osp.join(self.data_root, self.image_list)

    @property
    def _is_local(self) -> bool:
        """Whether files are read from the local file system."""
        local = not self.backend_args or self.backend_args.get('backend') == 'local'
        return local and '://' not in self.data_prefix['img']

    def load_data_list(self) -> list[dict]:
        """Read annotation and image list, and check that the images exist.

        Returns:
            One dict per image: ``img_path``, ``img_id``, ``instances``.
        """
        if self._is_local:
            self._check_files()
        annotated = parse_wider_annotation(self.ann_file, self.backend_args)
        if self.image_list:
            images = select_images(
                annotated,
                read_image_list(self.image_list, self.backend_args),
                self.image_list,
                self.ann_file,
            )
        else:
            images = list(annotated.values())
        if self._is_local:
            self._check_images(images)
        return [self.parse_data_info(image) for image in images]

    def parse_data_info(self, raw_data_info: WiderImage) -> dict:
        """Convert one image's annotation to the target format.

        Args:
            raw_data_info (WiderImage): The image's annotation.

        Returns:
            dict: ``img_path``, ``img_id`` and ``instances``.
        """
        instances = to_instances(raw_data_info)
        min_side = (self.filter_cfg or {}).get('bbox_min_size') or 0
        if min_side > 0 and not self.test_mode:
            small = (raw_data_info.boxes[:, 2:] < min_side).any(axis=1)
            for index in np.flatnonzero(small):
                instances[index]['ignore_flag'] = 1
        return dict(
            img_path=osp.join(self.data_prefix['img'], raw_data_info.path),
            img_id=raw_data_info.img_id,
            instances=instances,
        )

    def filter_data(self) -> list[dict]:
        """Filter images according to ``filter_cfg``, in training only.

        Returns:
            list[dict]: The data infos that stay.

        Raises:
            ValueError: If none stays.
        """
        if self.test_mode or not self.filter_cfg or not self.data_list:
            return self.data_list
        min_size = self.filter_cfg.get('min_size') or 0
        kept = self.data_list
        if self.filter_cfg.get('filter_empty_gt', False):
            kept = [
                info
                for info in kept
                if any(not face['ignore_flag'] for face in info['instances'])
            ]
        if min_size > 0:
            kept = [i for i in kept if _shorter_side(i['img_path']) >= min_size]
        if not kept:
            raise ValueError(
                f'filter_cfg={dict(self.filter_cfg)} leaves none of the '
                f'{len(self.data_list)} images of {self.ann_file}'
            )
        return kept

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on an image.

        Args:
            idx (int): Index of the image.

        Returns:
            Any: What the pipeline gives; None in training if the image was skipped.

        Raises:
            OSError: If the image was skipped in evaluation.
        """
        data = super().prepare_data(idx)
        if data is None and self.test_mode:
            raise OSError(
                f'the image {self.get_data_info(idx)["img_path"]} cannot be used (see '
                'the log), and an evaluation leaves out no image: its numbers would be '
                'those of other images. Get the file again, or name the images to '
                'evaluate in an image list'
            )
        return data

    @property
    def _hint(self) -> str:
        return (
            f'`python tools/prepare_widerface.py --root {self.data_root or "."}` '
            'unpacks or downloads WIDER FACE and says what is missing'
        )

    def _check_files(self) -> None:
        """Raise if data root, annotation or image list is missing."""
        if self.data_root and not osp.isdir(self.data_root):
            raise FileNotFoundError(
                f'the data root {self.data_root} does not exist; {self._hint}'
            )
        if not self.ann_file:
            raise ValueError('WiderFaceDataset needs ann_file, the text annotation')
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f'the annotation file {self.ann_file} does not exist; {self._hint}'
            )
        if self.image_list and not osp.isfile(self.image_list):
            raise FileNotFoundError(
                f'the image list {self.image_list} does not exist (image_list is '
                'relative to data_root)'
            )

    def _check_images(self, images: list[WiderImage]) -> None:
        """Raise if the layout differs or a selected image is not on disk."""
        img_dir = self.data_prefix['img']
        names = [image.path for image in images]
        problem = explain_layout(img_dir, map(osp.dirname, names))
        if problem:
            raise FileNotFoundError(f'{problem}; {self._hint}')
        missing = find_missing_images(img_dir, names)
        if not missing:
            return
        if len(missing) == len(names):
            advice = (
                f'is {self.ann_file} the annotation of this split? Set data_prefix '
                'to the folder of the same split'
            )
        else:
            advice = (
                'if only a part of WIDER FACE is there on purpose, name its images '
                f'in a text file and set `image_list`; else {self._hint}'
            )
        raise FileNotFoundError(
            f'{len(missing)} of {len(names)} images are not in {img_dir}: '
            f'{first_names(missing)}; {advice}'
        )


def _shorter_side(path: str) -> int:
    """Shorter side of an image in pixels, from its header alone."""
    with Image.open(path) as image:
        return min(image.size)
