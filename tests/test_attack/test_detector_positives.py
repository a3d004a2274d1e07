"""Sample set of a detector's own assigner, against the targets of its training."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData

from mmdet_facepatch.attack import AutoCandidateReader, Candidates
from mmdet_facepatch.attack.candidates import BoxBlock
from mmdet_facepatch.attack.detector_positives import assigned_boxes
from mmdet_facepatch.attack.sample_sets import patch_iou_samples

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SIZE = (64, 96)
FACES = torch.tensor(
    [
        [2.0, 3.0, 20.0, 21.0],
        [30.0, 5.0, 62.0, 40.0],
        [64.0, 30.0, 75.0, 42.0],
        # Between the sides of anchors, and half out of the image.
        [70.0, -20.0, 93.0, 11.0],
    ]
)
NONE = torch.zeros(0, 4)
MAX_IOU = dict(
    type='MaxIoUAssigner',
    pos_iou_thr=0.5,
    neg_iou_thr=0.4,
    min_pos_iou=0.2,
    match_low_quality=True,
)
STRICT = dict(
    type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, match_low_quality=False
)

boxes = st.lists(
    st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 12)] * 2), max_size=12
).map(
    lambda rows: (
        torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows])
        .float()
        .reshape(-1, 4)
    )
)


def grouped(**options):
    return TASK_UTILS.build(dict(type='GroupSamplingAssigner', **options))


def of(detector, name='the detector', **options):
    """The sample set of a detector."""
    sample_set = TASK_UTILS.build(dict(type='DetectorPositivesSampleSet', **options))
    return sample_set.of_detector(detector, name)


def candidates(found, *blocks):
    return Candidates(found, torch.zeros(len(found)), tuple(blocks))


@given(boxes, boxes)
@settings(max_examples=60, deadline=None)
def test_group_sampling_by_iou_is_patch_iou(anchors, faces):
    found = assigned_boxes(grouped(), anchors, faces)
    assert torch.equal(found, patch_iou_samples(anchors, faces, 0.6))


@given(boxes, boxes)
@settings(max_examples=60, deadline=None)
def test_group_sampling_with_the_best_anchor_of_each_face(anchors, faces):
    # A quota of one: it does not count.
    assigner = grouped(match_low_quality=True, num_per_group=1, pos_fraction=1)
    found = set(assigned_boxes(assigner, anchors, faces).tolist())
    overlaps = bbox_overlaps(anchors, faces)
    expected = set(patch_iou_samples(anchors, faces, 0.6).tolist())
    for column in overlaps.T if len(anchors) else ():
        if column.max() > 0:
            expected.add(int(column.argmax()))
    assert found == expected


@given(boxes, boxes)
@settings(max_examples=60, deadline=None)
def test_max_iou_by_hand(anchors, faces):
    """Of RetinaNet: from 0.5 on, and all best anchors of a face from 0.2 on."""
    found = set(assigned_boxes(TASK_UTILS.build(MAX_IOU), anchors, faces).tolist())
    expected = set()
    if len(anchors):
        for column in bbox_overlaps(anchors, faces).T.tolist():
            expected |= {i for i, iou in enumerate(column) if iou >= 0.5}
            best = max(column)
            if best >= 0.2:
                expected |= {i for i, iou in enumerate(column) if iou == best}
    assert found == expected


def single_stage(name):
    """A detector with random weights, and its training's quotas wide open."""
    cfg = Config.fromfile(CONFIGS / f'{name}_mbv2_widerface_subset.py').model
    cfg.backbone.init_cfg = None
    assigner = cfg.train_cfg.assigner
    if assigner.type == 'GroupSamplingAssigner':
        assigner.update(num_per_group=100000, pos_fraction=1)
    return MODELS.build(cfg).eval()


def image():
    meta = dict(
        img_shape=SIZE,
        pad_shape=SIZE,
        batch_input_shape=SIZE,
        ori_shape=SIZE,
        scale_factor=(1.0, 1.0),
    )
    return torch.zeros(1, 3, *SIZE), DetDataSample(metainfo=meta)


def training_positives(head, features):
    """Anchors whose target is a face, as the head's loss takes them."""
    maps = head(features)[0]
    _, sample = image()
    anchors, valid = head.get_anchors(
        [level.shape[-2:] for level in maps], [sample.metainfo], device='cpu'
    )
    faces = InstanceData(bboxes=FACES, labels=torch.zeros(len(FACES)).long())
    labels = head.get_targets(anchors, valid, [faces], [sample.metainfo])[0]
    return torch.nonzero(torch.cat(labels, dim=1)[0] == 0).squeeze(1)


@pytest.mark.parametrize('name', ['sln', 'retinanet', 'ssd'])
def test_positives_of_the_training(name):
    """Those of the shipped configs, by the targets of their losses."""
    detector = single_stage(name)
    inputs, sample = image()
    found = AutoCandidateReader()(detector, inputs, [sample])[0]
    samples = of(detector)(found, FACES, NONE)
    with torch.no_grad():
        expected = training_positives(detector.bbox_head, detector.extract_feat(inputs))
    assert samples.dtype == torch.int64
    assert samples.tolist() == expected.tolist()
    assert len(samples) >= len(FACES)
    # By the IoU alone it has other samples.
    by_iou = patch_iou_samples(found.boxes, FACES, 0.6).tolist()
    assert set(by_iou) < set(samples.tolist())
    assert of(detector)(found, NONE, NONE).shape == (0,)


def two_stage(anchors=None, proposals=None):
    """What the sample set asks of a two-stage detector."""
    return SimpleNamespace(
        rpn_head=SimpleNamespace(assigner=anchors and TASK_UTILS.build(anchors)),
        roi_head=SimpleNamespace(
            bbox_assigner=proposals and TASK_UTILS.build(proposals)
        ),
    )


