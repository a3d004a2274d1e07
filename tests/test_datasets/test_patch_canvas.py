"""Canvases on which a patch is shown alone."""

from __future__ import annotations

import numpy as np
import pytest
from mmdet.registry import DATASETS

from mmdet_facepatch.datasets import PatchCanvasDataset, data_digest, describe_data
from mmdet_facepatch.datasets.patch_canvas import center_crop

FILL = [
    dict(type='LoadImageFromNDArray'),
    dict(
        type='PastePatch',
        patch=dict(type='constant', value=1.0),
        placement=dict(type='PatchPlacement', alpha=1.0, center='middle'),
    ),
]
SMALL = dict(size=64, sides=(8, 16), shifts=((0, 0), (5, -3)))


def build(pipeline=(), **changes):
    options = dict(type='PatchCanvasDataset', pipeline=list(pipeline), **SMALL)
    return DATASETS.build({**options, **changes})


def test_patch_fills_its_box_and_nothing_else():
    dataset = build(FILL, sides=[9], shifts=[[5, -3]], grey=120)
    shown = dataset[0]
    assert shown['patch_boxes'].tolist() == [[32, 24, 41, 33]]
    image = shown['img'].copy()
    assert (image[24:33, 32:41] == 255).all()
    image[24:33, 32:41] = 120
    assert (image == 120).all()
    # The canvas itself stays clean.
    assert (dataset.get_data_info(0)['img'] == 120).all()


@pytest.mark.parametrize('side', [12, 15, 16, 31, 128])
def test_every_side_is_filled_exactly(side):
    shown = build(FILL, size=160, sides=(side,))[0]
    assert shown['patch_boxes'].tolist() == [shown['instances'][0]['bbox']]
    assert (shown['img'] == 255).all(axis=2).sum() == side**2


def test_items():
    items = list(build())
    assert [item['img_id'] for item in items] == [
        'grey_8_0_0',
        'grey_16_0_0',
        'grey_8_5_-3',
        'grey_16_5_-3',
    ]
    assert [item['side'] for item in items] == [8, 16, 8, 16]
    assert items[3]['instances'] == [
        dict(bbox=[29, 21, 45, 37], bbox_label=0, ignore_flag=0)
    ]
    assert items[0]['img'].shape == (64, 64, 3)
    assert (items[0]['img'] == 127).all()


def test_photographs():
    """After the grey ones, with the box in the middle."""
    pytest.importorskip('skimage')
    dataset = build(sides=(8,), photographs=['brick.png', 'astronaut.png'])
    assert [item['background'] for item in dataset] == [*['grey'] * 2, 'photograph'] + [
        'photograph'
    ]
    brick, astronaut = dataset[2], dataset[3]
    assert brick['img_id'] == 'brick.png_8_0_0'
    assert brick['instances'][0]['bbox'] == [28, 28, 36, 36]
    assert brick['img'].shape == (64, 64, 3)
    assert brick['img'].std() > 1
    assert (brick['img'] != astronaut['img']).any()


def test_center_crop():
    image = np.arange(7 * 6 * 3, dtype=np.uint8).reshape(7, 6, 3)
    assert (center_crop(image, 4) == image[1:5, 1:5]).all()
    with pytest.raises(ValueError, match='of 6 x 7 pixels has no square of 8'):
        center_crop(image, 8)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(sides=(8, 65)), 'a box of 65 pixels'),
        (dict(sides=(0,)), 'a box of 0 pixels'),
        (dict(shifts=((25, 0),)), r'16 pixels, shifted by \(25, 0\)'),
        (dict(photographs=('chelsea.png',)), r"\['chelsea.png'\] are not known"),
        (dict(grey=256), r'grey=256 is not in \[0, 255\]'),
    ],
)
def test_unfit_options(change, message):
    with pytest.raises(ValueError, match=message):
        PatchCanvasDataset(**{**SMALL, **change})


def test_content_decides_the_digest():
    config = dict(type='PatchCanvasDataset', **SMALL)
    assert data_digest(config) == data_digest(dict(config, pipeline=FILL))
    assert len({data_digest(dict(config, grey=grey)) for grey in (1, 2)}) == 2
    assert describe_data(config)['images'] == 4
