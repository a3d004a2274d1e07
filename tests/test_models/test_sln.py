"""SLN's parts, each from its config, and the detector as a whole."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdet_facepatch.attack.readers.anchor import head_priors


def sample(size, boxes):
    data = DetDataSample(
        metainfo=dict(
            img_shape=(size, size),
            ori_shape=(size, size),
            pad_shape=(size, size),
            scale_factor=(1.0, 1.0),
            img_id='x',
        )
    )
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    data.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long)
    )
    return data


class TestTopDownP2:
    def test_against_plain_code(self):
        neck = MODELS.build(
            dict(type='TopDownP2', in_channels=[4, 6, 8], out_channels=5)
        )
        maps = [torch.randn(2, c, s, s) for c, s in ((4, 13), (6, 7), (8, 4))]
        (out,) = neck(maps)
        p2, p3, p4 = (conv(m) for conv, m in zip(neck.lateral_convs, maps, strict=True))
        p3 = p3 + F.interpolate(p4, size=(7, 7), mode='bilinear')
        expected = p2 + F.interpolate(p3, size=(13, 13), mode='bilinear')
        torch.testing.assert_close(out, expected)

    def test_has_nothing_but_lateral_convolutions(self):
        neck = MODELS.build(dict(type='TopDownP2', in_channels=[4, 6], out_channels=5))
        assert sum(p.numel() for p in neck.parameters()) == 4 * 5 + 6 * 5 + 10

    def test_wrong_number_of_maps(self):
        neck = MODELS.build(dict(type='TopDownP2', in_channels=[4, 6]))
        with pytest.raises(ValueError, match='1 maps for 2'):
            neck([torch.zeros(1, 4, 2, 2)])


class TestHeadlessMobileNetV2:
    def test_stops_after_the_last_output(self):
        config = dict(out_indices=(1, 2))
        whole = MODELS.build(dict(type='MobileNetV2', **config))
        whole.eval()
        cut = MODELS.build(dict(type='HeadlessMobileNetV2', **config)).eval()
        assert not hasattr(cut, 'layer4') and not hasattr(cut, 'conv2')
        own = cut.state_dict()
        cut.load_state_dict({k: v for k, v in whole.state_dict().items() if k in own})
        image = torch.randn(1, 3, 32, 32)
        for a, b in zip(cut(image), whole(image), strict=True):
            torch.testing.assert_close(a, b)

    def test_every_parameter_gets_a_gradient(self):
        model = MODELS.build(dict(type='HeadlessMobileNetV2', out_indices=(0, 2)))
        sum(out.sum() for out in model(torch.randn(2, 3, 32, 32))).backward()
        assert all(p.grad is not None for p in model.parameters())


@pytest.fixture
def sln(tiny_sln_config):
    torch.manual_seed(0)
    return MODELS.build(tiny_sln_config).eval()


class TestSLN:
    def test_four_anchors_a_cell_of_stride_four(self, sln):
        scores, boxes = sln.bbox_head(sln.extract_feat(torch.zeros(1, 3, 64, 96)))
        assert scores[0].shape == (1, 8, 16, 24)
        assert boxes[0].shape == (1, 16, 16, 24)
        (priors,) = head_priors(sln.bbox_head, scores)
        assert priors.shape == (16 * 24 * 4, 4)
        sides = priors[:4, 2] - priors[:4, 0]
        assert sides.tolist() == [16, 32, 64, 128]
        centers = (priors[:, :2] + priors[:, 2:]) / 2
        assert centers[0].tolist() == [2, 2]
        assert centers[4].tolist() == [6, 2]

    def test_losses_equal_values_worked_out_from_the_samples(self, sln):
        torch.manual_seed(3)
        head = sln.bbox_head
        scores = [torch.randn(1, 8, 16, 16)]
        deltas = [torch.randn(1, 16, 16, 16) * 0.1]
        data = sample(64, [[10, 10, 26, 26], [30, 30, 62, 62]])
        torch.manual_seed(5)
        losses = head.loss_by_feat(scores, deltas, [data.gt_instances], [data.metainfo])
        torch.manual_seed(5)
        (priors,) = head_priors(head, scores)
        assigned = head.assigner.assign(
            InstanceData(priors=priors), data.gt_instances
        ).gt_inds
        logits = scores[0].permute(0, 2, 3, 1).reshape(-1, 2)
        pos, neg = assigned > 0, assigned == 0
        assert pos.sum() > 0 and neg.sum() > 0
        total = pos.sum() + neg.sum()
        log_p = logits.log_softmax(-1)
        torch.testing.assert_close(losses['loss_cls_pos'], -log_p[pos, 0].sum() / total)
        torch.testing.assert_close(losses['loss_cls_neg'], -log_p[neg, 1].sum() / total)
        boxes = head.bbox_coder.decode(
            priors[pos], deltas[0].permute(0, 2, 3, 1).reshape(-1, 4)[pos]
        )
        faces = data.gt_instances.bboxes[assigned[pos] - 1]
        top = torch.maximum(boxes[:, :2], faces[:, :2])
        low = torch.minimum(boxes[:, 2:], faces[:, 2:])
        inter = (low - top).clamp(min=0).prod(1)
        union = (
            (boxes[:, 2:] - boxes[:, :2]).prod(1)
            + (faces[:, 2:] - faces[:, :2]).prod(1)
            - inter
        )
        torch.testing.assert_close(
            losses['loss_bbox'], (1 - inter / union).square().mean()
        )

    def test_image_without_faces_trains(self, sln):
        losses = sln(torch.randn(1, 3, 64, 64), [sample(64, [])], mode='loss')
        assert losses['loss_cls_pos'] == 0 and losses['loss_bbox'] == 0
        assert losses['loss_cls_neg'] > 0
        sum(losses.values()).backward()

    def test_anchors_in_padding_are_not_sampled(self, sln):
        data = sample(64, [])
        data.set_metainfo(dict(pad_shape=(64, 32)))
        seen = []
        assign = sln.bbox_head.assigner.assign
        sln.bbox_head.assigner.assign = lambda candidates, *args: (
            seen.append(candidates.priors),
            assign(candidates, *args),
        )[1]
        sln(torch.randn(1, 3, 64, 64), [data], mode='loss')
        centers = (seen[0][:, 0] + seen[0][:, 2]) / 2
        assert centers.max() < 32

    def test_detections_carry_their_margin(self, sln):
        sln.bbox_head.test_cfg.score_thr = 0.0
        (result,) = sln(torch.randn(1, 3, 64, 64), [sample(64, [])], mode='predict')
        pred = result.pred_instances
        assert len(pred) > 0
        torch.testing.assert_close(pred.margins.sigmoid(), pred.scores)
        assert (pred.scores[:-1] >= pred.scores[1:]).all()

    def test_sigmoid_loss_is_refused(self, tiny_sln_config):
        tiny_sln_config['bbox_head']['loss_cls'] = dict(
            type='CrossEntropyLoss', use_sigmoid=True
        )
        with pytest.raises(ValueError, match='softmax'):
            MODELS.build(tiny_sln_config)

    def test_separate_averages(self, tiny_sln_config):
        tiny_sln_config['bbox_head']['cls_average'] = 'separate'
        head = MODELS.build(tiny_sln_config).bbox_head
        losses = head._cls_losses(
            torch.zeros(2, 2), torch.zeros(2, dtype=torch.long), torch.zeros(6, 2)
        )
        log2 = torch.log(torch.tensor(2.0))
        torch.testing.assert_close(losses['loss_cls_pos'], log2)
        torch.testing.assert_close(losses['loss_cls_neg'], log2)

    def test_average_that_is_unknown(self, tiny_sln_config):
        tiny_sln_config['bbox_head']['cls_average'] = 'faces'
        with pytest.raises(ValueError, match="'separate', got 'faces'"):
            MODELS.build(tiny_sln_config)

    def test_unknown_key_is_named(self, tiny_sln_config):
        tiny_sln_config['bbox_head']['no_such_key'] = 1
        with pytest.raises(TypeError, match='no_such_key'):
            MODELS.build(tiny_sln_config)


class TestPyramidTTA:
    def view(self, boxes, scores):
        data = DetDataSample(metainfo=dict(ori_shape=(100, 100)))
        boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        scores = torch.tensor(scores)
        data.pred_instances = InstanceData(
            bboxes=boxes,
            scores=scores,
            margins=scores.logit(),
            labels=torch.zeros(len(boxes), dtype=torch.long),
        )
        return data

    def merge(self, sln, views, **cfg):
        model = MODELS.build(
            dict(
                type='PyramidTTA',
                module=sln,
                tta_cfg=Config(dict(nms=dict(type='nms', iou_threshold=0.3), **cfg)),
            )
        )
        return model.merge_preds([views])[0].pred_instances

    def test_merges_scales_and_keeps_margins(self, sln):
        merged = self.merge(
            sln,
            [
                self.view([[0, 0, 10, 10], [50, 50, 60, 60]], [0.6, 0.9]),
                self.view([[1, 0, 11, 10]], [0.8]),
            ],
        )
        assert merged.bboxes.tolist() == [[50, 50, 60, 60], [1, 0, 11, 10]]
        torch.testing.assert_close(merged.margins, merged.scores.logit())

    def test_cap_and_empty(self, sln):
        views = [self.view([[0, 0, 10, 10], [50, 50, 60, 60]], [0.6, 0.9])]
        assert len(self.merge(sln, views, max_per_img=1)) == 1
        assert len(self.merge(sln, [self.view([], []), self.view([], [])])) == 0

    def test_flipped_view(self, sln):
        view = self.view([[0, 0, 10, 10]], [0.6])
        view.set_metainfo(dict(flip=True, flip_direction='horizontal'))
        assert self.merge(sln, [view]).bboxes.tolist() == [[90, 0, 100, 10]]
