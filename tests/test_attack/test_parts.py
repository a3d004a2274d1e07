"""Parts of a patch: exact rectangles, the compositor and PastePatch with them."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TASK_UTILS
from torch.utils.data import DataLoader, Dataset

from mmdet_facepatch.attack import (
    REMOVABLE_PARTS,
    load_patch,
    paste_patch,
    remaining_boxes,
    save_patch,
)
from mmdet_facepatch.attack.patch.universal_patch import initial_pixels
from mmdet_facepatch.datasets import PastePatch

EVERY_PART = pytest.mark.parametrize('removed', REMOVABLE_PARTS)


def rand(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=dtype)


def inside(box, height, width):
    """Mask (height, width) of the pixels in a box."""
    x1, y1, x2, y2 = np.clip(box, 0, [width, height, width, height])
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


# ---------------------------------------------------------------------- rectangles
@pytest.mark.parametrize(
    ('removed', 'expected'),
    [
        ('top_half', [10, 23, 16, 26]),
        ('bottom_half', [10, 20, 16, 23]),
        ('left_half', [13, 20, 16, 26]),
        ('right_half', [10, 20, 13, 26]),
        ('top_third', [10, 22, 16, 26]),
        ('bottom_third', [10, 20, 16, 24]),
        ('left_third', [12, 20, 16, 26]),
        ('right_third', [10, 20, 14, 26]),
        (None, [10, 20, 16, 26]),
    ],
)
def test_remaining_part_of_six_pixels(removed, expected):
    boxes = torch.tensor([[10, 20, 16, 26]])
    remaining = remaining_boxes(boxes, removed)
    assert remaining.dtype == torch.int64
    assert remaining.tolist() == [expected]
    assert boxes.tolist() == [[10, 20, 16, 26]]


def test_pixels_on_the_cut_stay():
    # Sides 0 to 9. A half of 3 pixels ends in the middle of the second one.
    boxes = torch.tensor([[0, 0, n, n] for n in range(10)])
    halves = remaining_boxes(boxes, 'left_half')
    assert halves[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    thirds = remaining_boxes(boxes, 'bottom_third')
    assert (boxes - thirds)[:, 3].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]


@EVERY_PART
@given(
    st.lists(
        st.tuples(*[st.integers(-50, 50)] * 2, *[st.integers(0, 60)] * 2), max_size=5
    )
)
@settings(max_examples=30, deadline=None)
def test_pixels_go_by_their_middle(removed, rows):
    boxes = (
        torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows])
        .long()
        .reshape(-1, 4)
    )
    remaining = remaining_boxes(boxes, removed)
    assert remaining.shape == boxes.shape
    edge, name = removed.split('_')
    axis = 0 if edge in ('left', 'right') else 1
    share = dict(half=1 / 2, third=1 / 3)[name]
    for whole, left in zip(boxes.tolist(), remaining.tolist(), strict=True):
        n = whole[axis + 2] - whole[axis]
        middles = [(i + 0.5) / n for i in range(n)]
        if edge in ('right', 'bottom'):
            middles = [1 - middle for middle in middles]
        kept = [i for i, m in enumerate(middles) if m > share - 1e-9]
        assert left[axis + 2] - left[axis] == len(kept)
        if kept:
            assert left[axis] - whole[axis] == kept[0]
        assert left[1 - axis :: 2] == whole[1 - axis :: 2]


def test_opposite_halves_cover_the_whole():
    boxes = torch.tensor([[3, 4, 3 + n, 4 + n] for n in range(1, 9)])
    for first, second, low, high in (
        ('top_half', 'bottom_half', 1, 3),
        ('left_half', 'right_half', 0, 2),
    ):
        lower, upper = (remaining_boxes(boxes, name) for name in (first, second))
        overlap = upper[:, high] - lower[:, low]
        # An odd side has a middle row that either half keeps.
        assert overlap.tolist() == [1, 0] * 4


def test_unknown_part():
    with pytest.raises(ValueError, match="removed='top'; known: left_half, top_half"):
        remaining_boxes(torch.zeros(1, 4).long(), 'top')


# ---------------------------------------------------------------------- compositor
@EVERY_PART
def test_image_shows_where_a_part_is_removed(removed):
    image, patch = rand(3, 40, 44, seed=1), rand(3, 16, 16)
    boxes = torch.tensor([[7, 5, 22, 20], [-4, 30, 7, 41], [30, 2, 41, 13]])
    parts = remaining_boxes(boxes, removed)
    (out,) = paste_patch([image], patch, [boxes], parts=[parts])
    (whole,) = paste_patch([image], patch, [boxes])
    shown = torch.from_numpy(
        np.any([inside(part, 40, 44) for part in parts.numpy()], axis=0)
    )
    assert 0 < shown.sum() < (whole != image).any(0).sum()
    assert torch.equal(out[:, ~shown], image[:, ~shown])
    torch.testing.assert_close(out[:, shown], whole[:, shown])


def test_exact_small_tensor():
    patch = torch.arange(16.0).view(1, 4, 4)
    boxes = torch.tensor([[1, 0, 5, 4]])
    (out,) = paste_patch(
        [torch.full((1, 4, 5), 99.0)],
        patch,
        [boxes],
        parts=[remaining_boxes(boxes, 'top_third')],
    )
    # A third of 4 rows is 1.33: the first row goes.
    assert out[0].tolist() == [
        [99.0] * 5,
        [99, 4, 5, 6, 7],
        [99, 8, 9, 10, 11],
        [99, 12, 13, 14, 15],
    ]


def test_a_patch_below_shows_through():
    patch = torch.arange(4.0).view(1, 2, 2)
    boxes = torch.tensor([[0, 0, 2, 2], [0, 1, 2, 3]])
    parts = torch.tensor([[0, 0, 2, 2], [1, 1, 2, 3]])
    (out,) = paste_patch([torch.full((1, 3, 2), -1.0)], patch, [boxes], parts=[parts])
    assert out.tolist() == [[[0, 1], [2, 1], [-1, 3]]]


def test_whole_parts_change_nothing():
    images, patch = rand(2, 3, 30, 30), rand(3, 16, 16)
    boxes = [torch.tensor([[2, 3, 12, 13], [9, 9, 40, 40]]), torch.zeros(0, 4).long()]
    expected = paste_patch(images, patch, boxes)
    assert torch.equal(paste_patch(images, patch, boxes, parts=boxes), expected)
    # What exceeds a box is cut off.
    larger = [box + torch.tensor([-3, -3, 3, 3]) for box in boxes]
    assert torch.equal(paste_patch(images, patch, boxes, parts=larger), expected)
    outside = [box + 100 for box in boxes]
    assert paste_patch(images, patch, boxes, parts=outside) is images


def test_gradient_equals_finite_differences():
    image = rand(2, 6, 7, seed=1, dtype=torch.float64).requires_grad_()
    patch = rand(2, 5, 4, dtype=torch.float64).requires_grad_()
    boxes = torch.tensor([[-1, -1, 2, 2], [1, 1, 8, 8], [3, 2, 6, 5]])
    parts = remaining_boxes(boxes, 'left_third')
    assert torch.autograd.gradcheck(
        lambda *inputs: paste_patch([inputs[1]], inputs[0], [boxes], 20, [parts])[0],
        (patch, image),
    )


def test_hidden_patch_pixels_get_no_gradient():
    patch = rand(3, 12, 12).requires_grad_()
    compositor = TASK_UTILS.build(dict(type='PatchCompositor'))
    boxes = torch.tensor([[1, 1, 7, 7]])
    (out,) = compositor(
        [torch.zeros(3, 9, 9)], patch, [boxes], [remaining_boxes(boxes, 'right_half')]
    )
    out.sum().backward()
    assert (patch.grad[..., 6:] == 0).all()
    assert (patch.grad[..., :6] > 0).all()


@pytest.mark.parametrize(
    ('parts', 'error', 'message'),
    [
        ([], ValueError, 'each box needs one'),
        ([torch.zeros(2, 4).long()], ValueError, 'each box needs one'),
        ([torch.zeros(1, 4)], TypeError, 'must be integers'),
        ([torch.tensor([[4, 0, 2, 2]])], ValueError, 'x1 <= x2'),
    ],
)
def test_unfit_parts(parts, error, message):
    boxes = torch.tensor([[0, 0, 4, 4]])
    with pytest.raises(error, match=message):
        paste_patch([rand(3, 8, 8)], rand(3, 4, 4), [boxes], parts=parts)


# ---------------------------------------------------------------------- conditions
def loaded(boxes=((10, 10, 34, 34), (-6, 30, 12, 50), (40, 4, 58, 22))):
    """Results as they come from the dataset and LoadImageFromFile."""
    image = np.random.default_rng(0).integers(0, 256, (48, 60, 3), np.uint8)
    return dict(
        img=image,
        img_path='folder/a.jpg',
        img_shape=(48, 60),
        ori_shape=(48, 60),
        instances=[dict(bbox=list(box), bbox_label=0) for box in boxes],
    )


def noise(**options):
    return dict(type='noise', seed=3, size=16, **options)


@EVERY_PART
def test_pipeline_pastes_the_rest(removed):
    before = loaded()
    whole = PastePatch(noise())(copy.deepcopy(before))
    results = PastePatch(noise(removed=removed))(copy.deepcopy(before))
    expected = remaining_boxes(torch.from_numpy(whole['patch_boxes']), removed)
    assert results['patch_boxes'].tolist() == expected.tolist()
    shown = np.any([inside(box, 48, 60) for box in results['patch_boxes']], axis=0)
    np.testing.assert_array_equal(results['img'][~shown], before['img'][~shown])
    np.testing.assert_array_equal(results['img'][shown], whole['img'][shown])
    assert (whole['img'] != results['img']).any()


@pytest.mark.parametrize(
    ('scale', 'expected'),
    [
        # A 40 x 90 face: the patch of 30 has its centre at (20, 15).
        (1.0, [5, 0, 35, 30]),
        (0.9, [7, 2, 34, 29]),
        (0.8, [8, 3, 32, 27]),
        (0.7, [10, 5, 31, 26]),
        (0.6, [11, 6, 29, 24]),
    ],
)
def test_pipeline_shrinks_about_the_centre(scale, expected):
    before = loaded([(0, 0, 40, 90)])
    transform = PastePatch(dict(type='constant', value=0.0, size=16, scale=scale))
    results = transform(copy.deepcopy(before))
    assert results['patch_boxes'].tolist() == [expected]
    shown = inside(expected, 48, 60)
    assert (results['img'][shown] == 0).all()
    np.testing.assert_array_equal(results['img'][~shown], before['img'][~shown])
    assert transform.scale == scale


def test_scale_and_part_together():
    transform = PastePatch(noise(scale=0.6, removed='top_third'))
    results = transform(loaded([(0, 0, 40, 90)]))
    assert results['patch_boxes'].tolist() == [[11, 12, 29, 24]]
    assert 'removed=top_third, scale=0.6' in repr(transform)


def test_next_patch_is_whole_again_and_a_bad_one_changes_nothing():
    transform = PastePatch(noise(scale=0.5, removed='left_half'))
    partial = transform(loaded())
    for unfit in (noise(removed='middle'), noise(scale=1.5), dict(type='zeros')):
        with pytest.raises(ValueError):
            transform.set_patch(unfit)
    again = transform(loaded())
    np.testing.assert_array_equal(again['img'], partial['img'])
    np.testing.assert_array_equal(again['patch_boxes'], partial['patch_boxes'])
    twin = copy.deepcopy(transform)
    transform.set_patch(initial_pixels(16, dict(type='noise', seed=3)))
    assert (transform.removed, transform.scale) == (None, 1.0)
    np.testing.assert_array_equal(
        transform(loaded())['img'], PastePatch(noise())(loaded())['img']
    )
    assert (twin.removed, twin.scale) == ('left_half', 0.5)
    assert twin._state.is_shared() and twin._scale.is_shared()


def test_condition_on_a_file(tmp_path):
    pixels = initial_pixels(8, dict(type='noise'))
    save_patch(tmp_path / 'p.npy', pixels)
    transform = PastePatch()
    transform.set_patch(
        dict(type='file', path=str(tmp_path / 'p.npy'), removed='top_half', scale=0.9)
    )
    assert torch.equal(transform.pixels, load_patch(tmp_path / 'p.npy'))
    assert (transform.removed, transform.scale) == ('top_half', 0.9)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        transform.set_patch(dict(type='file', path=str(tmp_path / 'nowhere.npy')))


@pytest.mark.parametrize('patch', ['current', dict(type='current')])
def test_condition_on_the_current_patch(patch):
    transform = PastePatch()
    current = rand(3, 8, 8)
    transform.set_patch(patch, current=lambda: current)
    assert torch.equal(transform.pixels, current)
    assert (transform.removed, transform.scale) == (None, 1.0)
    transform.set_patch(
        dict(type='current', removed='right_third', scale=0.7), lambda: current
    )
    assert torch.equal(transform.pixels, current)
    assert (transform.removed, transform.scale) == ('right_third', 0.7)


@pytest.mark.parametrize(
    ('patch', 'error', 'message'),
    [
        (noise(removed='half_top'), ValueError, "removed='half_top'; known: left_half"),
        (noise(scale=0.0), ValueError, r'patch scale 0.0 is outside \(0, 1\]'),
        (noise(scale=90), ValueError, r'patch scale 90 is outside \(0, 1\]'),
        (noise(part='top_half'), TypeError, 'part'),
        (dict(type='current'), ValueError, 'needs an attack'),
        (dict(type='file', patch='p.npy'), TypeError, 'patch'),
    ],
)
def test_unfit_condition(patch, error, message):
    with pytest.raises(error, match=message):
        PastePatch(patch)


def test_unfit_options_of_the_current_patch():
    with pytest.raises(ValueError, match="not \\['size'\\]"):
        PastePatch().set_patch(dict(type='current', size=8), lambda: rand(3, 8, 8))


class OneImage(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.transform(loaded([(0, 0, 40, 90)]))['patch_boxes'].tolist()


def test_living_workers_see_part_and_scale():
    transform = PastePatch(noise())
    loader = DataLoader(
        OneImage(transform),
        batch_size=None,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context='fork',
    )
    assert list(loader) == [[[5, 0, 35, 30]]]
    transform.set_patch(noise(scale=0.6, removed='top_third'))
    assert list(loader) == [[[11, 12, 29, 24]]]
    transform.set_patch(noise())
    assert list(loader) == [[[5, 0, 35, 30]]]
