"""Training transforms."""

from __future__ import annotations

import copy
import math

import mmcv
import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes

from mmdet_facepatch.datasets.transforms import (
    FaceCrop,
    RandomFaceScaleCrop,
    RandomStepResize,
    face_scale_crop,
)
from mmdet_facepatch.datasets.transforms.face_scale_crop import CropWindow


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def sample(height: int, width: int, boxes=(), ignore=None) -> dict:
    """An image of random pixels with boxes; labels number the boxes."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    flags = np.zeros(len(boxes), bool) if ignore is None else np.array(ignore, bool)
    rng = np.random.RandomState(0)
    return dict(
        img=rng.randint(0, 256, (height, width, 3), dtype=np.uint8),
        img_shape=(height, width),
        ori_shape=(height, width),
        gt_bboxes=HorizontalBoxes(boxes, dtype=torch.float32),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=flags,
        instances=[dict(bbox=box.tolist()) for box in boxes],
    )


def box_list(results: dict) -> list[list[float]]:
    return results['gt_bboxes'].tensor.tolist()


def map_points(results: dict, points) -> np.ndarray:
    """Map (n, 2) points of the original image by the recorded homography."""
    points = np.column_stack([points, np.ones(len(points))])
    return (points @ results['homography_matrix'].T)[:, :2]


class TestRandomStepResize:
    def test_factors(self):
        transform = TRANSFORMS.build(dict(type='RandomStepResize'))
        counts = dict.fromkeys(np.arange(1, 9) * 0.25, 0)
        for _ in range(400):
            results = transform(sample(40, 80, [[8, 4, 40, 20]]))
            (factor,) = set(results['scale_factor'])
            counts[factor] += 1  # KeyError for any other factor
            assert results['img'].shape == (40 * factor, 80 * factor, 3)
            assert results['img_shape'] == results['img'].shape[:2]
            expected = [v * factor for v in (8, 4, 40, 20)]
            assert box_list(results)[0] == pytest.approx(expected)
        assert min(counts.values()) > 25  # 50 expected; 25 is 3.8 sigma below

    def test_same_as_mmdet(self):
        transform = RandomStepResize(step=0.5, num_steps=1)
        resize = TRANSFORMS.build(
            dict(type='mmdet.Resize', scale_factor=0.5, keep_ratio=True)
        )
        boxes = [[3, 5, 90, 70], [-4, 2, 9, 9], [5, 5, 5, 5]]
        ours, theirs = transform(sample(66, 98, boxes)), resize(sample(66, 98, boxes))
        np.testing.assert_array_equal(ours['img'], theirs['img'])
        torch.testing.assert_close(ours['gt_bboxes'].tensor, theirs['gt_bboxes'].tensor)
        np.testing.assert_allclose(
            ours['homography_matrix'], theirs['homography_matrix']
        )

    def test_arguments_reach_resize(self):
        transform = RandomStepResize(
            num_steps=1, interpolation='area', clip_object_border=False
        )
        results = sample(40, 40, [[-8, 0, 20, 20]])
        source = results['img']
        transform(results)
        assert box_list(results) == [[-2, 0, 5, 5]]
        expected = source.reshape(10, 4, 10, 4, 3).mean((1, 3))
        assert np.abs(results['img'] - expected).max() <= 0.5

    @pytest.mark.parametrize('shape', [(1, 1), (1, 1000), (1000, 1), (3, 2)])
    def test_at_least_one_pixel(self, shape):
        results = RandomStepResize(num_steps=1)(sample(*shape, [[0, 0, 1, 1]]))
        expected = tuple(max(1, math.floor(side / 4 + 0.5)) for side in shape)
        assert results['img'].shape[:2] == expected
        assert min(expected) >= 1

    def test_seed(self):
        transform = RandomStepResize()

        def draw():
            np.random.seed(5)
            return [transform._random_factor() for _ in range(10)]

        assert draw() == draw()

    @pytest.mark.parametrize(
        ('kwargs', 'what'),
        [
            (dict(step=0), 'step must be > 0, got 0'),
            (dict(num_steps=0), 'num_steps must be an integer >= 1, got 0'),
            (dict(num_steps=1.5), 'num_steps must be an integer'),
            (dict(scale=(1, 2)), "sets 'scale' itself"),
        ],
    )
    def test_bad_arguments(self, kwargs, what):
        with pytest.raises(ValueError, match=what):
            RandomStepResize(**kwargs)


class TestFaceCrop:
    # at offset (x=10, y=5) with a crop of 20 x 20: inside, centre inside but
    # sticking out left and top, centre exactly on the first column, just outside on
    # the left, centre exactly on the end (outside), far away, degenerate inside
    BOXES = [
        [12, 8, 20, 16],
        [4, 1, 18, 15],
        [8, 10, 12, 14],
        [7, 10, 12.9, 14],
        [28, 10, 32, 14],
        [60, 60, 70, 70],
        [15, 10, 15, 14],
    ]
    KEPT = [0, 1, 2, 6]

    @pytest.mark.parametrize('clip', [True, False])
    def test_exact(self, clip):
        ignore = [0, 1, 0, 1, 0, 1, 1]
        results = sample(80, 100, self.BOXES, ignore)
        source, instances = results['img'], copy.deepcopy(results['instances'])
        transform = FaceCrop(max_size=20, clip_boxes=clip)
        transform._random_offset = lambda height, width: (5, 10)
        transform(results)
        np.testing.assert_array_equal(results['img'], source[5:25, 10:30])
        assert results['img_shape'] == (20, 20)
        assert results['gt_bboxes_labels'].tolist() == self.KEPT
        assert results['gt_ignore_flags'].tolist() == [False, True, False, True]
        if clip:
            expected = [[2, 3, 10, 11], [0, 0, 8, 10], [0, 5, 2, 9], [5, 5, 5, 9]]
        else:
            expected = [[2, 3, 10, 11], [-6, -4, 8, 10], [-2, 5, 2, 9], [5, 5, 5, 9]]
        assert box_list(results) == expected
        assert results['instances'] == instances
        assert results['homography_matrix'].tolist() == [
            [1, 0, -10],
            [0, 1, -5],
            [0, 0, 1],
        ]

    def test_default_is_registered(self):
        transform = TRANSFORMS.build(dict(type='FaceCrop'))
        assert (transform.max_size, transform.clip_boxes) == (1200, True)

    @pytest.mark.parametrize('shape', [(30, 90), (90, 30), (90, 90), (40, 40)])
    def test_longer_side(self, shape):
        for _ in range(20):
            results = FaceCrop(max_size=40)(sample(*shape))
            assert results['img_shape'] == (min(shape[0], 40), min(shape[1], 40))

    def test_offset_reaches_both_ends(self):
        transform = FaceCrop(max_size=4)
        drawn = {transform._random_offset(6, 5) for _ in range(200)}
        assert drawn == {(y, x) for y in range(3) for x in range(2)}

    def test_small_image_is_untouched(self):
        before = sample(30, 20, [[1, 2, 10, 12]])
        after = FaceCrop(max_size=40)(copy.deepcopy(before))
        np.testing.assert_array_equal(after['img'], before['img'])
        assert box_list(after) == box_list(before)

    def test_no_face_left(self):
        results = sample(80, 100, [[90, 70, 99, 79]])
        transform = FaceCrop(max_size=20)
        transform._random_offset = lambda h, w: (0, 0)
        transform(results)
        assert box_list(results) == []
        assert results['gt_bboxes_labels'].shape == (0,)
        assert results['gt_ignore_flags'].shape == (0,)

    def test_without_annotation(self):
        image = np.zeros((50, 50, 3), np.uint8)
        assert FaceCrop(max_size=20)(dict(img=image))['img'].shape == (20, 20, 3)

    def test_arrays_as_boxes(self):
        results = sample(30, 30, [[1, 1, 9, 9]])
        results['gt_bboxes'] = results['gt_bboxes'].tensor.numpy()
        FaceCrop(max_size=40)(results)
        np.testing.assert_array_equal(results['gt_bboxes'], [[1, 1, 9, 9]])

    def test_image_can_be_freed(self):
        assert FaceCrop(max_size=20)(sample(80, 100))['img'].base is None

    def test_masks(self):
        with pytest.raises(ValueError, match="FaceCrop crops .* not 'gt_masks'"):
            FaceCrop()(dict(img=np.zeros((5, 5, 3), np.uint8), gt_masks=object()))

    @pytest.mark.parametrize('size', [0, 1.5])
    def test_bad_size(self, size):
        with pytest.raises(ValueError, match='max_size must be an integer >= 1'):
            FaceCrop(max_size=size)

    def test_after_resize_and_with_flip(self):
        """The paper's chain; the homography follows the boxes."""
        chain = [
            RandomStepResize(),
            FaceCrop(max_size=100, clip_boxes=False),
            TRANSFORMS.build(dict(type='mmdet.RandomFlip', prob=1.0)),
        ]
        kept = 0
        for _ in range(20):
            results = sample(
                160, 160, [[10 * i, 70, 10 * i + 8, 78] for i in range(15)]
            )
            source = np.array(box_list(results))
            for transform in chain:
                results = transform(results)
            assert max(results['img_shape']) <= 100
            labels = results['gt_bboxes_labels']
            centres = (source[labels, :2] + source[labels, 2:]) / 2
            boxes = np.array(box_list(results)).reshape(-1, 4)
            np.testing.assert_allclose(
                map_points(results, centres),
                (boxes[:, :2] + boxes[:, 2:]) / 2,
                atol=1e-3,
            )
            kept += len(labels)
        assert kept


