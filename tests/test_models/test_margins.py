"""Log-odds of detections, from the heads to the merge of a pyramid."""

import copy
from functools import partial

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet_facepatch.models.dense_heads import MarginMixin, class_margins

softmax_margins = partial(class_margins, use_sigmoid=False)

META = dict(img_shape=(56, 60), ori_shape=(28, 15), scale_factor=(4.0, 2.0))

# Configs of mmdet's heads; their margin heads take the same.
SSD = dict(
    type='SSDHead',
    num_classes=3,
    in_channels=(4, 6),
    # The levels have 4 and 6 anchors a cell.
    anchor_generator=dict(
        type='SSDAnchorGenerator',
        scale_major=False,
        input_size=64,
        strides=[8, 16],
        ratios=([2], [2, 3]),
        min_sizes=[8, 20],
        max_sizes=[20, 40],
    ),
)
RETINA = dict(
    type='RetinaHead',
    num_classes=1,
    in_channels=4,
    stacked_convs=1,
    feat_channels=4,
    anchor_generator=dict(
        type='AnchorGenerator',
        octave_base_scale=4,
        scales_per_octave=2,
        ratios=[1.0],
        strides=[4, 8, 16, 32, 64],
    ),
    # No bias against faces, which would leave nothing to compare.
    init_cfg=dict(type='Normal', layer='Conv2d', std=0.5),
)
BOX = dict(
    type='Shared2FCBBoxHead',
    in_channels=2,
    roi_feat_size=2,
    fc_out_channels=8,
    num_classes=3,
)

