"""On another device than the CPU: nothing meets it, and the numbers are the same.

With a GPU on it, within float error; everywhere on a device that is pretended, exactly.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import devices
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData, instance_data
from torch import Tensor

from mmdet_facepatch.ops.extension import OperatorModule

ROOT = Path(__file__).resolve().parents[1]
SIZE = 192
FRAMEWORKS = ('sln', 'ssd', 'retinanet', 'faster_rcnn')


PARAMS = (
    ['pretend']
    if os.environ.get(devices.PRETENDING)
    else [pytest.param('cuda', marks=devices.CUDA_MARKS)]
)


@pytest.fixture(params=PARAMS)
def on_device(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable]:
    """Calls a function with 'cpu' and with a device, and compares the results."""
    with ExitStack() as stack:
        device, exact = devices.CUDA, False
        monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
        if request.param == 'pretend':
            reason = devices.set_up()
            if reason:
                pytest.skip(reason)
            device, exact = devices.DEVICE, True
            # Compiled operators know no device that is pretended.
            for name in ('nms', 'roi_align'):
                module = sys.modules[f'mmcv.ops.{name}']
                monkeypatch.setattr(module, 'ext_module', OperatorModule('mmcv._ext'))
            # mmengine names the types of tensor that may be indices.
            monkeypatch.setattr(
                instance_data,
                'IndexType',
                instance_data.IndexType | devices.PretendTensor,
            )
            convert = torch.__future__.set_overwrite_module_params_on_conversion
            stack.callback(
                convert, torch.__future__.get_overwrite_module_params_on_conversion()
            )
            convert(True)

        def compare(function: Callable[[str], Any]) -> list[Tensor]:
            results = []
            for name in ('cpu', device):
                torch.manual_seed(0)
                with ExitStack() as inside:
                    if name == devices.DEVICE:
                        inside.enter_context(devices.pretend_device())
                    found = function(name)
                    found = [found] if isinstance(found, Tensor) else list(found)
                    assert {t.device.type for t in found} == {torch.device(name).type}
                    results.append([t.detach().cpu() for t in found])
            for here, there in zip(*results, strict=True):
                tolerance = {} if exact else dict(rtol=1e-3, atol=1e-5)
                if exact:
                    assert torch.equal(here, there)
                else:
                    torch.testing.assert_close(here, there, **tolerance)
            return results[0]

        yield compare


def image(seed: int = 0) -> Tensor:
    """Smooth noise, so that detectors find something."""
    rng = np.random.default_rng(seed)
    small = torch.tensor(rng.integers(0, 255, (1, 3, 12, 12)), dtype=torch.float32)
    large = torch.nn.functional.interpolate(small, (SIZE, SIZE), mode='bicubic')
    return large[0].clamp(0, 255).byte()


FACES = torch.tensor(
    [[20.0, 30.0, 60.0, 75.0], [100.0, 90.0, 180.0, 185.0], [-5.0, 150.0, 25.0, 190.0]]
)


def sample(device: str, **meta: Any) -> DetDataSample:
    found = DetDataSample(
        metainfo=dict(
            img_shape=(SIZE, SIZE),
            ori_shape=(SIZE, SIZE),
            scale_factor=(1.0, 1.0),
            batch_input_shape=(SIZE, SIZE),
            pad_shape=(SIZE, SIZE),
            img_id=0,
            img_path='x.jpg',
            flip=False,
            **meta,
        )
    )
    found.gt_instances = InstanceData(
        bboxes=FACES.clone(), labels=torch.zeros(len(FACES), dtype=torch.long)
    )
    return found


def batch(device: str) -> dict[str, list]:
    """As a data loader hands it over: on the CPU."""
    return dict(inputs=[image()], data_samples=[sample(device)])


def build_attacker(framework: str, device: str, **keys: Any) -> Any:
    cfg = Config.fromfile(ROOT / 'configs/attack/patch_combination.py').model
    cfg.detector.update(
        config=str(ROOT / f'configs/{framework}_mbv2_widerface_subset.py'),
        checkpoint=f'facepatch://{framework}_mbv2_widerface_subset',
    )
    cfg.patch.size = (32, 32)
    cfg.tta_model = dict(
        type='PyramidTTA', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.3))
    )
    # So that there are samples.
    cfg.sample_set.score_thr = 1e-4
    cfg.update(keys)
    return MODELS.build(cfg).to(device)


@pytest.mark.slow
@pytest.mark.parametrize('framework', FRAMEWORKS)
def test_step_of_an_attack(on_device, framework):
    def step(device: str) -> list[Tensor]:
        attacker = build_attacker(framework, device)
        torch.nn.init.constant_(attacker.patch.pixels, 0.4)
        data = attacker.data_preprocessor(batch(device), True)
        loss, values = attacker.parse_losses(attacker(**data, mode='loss'))
        loss.backward()
        assert loss.item() != 0
        attacker.patch.project_()
        return [loss, attacker.patch.pixels.grad]

    on_device(step)


@pytest.mark.slow
@pytest.mark.parametrize('framework', FRAMEWORKS)
def test_step_of_a_training(on_device, framework):
    """All samples are taken: which are drawn depends on the device."""

    def step(device: str) -> list[Tensor]:
        cfg = Config.fromfile(ROOT / f'configs/{framework}_mbv2_widerface_subset.py')
        cfg.model.backbone.init_cfg = None
        if framework == 'faster_rcnn':
            cfg.model.train_cfg.rpn.assigner.num_per_group = 10**6
            cfg.model.train_cfg.rcnn.sampler.num = 10**6
        elif framework == 'sln':
            cfg.model.train_cfg.assigner.num_per_group = 10**6
        detector = MODELS.build(cfg.model)
        detector.init_weights()
        detector = detector.to(device).eval()
        data = detector.data_preprocessor(batch(device), True)
        loss, _ = detector.parse_losses(detector(**data, mode='loss'))
        loss.backward()
        first = next(p for p in detector.parameters() if p.grad is not None)
        return [loss, first.grad]

    on_device(step)


def test_group_sampling(on_device):
    def assign(device: str) -> list[Tensor]:
        assigner = TASK_UTILS.build(
            dict(
                type='GroupSamplingAssigner',
                num_per_group=10**6,
                match_low_quality=True,
            )
        )
        corner = torch.rand(500, 2, generator=torch.Generator().manual_seed(1)) * SIZE
        side = 2.0 ** (torch.arange(500) % 4 + 4)[:, None]
        priors = torch.cat([corner, corner + side], 1).to(device)
        found = assigner.assign(
            InstanceData(priors=priors),
            InstanceData(
                bboxes=FACES.to(device),
                labels=torch.zeros(3, dtype=torch.long, device=device),
            ),
        )
        return [found.gt_inds, found.max_overlaps]

    assert (on_device(assign)[0] > 0).any()


@pytest.mark.slow
@pytest.mark.parametrize('framework', FRAMEWORKS)
def test_pyramid_evaluation(on_device, framework):
    """Two scales of an image with the patch, merged."""

    def predict(device: str) -> list[Tensor]:
        attacker = build_attacker(framework, device)
        scaled = []
        for factor in (0.5, 1.0):
            side = round(SIZE * factor)
            small = torch.nn.functional.interpolate(
                image()[None].float(), (side, side), mode='bilinear'
            )[0].byte()
            one = sample(device)
            one.set_metainfo(
                dict(img_shape=(side, side), scale_factor=(factor, factor))
            )
            scaled.append((small, one))
        data = dict(
            inputs=[[small] for small, _ in scaled],
            data_samples=[[one] for _, one in scaled],
        )
        with torch.no_grad():
            (found,) = attacker.test_step(data)
        boxes = found.pred_instances
        assert len(boxes) > 0
        return [boxes.bboxes.float(), boxes.scores]

    on_device(predict)


@pytest.mark.slow
@pytest.mark.skipif(
    bool(os.environ.get(devices.PRETENDING)), reason='this is the process of its own'
)
def test_on_a_pretended_device():
    """All of these, in a process of their own."""
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', __file__],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, devices.PRETENDING: '1'},
    )
    assert done.returncode == 0, done.stdout
    summary = done.stdout.splitlines()[-1]
    if 'passed' not in summary:
        pytest.skip(done.stdout)
    assert '13 passed, 1 skipped' in summary
