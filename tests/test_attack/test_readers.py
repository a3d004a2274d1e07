"""Candidate readers against the detectors' own predictions and gradients."""

import copy
import re

import pytest
import torch
from mmcv.ops import nms
from mmdet.models.dense_heads import FCOSHead, RetinaHead, RTMDetInsHead
from mmdet.models.roi_heads import SABLHead, TridentRoIHead
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.structures import InstanceData

from mmdet_facepatch.attack import (
    AutoCandidateReader,
    CandidateReader,
    Candidates,
    TwoStageCandidateReader,
    detector_digest,
    register_reader,
)
from mmdet_facepatch.attack.candidates import (
    BoxBlock,
    class_log_odds,
    class_log_scores,
)
from mmdet_facepatch.attack.frozen_detector import freeze
from mmdet_facepatch.attack.readers import base, find_reader, refuse_head

# The second image is padded to the size of the first.
SHAPES = [(64, 64), (48, 56)]
BACKBONE = dict(
    type='ResNet',
    depth=18,
    base_channels=4,
    stem_channels=4,
    num_stages=4,
    out_indices=(0, 1, 2, 3),
    style='pytorch',
)
FPN = dict(type='FPN', in_channels=[4, 8, 16, 32], out_channels=8, num_outs=4)
STRIDES = [4, 8, 16, 32]
POINTS = dict(in_channels=8, feat_channels=8, stacked_convs=1)
CENTERS = dict(
    anchor_generator=dict(
        type='AnchorGenerator',
        ratios=[1.0],
        octave_base_scale=4,
        scales_per_octave=1,
        strides=STRIDES,
    )
)
DELTAS = dict(
    bbox_coder=dict(
        type='DeltaXYWHBBoxCoder',
        target_means=[0.0, 0.0, 0.0, 0.0],
        target_stds=[0.1, 0.1, 0.2, 0.2],
    )
)
GN = dict(norm_cfg=dict(type='GN', num_groups=2))
# Nothing is dropped before NMS, so that its outcome follows from the candidates.
TEST = dict(
    nms_pre=100000,
    min_bbox_size=-1,
    score_thr=0.0,
    max_per_img=100000,
    nms=dict(type='nms', iou_threshold=0.7),
)
REGIONS = dict(
    train_cfg=None,
    test_cfg=dict(
        rpn=dict(
            nms_pre=500,
            max_per_img=150,
            min_bbox_size=0,
            nms=dict(type='nms', iou_threshold=0.7),
        ),
        rcnn=TEST,
    ),
)


def single_stage(head, **kwargs):
    return dict(
        type='SingleStageDetector',
        backbone=BACKBONE,
        neck=FPN,
        bbox_head=dict(num_classes=3) | head,
        test_cfg=TEST | kwargs,
    )


def box_head(**kwargs):
    return (
        dict(
            type='Shared2FCBBoxHead',
            in_channels=8,
            roi_feat_size=3,
            fc_out_channels=16,
            num_classes=3,
        )
        | DELTAS
        | kwargs
    )


def region_extractor(strides):
    return dict(
        type='SingleRoIExtractor',
        out_channels=8,
        featmap_strides=strides,
        finest_scale=16,
        roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=2),
    )


