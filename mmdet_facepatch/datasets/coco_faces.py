"""A COCO file with the classes that it names itself."""

from __future__ import annotations

import contextlib
import io
from pathlib import PurePosixPath

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from ..utils.json_files import read_json

_ANNOTATION_KEYS = ('id', 'image_id', 'category_id', 'bbox', 'area')


@DATASETS.register_module()
class CocoFaceDataset(CocoDataset):
    """mmdet's ``CocoDataset``, whose classes are the categories of the file.

    mmdet's own takes COCO's 80 classes unless ``metainfo`` names others, and leaves out
    boxes of all categories that are not among them. Here ``metainfo`` need not name
    them. Labels count the categories in the order in which the file lists them, as in
    mmdet, and so do the names, whatever the order in ``metainfo``. The id of an image
    is its ``file_name`` without suffix.

    As in mmdet, boxes that are marked ``ignore``, lie outside the image, or have a side
    of less than 1 pixel are left out; those marked ``iscrowd`` get the ignore flag.

    Args:
        *args (Any): As in mmdet.
        **kwargs (Any): The same.

    Raises:
        ValueError: If the file is no COCO file, ``metainfo`` names a class that it has
            not, no image is left, or two images or categories have the same name.
    """

    METAINFO = {'classes': None, 'palette': 'random'}

    def load_data_list(self) -> list[dict]:
        """Read images and boxes.

        Returns:
            list[dict]: One for each image, as in mmdet.
        """
        names = self._find_categories()
        self._metainfo['classes'] = names
        # pycocotools prints that it is loading.
        with contextlib.redirect_stdout(io.StringIO()):
            return super().load_data_list()

    def filter_data(self) -> list[dict]:
        """Filter as in mmdet, then name the images by their files.

        Returns:
            list[dict]: The images that stay.
        """
        infos = super().filter_data()
        if not infos:
            raise ValueError(
                f'{self.ann_file}: no image is left; filter_cfg={self.filter_cfg}'
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

    def _find_categories(self) -> tuple[str, ...]:
        """Names of the classes, after a check of the file."""
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
        names = [category['name'] for category in content['categories']]
        if len(set(names)) < len(names):
            raise ValueError(f'{self.ann_file}: two categories have the same name')
        wanted = self._metainfo.get('classes') or names
        wanted = {wanted} if isinstance(wanted, str) else set(wanted)
        unknown = sorted(wanted - set(names))
        if unknown or not names:
            raise ValueError(
                f'{self.ann_file} has no category {", ".join(unknown) or "at all"}; '
                f'there are {", ".join(names) or "none"}'
            )
        return tuple(name for name in names if name in wanted)