DENSE = dict(
    ssd=SSD,
    ssd_face=SSD | dict(num_classes=1),
    retina=RETINA,
    retina_classes=RETINA | dict(num_classes=3),
    retina_softmax=RETINA
    | dict(loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False)),
)
ROI = dict(
    faster=BOX,
    faster_face=BOX | dict(num_classes=1),
    faster_agnostic=BOX | dict(reg_class_agnostic=True),
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build(config, margins=True):
    """A head with margins, or mmdet's own of the same config."""
    config = copy.deepcopy(config)
    if margins:
        name = config['type']
        at = name.index('BBoxHead') if 'BBoxHead' in name else name.index('Head')
        config['type'] = name[:at] + 'Margin' + name[at:]
    return MODELS.build(config).eval()


def build_pair(config):
    """mmdet's head and ours, with the same weights."""
    theirs = build(config, margins=False)
    theirs.init_weights()
    ours = build(config)
    ours.load_state_dict(theirs.state_dict())
    if not hasattr(theirs, 'loss_cls'):
        # mmdet 3.3 reads it to predict, but SSDHead never sets it.
        theirs.loss_cls = None
    return theirs, ours


def dense_cfg(**kwargs):
    """A test config with two thresholds that bite."""
    return ConfigDict(
        dict(
            nms_pre=40,
            min_bbox_size=0,
            score_thr=0.3,
            max_per_img=100,
            nms=dict(type='nms', iou_threshold=0.3),
        )
        | kwargs
    )


def roi_cfg(**kwargs):
    return ConfigDict(
        dict(score_thr=0.3, nms=dict(type='nms', iou_threshold=0.3), max_per_img=100)
        | kwargs
    )


def features(head):
    """Random maps of a 64 pixel image, one per level."""
    strides = [stride[0] for stride in head.prior_generator.strides]
    channels = head.in_channels
    if isinstance(channels, int):
        channels = [channels] * len(strides)
    return [
        torch.randn(2, c, 64 // s, 64 // s)
        for c, s in zip(channels, strides, strict=True)
    ]


def detect(head, maps, **kwargs):
    """Detections of two images from ``maps``, or from features."""
    return head.predict_by_feat(*maps, batch_img_metas=[META] * 2, **kwargs)


def regions(num_rois, roi_feat_size=2):
    """Proposals inside the image and the features of each."""
    corners = torch.rand(num_rois, 2) * 40
    rois = torch.cat(
        [
            torch.zeros(num_rois, 1),
            corners,
            corners + 5 + torch.rand(num_rois, 2) * 15,
        ],
        dim=1,
    )
    return rois, torch.randn(num_rois, 2, roi_feat_size, roi_feat_size)


def detect_rois(head, rois, outputs, **kwargs):
    """Detections of one image from a box head's ``outputs``."""
    scores, deltas = outputs
    return head.predict_by_feat((rois,), (scores,), (deltas,), [META], **kwargs)[0]


def assert_same(ours, theirs):
    """The same detections, whatever the order of equal scores."""
    assert len(ours) == len(theirs)
    for a in (ours, theirs):
        key = a.bboxes @ a.bboxes.new_tensor([1.0, 3.0, 7.0, 11.0]) + 1e4 * a.labels
        a.order = key.argsort()
    for field in ('bboxes', 'scores', 'labels'):
        torch.testing.assert_close(ours[field][ours.order], theirs[field][theirs.order])


class TestLogOdds:
    def test_two_classes_are_the_difference(self):
        logits = torch.tensor([[3.0, -1.0], [0.5, 0.5]])
        assert softmax_margins(logits).tolist() == [[4.0], [0.0]]

    def test_sigmoid_of_them_is_the_softmax(self):
        logits = torch.randn(7, 5, dtype=torch.float64)
        torch.testing.assert_close(
            softmax_margins(logits).sigmoid(), logits.softmax(-1)[:, :-1]
        )

    def test_three_classes_by_hand(self):
        # Of weights 2, 1, 1 the odds are 2 : 2 and 1 : 3.
        logits = torch.tensor([2.0, 1.0, 1.0]).log()
        torch.testing.assert_close(
            softmax_margins(logits), torch.tensor([1.0, 1 / 3]).log()
        )

    def test_keeps_resolution_where_softmax_is_one(self):
        logits = torch.tensor([[20.0, -20.0], [30.0, -20.0]])
        assert torch.equal(logits.softmax(-1)[:, 0], torch.ones(2))
        assert softmax_margins(logits)[:, 0].tolist() == [40.0, 50.0]

    def test_no_anchors(self):
        assert softmax_margins(torch.zeros(0, 4)).shape == (0, 3)

    def test_of_a_sigmoid_they_are_the_logits(self):
        logits = torch.tensor([[3.0, -1.0]])
        assert class_margins(logits, use_sigmoid=True).tolist() == [[3.0, -1.0]]
        assert class_margins(logits, use_sigmoid=False).tolist() == [[4.0]]


@pytest.mark.parametrize('name', DENSE)
class TestDenseHeads:
    @pytest.mark.parametrize(
        'cfg, options',
        [
            ({}, {}),
            (dict(nms_pre=5), dict(with_nms=False)),
            (dict(score_thr=0.6, max_per_img=3), {}),
            (dict(min_bbox_size=5), dict(rescale=True)),
        ],
        ids=str,
    )
    def test_detects_what_mmdet_detects(self, name, cfg, options):
        theirs, ours = build_pair(DENSE[name])
        maps = features(ours)
        options = options | dict(cfg=dense_cfg(**cfg))
        with torch.no_grad():
            expected = detect(theirs, theirs(maps), **options)
            found = detect(ours, ours(maps), **options)
        assert sum(map(len, found)) > 0
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
            torch.testing.assert_close(
                a.margins.sigmoid(), b.scores[b.order][a.order.argsort()]
            )

    def test_own_test_cfg_is_the_default(self, name):
        head = build(DENSE[name] | dict(test_cfg=dense_cfg(max_per_img=2)))
        found = detect(head, [[m * 10 for m in maps] for maps in head(features(head))])
        assert [len(image) for image in found] == [2, 2]

    def test_margins_differ_where_scores_are_one(self, name):
        head = build(DENSE[name])
        cls_scores, bbox_preds = (
            [m.detach() for m in maps] for maps in head(features(head))
        )
        # Class 0 leads by 30 and more at every anchor.
        for m in cls_scores:
            rows = m.view(2, -1, head.cls_out_channels, *m.shape[2:])
            rows[:, :, 1:] = -30.0
            rows[:, :, 0] = 30 + 10 * torch.rand(rows[:, :, 0].shape)
        for image in detect(head, (cls_scores, bbox_preds), cfg=dense_cfg(nms_pre=30)):
            assert len(image) > 5 and (image.labels == 0).all()
            assert (image.scores == 1).all()
            assert len(image.margins.unique()) > 0.9 * len(image)
            assert image.margins.min() >= 30

    @pytest.mark.parametrize('with_nms', [True, False])
    def test_nothing_found(self, name, with_nms):
        head = build(DENSE[name])
        for image in detect(
            head,
            head(features(head)),
            cfg=dense_cfg(score_thr=1.0),
            with_nms=with_nms,
            rescale=True,
        ):
            assert image.bboxes.shape == (0, 4)
            assert image.margins.shape == image.scores.shape == (0,)
            assert image.labels.dtype == torch.long

    def test_rescaled_boxes(self, name):
        head = build(DENSE[name])
        maps = head(features(head))
        small = detect(head, maps, cfg=dense_cfg(), rescale=True)
        large = detect(head, maps, cfg=dense_cfg(), with_nms=True)
        for a, b in zip(small, large, strict=True):
            torch.testing.assert_close(
                a.bboxes * torch.tensor([4.0, 2.0, 4.0, 2.0]), b.bboxes
            )
            assert torch.equal(a.margins, b.margins)
            assert b.bboxes[:, 2].max() <= 60 and b.bboxes[:, 3].max() <= 56


class TestMarginMixin:
    def test_margins_are_those_of_their_boxes(self):
        """Each detection is found again among all pairs of anchor and class."""
        head = build(SSD)
        maps = [[m.detach() * 5 for m in level] for level in head(features(head))]
        image = detect(head, maps, cfg=dense_cfg())[0]
        logits = torch.cat([m[0].permute(1, 2, 0).reshape(-1, 4) for m in maps[0]])
        deltas = torch.cat([m[0].permute(1, 2, 0).reshape(-1, 4) for m in maps[1]])
        priors = torch.cat(
            head.prior_generator.grid_priors(
                [m.shape[-2:] for m in maps[0]], device='cpu'
            )
        )
        boxes = head.bbox_coder.decode(priors, deltas, max_shape=META['img_shape'])
        # (N, A); boxes that are clipped at all sides are equal.
        same_box = (image.bboxes[:, None] == boxes).all(-1)
        same_margin = image.margins[:, None].isclose(
            softmax_margins(logits).T[image.labels]
        )
        assert len(image) > 5
        assert (same_box & same_margin).any(1).all()

    def test_soft_nms_lowers_scores_only(self):
        head = build(RETINA)
        cfg = dense_cfg(nms=dict(type='soft_nms', iou_threshold=0.3, min_score=0.0))
        image = detect(head, head(features(head)), cfg=cfg)[0]
        assert (image.scores <= image.margins.sigmoid() + 1e-6).all()
        assert (image.scores < image.margins.sigmoid() - 0.01).any()

    def test_losses_are_those_of_the_plain_head(self):
        theirs, ours = build_pair(
            RETINA
            | dict(
                train_cfg=ConfigDict(
                    assigner=dict(
                        type='MaxIoUAssigner',
                        pos_iou_thr=0.5,
                        neg_iou_thr=0.4,
                        ignore_iof_thr=-1,
                    ),
                    allowed_border=-1,
                    pos_weight=-1,
                )
            )
        )
        sample = DetDataSample(metainfo=META | dict(pad_shape=(64, 64)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[8.0, 8, 24, 24]]),
            labels=torch.zeros(1, dtype=torch.long),
        )
        maps = [m[:1] for m in features(ours)]
        expected, found = theirs.loss(maps, [sample]), ours.loss(maps, [sample])
        assert found.keys() == expected.keys()
        for key in found:
            assert found[key] == expected[key]

    def test_score_factors_are_refused(self):
        head = build(RETINA)
        maps = head(features(head))
        factors = [m[:, :1] for m in maps[0]]
        with pytest.raises(ValueError, match='RetinaMarginHead: .* score factors'):
            detect(head, (*maps, factors), cfg=dense_cfg())

    def test_loss_with_channels_of_its_own_is_refused(self):
        loss = dict(type='SeesawLoss', num_classes=1)
        with pytest.raises(ValueError, match='RetinaMarginHead: .* SeesawLoss'):
            build(RETINA | dict(loss_cls=loss))

    def test_sln_has_it(self, tiny_sln_config):
        head = MODELS.build(tiny_sln_config).bbox_head
        assert isinstance(head, MarginMixin)


@pytest.mark.parametrize('name', ROI)
class TestBoxHead:
    @pytest.mark.parametrize('rescale', [False, True])
    @pytest.mark.parametrize(
        'cfg', [{}, dict(score_thr=0.6), dict(max_per_img=3)], ids=str
    )
    def test_detects_what_mmdet_detects(self, name, cfg, rescale):
        theirs, ours = build_pair(ROI[name])
        rois, feats = regions(30)
        scores, deltas = ours(feats)
        options = dict(rcnn_test_cfg=roi_cfg(**cfg), rescale=rescale)
        # Freshly initialised, they are too close to 1 / 4 to be above a threshold.
        outputs = scores.detach() * 200, deltas.detach() * 100
        expected = detect_rois(theirs, rois, outputs, **options)
        found = detect_rois(ours, rois, outputs, **options)
        assert len(found) > 0
        assert torch.equal(found.bboxes, expected.bboxes)
        assert torch.equal(found.scores, expected.scores)
        assert torch.equal(found.labels, expected.labels)
        torch.testing.assert_close(found.margins.sigmoid(), found.scores)

    def test_before_nms(self, name):
        theirs, ours = build_pair(ROI[name])
        rois, feats = regions(5)
        expected = detect_rois(theirs, rois, theirs(feats))
        found = detect_rois(ours, rois, ours(feats))
        assert torch.equal(found.bboxes, expected.bboxes)
        assert torch.equal(found.scores, expected.scores)
        torch.testing.assert_close(found.margins.sigmoid(), found.scores[:, :-1])

    def test_margins_differ_where_scores_are_one(self, name):
        head = build(ROI[name])
        rois, feats = regions(12)
        scores, deltas = (out.detach() for out in head(feats))
        scores[:, 0], scores[:, 1:] = 30 + torch.arange(12.0), -30.0
        found = detect_rois(
            head,
            rois,
            (scores, deltas),
            rcnn_test_cfg=roi_cfg(nms=dict(type='nms', iou_threshold=1.0)),
        )
        assert len(found) == 12 and (found.scores == 1).all()
        torch.testing.assert_close(
            found.margins.sort().values, softmax_margins(scores)[:, 0].sort().values
        )
        assert len(found.margins.unique()) == 12

    @pytest.mark.parametrize('num_rois', [0, 4])
    def test_nothing_found(self, name, num_rois):
        head = build(ROI[name])
        rois, feats = regions(num_rois)
        found = detect_rois(
            head, rois, head(feats), rescale=True, rcnn_test_cfg=roi_cfg(score_thr=1.0)
        )
        assert found.bboxes.shape == (0, 4)
        assert found.margins.shape == found.scores.shape == (0,)
        assert found.labels.shape == (0,) and found.labels.dtype == torch.long

    def test_nothing_found_before_nms(self, name):
        head = build(ROI[name])
        rois, feats = regions(0)
        found = detect_rois(head, rois, head(feats))
        assert found.margins.shape == (0, head.num_classes)


def test_box_head_refuses_loss_with_channels_of_its_own():
    loss = dict(type='SeesawLoss', num_classes=3)
    with pytest.raises(ValueError, match='Shared2FCMarginBBoxHead: .* SeesawLoss'):
        build(BOX | dict(loss_cls=loss))


@pytest.mark.parametrize('name', DENSE)
def test_half_precision_maps_give_float32_detections(name):
    """Autocast makes such maps; priors and NMS need float32."""
    head = build(DENSE[name])
    halves = [[level.bfloat16() for level in maps] for maps in head(features(head))]
    floats = [[level.float() for level in maps] for maps in halves]
    for got, expected in zip(
        detect(head, halves, cfg=dense_cfg()),
        detect(head, floats, cfg=dense_cfg()),
        strict=True,
    ):
        assert len(expected) > 1
        for key in ('bboxes', 'scores', 'margins'):
            assert got[key].dtype == torch.float32
            assert torch.equal(got[key], expected[key])


class TestPyramid:
    @pytest.fixture
    def merge(self, tiny_sln_config):
        # The merge uses no more of the detector than that it is one.
        model = MODELS.build(
            dict(
                type='PyramidTTA',
                module=MODELS.build(tiny_sln_config),
                tta_cfg=ConfigDict(nms=dict(type='nms', iou_threshold=0.3)),
            )
        )

        def merge(views):
            samples = [DetDataSample(metainfo=META) for _ in views]
            for sample, view in zip(samples, views, strict=True):
                sample.pred_instances = view
            return model.merge_preds([samples])[0].pred_instances

        return merge

    @pytest.mark.parametrize('name', DENSE)
    def test_margins_of_dense_heads(self, merge, name):
        head = build(DENSE[name])
        views = detect(head, head(features(head)), cfg=dense_cfg(), rescale=True)
        views += detect(head, head(features(head)), cfg=dense_cfg(score_thr=1.0))
        merged = merge(views)
        assert len(views[0]) and len(views[1]) and len(merged) > 1
        torch.testing.assert_close(merged.margins.sigmoid(), merged.scores)

    def test_margins_of_box_head(self, merge):
        head, cfg = build(BOX), roi_cfg(score_thr=0.2)
        views = []
        for num_rois in (9, 0, 9):
            rois, feats = regions(num_rois)
            views.append(detect_rois(head, rois, head(feats), rcnn_test_cfg=cfg))
        merged = merge(views)
        assert len(merged) > 1
        torch.testing.assert_close(merged.margins.sigmoid(), merged.scores)

    def test_view_without_any_proposal(self, merge):
        """mmdet's two-stage heads give no margins then."""
        head, cfg = build(BOX), roi_cfg(score_thr=0.2)
        rois, feats = regions(9)
        found = detect_rois(head, rois, head(feats), rcnn_test_cfg=cfg)
        nothing = InstanceData(
            bboxes=torch.zeros(0, 4),
            scores=torch.zeros(0),
            labels=torch.zeros(0, dtype=torch.long),
        )
        assert torch.equal(
            merge([nothing.clone(), found.clone()]).margins,
            merge([found.clone()]).margins,
        )
        assert len(merge([nothing.clone(), nothing.clone()])) == 0

    def test_margins_differ_where_scores_are_one(self, merge):
        head = build(BOX)
        rois = torch.tensor([[0.0, 0, 0, 10, 10], [0.0, 30, 30, 40, 40]])
        views = []
        for lead in (30.0, 50.0):
            scores = torch.tensor([[lead, 0, 0, 0], [lead + 5, 0, 0, 0]])
            views.append(
                detect_rois(
                    head, rois, (scores, torch.zeros(2, 12)), rcnn_test_cfg=roi_cfg()
                )
            )
        merged = merge(views)
        assert merged.scores.tolist() == [1.0, 1.0]
        assert len(merged.margins.unique()) == 2