ANCHORS = dict(
    ssd=single_stage(
        dict(
            type='SSDHead',
            in_channels=(8, 8, 8, 8),
            # The levels have 4 and 6 anchors a cell.
            anchor_generator=dict(
                type='SSDAnchorGenerator',
                scale_major=False,
                input_size=64,
                strides=STRIDES,
                ratios=([2], [2, 3], [2, 3], [2]),
                min_sizes=[6, 10, 20, 40],
                max_sizes=[10, 20, 40, 64],
            ),
        )
    ),
    retina=single_stage(
        dict(
            type='RetinaHead',
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=3,
                scales_per_octave=2,
                ratios=[1.0, 2.0],
                strides=STRIDES,
            ),
        )
        | POINTS
    ),
    retina_softmax=single_stage(
        dict(
            type='RetinaHead', loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False)
        )
        | POINTS
        | CENTERS
    ),
)
RPN = dict(
    type='RPNHead',
    in_channels=8,
    feat_channels=8,
    anchor_generator=dict(
        type='AnchorGenerator', scales=[4], ratios=[0.5, 1.0], strides=STRIDES
    ),
)
REGION = dict(
    faster=dict(
        type='FasterRCNN',
        backbone=BACKBONE,
        neck=FPN,
        rpn_head=RPN,
        roi_head=dict(
            type='StandardRoIHead',
            bbox_head=box_head(),
            bbox_roi_extractor=region_extractor(STRIDES),
        ),
    )
    | REGIONS,
    faster_sln=dict(
        type='FasterRCNN',
        backbone=BACKBONE,
        neck=dict(type='TopDownP2', in_channels=[4, 8, 16, 32], out_channels=8),
        rpn_head=dict(
            type='SLNHead',
            num_classes=1,
            in_channels=8,
            feat_channels=8,
            anchor_generator=dict(
                type='AnchorGenerator', scales=[4, 8], ratios=[1.0], strides=[4]
            ),
        ),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_head=box_head(type='Shared2FCMarginBBoxHead', reg_class_agnostic=True),
            bbox_roi_extractor=region_extractor([4]),
        ),
    )
    | REGIONS,
)
CASCADE = (
    dict(
        type='CascadeRCNN',
        backbone=BACKBONE,
        neck=FPN,
        rpn_head=RPN,
        roi_head=dict(
            type='CascadeRoIHead',
            num_stages=2,
            stage_loss_weights=[1, 1],
            bbox_head=[box_head(reg_class_agnostic=True) for _ in range(2)],
            bbox_roi_extractor=region_extractor(STRIDES),
        ),
    )
    | REGIONS
)
POINT = dict(
    fcos=single_stage(dict(type='FCOSHead', strides=STRIDES, **GN) | POINTS),
    fcos_norm=single_stage(
        dict(
            type='FCOSHead',
            strides=STRIDES,
            norm_on_bbox=True,
            centerness_on_reg=True,
            **GN,
        )
        | POINTS
    ),
    # YOLOX reports the best class of a point only.
    yolox=single_stage(dict(type='YOLOXHead', num_classes=1, strides=STRIDES) | POINTS),
    rtmdet=single_stage(
        dict(
            type='RTMDetHead',
            with_objectness=True,
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=STRIDES),
        )
        | POINTS
        | GN
    ),
    atss=single_stage(dict(type='ATSSHead') | POINTS | GN | CENTERS | DELTAS),
    ddod=single_stage(
        dict(type='DDODHead', use_dcn=False) | POINTS | GN | CENTERS | DELTAS
    ),
    paa=single_stage(
        dict(type='PAAHead', score_voting=False) | POINTS | GN | CENTERS | DELTAS
    ),
    gfl=single_stage(
        dict(
            type='GFLHead',
            reg_max=4,
            loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True),
        )
        | POINTS
        | GN
        | CENTERS
    ),
    tood=single_stage(
        dict(type='TOODHead', loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True))
        | POINTS
        | dict(stacked_convs=4)
        | GN
        | CENTERS
        | DELTAS
    ),
    vfnet=single_stage(
        dict(
            type='VFNetHead',
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            regress_ranges=((-1, 16), (16, 32), (32, 64), (64, 1e8)),
            strides=STRIDES,
            anchor_generator=dict(
                type='AnchorGenerator',
                ratios=[1.0],
                octave_base_scale=4,
                scales_per_octave=1,
                center_offset=0.0,
                strides=STRIDES,
            ),
        )
        | POINTS
        | GN
    ),
    autoassign=single_stage(dict(type='AutoAssignHead', strides=STRIDES) | POINTS | GN),
    centernet=single_stage(
        dict(type='CenterNetUpdateHead', strides=STRIDES) | POINTS | GN
    ),
    fovea=single_stage(
        dict(
            type='FoveaHead',
            strides=STRIDES,
            base_edge_list=[8, 16, 32, 64],
            scale_ranges=((4, 16), (8, 32), (16, 64), (32, 128)),
        )
        | POINTS
    ),
    reppoints=single_stage(
        dict(
            type='RepPointsHead',
            point_feat_channels=8,
            point_strides=STRIDES,
            point_base_scale=2,
        )
        | POINTS
        | GN
    ),
    yolov3=single_stage(
        dict(
            type='YOLOV3Head',
            in_channels=(8, 8),
            out_channels=(8, 8),
            featmap_strides=[4, 8],
            anchor_generator=dict(
                type='YOLOAnchorGenerator',
                strides=[4, 8],
                base_sizes=[[(10, 12), (8, 6)], [(20, 24), (30, 16)]],
            ),
        )
    )
    | dict(
        backbone=dict(BACKBONE, out_indices=(0, 1)),
        neck=dict(type='FPN', in_channels=[4, 8], out_channels=8, num_outs=2),
    ),
)


