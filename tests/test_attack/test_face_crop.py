"""A face of a data set as the patch's start: exact crops, places, bad input."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from mmdet_facepatch.attack.patch.face_crop import crop_square, dataset_face
from mmdet_facepatch.attack.patch.resampling import resize_area
from mmdet_facepatch.attack.patch.universal_patch import initial_pixels
from mmdet_facepatch.datasets import PastePatch

ANNOTATION = """\
0--Parade/a.png
4
10 5 8 6 0 0 0 0 0 0
1 2 3 7 0 0 0 1 0 0
30 20 12 12 2 0 0 0 0 0
5 5 0 4 0 0 0 0 0 0
1--Handshaking/b.png
0
"""


@pytest.fixture
def picture() -> np.ndarray:
    """An image of 32 x 40 pixels, (H, W, 3) uint8 RGB."""
    return np.random.default_rng(5).integers(0, 256, (32, 40, 3), np.uint8)


@pytest.fixture
def dataset(tmp_path: Path, picture: np.ndarray) -> dict:
    """Config of a WIDER FACE of two images; its pipeline cannot be built."""
    for name in ('0--Parade/a.png', '1--Handshaking/b.png'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), picture[..., ::-1])
    (tmp_path / 'gt.txt').write_text(ANNOTATION)
    return dict(
        type='WiderFaceDataset',
        data_root=str(tmp_path),
        ann_file='gt.txt',
        data_prefix=dict(img='images/'),
        pipeline=[dict(type='Unknown')],
    )


def as_pixels(picture):
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


# --------------------------------------------------------------------------- crops
def test_square_about_the_centre_of_the_box():
    image = np.arange(6 * 8).reshape(6, 8, 1)
    # 4 x 2 at (2, 2): 4 x 4 about (4, 3).
    np.testing.assert_array_equal(crop_square(image, [2, 2, 6, 4]), image[1:5, 2:6])
    # Half a pixel off: 3 x 2 is 3 x 3 about (3.5, 3), from row 2 = floor(3 - 1.5 + .5).
    np.testing.assert_array_equal(crop_square(image, [2, 2, 5, 4]), image[2:5, 2:5])
    np.testing.assert_array_equal(
        crop_square(image, [2.2, 2.2, 2.4, 2.3]), image[2:3, 2:3]
    )


def test_border_is_repeated():
    image = np.arange(9).reshape(3, 3, 1)
    np.testing.assert_array_equal(
        crop_square(image, [-1, 0, 1, 2])[..., 0], [[0, 0], [3, 3]]
    )
    np.testing.assert_array_equal(
        crop_square(image, [2, 1, 3, 5])[..., 0],
        [[4, 5, 5, 5], [7, 8, 8, 8], [7, 8, 8, 8], [7, 8, 8, 8]],
    )


@given(st.integers(-9, 15), st.integers(-9, 15), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_crop_equals_that_of_a_padded_image(x, y, w, h):
    image = np.random.default_rng(1).integers(0, 256, (11, 13, 3), np.uint8)
    box = [x, y, x + w, y + h]
    if x >= 13 or y >= 11 or x + w <= 0 or y + h <= 0:
        with pytest.raises(ValueError, match='outside the image of width 13'):
            crop_square(image, box)
        return
    crop = crop_square(image, box)
    side = max(w, h)
    assert crop.shape == (side, side, 3)
    left, top = (2 * x + w - side + 1) // 2, (2 * y + h - side + 1) // 2
    padded = np.pad(image, ((50, 50), (50, 50), (0, 0)), mode='edge')
    np.testing.assert_array_equal(
        crop, padded[50 + top : 50 + top + side, 50 + left : 50 + left + side]
    )


# ----------------------------------------------------------------------- data sets
def test_face_is_rgb_of_the_original_image(dataset, picture):
    face = dataset_face(dataset, '0--Parade/a')
    # 8 x 6 at (10, 5): 8 x 8 from row 4.
    assert torch.equal(face, as_pixels(picture[4:12, 10:18]))
    ignored = dataset_face(dataset, '0--Parade/a', 1)
    padded = np.pad(picture, ((0, 0), (1, 0), (0, 0)), mode='edge')
    assert torch.equal(ignored, as_pixels(padded[2:9, :7]))


def test_init_resizes_to_the_patch(dataset, picture):
    init = dict(type='face', dataset=dataset, img_id='0--Parade/a', face=2)
    crop = as_pixels(picture[20:32, 30:40])
    crop = torch.cat([crop, crop[..., -1:].expand(3, 12, 2)], dim=2)
    pixels = initial_pixels(4, init)
    torch.testing.assert_close(pixels, crop.view(3, 4, 3, 4, 3).mean(dim=(2, 4)))
    torch.testing.assert_close(initial_pixels(30, init), resize_area(crop, (30, 30)))
    # A patch that is no square gets the middle of it.
    torch.testing.assert_close(
        initial_pixels((4, 2), init), resize_area(crop[..., 3:9], (4, 2))
    )
    again = initial_pixels(4, init)
    assert torch.equal(again, pixels)
    assert pixels.min() >= 0 and pixels.max() <= 1


def test_works_wherever_an_init_does(dataset, picture):
    init = ConfigDict(type='face', dataset=dataset, img_id='0--Parade/a')
    patch = MODELS.build(ConfigDict(type='UniversalPatch', size=8, init=init))
    expected = as_pixels(picture[4:12, 10:18])
    torch.testing.assert_close(patch().detach(), expected)
    transform = PastePatch()
    transform.set_patch(dict(init, size=8, removed='top_half', scale=0.8))
    torch.testing.assert_close(transform.pixels, expected)
    assert transform.removed == 'top_half'


def test_wrapped_data_sets_and_image_lists(dataset, picture):
    (Path(dataset['data_root']) / 'few.txt').write_text('1--Handshaking/b.png\n')
    listed = dict(dataset, image_list='few.txt')
    with pytest.raises(ValueError, match='none of the 1 images'):
        dataset_face(listed, '0--Parade/a')
    both = dict(
        type='ConcatDataset',
        datasets=[
            {k: v for k, v in d.items() if k != 'pipeline'} for d in (listed, dataset)
        ],
    )
    assert torch.equal(
        dataset_face(both, '0--Parade/a'), as_pixels(picture[4:12, 10:18])
    )


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(img_id='0--Parade/a.png'),
            r"img_id '0--Parade/a.png' is none of the 2 images of WiderFaceDataset.*"
            'closest: 0--Parade/a, 1--Handshaking/b',
        ),
        (dict(face=4), "image '0--Parade/a' has no face 4; known: 0 to 3"),
        (dict(face=-1), 'has no face -1; known: 0 to 3'),
        (dict(face=0.0), 'has no face 0.0'),
        (dict(face=True), 'has no face True'),
        (dict(img_id='1--Handshaking/b'), 'has no face 0; known: none'),
        (dict(face=3), "image '0--Parade/a', face 3: box .* has no extent"),
    ],
)
def test_unfit_face(dataset, changes, message):
    init = dict(type='face', dataset=dataset, img_id='0--Parade/a') | changes
    with pytest.raises(ValueError, match=message):
        initial_pixels(8, init)


def test_missing_image_and_missing_key(dataset):
    with pytest.raises(TypeError, match='img_id'):
        initial_pixels(8, dict(type='face', dataset=dataset))
    (Path(dataset['data_root']) / 'images/0--Parade/a.png').write_bytes(b'')
    with pytest.raises(OSError, match=r'0--Parade/a\.png'):
        dataset_face(dataset, '0--Parade/a')


def test_real_face(widerface_root):
    dataset = dict(
        type='WiderFaceDataset',
        data_root=str(widerface_root),
        ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
        image_list='train_subset.txt',
    )
    init = dict(
        type='face', dataset=dataset, img_id='0--Parade/0_Parade_marchingband_1_849'
    )
    pixels = initial_pixels(128, init)
    assert pixels.shape == (3, 128, 128)
    assert pixels.std() > 0.05