# Overlaps with the face of 10 pixels: 1, 0.6, 0.
ROWS = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 6.0], [50, 50, 60, 60]])
FACE = ROWS[:1]


def test_proposals_and_anchors_each_by_their_own():
    """Three proposals of two classes, then two anchors."""
    found = candidates(
        torch.cat([ROWS, ROWS, ROWS[1:]]),
        BoxBlock('proposals', 3, 2),
        BoxBlock('anchors', 2),
    )
    # The best anchor is one at an overlap of 0.6, too.
    low = dict(STRICT, match_low_quality=True)
    assert of(two_stage(low, STRICT))(found, FACE, NONE).tolist() == [0, 3, 6]
    assert of(two_stage(STRICT, MAX_IOU))(found, FACE, NONE).tolist() == [0, 1, 3, 4]
    given = of(two_stage(), assigner=MAX_IOU)
    assert given(found, FACE, NONE).tolist() == [0, 1, 3, 4, 6]


def test_proposals_of_the_last_stage():
    detector = two_stage()
    detector.roi_head.bbox_assigner = [
        TASK_UTILS.build(one) for one in (MAX_IOU, STRICT)
    ]
    found = candidates(ROWS, BoxBlock('proposals', 3))
    assert of(detector)(found, FACE, NONE).tolist() == [0]


def test_faster_rcnn_as_configured():
    cfg = Config.fromfile(CONFIGS / 'faster_rcnn_mbv2_widerface_subset.py').model
    cfg.backbone.init_cfg = None
    detector = MODELS.build(cfg).eval()
    inputs, sample = image()
    reader = TASK_UTILS.build(dict(type='TwoStageCandidateReader', with_rpn=True))
    found = reader(detector, inputs, [sample])[0]
    # The proposals of random weights miss the faces: one of them does not.
    found.boxes[0] = FACES[1] + 1
    proposals, anchors = found.blocks
    assert (proposals.kind, anchors.kind) == ('proposals', 'anchors')
    count = proposals.count
    expected = patch_iou_samples(found.boxes[:count], FACES, 0.5).tolist()
    assert 0 in expected
    match = detector.rpn_head.assigner.match(found.boxes[count:], FACES)[0]
    expected += (torch.nonzero(match > 0).squeeze(1) + count).tolist()
    samples = of(detector)(found, FACES, NONE).tolist()
    assert samples == expected and max(samples) >= count


def test_each_detector_of_an_ensemble_has_its_own(tiny_sln_config):
    """Numbers of samples add up; classes are counted each."""
    first, second = (copy.deepcopy(tiny_sln_config) for _ in range(2))
    first.train_cfg.assigner.update(match_low_quality=False, pos_iou_thr=0.7)
    second.train_cfg.assigner = ConfigDict(MAX_IOU)
    inputs, sample = image()
    sample.gt_instances = InstanceData(bboxes=FACES)
    sample.ignored_instances = InstanceData(bboxes=NONE)
    numbers = []
    for configs in ([first], [second], [first, second]):
        attacker = MODELS.build(
            dict(
                type='PatchAttacker',
                detector=[MODELS.build(one) for one in configs],
                patch=dict(type='UniversalPatch', size=12),
                sample_set=dict(type='DetectorPositivesSampleSet'),
            )
        )
        data = dict(inputs=[inputs[0].byte()], data_samples=[sample])
        numbers.append(int(attacker(**data)['num_samples']))
    assert 0 < numbers[0] < numbers[1]
    assert numbers[2] == numbers[0] + numbers[1]


class TestErrors:
    def test_boxes_that_the_detector_predicts(self):
        found = candidates(ROWS, BoxBlock('predictions', 3))
        message = (
            'DetectorPositivesSampleSet: the detector FCOS of x.py has no assigner of '
            r'predictions in its train_cfg; give it an assigner .* PatchIoUSampleSet'
        )
        with pytest.raises(ValueError, match=message):
            of(single_stage('sln'), 'the detector FCOS of x.py')(found, FACE, NONE)
        given = of(None, assigner=STRICT)
        assert given(found, FACE, NONE).tolist() == [0]

    def test_detector_without_its_training(self, tiny_sln_config):
        del tiny_sln_config['train_cfg']
        found = candidates(ROWS, BoxBlock('anchors', 3))
        for detector in (MODELS.build(tiny_sln_config), two_stage()):
            with pytest.raises(ValueError, match='has no assigner of anchors'):
                of(detector)(found, FACE, NONE)
        found = candidates(ROWS, BoxBlock('proposals', 3))
        for none in (None, []):
            detector.roi_head.bbox_assigner = none
            with pytest.raises(ValueError, match='has no assigner of proposals'):
                of(detector)(found, FACE, NONE)

    @pytest.mark.parametrize(
        'assigner',
        [
            dict(type='ATSSAssigner', topk=9),
            dict(type='SimOTAAssigner'),
            dict(
                type='HungarianAssigner',
                match_costs=[dict(type='ClassificationCost', weight=1.0)],
            ),
        ],
    )
    def test_assigner_that_needs_more(self, assigner):
        kind = assigner['type']
        with pytest.raises(ValueError, match=f'{kind} of the sample set needs more'):
            of(None, assigner=assigner)
        found = candidates(ROWS, BoxBlock('proposals', 3))
        with pytest.raises(ValueError, match=f'{kind} of the detector needs more'):
            of(two_stage(None, assigner))(found, FACE, NONE)

    def test_reader_that_does_not_say(self):
        found = candidates(ROWS)
        with pytest.raises(ValueError, match='the reader does not say what'):
            of(two_stage(STRICT, STRICT))(found, FACE, NONE)
        assert of(None, assigner=STRICT)(found, FACE, NONE).tolist() == [0]