def transformer(head, attention, dims=16, **kwargs):
    """A detector with queries, of one encoder and two decoder layers."""
    last = dict(post_norm_cfg=None) if attention == 'deformable' else {}
    layer = dict(
        self_attn_cfg=dict(embed_dims=dims, num_heads=2, dropout=0.1),
        ffn_cfg=dict(embed_dims=dims, feedforward_channels=16, ffn_drop=0.1),
    )
    encoder = copy.deepcopy(layer)
    if attention == 'deformable':
        sampled = dict(embed_dims=dims, num_heads=2, num_levels=2)
        encoder['self_attn_cfg'] = sampled
        crossed = dict(cross_attn_cfg=sampled)
    else:
        crossed = dict(cross_attn_cfg=layer['self_attn_cfg'])
    return (
        dict(
            backbone=dict(BACKBONE, out_indices=(1, 2)),
            num_queries=30,
            neck=dict(
                type='ChannelMapper',
                in_channels=[8, 16],
                out_channels=dims,
                kernel_size=1,
                num_outs=2,
            ),
            encoder=dict(num_layers=1, layer_cfg=encoder),
            decoder=dict(
                num_layers=2,
                return_intermediate=True,
                layer_cfg=layer | crossed,
                **last,
            ),
            positional_encoding=dict(num_feats=dims // 2, normalize=True),
            bbox_head=dict(embed_dims=dims) | head,
        )
        | kwargs
    )


QUERY = dict(
    # DETR reports the best class of a query only.
    detr=transformer(
        dict(
            type='DETRHead',
            num_classes=1,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False),
        ),
        'full',
        type='DETR',
        test_cfg=dict(max_per_img=30),
    ),
    deformable_detr=transformer(
        dict(
            type='DeformableDETRHead',
            num_classes=3,
            loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        ),
        'deformable',
        type='DeformableDETR',
        with_box_refine=True,
        num_feature_levels=2,
        test_cfg=dict(max_per_img=90),
    ),
    dino=transformer(
        dict(
            type='DINOHead',
            num_classes=3,
            loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        ),
        # mmdet 3.3 knows no other width.
        'deformable',
        dims=256,
        type='DINO',
        with_box_refine=True,
        as_two_stage=True,
        num_feature_levels=2,
        test_cfg=dict(max_per_img=90),
        dn_cfg=dict(
            label_noise_scale=0.5, box_noise_scale=1.0, group_cfg=dict(num_dn_queries=2)
        ),
    ),
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def standardise(layer, inputs, output):
    """Forward hook: output channels of mean 0 and deviation 2, now and later."""
    if hasattr(layer, 'standardised'):
        return output
    layer.standardised = True
    rows = output.movedim(1, -1) if layer.weight.ndim == 4 else output
    rows = rows.flatten(0, -2)
    mean, scale = rows.mean(0), 2 / (rows.std(0) + 1e-6)
    layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))
    layer.bias.sub_(mean).mul_(scale)
    return layer.forward(*inputs)


@torch.no_grad()
def spread_scores(detector):
    """Make scores fill [0, 1], whatever the random features are like."""
    hooks = [
        layer.register_forward_hook(standardise)
        for name, layer in detector.named_modules()
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))
        and re.search('cls|obj|center|iou|prob|pred', name)
        and not name.endswith('.conv')
    ]
    detector.predict(*batch(), rescale=False)
    for hook in hooks:
        hook.remove()


def build(config, dtype=torch.float32):
    """A frozen detector with random weights and widely spread scores."""
    config = copy.deepcopy(config)
    if 'data_preprocessor' not in config:
        config['data_preprocessor'] = dict(type='DetDataPreprocessor')
    detector = MODELS.build(ConfigDict(config))
    head = base.detection_head(detector)
    if not hasattr(head, 'loss_cls'):
        # mmdet 3.3 reads it to predict, but SSDHead never sets it.
        head.loss_cls = None
    if 'decoder' in config:
        # Deformable DETR leaves parameters as the memory was.
        detector.init_weights()
    freeze(detector)
    spread_scores(detector)
    return detector.to(dtype)


def batch(dtype=torch.float32):
    """Two images, the second padded, and their samples."""
    inputs = torch.randn(2, 3, 64, 64, dtype=dtype)
    inputs[1, :, 48:] = 0
    inputs[1, :, :, 56:] = 0
    samples = [
        DetDataSample(
            metainfo=dict(
                img_shape=shape,
                ori_shape=shape,
                batch_input_shape=(64, 64),
                pad_shape=(64, 64),
                scale_factor=(1.0, 1.0),
            )
        )
        for shape in SHAPES
    ]
    return inputs, samples


def fixed_proposals(detector, inputs, samples):
    """Give the samples the proposals that the detector would find itself."""
    with torch.no_grad():
        found = detector.rpn_head.predict(
            detector.extract_feat(inputs), samples, rescale=False
        )
    for sample, proposals in zip(samples, found, strict=True):
        sample.proposals = proposals


def suppress(boxes, scores, threshold):
    """What is left above the threshold after NMS."""
    high = scores > threshold
    kept, _ = nms(boxes[high], scores[high], TEST['nms']['iou_threshold'])
    return kept


def in_order(rows):
    """Rows in an order that does not depend on how they came."""
    return rows[
        (
            rows.double() @ rows.new_tensor([1.0, 3.1, 7.3, 11.9, 101.0]).double()
        ).argsort()
    ]


def assert_detects(boxes, scores, prediction, class_id, threshold):
    """Candidates after NMS are the detections of the class."""
    own = prediction[(prediction.labels == class_id) & (prediction.scores > threshold)]
    expected = torch.cat([own.bboxes, own.scores[:, None]], dim=1)
    found = suppress(boxes.float(), scores.detach().float(), threshold)
    assert len(expected) >= 30
    assert len(found) == len(expected)
    torch.testing.assert_close(
        in_order(found), in_order(expected), rtol=1e-4, atol=1e-3
    )


def assert_differentiable(image):
    """In the scores, not in the boxes."""
    assert image.log_scores.requires_grad and not image.boxes.requires_grad


