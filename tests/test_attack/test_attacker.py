"""Frozen detector and attacker on a tiny SLN."""

import copy
import math

import pytest
import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmdet_facepatch.attack import (
    PatchAttacker,
    build_frozen_detector,
    detector_digest,
    merge_batch_norms,
)
from mmdet_facepatch.attack.attacker import _reduce
from mmdet_facepatch.attack.placement import all_faces


def sample(boxes, ignored=()):
    data = DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64)))
    data.gt_instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4))
    data.ignored_instances = InstanceData(bboxes=torch.tensor(ignored).reshape(-1, 4))
    return data


@pytest.fixture
def detector(tiny_sln_config):
    torch.manual_seed(0)
    detector = MODELS.build(tiny_sln_config)
    # Scores spread around 0.5, so that every sample set has members.
    torch.nn.init.normal_(detector.bbox_head.conv_cls.weight, std=0.5)
    return detector


def attacker(detector, **kwargs):
    options = dict(
        type='PatchAttacker',
        detector=detector,
        patch=dict(type='UniversalPatch', size=12),
        sample_set=dict(type='PatchIoUSampleSet', face_iou_thr=0.3),
    )
    return MODELS.build({**options, **kwargs})


def batch():
    generator = torch.Generator().manual_seed(1)
    images = [
        torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator)
        for _ in range(2)
    ]
    samples = [sample([[8.0, 8.0, 28.0, 28.0], [30.0, 30.0, 60.0, 60.0]]), sample([])]
    return dict(inputs=images, data_samples=samples)


class TestFrozenDetector:
    def write(self, tmp_path, config, detector):
        Config(dict(model=config)).dump(tmp_path / 'tiny.py')
        torch.save(dict(state_dict=detector.state_dict()), tmp_path / 'tiny.pth')
        return str(tmp_path / 'tiny.py'), str(tmp_path / 'tiny.pth')

    def test_is_loaded_and_frozen(self, tmp_path, tiny_sln_config, detector):
        built = build_frozen_detector(*self.write(tmp_path, tiny_sln_config, detector))
        assert not built.training
        assert not any(p.requires_grad for p in built.parameters())
        assert detector_digest(built) == detector_digest(detector.eval())

    def test_another_architecture(self, tmp_path, tiny_sln_config, detector):
        config, checkpoint = self.write(tmp_path, tiny_sln_config, detector)
        state = detector.state_dict()
        state.pop('bbox_head.conv_cls.bias')
        state['bbox_head.conv_reg.bias'] = torch.zeros(3)
        state['extra'] = torch.zeros(1)
        torch.save(dict(state_dict=state), checkpoint)
        with pytest.raises(ValueError) as error:
            build_frozen_detector(config, checkpoint)
        for part in (
            checkpoint,
            config,
            '1 missing (bbox_head.conv_cls.bias)',
            '1 unexpected (extra)',
            '1 of another shape (bbox_head.conv_reg.bias)',
        ):
            assert part in str(error.value)

    def test_names_of_older_versions(self, tmp_path):
        """mmdet's FCOS renames ``fcos_cls`` while it loads."""
        config = tmp_path / 'fcos.py'
        config.write_text("""
model = dict(
    type='FCOS',
    backbone=dict(type='ResNet', depth=18, num_stages=2, out_indices=(0, 1),
                  strides=(1, 2), dilations=(1, 1), base_channels=8),
    neck=dict(type='FPN', in_channels=[8, 16], out_channels=8, num_outs=2),
    bbox_head=dict(type='FCOSHead', num_classes=1, in_channels=8, feat_channels=8,
                   stacked_convs=1, strides=[4, 8],
                   regress_ranges=((-1, 64), (64, 1e8)), norm_cfg=None))
""")
        with DefaultScope.overwrite_default_scope('mmdet'):
            state = MODELS.build(Config.fromfile(config).model).state_dict()
        old = {
            key.replace('conv_cls', 'fcos_cls')
            .replace('conv_reg', 'fcos_reg')
            .replace('conv_centerness', 'fcos_centerness'): value
            for key, value in state.items()
        }
        assert old.keys() != state.keys()
        torch.save(dict(state_dict=old), tmp_path / 'old.pth')
        loaded = build_frozen_detector(str(config), str(tmp_path / 'old.pth'))
        for key, value in loaded.state_dict().items():
            assert torch.equal(value, state[key])

    def test_missing_files(self, tmp_path, tiny_sln_config, detector):
        config, _ = self.write(tmp_path, tiny_sln_config, detector)
        with pytest.raises(FileNotFoundError, match='no_such.py'):
            build_frozen_detector('no_such.py', 'x.pth')
        with pytest.raises(FileNotFoundError, match='no_such.pth'):
            build_frozen_detector(config, 'no_such.pth')

    def test_digest_sees_weights_buffers_and_names(self, detector):
        digest = detector_digest(detector)
        for change in (
            lambda m: m.bbox_head.conv_cls.bias.data.add_(1e-6),
            lambda m: next(m.buffers()).add_(1),
        ):
            other = copy.deepcopy(detector)
            change(other)
            assert detector_digest(other) != digest

    def test_digest_sees_every_modules_mode(self, detector):
        """Eval mode throughout: weights and buffers alone. No two modes alike."""
        digests = {detector_digest(detector.eval())}
        for module in detector.modules():
            module.training = True
            digests.add(detector_digest(detector))
            module.training = False
        assert len(digests) == 1 + len(list(detector.modules()))

    def test_a_module_that_stays_in_train_mode(self, tiny_sln_config, detector):
        class Stubborn(torch.nn.BatchNorm2d):
            def train(self, mode=True):
                return super().train(True)

        detector.neck.norm = Stubborn(8)
        with pytest.raises(ValueError, match=r'SLN: 1 modules stay.*\(neck.norm\)'):
            attacker(detector)


