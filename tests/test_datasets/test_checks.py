"""Data sets are looked at before hours of work on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from PIL import Image

from mmdet_facepatch.datasets import check_data

FACE, PERSON = 0, 1


@pytest.fixture
def files(tmp_path):
    """A COCO file of two images and two classes, with integer ids."""
    for i in (1, 2):
        image = Image.fromarray(np.full((40, 60, 3), 99, np.uint8))
        image.save(tmp_path / f'{i}.png')
    boxes = {1: [(0, 5, 5, 10, 10), (1, 0, 0, 30, 40)], 2: [(1, 20, 0, 20, 40)]}
    annotations = [
        dict(image_id=i, category_id=c, bbox=[x, y, w, h], area=w * h, iscrowd=0)
        for i, found in boxes.items()
        for c, x, y, w, h in found
    ]
    for i, annotation in enumerate(annotations):
        annotation['id'] = i + 1
    return tmp_path, dict(
        images=[dict(id=i, file_name=f'{i}.png', width=60, height=40) for i in (1, 2)],
        annotations=annotations,
        categories=[dict(id=0, name='face'), dict(id=1, name='person')],
    )


def check(folder: Path, content: dict, labels=(FACE,), wrap=None, **options):
    (folder / 'coco.json').write_text(json.dumps(content))
    options = dict(dict(type='CocoFaceDataset'), **options)
    dataset = dict(
        options,
        ann_file=str(folder / 'coco.json'),
        data_prefix=dict(img=str(folder)),
        test_mode=True,
    )
    if wrap:
        dataset = dict(type=wrap, dataset=dataset, times=3)
    return check_data(DATASETS.build(dataset), labels, 'test_dataloader')


def test_counts(files):
    found = check(*files)
    assert (found.images, found.objects, found.warnings) == (2, 1, [])
    assert check(*files, labels=(FACE, PERSON)).objects == 3
    assert check(*files, labels=(PERSON,)).objects == 2
    # A wrapper that repeats shows nothing new.
    assert check(*files, wrap='RepeatDataset').images == 2


def test_no_object_of_the_target(files):
    with pytest.raises(ValueError, match='test_dataloader: none of 2 images has an o'):
        check(*files, labels=(2,))


def test_missing_image_is_named(files):
    folder, content = files
    (folder / '2.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 2 image files .* is .*/2.png'):
        check(folder, content)
    skip = [dict(type='LoadIntactImage', unreadable='skip')]
    found = check(folder, content, pipeline=skip)
    assert '2.png' in found.warnings[0] and found.images == 2


def test_a_file_that_is_no_image(files):
    folder, content = files
    (folder / '1.png').write_bytes(b'none')
    with pytest.raises(ValueError, match=r'test_dataloader: .*/1.png is no image'):
        check(folder, content)


def test_boxes_that_mmdet_leaves_out_are_told(files):
    folder, content = files
    content['annotations'][1]['bbox'] = [70, 5, 10, 10]
    (warning,) = check(folder, content).warnings
    assert '1 boxes lie outside' in warning and 'annotation 2 (1.png)' in warning
    content['annotations'][1]['bbox'] = [5, 5, 0.5, 10]
    assert 'less than 1 pixel' in check(folder, content).warnings[0]


def test_a_box_that_is_no_number(files):
    folder, content = files
    content['annotations'][2]['bbox'][0] = float('nan')
    with pytest.raises(ValueError, match='box of annotation 3 of .* is NaN'):
        check(folder, content)


def test_images_of_another_size_than_annotated(files):
    folder, content = files
    content['images'][1]['width'] = 600
    (warning,) = check(folder, content).warnings
    assert '1 images have another size' in warning and '2.png' in warning


def test_turned_images_have_the_size_that_they_are_loaded_with(files):
    folder, content = files
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.full((60, 40, 3), 99, np.uint8)).save(
        folder / '1.png', exif=exif
    )
    assert check(folder, content).warnings == []


class TestClasses:
    def test_are_those_of_the_file(self, files):
        folder, content = files
        check(folder, content)
        dataset = DATASETS.build(
            dict(
                type='CocoFaceDataset',
                ann_file=str(folder / 'coco.json'),
                data_prefix=dict(img=str(folder)),
            )
        )
        assert dataset.metainfo['classes'] == ('face', 'person')
        assert [dataset.get_data_info(i)['img_id'] for i in (0, 1)] == ['1', '2']

    def test_of_mmdets_data_set_are_in_the_order_of_the_file(self, files):
        """mmdet counts by the file and names by metainfo: silently the wrong class."""
        folder, content = files
        right = dict(classes=('face', 'person'))
        found = check(folder, content, type='CocoDataset', metainfo=right)
        assert found.objects == 1
        wrong = dict(classes=('person', 'face'))
        with pytest.raises(ValueError, match='are person, face, but .* lists face, p'):
            check(folder, content, type='CocoDataset', metainfo=wrong)
        # Ours names labels as they are counted.
        assert check(folder, content, metainfo=wrong).objects == 1

    def test_of_other_categories_are_told(self, files):
        folder, content = files
        only = dict(classes=('face',))
        (warning,) = check(folder, content, type='CocoDataset', metainfo=only).warnings
        assert '2 boxes of other categories' in warning

    @pytest.mark.parametrize(
        'metainfo, names, message',
        [
            (dict(classes=('cat',)), None, 'no category cat; there are face, person'),
            ({}, ('face', 'face'), 'two categories have the same name'),
            ({}, (), 'no category at all'),
        ],
    )
    def test_that_are_not_there(self, files, metainfo, names, message):
        folder, content = files
        if names is not None:
            content['categories'] = [
                dict(id=i, name=name) for i, name in enumerate(names)
            ]
        with pytest.raises(ValueError, match=message):
            check(folder, content, metainfo=metainfo)


def test_real_data(widerface_root):
    dataset = DATASETS.build(
        dict(
            type='WiderFaceDataset',
            data_root=str(widerface_root),
            ann_file='wider_face_split/wider_face_val_bbx_gt.txt',
            data_prefix=dict(img='WIDER_val/images/'),
            image_list='val_subset.txt',
            test_mode=True,
        )
    )
    found = check_data(dataset, (0,), 'test_dataloader')
    assert found.images == 115 and 3000 < found.objects <= 3948
    assert found.warnings == []