def predict(detector, inputs, samples):
    with torch.no_grad():
        results = detector.predict(inputs, copy.deepcopy(samples), rescale=False)
    return [result.pred_instances for result in results]


class TestCandidates:
    def test_scores_are_the_exponential(self):
        found = Candidates(torch.zeros(2, 4), torch.tensor([0.25, 1.0]).log())
        assert found.scores.tolist() == [0.25, 1.0]

    @pytest.mark.parametrize('boxes, scores', [((3, 4), 2), ((2, 5), 2)])
    def test_one_score_a_box(self, boxes, scores):
        with pytest.raises(ValueError, match=r'\(A, 4\)'):
            Candidates(torch.zeros(boxes), torch.zeros(scores))
        with pytest.raises(ValueError, match=r'\(A,\)'):
            Candidates(torch.zeros(2, 4), torch.zeros(2, 1))

    def test_blocks_of_another_number(self):
        with pytest.raises(ValueError, match='3 boxes in blocks of 4'):
            Candidates(torch.zeros(3, 4), torch.zeros(3), (BoxBlock('anchors', 2, 2),))


class TestLogScores:
    @pytest.mark.parametrize('class_id', [0, 1, 2])
    def test_are_those_of_softmax_and_sigmoid(self, class_id):
        logits = torch.randn(5, 4, dtype=torch.float64)
        torch.testing.assert_close(
            class_log_scores(logits, class_id, use_sigmoid=False),
            logits.softmax(-1)[:, class_id].log(),
        )
        torch.testing.assert_close(
            class_log_scores(logits, class_id, use_sigmoid=True),
            logits.sigmoid()[:, class_id].log(),
        )

    def test_two_classes_are_the_difference(self):
        logits = torch.tensor([[3.0, -1.0], [0.5, 0.5]])
        assert class_log_odds(logits, 0, use_sigmoid=False).tolist() == [4.0, 0.0]

    @pytest.mark.parametrize('use_sigmoid', [False, True])
    def test_extreme_logits(self, use_sigmoid):
        logits = torch.tensor(
            [[200.0, -200.0], [-200.0, 200.0], [30.0, 0.0]], requires_grad=True
        )
        log_scores = class_log_scores(logits, 0, use_sigmoid)
        log_scores.sum().backward()
        low = -200.0 if use_sigmoid else -400.0
        assert log_scores[:2].tolist() == [0, low]
        # A log-softmax has neither value nor gradient left here.
        assert log_scores[2].item() == pytest.approx(-9.36e-14, rel=1e-3, abs=0)
        assert logits.grad[2, 0].item() == pytest.approx(9.36e-14, rel=1e-3, abs=0)
        assert logits.grad.isfinite().all() and logits.grad[1, 0] == 1


@pytest.fixture
def tiny_sln_classes(tiny_sln_config):
    tiny_sln_config.bbox_head.num_classes = 3
    tiny_sln_config.bbox_head.anchor_generator.scales = [2, 4]
    tiny_sln_config.test_cfg = TEST
    return tiny_sln_config


