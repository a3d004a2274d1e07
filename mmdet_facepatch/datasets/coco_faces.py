"""Faces of one category of a COCO file."""

from __future__ import annotations

import contextlib
import io
from pathlib import PurePosixPath
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from ..utils.json_files import read_json

_ANNOTATION_KEYS = ('id', 'image_id', 'category_id', 'bbox', 'area')


@DATASETS.register_module()
class CocoFaceDataset(CocoDataset):
    """mmdet's ``CocoDataset``, of which one category are the faces.

    The id of an image is its ``file_name`` without suffix. As in mmdet, boxes that are
    marked ``ignore``, lie outside the image, or have a side of less than 1 pixel are
    left out; those marked ``iscrowd`` get the ignore flag.

    Args:
        *args (Any): As in mmdet.
        category (str, optional): Name of the category whose boxes are faces. None takes
            the only one of the file. Defaults to None.
        label (int): ``bbox_label`` of the faces: their class among those of the
            detector. Defaults to 0.
        **kwargs (Any): As in mmdet.

    Raises:
        ValueError: If the file is no COCO file, has no such category, or has several
            and none is named, or if two images have the same id.
    """

    METAINFO = {'classes': ('face',), 'palette': [(0, 0, 255)]}

    def __init__(
        self,
        *args: Any,
        category: str | None = None,
        label: int = 0,
        **kwargs: Any,
    ) -> None:
        self.category = category
        self.label = label
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the boxes of the category.

        Returns:
            list[dict]: One for each image, as in mmdet.
        """
        self._metainfo['classes'] = (self._find_category(),)
        # pycocotools prints that it is loading.
        with contextlib.redirect_stdout(io.StringIO()):
            infos = super().load_data_list()
        for info in infos:
            for face in info['instances']:
                face['bbox_label'] = self.label
        return infos

    def filter_data(self) -> list[dict]:
        """Filter as in mmdet, then name the images by their files.

        Returns:
            list[dict]: The images that stay.
        """
        infos = super().filter_data()
        if not infos:
            raise ValueError(
                f'{self.ann_file}: no image is left; filter_cfg={self.filter_cfg}, '
                f'category {self.category!r}'
            )
        folder = PurePosixPath(self.data_prefix['img'])
        seen = set()
        for info in infos:
            path = PurePosixPath(info['img_path'])
            name = str(path.relative_to(folder).with_suffix(''))
            if name in seen:
                raise ValueError(f'{self.ann_file}: two images are named {name}')
            seen.add(name)
            info['img_id'] = name
        return infos

    def _find_category(self) -> str:
        """Name of the faces' category, after a check of the file."""
        content = read_json(self.ann_file)
        lists = ('images', 'annotations', 'categories')
        if not isinstance(content, dict) or not all(
            isinstance(content.get(key), list) for key in lists
        ):
            raise ValueError(
                f'{self.ann_file} is no COCO file: it needs the lists '
                f'{", ".join(lists)}'
            )
        for index, annotation in enumerate(content['annotations']):
            missing = [key for key in _ANNOTATION_KEYS if key not in annotation]
            if missing:
                raise ValueError(
                    f'{self.ann_file}: annotation {index} has no {", ".join(missing)}'
                )
        names = sorted({category['name'] for category in content['categories']})
        if self.category is None and len(names) == 1:
            self.category = names[0]
        if self.category not in names:
            known = ', '.join(map(repr, names)) or 'none'
            problem = (
                'several categories: name the one of the faces as category'
                if self.category is None
                else f'no category {self.category!r}'
            )
            raise ValueError(f'{self.ann_file} has {problem}; there are {known}')
        return str(self.category)
