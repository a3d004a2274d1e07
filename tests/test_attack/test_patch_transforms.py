"""Transforms of the patch, and their slot in the attacker."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdet_facepatch.attack import PatchColorJitter, PatchNoise, PatchPerspective
from mmdet_facepatch.attack.patch.transforms import (
    check_transform,
    corner_homography,
    homography_grid,
    transform_patch,
)
from mmdet_facepatch.utils.randomness import seed_generators


def patches(count=2, size=(8, 8), dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, 3, *size, generator=generator, dtype=dtype)


class TestPatchColorJitter:
    def test_exact_values(self):
        """Factor and offset as drawn, one of each for a patch."""
        given = patches(4)
        seed_generators(5)
        out = PatchColorJitter(brightness=0.1, contrast=0.2)(given)
        seed_generators(5)
        factor = 0.8 + 0.4 * torch.rand(4, 1, 1, 1)
        offset = -0.1 + 0.2 * torch.rand(4, 1, 1, 1)
        expected = factor * (given - 0.5) + 0.5 + offset
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)
        assert len(set(factor.flatten().tolist())) == 4

    def test_range_of_what_is_drawn(self):
        grey, white = torch.full((2000, 3, 1, 1), 0.5), torch.ones(2000, 3, 1, 1)
        seed_generators(0)
        offset = PatchColorJitter(0.1, 0.0)(grey)[:, 0] - 0.5
        assert -0.1 <= offset.min() < -0.099 and 0.099 < offset.max() <= 0.1
        factor = 2 * (PatchColorJitter(0.0, 0.2)(white)[:, 0] - 0.5)
        assert 0.8 <= factor.min() < 0.801 and 1.199 < factor.max() < 1.2001

    def test_nothing_to_change(self):
        given = patches()
        assert torch.equal(PatchColorJitter(0, 0)(given), given - 0.5 + 0.5)


class TestPatchNoise:
    def test_mean_and_deviation(self):
        given = torch.full((4, 3, 64, 64), 0.5)
        seed_generators(0)
        noise = PatchNoise(0.1)(given) - given
        assert noise.mean().abs() < 0.003
        assert noise.std().item() == pytest.approx(0.1, rel=0.02)
        assert not torch.equal(noise[0], noise[1])

    def test_none(self):
        assert torch.equal(PatchNoise(0)(patches()), patches())


class TestPatchPerspective:
    @pytest.mark.parametrize('size', [(8, 8), (5, 7)])
    def test_identity(self, size):
        given = patches(size=size)
        out = PatchPerspective(angle=0, distortion=0)(given)
        torch.testing.assert_close(out, given, rtol=0, atol=1e-12)

    def test_quarter_turn_is_clockwise(self):
        homographies = corner_homography(
            torch.tensor([math.pi / 2], dtype=torch.float64),
            torch.zeros(1, 4, 2, dtype=torch.float64),
        )
        given = patches(1)
        out = nn.functional.grid_sample(
            given, homography_grid(homographies, 8, 8), align_corners=False
        )
        expected = given.rot90(-1, dims=(2, 3))
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)

    def test_corners_are_mapped_back(self):
        """Where a corner moved to, the view shows that corner."""
        generator = torch.Generator().manual_seed(0)
        angles = torch.rand(5, generator=generator, dtype=torch.float64) - 0.5
        moves = torch.rand(5, 4, 2, generator=generator, dtype=torch.float64) - 0.5
        homographies = corner_homography(angles, moves)
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        for h, angle, move in zip(homographies, angles.tolist(), moves.tolist()):
            for (x, y), (dx, dy) in zip(corners, move):
                moved = [
                    x * math.cos(angle) - y * math.sin(angle) + dx,
                    x * math.sin(angle) + y * math.cos(angle) + dy,
                    1.0,
                ]
                u, v, w = (h @ torch.tensor(moved, dtype=torch.float64)).tolist()
                assert (u / w, v / w) == pytest.approx((x, y), abs=1e-9)

    def test_border_is_repeated_and_range_kept(self):
        white = torch.ones(3, 3, 9, 9)
        seed_generators(1)
        assert torch.allclose(PatchPerspective(45, 0.4)(white), white)
        out = PatchPerspective(45, 0.4)(patches())
        assert out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize(
    'transform',
    [
        PatchColorJitter(0.1, 0.2),
        PatchNoise(0.05),
        PatchPerspective(20, 0.2),
    ],
    ids=lambda transform: type(transform).__name__,
)
class TestAll:
    def test_gradient_by_finite_differences(self, transform):
        def seeded(x):
            seed_generators(7)
            return transform(x)

        assert torch.autograd.gradcheck(
            seeded, patches(2, (4, 5)).requires_grad_(), eps=1e-6, atol=1e-6
        )

    def test_same_seed_same_result(self, transform):
        results = []
        for seed in (1, 1, 2):
            seed_generators(seed)
            results.append(transform(patches()))
        assert torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[2])

    def test_each_patch_is_changed_on_its_own(self, transform):
        seed_generators(1)
        out = transform(patches(1).expand(2, -1, -1, -1))
        assert not torch.equal(out[0], out[1])

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    def test_dtype_and_shape(self, transform, dtype):
        out = transform(patches(3, (6, 4), dtype))
        assert out.shape == (3, 3, 6, 4) and out.dtype == dtype

    def test_autocast(self, transform):
        given = patches(dtype=torch.float32)
        seed_generators(1)
        expected = transform(given)
        seed_generators(1)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            out = transform(given)
        assert torch.equal(out.float(), expected)


@pytest.mark.parametrize(
    'build, message',
    [
        (lambda: PatchColorJitter(brightness=1), r'brightness must be in \[0, 1\)'),
        (lambda: PatchColorJitter(contrast=-0.1), r'contrast must be in \[0, 1\)'),
        (lambda: PatchNoise(float('nan')), r'std must be in \[0, 1\), got nan'),
        (lambda: PatchPerspective(180), r'angle must be in \[0, 180\), got 180'),
        (lambda: PatchPerspective(distortion=0.5), r'distortion must be in \[0, 0.5\)'),
    ],
)
def test_amounts_out_of_range(build, message):
    with pytest.raises(ValueError, match=message):
        build()


class TestTransformPatch:
    def test_clamps_at_the_end_only(self):
        class Add(nn.Module):
            def __init__(self, value):
                super().__init__()
                self.value = value

            def forward(self, x):
                return x + self.value

        pixel = torch.full((3, 1, 1), 0.5)
        assert transform_patch(pixel, [Add(1.0), Add(-1.0)], 2).unique() == 0.5
        assert transform_patch(pixel, [Add(1.0)], 2).unique() == 1

    def test_wrong_shape(self):
        with pytest.raises(ValueError, match=r'Flatten returned the shape \(2, 12\)'):
            transform_patch(torch.zeros(3, 2, 2), [nn.Flatten()], 2)

    def test_trainable_parameters(self):
        with pytest.raises(ValueError, match=r'Conv2d has trainable .*\(weight, bias'):
            check_transform(nn.Conv2d(3, 3, 1))
        check_transform(nn.Conv2d(3, 3, 1).requires_grad_(False))


SLOT = [dict(type='PatchColorJitter'), dict(type='PatchPerspective')]


class TestSlotInTheAttacker:
    @pytest.fixture
    def detector(self, tiny_sln_config):
        torch.manual_seed(0)
        detector = MODELS.build(tiny_sln_config)
        nn.init.normal_(detector.bbox_head.conv_cls.weight, std=0.5)
        return detector

    def attacker(self, detector, **kwargs):
        return MODELS.build(
            dict(
                type='PatchAttacker',
                detector=detector,
                patch=dict(type='UniversalPatch', size=12),
                sample_set=dict(type='PatchIoUSampleSet', face_iou_thr=0.3),
                **kwargs,
            )
        )

    def batch(self):
        generator = torch.Generator().manual_seed(1)
        images = torch.randint(
            0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=generator
        )
        faces = torch.tensor([[8.0, 8.0, 28.0, 28.0], [30.0, 30.0, 60.0, 60.0]])
        samples = []
        for boxes in (faces, faces[:1]):
            sample = DetDataSample(metainfo=dict(img_shape=(64, 64)))
            sample.gt_instances = InstanceData(bboxes=boxes)
            samples.append(sample)
        return list(images), [sample.gt_instances.bboxes for sample in samples], samples

    def test_none_is_bit_identical_and_draws_nothing(self, detector):
        images, faces, _ = self.batch()
        state = torch.get_rng_state()
        plain = self.attacker(detector).paste(images, faces)[0]
        empty = self.attacker(detector, patch_transforms=[]).paste(images, faces)[0]
        assert all(map(torch.equal, plain, empty))
        assert torch.equal(torch.get_rng_state(), state)

    def test_identity_transforms_give_the_same_images(self, detector):
        images, faces, _ = self.batch()
        plain = self.attacker(detector).paste(images, faces)[0]
        none = [dict(type='PatchNoise', std=0)]
        same = self.attacker(detector, patch_transforms=none).paste(images, faces)[0]
        for image, expected in zip(same, plain):
            torch.testing.assert_close(image, expected, rtol=0, atol=1e-4)

    def test_only_in_train_mode_and_for_each_image(self, detector):
        images, faces, _ = self.batch()
        images[1] = images[0]
        plain = self.attacker(detector).paste(images, faces)[0]
        model = self.attacker(detector, patch_transforms=SLOT)
        changed = model.paste(images, faces)[0]
        x1, y1, x2, y2 = model.placement(faces[1])[0].tolist()
        assert not torch.equal(changed[0], plain[0])
        # Both have the first face, but not the same view of the patch.
        ours, theirs = (image[:, y1:y2, x1:x2] for image in changed)
        assert not torch.equal(ours, theirs)
        assert all(map(torch.equal, model.eval().paste(images, faces)[0], plain))

    def test_gradient_reaches_the_patch(self, detector):
        images, _, samples = self.batch()
        model = self.attacker(detector, patch_transforms=SLOT)
        model(images, samples)['loss_adv'].backward()
        assert (model.patch.pixels.grad != 0).float().mean() > 0.9
        assert list(model.state_dict()) == ['patch.pixels']

    def test_autocast_pastes_in_float32(self, detector):
        images, faces, _ = self.batch()
        model = self.attacker(detector, patch_transforms=SLOT)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            pasted = model.paste(images, faces)[0]
        assert {image.dtype for image in pasted} == {torch.float32}

    def test_a_trainable_transform_is_refused(self, detector):
        MODELS.register_module('TrainableTransform', module=nn.Conv2d, force=True)
        transform = dict(
            type='TrainableTransform', in_channels=3, out_channels=3, kernel_size=1
        )
        with pytest.raises(ValueError, match='trainable parameters'):
            self.attacker(detector, patch_transforms=[transform])