class TestAgainstPredictions:
    """NMS of the candidates gives what the detector reports itself."""

    def check_anchors(self, config, class_id):
        detector = build(config)
        inputs, samples = batch()
        inputs.requires_grad_()
        found = AutoCandidateReader(class_id)(detector, inputs, samples)
        head = detector.bbox_head
        deltas = torch.cat(
            [
                level.permute(0, 2, 3, 1).reshape(2, -1, 4)
                for level in head(detector.extract_feat(inputs))[1]
            ],
            dim=1,
        )
        for image, delta, sample, prediction in zip(
            found, deltas, samples, predict(detector, inputs, samples)
        ):
            assert_differentiable(image)
            boxes = head.bbox_coder.decode(
                image.boxes, delta, max_shape=sample.img_shape
            )
            assert_detects(boxes, image.scores, prediction, class_id, 0.3)

    @pytest.mark.parametrize('class_id', [0, 2])
    def test_sln(self, tiny_sln_classes, class_id):
        self.check_anchors(tiny_sln_classes, class_id)

    @pytest.mark.parametrize('class_id', [0, 2])
    @pytest.mark.parametrize('name', ANCHORS)
    def test_anchors(self, name, class_id):
        self.check_anchors(ANCHORS[name], class_id)

    @pytest.mark.parametrize('class_id', [0, 2])
    @pytest.mark.parametrize('name', REGION)
    def test_regions(self, name, class_id):
        detector = build(REGION[name])
        inputs, samples = batch()
        inputs.requires_grad_()
        found = AutoCandidateReader(class_id)(detector, inputs, samples)
        head = detector.roi_head.bbox_head
        own_proposals = detector.rpn_head.predict(
            detector.extract_feat(inputs), samples, rescale=False
        )
        rois = bbox2roi([image.boxes for image in found])
        deltas = detector.roi_head._bbox_forward(detector.extract_feat(inputs), rois)[
            'bbox_pred'
        ]
        if not head.reg_class_agnostic:
            deltas = deltas[:, 4 * class_id : 4 * class_id + 4]
        counts = [len(image.boxes) for image in found]
        for image, delta, sample, prediction, proposals in zip(
            found,
            deltas.split(counts),
            samples,
            predict(detector, inputs, samples),
            own_proposals,
            strict=True,
        ):
            assert_differentiable(image)
            assert torch.equal(image.boxes, proposals.bboxes)
            boxes = head.bbox_coder.decode(
                image.boxes, delta, max_shape=sample.img_shape
            )
            assert_detects(boxes, image.scores, prediction, class_id, 0.3)

    def test_cascade(self):
        detector = build(CASCADE)
        inputs, samples = batch()
        inputs.requires_grad_()
        found = AutoCandidateReader(1)(detector, inputs, samples)
        last = detector.roi_head.bbox_head[-1]
        deltas = detector.roi_head._bbox_forward(
            1, detector.extract_feat(inputs), bbox2roi([image.boxes for image in found])
        )['bbox_pred']
        counts = [len(image.boxes) for image in found]
        for image, delta, sample, prediction in zip(
            found,
            deltas.split(counts),
            samples,
            predict(detector, inputs, samples),
            strict=True,
        ):
            assert_differentiable(image)
            boxes = last.bbox_coder.decode(
                image.boxes, delta, max_shape=sample.img_shape
            )
            assert_detects(boxes, image.scores, prediction, 1, 0.3)

    @pytest.mark.parametrize('name', POINT)
    def test_points(self, name):
        detector = build(POINT[name])
        class_id = detector.bbox_head.num_classes - 1
        inputs, samples = batch()
        inputs.requires_grad_()
        found = AutoCandidateReader(class_id)(detector, inputs, samples)
        for image, prediction in zip(
            found, predict(detector, inputs, samples), strict=True
        ):
            assert_differentiable(image)
            assert_detects(image.boxes, image.scores, prediction, class_id, 0.3)

    @pytest.mark.parametrize('name', QUERY)
    def test_queries(self, name):
        detector = build(QUERY[name])
        class_id = detector.bbox_head.num_classes - 1
        inputs, samples = batch()
        inputs.requires_grad_()
        found = AutoCandidateReader(class_id)(detector, inputs, samples)
        for image, prediction in zip(
            found, predict(detector, inputs, samples), strict=True
        ):
            assert_differentiable(image)
            own = prediction[prediction.labels == class_id]
            scores = image.scores.detach()
            torch.testing.assert_close(
                in_order(torch.cat([image.boxes, scores[:, None]], dim=1)),
                in_order(torch.cat([own.bboxes, own.scores[:, None]], dim=1)),
                rtol=1e-4,
                atol=1e-3,
            )


def all_readable():
    return ANCHORS | REGION | dict(cascade=CASCADE) | POINT | QUERY


class TestBlocks:
    @pytest.mark.parametrize('name', all_readable())
    def test_say_what_the_boxes_are(self, name):
        detector = build(all_readable()[name])
        reader = find_reader(base.detection_head(detector))(class_id=[0, 0])
        for found in reader(detector, *batch()):
            (block,) = found.blocks
            kinds = dict.fromkeys(ANCHORS, 'anchors') | dict.fromkeys(
                [*REGION, 'cascade'], 'proposals'
            )
            assert block.kind == kinds.get(name, 'predictions')
            assert block.copies == 2
            first, second = found.boxes.split(block.count)
            assert torch.equal(first, second)


class TestDetectorIsLeftAlone:
    @pytest.mark.parametrize('name', all_readable())
    def test_weights_mode_and_random_numbers(self, name):
        detector = build(all_readable()[name])
        inputs, samples = batch()
        before, state = detector_digest(detector), torch.get_rng_state()
        metas = [copy.deepcopy(sample.metainfo) for sample in samples]
        AutoCandidateReader()(detector, inputs, samples)
        assert detector_digest(detector) == before
        assert not any(part.training for part in detector.modules())
        assert torch.equal(torch.get_rng_state(), state)
        assert [sample.metainfo for sample in samples] == metas
        assert samples[0].all_keys() == list(metas[0])


