"""PastePatch on 8-bit images: exact pixels, keys, workers, bad input."""

import copy

import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from torch.utils.data import DataLoader, Dataset

from mmdet_facepatch.attack.patch.universal_patch import initial_pixels, save_patch
from mmdet_facepatch.datasets.transforms.paste_patch import PastePatch


def loaded(height=40, width=60, boxes=((10, 10, 26, 26),)):
    """Results as they come from the dataset and LoadImageFromFile."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return dict(
        img=image,
        img_path='folder/a.jpg',
        img_shape=(height, width),
        ori_shape=(height, width),
        instances=[
            dict(bbox=list(box), bbox_label=0, ignore_flag=i % 2)
            for i, box in enumerate(boxes)
        ],
    )


def test_pastes_rgb_into_bgr_and_leaves_the_rest():
    transform = TRANSFORMS.build(
        dict(
            type='PastePatch',
            patch=dict(type='constant', value=[1.0, 0.5, 0.0]),
            placement=dict(type='PatchPlacement', alpha=0.5, center='top'),
        )
    )
    before = loaded()
    results = transform(copy.deepcopy(before))
    # 16 x 16 face at (10, 10): 8 x 8 patch, centred, at its top edge.
    assert results['patch_boxes'].tolist() == [[14, 10, 22, 18]]
    assert results['patch_boxes'].dtype == np.int64
    expected = before['img'].copy()
    expected[10:18, 14:22] = [0, 128, 255]  # 127.5 goes up, in every pixel
    assert results['img'].dtype == np.uint8
    assert results['img'].flags.c_contiguous
    np.testing.assert_array_equal(results['img'], expected)
    for key in ('img_path', 'img_shape', 'ori_shape', 'instances'):
        assert results[key] == before[key]


@pytest.mark.parametrize('side', [3, 7, 31, 100, 171])
def test_grey_stays_even_at_any_size(side):
    transform = PastePatch(dict(type='constant', value=0.5))
    results = transform(loaded(200, 200, [(0, 0, 2 * side, 2 * side)]))
    x1, y1, x2, y2 = results['patch_boxes'][0].clip(0, 200)
    assert (results['img'][y1:y2, x1:x2] == 128).all()


def test_pasted_values_are_area_averages():
    pixels = initial_pixels(16, dict(type='noise', seed=2))
    transform = PastePatch()
    transform.set_patch(pixels)
    results = transform(loaded())
    small = pixels.view(3, 8, 2, 8, 2).mean(dim=(2, 4)).flip(0) * 255
    pasted = results['img'][10:18, 14:22].transpose(2, 0, 1).astype(np.float32)
    assert np.abs(pasted - small.numpy()).max() <= 0.5 + 1e-4


def test_every_instance_has_a_row_in_order():
    boxes = [(10, 10, 26, 26), (5, 5, 5, 9), (50, 30, 90, 70), (12, 14, 13, 15)]
    transform = PastePatch(dict(type='constant', value=0.0))
    results = transform(loaded(boxes=boxes))
    rows = results['patch_boxes']
    assert rows.shape == (4, 4)
    assert rows[1, 0] == rows[1, 2]
    assert rows[2].tolist() == [60, 30, 80, 50]  # outside, uncut
    assert rows[3, 2] - rows[3, 0] == 1
    # Ignored faces (every second one) carry the patch as well.
    assert (results['img'][rows[3, 1], rows[3, 0]] == 0).all()


def test_of_several_classes_one_gets_patches():
    """The others keep an empty row, so that rows are those of the instances."""
    before = loaded(boxes=((10, 10, 26, 26), (30, 10, 46, 26)))
    before['instances'][0]['bbox_label'] = 2
    results = PastePatch(dict(type='constant', value=0.0), labels=(0,))(
        copy.deepcopy(before)
    )
    (x1, _, x2, _), shown = results['patch_boxes'].tolist()
    assert x1 == x2
    assert shown == [34, 10, 42, 18]
    changed = (results['img'] != before['img']).any(axis=2)
    assert changed[10:18, 34:42].all() and changed.sum() == 64


def test_image_without_faces():
    before = loaded(boxes=[])
    results = PastePatch(dict(type='constant', value=0.0))(copy.deepcopy(before))
    np.testing.assert_array_equal(results['img'], before['img'])
    assert results['patch_boxes'].shape == (0, 4)


def test_without_a_patch_the_image_is_untouched_and_the_key_absent():
    transform = PastePatch()
    results = loaded()
    image = results['img']
    results['patch_boxes'] = np.zeros((1, 4), np.int64)  # stale
    results = transform(results)
    assert results['img'] is image
    assert 'patch_boxes' not in results


def test_set_patch_copies_replaces_and_clears():
    transform = PastePatch()
    pixels = torch.zeros(3, 8, 8)
    transform.set_patch(pixels)
    pixels.fill_(1)
    assert (transform(loaded())['img'][10:18, 14:22] == 0).all()
    transform.set_patch(torch.ones(3, 5, 9).requires_grad_())
    assert (transform(loaded())['img'][10:18, 14:22] == 255).all()
    transform.set_patch(None)
    assert transform.pixels is None
    assert 'patch_boxes' not in transform(loaded())
    with pytest.raises(ValueError, match='values from 255'):
        transform.set_patch(torch.full((3, 8, 8), 255.0))


def test_patch_from_a_file(tmp_path):
    pixels = initial_pixels(8, dict(type='noise'))
    save_patch(tmp_path / 'p.npy', pixels)
    transform = PastePatch(str(tmp_path / 'p.npy'))
    assert torch.equal(transform.pixels, pixels)
    assert 'patch size=(8, 8)' in repr(transform)
    noise = PastePatch(dict(type='noise', seed=0, size=(8, 8)))
    assert torch.equal(noise.pixels, pixels)
    assert PastePatch(dict(type='noise')).pixels.shape == (3, 128, 128)


def test_deep_copies_are_apart():
    transform = PastePatch(dict(type='constant', value=0.0, size=8))
    twin = copy.deepcopy(transform)
    twin.set_patch(torch.ones(3, 8, 8))
    assert (transform.pixels == 0).all()
    assert (twin.pixels == 1).all()
    assert twin._pixels.is_shared()
    assert twin._state.is_shared()


class OneImage(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 1

    def __getitem__(self, index):
        results = self.transform(loaded())
        return [*results['img'][12, 16].tolist(), 'patch_boxes' in results]


def test_set_patch_takes_files_and_inits(tmp_path):
    transform = PastePatch(size=(8, 4))
    transform.set_patch(dict(type='noise', seed=5))
    noise = initial_pixels((8, 4), dict(type='noise', seed=5))
    assert torch.equal(transform.pixels, noise)
    save_patch(tmp_path / 'p.npy', noise * 0.5)
    transform.set_patch(tmp_path / 'p.npy')
    assert torch.equal(transform.pixels, noise * 0.5)


def test_living_workers_see_a_new_patch_or_stop():
    transform = PastePatch(size=8)
    clean = [*loaded()['img'][12, 16].tolist(), False]
    loader = DataLoader(
        OneImage(transform),
        batch_size=None,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context='fork',
    )
    assert list(loader) == [clean]
    transform.set_patch(dict(type='constant', value=0.0))
    assert list(loader) == [[0, 0, 0, True]]
    transform.set_patch(torch.ones(3, 8, 8))
    assert list(loader) == [[255, 255, 255, True]]
    transform.set_patch(None)
    assert list(loader) == [clean]
    transform.set_patch(torch.ones(3, 4, 4))
    with pytest.raises(RuntimeError, match='persistent_workers=False'):
        list(loader)


@pytest.mark.parametrize(
    ('changes', 'error', 'message'),
    [
        (dict(ori_shape=(80, 120)), ValueError, 'before any resize, crop or flip'),
        (dict(flip=True), ValueError, 'before any resize, crop or flip'),
        (dict(img=np.zeros((40, 60, 3), np.float32)), ValueError, 'uint8'),
        (dict(img=np.zeros((40, 60), np.uint8)), ValueError, 'uint8'),
        (dict(instances=None), KeyError, "needs 'instances'"),
        (dict(ori_shape=None), KeyError, "needs 'ori_shape'"),
        (
            dict(instances=[dict(bbox=[0, 0, float('nan'), 9])]),
            ValueError,
            'face box 0 is',
        ),
    ],
)
def test_bad_input_names_the_image(changes, error, message):
    results = loaded() | changes
    results = {key: value for key, value in results.items() if value is not None}
    with pytest.raises(error, match=message) as info:
        PastePatch(dict(type='constant'))(results)
    assert 'folder/a.jpg' in str(info.value)


def test_bad_patch_argument(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        PastePatch(str(tmp_path / 'nowhere.png'))
    with pytest.raises(ValueError, match='unknown patch init type'):
        PastePatch(dict(type='gray'))
    with pytest.raises(ValueError, match='alpha'):
        PastePatch(placement=dict(type='PatchPlacement', alpha=2))
