"""Pictures: which pixels change, and to what."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_facepatch.visualization import FaceVisualizer, evaluated_image
from mmdet_facepatch.visualization.face_visualizer import BLUE, RED, YELLOW

META = ('ori_shape', 'img_shape', 'scale_factor')
GREY = 120
BOX = [20, 30, 80, 90]
VISUALIZER = FaceVisualizer()


def grey(height=120, width=160):
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def is_colour(image, colour):
    """Pixels of a colour; lines are drawn with soft edges."""
    return (np.abs(image.astype(int) - colour) < 90).all(axis=-1)


def draw(image=None, boxes=(), faces=(), patches=()):
    image = grey() if image is None else image
    return VISUALIZER.draw_outcomes(image, boxes, faces, patches)[0]


def share_on_edge(image, colour, box):
    """Share of the outline of a box that has the colour, a pixel off or not."""
    hit = cv2.dilate(is_colour(image, colour).astype(np.uint8), np.ones((3, 3)))
    x1, y1, x2, y2 = box
    rows = np.concatenate([hit[y1, x1 : x2 + 1], hit[y2, x1 : x2 + 1]])
    return np.concatenate([rows, hit[y1 : y2 + 1, x1], hit[y1 : y2 + 1, x2]]).mean()


class TestOutcomes:
    def test_true_positive_is_solid_blue(self):
        result = draw(boxes=[BOX], faces=[BOX])
        assert share_on_edge(result, BLUE, BOX) == 1.0
        assert not is_colour(result, RED).any()

    def test_false_positive_is_solid_red(self):
        result = draw(boxes=[BOX])
        assert share_on_edge(result, RED, BOX) == 1.0
        assert not is_colour(result, BLUE).any()

    def test_missed_face_is_dashed_blue(self):
        result = draw(faces=[BOX])
        assert 0.4 < share_on_edge(result, BLUE, BOX) < 0.95
        assert not is_colour(result, RED).any()

    def test_patch_is_dotted_yellow(self):
        result = draw(patches=[BOX])
        assert share_on_edge(result, YELLOW, BOX) > 0.2
        assert not is_colour(result, RED).any()

    def test_false_positive_lies_on_top(self):
        """A second detection of a face is false; it comes last."""
        result = draw(boxes=[BOX, BOX], faces=[BOX])
        assert share_on_edge(result, RED, BOX) == 1.0
        assert not is_colour(result, BLUE).any()

    def test_threshold_of_a_match(self):
        # IoU 0.5 by the toolkit's +1 convention is (30 + 1) / (60 + 1).
        half = [20, 30, 50, 90]
        strict = FaceVisualizer(face_iou_thr=0.6)
        for drawer, counts in (
            (VISUALIZER, '1 of 1 face found, 0 false positives'),
            (strict, '0 of 1 face found, 1 false positive'),
        ):
            assert drawer.draw_outcomes(grey(), [half], [BOX])[1] == counts

    def test_counts(self):
        far = [100, 10, 140, 50]
        _, counts = VISUALIZER.draw_outcomes(grey(), [BOX, BOX], [BOX, far])
        assert counts == '1 of 2 faces found, 1 false positive'
        _, counts = VISUALIZER.draw_outcomes(grey(), [], [])
        assert counts == '0 of 0 faces found, 0 false positives'

    def test_only_the_outline_changes_and_the_input_does_not(self):
        image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
        before = image.copy()
        result = draw(image, boxes=[BOX])
        assert np.array_equal(image, before)
        changed = (result != image).any(axis=-1)
        assert changed.any()
        x1, y1, x2, y2 = BOX
        assert not changed[y1 + 4 : y2 - 3, x1 + 4 : x2 - 3].any()
        changed[y1 - 3 : y2 + 4, x1 - 3 : x2 + 4] = False
        assert not changed.any()

    def test_small_boxes_keep_their_inside(self):
        image = grey(1200, 1600)
        result = draw(image, boxes=[[50, 50, 58, 58]])
        assert (result[53:55, 53:55] == GREY).all()
        # No white rim around it either.
        assert result.min(axis=-1).max() <= GREY

    @pytest.mark.filterwarnings('error')
    def test_boxes_beyond_the_image(self):
        result = draw(boxes=[[-1e12, 40, 1e12, 80], [500, 500, 600, 600]])
        red = is_colour(result, RED)
        assert red[40, 5:-5].all() or red[39, 5:-5].all()
        assert not red[45:76, 5:-5].any()
        assert np.array_equal(draw(boxes=[[0, 0, 0, -3]]), grey())

    def test_lines_grow_with_the_image(self):
        counts = [
            is_colour(draw(grey(side, side), boxes=[BOX]), RED).sum()
            for side in (200, 1600)
        ]
        assert counts[1] > 1.5 * counts[0]

    def test_wrong_arguments(self):
        with pytest.raises(ValueError, match=r'\(H, W, 3\) and type uint8'):
            draw(grey().astype(np.float32))
        with pytest.raises(ValueError, match='no pixels'):
            draw(np.zeros((0, 5, 3), dtype=np.uint8))
        with pytest.raises(ValueError, match='NaN or infinite'):
            draw(boxes=[[0, 0, np.nan, 5]])


def sample(**meta):
    found = DetDataSample(metainfo=dict(img_id='a', **meta))
    found.pred_instances = InstanceData(
        bboxes=torch.tensor([[100.0, 10, 140, 50], BOX, [5, 5, 15, 15], BOX]),
        scores=torch.tensor([0.2, 0.9, 0.8, 0.95]),
        labels=torch.tensor([0, 0, 1, 0]),
    )
    return found


class TestDataSample:
    def draw(self, tmp_path, found, **kwargs):
        file = tmp_path / 'a.png'
        visualizer = VISUALIZERS.build(dict(type='FaceVisualizer', name='samples'))
        visualizer.dataset_meta = dict(classes=('face', 'other'), palette=None)
        visualizer.add_datasample('a', grey(), found, out_file=str(file), **kwargs)
        return cv2.imread(str(file))[..., ::-1]

    def test_detections_are_matched_by_descending_score(self, tmp_path):
        """Least score 0.3; other classes are left out; patches are drawn."""
        instances = [
            dict(bbox=BOX, bbox_label=0),
            dict(bbox=[1, 1, 9, 9], bbox_label=1),
        ]
        patch = [100, 70, 130, 100]
        found = sample(instances=instances, patch_boxes=np.array([patch]))
        drawn = self.draw(tmp_path, found)
        expected = draw(boxes=[BOX, BOX], faces=[BOX], patches=[patch])
        assert np.array_equal(drawn, expected)

    def test_annotations_alone(self, tmp_path):
        found = sample(instances=[dict(bbox=BOX)])
        drawn = self.draw(tmp_path, found, draw_pred=False)
        assert np.array_equal(drawn, VISUALIZER.draw_faces(grey(), [BOX]))
        assert share_on_edge(drawn, BLUE, BOX) == 1.0

    def test_ground_truth_instances(self, tmp_path):
        found = sample()
        found.gt_instances = InstanceData(
            bboxes=torch.tensor([BOX, [1.0, 1, 9, 9]]), labels=torch.tensor([0, 1])
        )
        drawn = self.draw(tmp_path, found, pred_score_thr=0.93)
        assert np.array_equal(drawn, draw(boxes=[BOX], faces=[BOX]))

    @pytest.mark.parametrize(
        ('meta', 'draw_gt'), [({}, True), (dict(instances=[dict(bbox=BOX)]), False)]
    )
    def test_without_annotations_as_mmdet_draws(self, tmp_path, meta, draw_gt):
        drawn = self.draw(tmp_path, sample(**meta), draw_gt=draw_gt)
        assert not is_colour(drawn, BLUE).any()
        # mmdet may put annotations, none here, beside the detections.
        assert (drawn[:, -grey().shape[1] :] != grey()).any()


class TestEvaluatedImage:
    def view(self, image, **meta):
        tensor = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
        shape = image.shape[:2]
        return tensor, DetDataSample(metainfo=dict(meta, img_shape=shape))

    def image(self):
        return np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)

    def test_scale_one_of_a_pyramid(self):
        """Pixel by pixel, of the second image of the batch."""
        image = self.image()
        first = self.view(grey(20, 30), ori_shape=(40, 60))
        half = self.view(cv2.resize(image, (30, 20)), ori_shape=(40, 60))
        whole = self.view(image, ori_shape=(40, 60))
        scales = [[first, half], [first, whole]]
        batch = dict(
            inputs=[[view[0] for view in scale] for scale in scales],
            data_samples=[[view[1] for view in scale] for scale in scales],
        )
        assert np.array_equal(evaluated_image(batch, 1), image)

    def test_other_scales_and_flips_are_undone(self):
        image = self.image()
        large = cv2.resize(image, (120, 80), interpolation=cv2.INTER_NEAREST)
        tensor, found = self.view(
            large[:, ::-1], ori_shape=(40, 60), flip=True, flip_direction='horizontal'
        )
        batch = dict(inputs=[tensor], data_samples=[found])
        assert np.array_equal(evaluated_image(batch), image)

    def test_padding_is_cut(self):
        image = self.image()
        tensor, found = self.view(image, ori_shape=(40, 60))
        padded = torch.zeros(3, 64, 64, dtype=torch.uint8)
        padded[:, :40, :60] = tensor
        batch = dict(inputs=[padded], data_samples=[found])
        assert np.array_equal(evaluated_image(batch), image)

    @pytest.mark.parametrize('order', [(0, 1), (1, 0)])
    def test_padding_of_the_pipeline_is_cut(self, order):
        """Pad counts what it adds to the image's shape, as in YOLOX's pipeline."""
        image = self.image().transpose((*order, 2)).copy()
        height, width = image.shape[:2]
        steps = Compose(
            [
                dict(type='Resize', scale=(120, 120), keep_ratio=True),
                dict(type='Pad', pad_to_square=True, pad_val=dict(img=(7, 7, 7))),
                dict(type='PackDetInputs', meta_keys=META),
            ]
        )
        # Nearest, so that the way back is exact.
        steps.transforms[0].interpolation = 'nearest'
        item = steps(
            dict(
                img=image[..., ::-1],
                img_shape=(height, width),
                ori_shape=(height, width),
            )
        )
        assert item['inputs'].shape == (3, 120, 120)
        assert item['data_samples'].img_shape == (120, 120)
        batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        assert np.array_equal(evaluated_image(batch), image)