class TestMergeBatchNorms:
    def build(self, order):
        generator = torch.Generator().manual_seed(0)
        module = ConvModule(3, 3, 3, norm_cfg=dict(type='BN'), order=order)
        module = module.double().eval().requires_grad_(False)
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        return module

    def run(self, module):
        generator = torch.Generator().manual_seed(1)
        image = torch.rand(2, 3, 9, 9, generator=generator).double().requires_grad_()
        calls = []
        hook = module.norm.register_forward_hook(lambda *_: calls.append(1))
        out = module(image)
        hook.remove()
        out.square().sum().backward()
        return out.detach(), image.grad, len(calls)

    def test_same_values_and_gradients_without_a_norm(self):
        module = self.build(('conv', 'norm', 'act'))
        digest = detector_digest(module)
        expected, gradient, calls = self.run(module)
        merged, merged_gradient, merged_calls = self.run(merge_batch_norms(module))
        torch.testing.assert_close(merged, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(merged_gradient, gradient, rtol=1e-12, atol=1e-12)
        assert (calls, merged_calls) == (1, 0)
        assert detector_digest(module) == digest

    def test_a_norm_before_the_convolution_is_left_alone(self):
        module = self.build(('norm', 'conv', 'act'))
        expected, _, _ = self.run(module)
        merged, _, calls = self.run(merge_batch_norms(module))
        assert torch.equal(merged, expected) and calls == 1

    @pytest.mark.parametrize(
        'options',
        [
            dict(conv_cfg=dict(type='ConvWS')),
            dict(conv_cfg=dict(type='ConvAWS')),
            dict(conv_cfg=dict(type='Conv2dAdaptivePadding'), stride=2),
            dict(conv_cfg=dict(type='deconv')),
            dict(with_spectral_norm=True),
        ],
    )
    def test_other_convolutions_are_left_alone(self, options):
        torch.manual_seed(0)
        module = ConvModule(3, 4, 3, norm_cfg=dict(type='BN'), **options)
        module.norm.running_var.fill_(0.25)
        module.eval().requires_grad_(False)
        image = torch.rand(1, 3, 9, 9)
        expected = module(image)
        assert torch.equal(merge_batch_norms(module)(image), expected)


class TestPatchAttacker:
    def test_only_the_patch_is_trained_and_saved(self, detector):
        model = attacker(detector)
        assert [name for name, _ in model.named_parameters()] == ['patch.pixels']
        assert list(model.state_dict()) == ['patch.pixels']
        model.train()
        assert not model.detector.training

    def test_step_moves_the_patch_and_nothing_else(self, detector):
        model = attacker(detector)
        before = model.patch.pixels.detach().clone()
        digest = model.detector_digest
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
        log = model.train_step(batch(), wrapper)
        assert not torch.equal(model.patch.pixels, before)
        assert detector_digest(detector) == digest
        assert all(p.grad is None for p in detector.parameters())
        assert log['num_samples'] > 0 and log['empty'] == 0
        assert 0 < log['mean_score'] < 1

    def test_descent_lowers_scores(self, detector):
        """Minimising the loss is the paper's ascent: scores go down."""
        model = attacker(detector)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
        scores = []
        for _ in range(15):
            out = model(**batch())
            optimiser.zero_grad()
            out['loss_adv'].backward()
            optimiser.step()
            model.patch.project_()
            scores.append(out['mean_score'].item())
        assert scores[-1] < scores[0]

    def test_gradient_of_the_whole_chain(self, detector):
        """Finite differences through paste, preprocessing and detector."""
        model = attacker(detector)
        data = batch()
        model(**data)['loss_adv'].backward()
        gradient = model.patch.pixels.grad.clone()
        generator = torch.Generator().manual_seed(2)
        for _ in range(5):
            direction = torch.randn(gradient.shape, generator=generator)
            direction /= direction.norm()
            losses = []
            with torch.no_grad():
                for sign in (1, -1):
                    step = sign * 0.02 * direction
                    model.patch.pixels += step
                    losses.append(model(**data)['loss_adv'].double().item())
                    model.patch.pixels -= step
            numeric = (losses[0] - losses[1]) / 0.04
            exact = (gradient * direction).sum().item()
            assert numeric == pytest.approx(
                exact, rel=0.05, abs=0.02 * gradient.norm().item()
            )

    def test_patch_is_rgb_and_images_are_bgr(self, detector):
        red = dict(
            type='UniversalPatch',
            size=4,
            init=dict(type='constant', value=[1.0, 0.0, 0.0]),
        )
        for order, channel in (('bgr', 2), ('rgb', 0)):
            model = attacker(detector, patch=red, channel_order=order)
            images, squares = model.paste(
                [torch.zeros(3, 64, 64)], [torch.tensor([[8.0, 8.0, 28.0, 28.0]])]
            )
            x1, y1, x2, y2 = squares[0][0].tolist()
            inside = images[0][:, y1:y2, x1:x2]
            assert (inside[channel] == 255).all()
            assert inside.sum() == 255 * (x2 - x1) * (y2 - y1)
        with pytest.raises(ValueError, match='channel_order'):
            attacker(detector, channel_order='gbr')

    def test_no_sample_is_a_legal_step(self, detector):
        model = attacker(detector)
        data = dict(inputs=batch()['inputs'][:1], data_samples=[sample([])])
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
        before = model.patch.pixels.detach().clone()
        log = model.train_step(data, wrapper)
        assert log['empty'] == 1 and log['loss'] == 0 and log['num_samples'] == 0
        assert torch.equal(model.patch.pixels, before)

    def test_ignored_faces_get_a_patch_and_empty_boxes_none(self):
        faces = all_faces(
            sample([[0.0, 0.0, 4.0, 4.0], [3.0, 3.0, 3.0, 9.0]], [[5.0, 5.0, 9.0, 9.0]])
        )
        assert faces.tolist() == [[0, 0, 4, 4], [5, 5, 9, 9]]

    def test_of_several_classes_one_gets_patches(self, detector):
        data = sample(
            [[8.0, 8.0, 28.0, 28.0], [30.0, 30.0, 60.0, 60.0]],
            [[2.0, 40.0, 12.0, 50.0]],
        )
        data.gt_instances.labels = torch.tensor([0, 3])
        data.ignored_instances.labels = torch.tensor([3])
        assert all_faces(data, (0,)).tolist() == [[8, 8, 28, 28]]
        assert all_faces(data, (3,)).tolist() == [[30, 30, 60, 60], [2, 40, 12, 50]]
        assert len(all_faces(data)) == len(all_faces(data, (0, 3))) == 3
        counts = []
        for labels in (None, (0,), (3,), (7,)):
            model = attacker(detector)
            model.labels = labels
            log = model(batch()['inputs'][:1], [data])
            counts.append(int(log['num_samples']))
        assert counts[1] > 0 and counts[2] > 0 and counts[3] == 0
        assert counts[0] == counts[1] + counts[2]

    def test_counts_under_autocast_are_exact(self):
        """1,001 has no place in bfloat16."""
        selected = [torch.full((1001,), -1.0, dtype=torch.bfloat16)]
        numbers, mean_score = _reduce(selected)
        assert numbers.tolist() == [1001]
        assert mean_score.item() == pytest.approx(math.exp(-1), rel=1e-3)

    def test_changed_detector_is_noticed(self, detector):
        model = attacker(detector)
        model.check_detector()
        detector.bbox_head.conv_cls.bias.data += 1
        with pytest.raises(RuntimeError, match='has changed'):
            model.check_detector()

    def test_changed_mode_is_noticed(self, detector):
        model = attacker(detector)
        detector.neck.train()
        with pytest.raises(RuntimeError, match='has changed.*, neck, neck.*in train'):
            model.check_detector()

    @pytest.mark.parametrize(
        'sample_set',
        [
            dict(type='PatchIoUSampleSet', face_iou_thr=0.3),
            dict(type='PatchScoreSampleSet', score_thr=0.5),
        ],
    )
    def test_a_detector_without_numbers_is_no_empty_set(self, detector, sample_set):
        """NaN scores exceed no threshold; the loss tells all the same."""
        model = attacker(detector, sample_set=sample_set)
        assert model(**batch())['loss_adv'].isfinite()
        detector.bbox_head.conv_cls.bias.data.fill_(float('nan'))
        out = model(**batch())
        assert out['loss_adv'].isnan() and not out['empty']

    def test_detector_follows_casts(self, detector):
        model = attacker(detector).double()
        assert next(model.detector.parameters()).dtype == torch.float64
        assert model.patch.pixels.dtype == torch.float64

    def test_is_registered(self):
        assert MODELS.get('PatchAttacker') is PatchAttacker


class TestEnsemble:
    def other(self, tiny_sln_config):
        torch.manual_seed(7)
        other = MODELS.build(copy.deepcopy(tiny_sln_config))
        torch.nn.init.normal_(other.bbox_head.conv_cls.weight, std=0.5)
        return other

    def gradient(self, model):
        losses = model(**batch())
        total = sum(value for key, value in losses.items() if 'loss' in key)
        return losses, torch.autograd.grad(total, model.patch.pixels)[0]

    def test_losses_and_gradients_add_up(self, tmp_path, detector, tiny_sln_config):
        """Half of one detector's gradient and all of the other's."""
        other = self.other(tiny_sln_config)
        Config(dict(model=tiny_sln_config)).dump(tmp_path / 'tiny.py')
        torch.save(dict(state_dict=other.state_dict()), tmp_path / 'tiny.pth')
        weighted = dict(
            config=str(tmp_path / 'tiny.py'),
            weight=0.5,
            checkpoint=str(tmp_path / 'tiny.pth'),
        )
        both, gradient = self.gradient(attacker([detector, weighted]))
        first, first_gradient = self.gradient(attacker(detector))
        second, second_gradient = self.gradient(attacker(other))
        assert torch.allclose(both['loss_adv_0'], first['loss_adv'])
        assert torch.allclose(both['loss_adv_1'], 0.5 * second['loss_adv'])
        expected = first_gradient + 0.5 * second_gradient
        assert torch.allclose(gradient, expected, atol=1e-7)
        assert second_gradient.abs().max() > 0
        total = first['num_samples'] + second['num_samples']
        assert both['num_samples'] == total

    def test_predictions_are_the_first_ones(self, detector, tiny_sln_config):
        model = attacker([detector, self.other(tiny_sln_config)])
        assert model.detector is detector
        assert list(model.state_dict()) == ['patch.pixels']

    def test_each_detector_is_watched(self, detector, tiny_sln_config):
        other = self.other(tiny_sln_config)
        model = attacker([detector, other])
        model.check_detector()
        other.bbox_head.conv_cls.bias.data.add_(1e-3)
        with pytest.raises(RuntimeError, match='has changed'):
            model.check_detector()

    def test_wrong_ensembles(self, detector):
        with pytest.raises(ValueError, match='list of detectors is empty'):
            attacker([])
        with pytest.raises(ValueError, match='weight of a.py must be positive, got 0'):
            attacker([detector, dict(config='a.py', checkpoint='a.pth', weight=0)])


class TestDigest:
    def test_one_element_of_stride_0(self):
        """As converted networks have them."""
        module = torch.nn.Module()
        constant = torch.zeros(1).as_strided((1, 1), (0, 0))
        module.register_buffer('constant', constant)
        plain = torch.nn.Module()
        plain.register_buffer('constant', torch.zeros(1, 1))
        assert constant.stride() == (0, 0)
        assert detector_digest(module.eval()) == detector_digest(plain.eval())
        constant += 1
        assert detector_digest(module) != detector_digest(plain)

    def test_expanded_and_transposed_tensors(self):
        one, other = torch.nn.Module(), torch.nn.Module()
        one.register_buffer('x', torch.arange(3.0).expand(2, 3).T)
        other.register_buffer('x', torch.arange(3.0).repeat(2, 1).T.contiguous())
        assert detector_digest(one.eval()) == detector_digest(other.eval())

    def test_parameter_without_elements_does_not_count(self):
        """DDP asks for one where a network has none."""
        one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        other.load_state_dict(one.state_dict())
        other.none = torch.nn.Parameter(torch.zeros(0))
        assert detector_digest(one.eval()) == detector_digest(other.eval())