class TestRandomFaceScaleCrop:
    FREE = dict(prob_negative=0.0, scale_range=(1e-6, 1e6), clip_boxes=False)

    def test_defaults(self):
        transform = TRANSFORMS.build(dict(type='RandomFaceScaleCrop'))
        results = transform(sample(200, 300, [[100, 80, 130, 120]]))
        assert results['img'].shape == (320, 320, 3)
        assert results['img'].dtype == np.uint8
        assert results['img_shape'] == (320, 320)

    @pytest.mark.parametrize(
        'shape', [(200, 300), (50, 1000), (1000, 50), (7, 5), (320, 320), (1, 1)]
    )
    def test_always_holds_a_face(self, shape):
        """Exact size, the face's centre inside, sizes in range, on any image."""
        height, width = shape
        transform = RandomFaceScaleCrop(crop_size=96, face_size=(8, 60), **self.FREE)
        rng = np.random.RandomState(2)
        for _ in range(200):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            w, h = rng.uniform(0.5, 40, 2)
            box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            results = transform(sample(height, width, [box]))
            assert results['img'].shape == (96, 96, 3)
            ((x1, y1, x2, y2),) = box_list(results)
            assert 0 <= (x1 + x2) / 2 < 96
            assert 0 <= (y1 + y2) / 2 < 96
            # rounding to whole pixels matters where an image becomes a few pixels
            tolerance = 0.5 / min(results['scale_factor'][0] * width, 96)
            tolerance += 0.5 / min(results['scale_factor'][1] * height, 96)
            size = math.sqrt((x2 - x1) * (y2 - y1))
            assert 8 * (1 - tolerance) < size < 60 * (1 + tolerance)

    def test_crops_around_faces_of_the_target(self):
        """Boxes of other classes are kept, but not cropped around."""
        transform = RandomFaceScaleCrop(
            crop_size=64, face_size=(20, 40), labels=(1, 2), **self.FREE
        )
        kept = set()
        for _ in range(60):
            results = sample(400, 400, [[10, 10, 40, 40], [350, 350, 390, 390]])
            results['gt_bboxes_labels'] = np.array([0, 2])
            results = transform(results)
            kept.update(results['gt_bboxes_labels'].tolist())
        assert kept == {2}
        without = sample(400, 400, [[10, 10, 40, 40]])
        without['gt_bboxes_labels'] = np.array([0])
        assert transform(without)['img'].shape == (64, 64, 3)

    def test_log_uniform(self):
        transform = RandomFaceScaleCrop(crop_size=64, face_size=(12, 140), **self.FREE)
        sizes = []
        for _ in range(400):
            results = transform(sample(300, 300, [[130, 120, 170, 160]]))
            ((x1, y1, x2, y2),) = box_list(results)
            sizes.append(math.sqrt((x2 - x1) * (y2 - y1)))
        share = np.log(np.sort(sizes) / 12) / np.log(140 / 12)
        # Kolmogorov-Smirnov distance to the uniform; 0.1 has p < 1e-3
        assert np.abs(share - (np.arange(400) + 0.5) / 400).max() < 0.1

    @pytest.mark.parametrize('shape', [(300, 400), (90, 500), (40, 30)])
    def test_pixels_agree_with_boxes(self, shape):
        """A painted face is found where its box says."""
        height, width = shape
        transform = RandomFaceScaleCrop(
            crop_size=128, face_size=(20, 60), pad_value=(0, 0, 0), **self.FREE
        )
        rng = np.random.RandomState(3)
        for _ in range(50):
            x, y = rng.randint(0, width - 15), rng.randint(0, height - 15)
            results = sample(height, width, [[x, y, x + 15, y + 15]])
            results['img'][:] = 0
            results['img'][y : y + 15, x : x + 15] = 255
            transform(results)
            rows, columns = np.nonzero(results['img'][..., 0] > 127)
            found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            expected = np.clip(box_list(results)[0], 0, 128)
            np.testing.assert_allclose(found, expected, atol=1.01)

    def test_homography(self):
        transform = RandomFaceScaleCrop(crop_size=100, **self.FREE)
        for _ in range(20):
            source = [[40, 30, 60, 58]]
            results = transform(sample(120, 90, source))
            corners = map_points(results, np.reshape(source, (2, 2)))
            np.testing.assert_allclose(
                corners.ravel(), box_list(results)[0], rtol=1e-4, atol=1e-3
            )

    def test_exact_window(self):
        """Half scale, no padding: area mean of the window."""
        transform = RandomFaceScaleCrop(crop_size=8)
        results = sample(40, 50, [[12, 8, 16, 14], [0, 0, 2, 2]])
        source = results['img'].astype(float)
        transform._random_window = lambda shape, faces: CropWindow(10, 6, 0.5)
        transform(results)
        expected = source[6:22, 10:26].reshape(8, 2, 8, 2, 3).mean((1, 3))
        assert np.abs(results['img'] - expected).max() <= 0.5
        assert box_list(results) == [[1, 1, 3, 4]]
        assert results['gt_bboxes_labels'].tolist() == [0]
        assert results['scale_factor'] == (0.5, 0.5)

    def test_exact_padding(self):
        transform = RandomFaceScaleCrop(crop_size=10, pad_value=(1.4, 2, 2.6))
        results = sample(4, 6, [[1, 1, 3, 3]])
        source = results['img'].copy()
        transform._random_window = lambda shape, faces: CropWindow(-3, -2, 1.0)
        transform(results)
        np.testing.assert_array_equal(results['img'][2:6, 3:9], source)
        outside = np.ones((10, 10), bool)
        outside[2:6, 3:9] = False
        assert (results['img'][outside] == [1, 2, 3]).all()
        assert box_list(results) == [[4, 3, 6, 5]]

    def test_no_padding_if_the_image_is_large_enough(self):
        transform = RandomFaceScaleCrop(
            crop_size=32, face_size=(10, 20), pad_value=(0, 0, 0), **self.FREE
        )
        # faces of 10 px at the very corners: the window is at most 32 px
        for corner in ([0, 0, 10, 10], [90, 90, 100, 100], [0, 90, 10, 100]):
            for _ in range(30):
                results = sample(100, 100, [corner])
                results['img'][:] = 255
                assert (transform(results)['img'] == 255).all()

    def test_jitter(self):
        """The face's place in the crop is spread over all of it."""
        transform = RandomFaceScaleCrop(crop_size=64, face_size=(8, 8), **self.FREE)
        centres = []
        for _ in range(300):
            ((x1, y1, x2, y2),) = box_list(
                transform(sample(400, 400, [[196, 196, 204, 204]]))
            )
            centres.append([(x1 + x2) / 2, (y1 + y2) / 2])
        counts, _, _ = np.histogram2d(
            *np.transpose(centres), bins=4, range=[[0, 64]] * 2
        )
        assert counts.sum() == 300
        assert counts.min() >= 4  # 18.75 expected in each of the 16 cells

    def test_only_the_window_is_resized(self, monkeypatch):
        resized = []
        imresize = mmcv.imresize

        def record(image, *args, **kwargs):
            resized.append((image.shape[:2], kwargs['interpolation']))
            return imresize(image, *args, **kwargs)

        monkeypatch.setattr(face_scale_crop.mmcv, 'imresize', record)
        face = [[500, 500, 510, 510]]
        for size in (5, 20):
            RandomFaceScaleCrop(crop_size=64, face_size=(size, size), **self.FREE)(
                sample(1000, 1000, face)
            )
        assert resized == [((128, 128), 'area'), ((32, 32), 'bilinear')]

    def test_no_aliasing(self):
        """A fine chequerboard becomes grey."""
        results = sample(400, 400, [[180, 180, 220, 220]])
        results['img'][:] = (np.indices((400, 400)).sum(0) % 2 * 255)[..., None]
        transform = RandomFaceScaleCrop(crop_size=40, face_size=(6, 6), **self.FREE)
        image = transform(results)['img'].astype(float)
        assert np.abs(image - 127.5).max() < 20

    def test_small_faces_are_ignored(self):
        transform = RandomFaceScaleCrop(
            crop_size=64, face_size=(12, 12), min_face=6, **self.FREE
        )
        transform._random_window = lambda shape, faces: CropWindow(0, 0, 0.5)
        boxes = [
            [40, 40, 52, 52],  # 6 px
            [60, 60, 72, 71],  # below 6 px
            [80, 80, 90, 104],  # 5 x 12 px
            [20, 20, 15, 10],  # negative sides
            [30, 90, 60, 120],  # ignored already
        ]
        results = transform(sample(200, 200, boxes, [0, 0, 0, 1, 1]))
        assert results['gt_bboxes_labels'].tolist() == [0, 1, 2, 3, 4]
        assert results['gt_ignore_flags'].tolist() == [False, True, False, True, True]

    def test_small_is_judged_before_clipping(self):
        transform = RandomFaceScaleCrop(crop_size=20, min_face=10)
        transform._random_window = lambda shape, faces: CropWindow(0, 0, 1.0)
        results = transform(sample(50, 50, [[-5, -5, 6, 6]]))
        assert box_list(results) == [[0, 0, 6, 6]]
        assert results['gt_ignore_flags'].tolist() == [False]

    def test_flags_are_made_if_absent(self):
        results = sample(50, 50, [[10, 10, 11, 11], [10, 10, 40, 40]])
        del results['gt_ignore_flags']
        transform = RandomFaceScaleCrop(crop_size=50)
        transform._random_window = lambda shape, faces: CropWindow(0, 0, 1.0)
        assert transform(results)['gt_ignore_flags'].tolist() == [True, False]

    def test_only_usable_faces_are_chosen(self):
        transform = RandomFaceScaleCrop()
        boxes = [
            [10, 10, 20, 20],
            [30, 30, 40, 40],  # ignored
            [50, 50, 50, 60],  # degenerate
            [95, 50, 115, 60],  # centre outside the image
            [98, 50, 101, 60],
        ]
        results = sample(100, 100, boxes, [0, 1, 0, 0, 0])
        assert transform._usable_faces(results).tolist() == [boxes[0], boxes[4]]

    def test_all_faces_are_chosen(self):
        transform = RandomFaceScaleCrop(crop_size=20, face_size=(10, 10), **self.FREE)
        boxes = [[20 + 100 * i, 20, 30 + 100 * i, 30] for i in range(4)]
        seen = [
            label
            for _ in range(60)
            for label in transform(sample(50, 400, boxes))['gt_bboxes_labels']
        ]
        assert set(seen) == {0, 1, 2, 3}
        assert len(seen) == 60

    def test_image_without_faces(self):
        transform = RandomFaceScaleCrop(crop_size=32, free_scale=(0.5, 2))
        scales = []
        for _ in range(100):
            results = transform(sample(100, 100))
            assert results['img'].shape == (32, 32, 3)
            assert box_list(results) == []
            scales.append(results['scale_factor'][0])
        assert 0.49 < min(scales) < 0.6
        assert 1.7 < max(scales) < 2.05

    def test_without_annotation(self):
        image = np.zeros((50, 60, 3), np.uint8)
        results = RandomFaceScaleCrop(crop_size=32)(dict(img=image))
        assert results['img'].shape == (32, 32, 3)
        assert 'gt_ignore_flags' not in results

    @pytest.mark.parametrize(('prob', 'low', 'high'), [(0, 1, 1), (1, 0, 0.1)])
    def test_prob_negative(self, prob, low, high):
        """The window is drawn over the whole image, at the faces' scale."""
        transform = RandomFaceScaleCrop(
            crop_size=20, face_size=(10, 10), prob_negative=prob
        )
        held = []
        for _ in range(100):
            results = transform(sample(200, 200, [[10, 10, 20, 20]]))
            assert results['scale_factor'] == (1, 1)
            held.append(len(results['gt_bboxes']))
        assert low <= np.mean(held) <= high

    def test_scale_range(self):
        transform = RandomFaceScaleCrop(
            crop_size=64, face_size=(30, 30), scale_range=(0.5, 2), prob_negative=0
        )
        for side, expected in ((3, 2), (30, 1), (100, 0.5)):
            box = [200, 200, 200 + side, 200 + side]
            results = transform(sample(500, 500, [box]))
            assert results['scale_factor'] == (expected, expected)

    def test_clipping(self):
        for clip, expected in ((True, [0, 0, 8, 8]), (False, [-2, -2, 8, 8])):
            transform = RandomFaceScaleCrop(crop_size=10, clip_boxes=clip)
            transform._random_window = lambda shape, faces: CropWindow(2, 2, 1.0)
            results = transform(sample(50, 50, [[0, 0, 10, 10]]))
            assert box_list(results) == [expected]

    def test_float_image(self):
        results = sample(50, 50, [[10, 10, 20, 20]])
        results['img'] = results['img'].astype(np.float32)
        assert RandomFaceScaleCrop(crop_size=16)(results)['img'].dtype == np.float32

    def test_seed(self):
        transform = RandomFaceScaleCrop(crop_size=32)

        def draw():
            np.random.seed(7)
            return transform(sample(200, 200, [[50, 60, 70, 80], [90, 90, 120, 120]]))

        first, second = draw(), draw()
        np.testing.assert_array_equal(first['img'], second['img'])
        assert box_list(first) == box_list(second)

    @pytest.mark.parametrize(
        ('kwargs', 'what'),
        [
            (dict(crop_size=1), 'crop_size must be an integer >= 2'),
            (dict(face_size=(0, 3)), 'face_size must be 0 < low <= high'),
            (dict(face_size=(5, 3)), 'face_size must be 0 < low <= high'),
            (dict(free_scale=(0, 1)), 'free_scale must be'),
            (dict(scale_range=(2, 1)), 'scale_range must be'),
            (dict(prob_negative=1.1), r'prob_negative must be in \[0, 1\]'),
        ],
    )
    def test_bad_arguments(self, kwargs, what):
        with pytest.raises(ValueError, match=what):
            RandomFaceScaleCrop(**kwargs)

    def test_masks(self):
        with pytest.raises(ValueError, match="not 'gt_seg_map'"):
            RandomFaceScaleCrop()(
                dict(img=np.zeros((5, 5, 3), np.uint8), gt_seg_map=object())
            )


def test_reprs():
    assert repr(FaceCrop()) == 'FaceCrop(max_size=1200, clip_boxes=True)'
    assert 'step=0.25, num_steps=8' in repr(RandomStepResize())
    assert 'crop_size=320, face_size=(12, 140)' in repr(RandomFaceScaleCrop())