class TestGradients:
    def check(self, detector, reader, inputs, samples):
        """Gradient of sum log S of some candidates against differences."""
        # Zeros of the padding would lie on the kink of every ReLU.
        inputs = torch.randn_like(inputs).requires_grad_()
        scores = [image.log_scores for image in reader(detector, inputs, samples)]
        chosen = [
            torch.cat([log_scores.topk(20).indices, torch.arange(20)])
            for log_scores in scores
        ]

        def objective(images):
            found = reader(detector, images, samples)
            return sum(
                image.log_scores[index].sum()
                for image, index in zip(found, chosen, strict=True)
            )

        (gradient,) = torch.autograd.grad(objective(inputs), inputs)
        pixel = torch.zeros_like(inputs)
        pixel.view(-1)[gradient.abs().argmax()] = 1
        directions = [pixel, *torch.randn(3, *inputs.shape, dtype=inputs.dtype)]
        with torch.no_grad():
            for direction in directions:
                step = 1e-7 * direction
                difference = objective(inputs + step) - objective(inputs - step)
                exact = (gradient * direction).sum()
                assert abs(exact) > 1e-3
                torch.testing.assert_close(
                    difference / 2e-7, exact, rtol=1e-4, atol=1e-5
                )

    def test_sln(self, tiny_sln_classes):
        self.check(
            build(tiny_sln_classes, torch.float64),
            AutoCandidateReader(1),
            *batch(torch.float64),
        )

    @pytest.mark.parametrize('name', ['ssd', 'retina', 'retina_softmax'])
    def test_anchors(self, name):
        self.check(
            build(ANCHORS[name], torch.float64),
            AutoCandidateReader(1),
            *batch(torch.float64),
        )

    @pytest.mark.parametrize('with_rpn', [False, True])
    @pytest.mark.parametrize('name', REGION)
    def test_regions(self, name, with_rpn):
        detector = build(REGION[name])
        inputs, samples = batch()
        # Proposals move with the image, which the gradient leaves out.
        fixed_proposals(detector, inputs, samples)
        for sample in samples:
            sample.proposals.bboxes = sample.proposals.bboxes.double()
        self.check(
            detector.double(),
            TwoStageCandidateReader(1, with_rpn),
            inputs.double(),
            samples,
        )

    @pytest.mark.parametrize(
        'name', ['fcos', 'yolox', 'rtmdet', 'atss', 'paa', 'gfl', 'tood', 'yolov3']
    )
    def test_points(self, name):
        self.check(
            build(POINT[name], torch.float64),
            AutoCandidateReader(),
            *batch(torch.float64),
        )

    def test_queries(self):
        self.check(
            build(QUERY['detr'], torch.float64),
            AutoCandidateReader(),
            *batch(torch.float64),
        )

    @pytest.mark.parametrize('name', all_readable())
    def test_stay_finite_at_extreme_scores(self, name):
        detector = build(all_readable()[name])
        with torch.no_grad():
            for layer in detector.modules():
                if hasattr(layer, 'standardised'):
                    layer.weight *= 100
                    layer.bias *= 100
        inputs, samples = batch()
        inputs.requires_grad_()
        found = AutoCandidateReader()(detector, inputs, samples)
        log_scores = torch.cat([image.log_scores for image in found])
        # Logits have a deviation of 200, but two heads bound scores, and DETR's
        # random queries are alike.
        bound = dict(detr=-5, rtmdet=-11, tood=-85).get(name, -200)
        assert log_scores.min() < bound and log_scores.max() <= 0
        (gradient,) = torch.autograd.grad(log_scores.sum(), inputs)
        assert log_scores.isfinite().all()
        assert gradient.isfinite().all() and gradient.abs().max() > 0


class TestTwoStage:
    @pytest.mark.parametrize('name', REGION)
    def test_anchors_of_the_proposal_network_follow(self, name):
        detector = build(REGION[name])
        inputs, samples = batch()
        plain = TwoStageCandidateReader(1)(detector, inputs, samples)
        joined = TwoStageCandidateReader(1, with_rpn=True)(detector, inputs, samples)
        maps = detector.rpn_head(detector.extract_feat(inputs))[0]
        anchors = torch.cat(
            detector.rpn_head.prior_generator.grid_priors(
                [level.shape[-2:] for level in maps], device='cpu'
            )
        )
        logits = torch.cat(
            [
                level.permute(0, 2, 3, 1).reshape(2, -1, level.shape[1] // 2)
                for level in maps
            ],
            dim=1,
        )
        scores = (
            logits.reshape(2, -1).sigmoid()
            if name == 'faster'
            else logits.reshape(2, -1, 2).softmax(-1)[..., 0]
        )
        for i, (a, b) in enumerate(zip(plain, joined, strict=True)):
            count = len(a.boxes)
            assert b.blocks == (*a.blocks, BoxBlock('anchors', len(anchors)))
            assert torch.equal(b.boxes[:count], a.boxes)
            assert torch.equal(b.log_scores[:count], a.log_scores)
            assert torch.equal(b.boxes[count:], anchors)
            torch.testing.assert_close(b.scores[count:], scores[i])

    def test_cascade_has_a_proposal_network_too(self):
        inputs, samples = batch()
        found = TwoStageCandidateReader(with_rpn=True)(build(CASCADE), inputs, samples)
        # 150 proposals and two anchors a cell.
        cells = sum((64 // stride) ** 2 for stride in STRIDES)
        assert [len(image.boxes) for image in found] == [150 + 2 * cells] * 2

    @pytest.mark.parametrize('counts', [(0, 5), (0, 0)])
    @pytest.mark.parametrize('name', [*REGION, 'cascade'])
    def test_images_without_proposals(self, name, counts):
        detector = build(all_readable()[name])
        inputs, samples = batch()
        inputs.requires_grad_()
        fixed_proposals(detector, inputs, samples)
        for sample, count in zip(samples, counts, strict=True):
            sample.proposals = sample.proposals[:count]
        found = AutoCandidateReader()(detector, inputs, samples)
        assert [len(image.log_scores) for image in found] == list(counts)
        assert [image.boxes.shape for image in found] == [(n, 4) for n in counts]
        for image in found:
            image.log_scores.sum().backward(retain_graph=True)
        assert inputs.grad.isfinite().all()

    def test_detector_without_proposal_network(self):
        detector = build(REGION['faster'])
        detector.rpn_head = None
        inputs, samples = batch()
        with pytest.raises(TypeError, match='FasterRCNN has no proposal network'):
            AutoCandidateReader()(detector, inputs, samples)
        for sample in samples:
            sample.proposals = InstanceData(
                bboxes=torch.tensor([[0.0, 0.0, 20.0, 20.0]])
            )
        assert len(AutoCandidateReader()(detector, inputs, samples)) == 2
        with pytest.raises(TypeError, match='FasterRCNN has no proposal network'):
            TwoStageCandidateReader(with_rpn=True)(detector, inputs, samples)

    def test_proposal_network_without_a_reader(self):
        detector = build(REGION['faster'])
        inputs, samples = batch()
        fixed_proposals(detector, inputs, samples)
        detector.rpn_head = torch.nn.Identity()
        with pytest.raises(TypeError, match='no candidate reader for Identity'):
            TwoStageCandidateReader(with_rpn=True)(detector, inputs, samples)
        detector.rpn_head = build(QUERY['detr']).bbox_head
        with pytest.raises(TypeError, match='for DETRHead, which is no dense'):
            TwoStageCandidateReader(with_rpn=True)(detector, inputs, samples)

    def test_box_head_that_scores_otherwise(self):
        detector = build(REGION['faster'])
        detector.roi_head.bbox_head.__class__ = type(
            'Sided', (SABLHead, type(detector.roi_head.bbox_head)), {}
        )
        with pytest.raises(TypeError, match='Sided, whose scores are multiplied'):
            AutoCandidateReader()(detector, *batch())


@pytest.fixture
def registry(monkeypatch):
    """Registrations of a test end with it."""
    monkeypatch.setattr(base, '_READERS', dict(base._READERS))
    monkeypatch.setattr(base, '_REFUSED', dict(base._REFUSED))


def detector_with(head):
    detector = torch.nn.Module()
    detector.bbox_head = head
    return detector


class TestErrors:
    @pytest.mark.parametrize(
        'kind',
        [
            'AutoCandidateReader',
            'AnchorCandidateReader',
            'PointCandidateReader',
            'TwoStageCandidateReader',
            'QueryCandidateReader',
        ],
    )
    def test_class_ids(self, kind):
        reader = TASK_UTILS.build(dict(type=kind))
        assert reader.class_ids == (0,)
        with pytest.raises(ValueError, match=f'{kind}: class_id must be .*, got -1'):
            TASK_UTILS.build(dict(type=kind, class_id=-1))

    @pytest.mark.parametrize('name', ['retina', 'faster', 'cascade', 'fcos', 'detr'])
    def test_class_that_the_head_does_not_have(self, name):
        detector = build(all_readable()[name])
        classes = 1 if name == 'detr' else 3
        with pytest.raises(
            ValueError,
            match=(rf'class_id is {classes}, but \w+Head has {classes} class'),
        ):
            AutoCandidateReader(classes)(detector, *batch())

    @pytest.mark.parametrize(
        'detector, named',
        [
            (detector_with(torch.nn.Identity()), 'Identity'),
            (torch.nn.Identity(), 'a detector without roi_head and bbox_head'),
        ],
    )
    def test_unknown_head(self, detector, named):
        with pytest.raises(TypeError) as error:
            AutoCandidateReader()(detector, *batch())
        for part in (
            f'no candidate reader for {named}',
            'AnchorHead',
            'DETRHead',
            'StandardRoIHead',
            'YOLOXHead',
            '@register_reader',
            'custom_imports',
        ):
            assert part in str(error.value)

    def test_reader_of_another_family(self):
        reader = TASK_UTILS.build(dict(type='AnchorCandidateReader'))
        with pytest.raises(
            TypeError,
            match=(
                'AnchorCandidateReader does not read FCOSHead, '
                'PointCandidateReader does'
            ),
        ):
            reader(build(POINT['fcos']), *batch())

    @pytest.mark.parametrize('head_type', [TridentRoIHead, RTMDetInsHead])
    def test_heads_that_differ_from_what_they_inherit(self, head_type):
        with pytest.raises(TypeError, match=f'for {head_type.__name__}, wh'):
            find_reader(head_type.__new__(head_type))

    def test_anchor_head_with_more_outputs(self):
        detector = build(ANCHORS['retina'])
        head = detector.bbox_head
        forward = head.forward
        head.forward = lambda features: (*forward(features), ())
        with pytest.raises(TypeError, match='RetinaHead, which returns 3 kinds'):
            AutoCandidateReader()(detector, *batch())

    @pytest.mark.parametrize('name', ['retina', 'fcos', 'faster', 'detr'])
    def test_loss_with_classes_of_its_own(self, name):
        detector = build(all_readable()[name])
        head = base.detection_head(detector)
        getattr(head, 'bbox_head', head).loss_cls = MODELS.build(
            dict(type='SeesawLoss', num_classes=3)
        )
        with pytest.raises(ValueError, match='SeesawLoss'):
            AutoCandidateReader()(detector, *batch())


class TestRegistry:
    def test_reader_of_ones_own(self, registry):
        class Own(RetinaHead):
            pass

        class More(Own):
            pass

        @register_reader(Own)
        class OwnReader(CandidateReader):
            def read(self, detector, inputs, data_samples):
                boxes = torch.zeros(1, 4)
                return [Candidates(boxes, image.sum()[None]) for image in inputs]

        detector = build(ANCHORS['retina'])
        inputs, samples = batch()
        assert len(AutoCandidateReader()(detector, inputs, samples)[0].boxes) > 1
        detector.bbox_head.__class__ = More
        found = AutoCandidateReader()(detector, inputs, samples)
        assert [len(image.boxes) for image in found] == [1, 1]
        with pytest.raises(ValueError, match='OwnReader: class_id is 3'):
            AutoCandidateReader(3)(detector, inputs, samples)

    def test_refusal_ends_with_a_registration(self, registry):
        class Own(FCOSHead):
            pass

        head = Own.__new__(Own)
        known = find_reader(head)
        refuse_head(Own, 'which is odd')
        with pytest.raises(TypeError, match='for Own, which is odd. There are'):
            find_reader(head)
        register_reader(Own)(known)
        assert find_reader(head) is known


# mmdet's configs of trained detectors, and what is needed to run them small.
ZOO = dict(
    atss='atss/atss_r50_fpn_1x_coco.py',
    cascade_rcnn='cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    deformable_detr='deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    detr='detr/detr_r50_8xb2-150e_coco.py',
    dino='dino/dino-4scale_r50_8xb2-12e_coco.py',
    faster_rcnn='faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    fcos='fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    gfl='gfl/gfl_r50_fpn_1x_coco.py',
    paa='paa/paa_r50_fpn_1x_coco.py',
    retinanet='retinanet/retinanet_r18_fpn_1x_coco.py',
    rtmdet='rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    ssd='ssd/ssd300_coco.py',
    tood='tood/tood_r50_fpn_1x_coco.py',
    vfnet='vfnet/vfnet_r50_fpn_1x_coco.py',
    yolov3='yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py',
    yolox='yolox/yolox_tiny_8xb8-300e_coco.py',
)
# Their batch normalisations need statistics, or random features vanish.
NORMALISED = ('rtmdet', 'yolov3', 'yolox')


def shrink(model):
    """An eighth of a ResNet's channels, one transformer layer, few queries."""
    model.backbone.init_cfg = None
    if model.backbone.type == 'ResNet':
        model.backbone.base_channels = 8
        model.neck.in_channels = [c // 8 for c in model.neck.in_channels]
    if 'decoder' in model:
        model.encoder.num_layers = model.decoder.num_layers = 1
        model.num_queries = 50
    if 'rpn' in (model.test_cfg or {}):
        model.test_cfg.rpn.max_per_img = 100
    return model


def fit_normalisation(detector, image):
    """Take the statistics of batch normalisations from an image."""
    detector.train()
    batch = detector.data_preprocessor(dict(inputs=[image], data_samples=None))
    with torch.no_grad():
        detector.bbox_head(detector.extract_feat(batch['inputs']))


@torch.no_grad()
def widen_boxes(head):
    """Distances of two strides where RTMDet's would be around zero."""
    for layer in head.rtm_reg:
        layer.bias.fill_(2)


@pytest.mark.slow
@pytest.mark.parametrize('name', ZOO)
def test_step_against_detectors_of_mmdet(name):
    """Configs of mmdet as they are, but for width and random weights."""
    # The VGG of SSD300 is made for this size.
    size = 300 if name == 'ssd' else 128
    detector = MODELS.build(shrink(get_config(f'mmdet::{ZOO[name]}').model))
    detector.init_weights()
    image = torch.randint(0, 256, (3, size, size), dtype=torch.uint8)
    if name in NORMALISED:
        fit_normalisation(detector, image)
    if name == 'rtmdet':
        widen_boxes(detector.bbox_head)
    model = MODELS.build(
        dict(
            type='PatchAttacker',
            detector=detector,
            patch=dict(type='UniversalPatch', size=16),
            reader=dict(type='AutoCandidateReader', class_id=0),
            sample_set=dict(type='PatchIoUSampleSet', face_iou_thr=0.0),
        )
    )
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0)
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 20.0, 90.0, 100.0], [60.0, 5.0, 120.0, 60.0]])
    )
    before, state = model.patch.pixels.detach().clone(), torch.get_rng_state()

    losses = model(inputs=[image], data_samples=[sample])
    losses['loss_adv'].backward()
    gradient = model.patch.pixels.grad
    assert losses['num_samples'] > 0 and 0 < losses['mean_score'] < 1
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    torch.optim.Adam(model.parameters(), lr=0.02).step()
    assert not torch.equal(model.patch.pixels, before)
    assert torch.equal(torch.get_rng_state(), state)
    model.check_detector()
