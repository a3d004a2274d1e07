"""A step of the attack against the bare detector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor

from benchmarks.faces import crowd, noise_images, scattered
from benchmarks.measure import Measurement, side_by_side
from mmdet_facepatch.attack import PatchAttacker

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SIZE, BATCH = 640, 4
CROWD = 709


def build_attacker(
    method: str, patch: int = 128, detector: dict[str, str] | None = None
) -> PatchAttacker:
    """The attacker of a config in configs/attack, on the GPU where there is one."""
    cfg = Config.fromfile(CONFIGS / 'attack' / f'{method}.py')
    cfg.model.patch.size = (patch, patch)
    cfg.model.detector.update(detector or {})
    with DefaultScope.overwrite_default_scope('mmdet'):
        attacker = MODELS.build(cfg.model)
    return attacker.to('cuda' if torch.cuda.is_available() else 'cpu')


def batch_of(images: Tensor, faces: list[Tensor]) -> dict[str, list]:
    """What a data loader would yield."""
    samples = []
    for boxes in faces:
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0)
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long)
        )
        samples.append(sample)
    return dict(inputs=list(images), data_samples=samples)


def attack_step(attacker: PatchAttacker, data: dict) -> Callable[[], object]:
    """One whole step: from placing the patch to the update of its pixels."""
    optimizer = torch.optim.Adam(attacker.parameters(), lr=0.02)
    wrapper = OptimWrapper(optimizer)

    def run() -> None:
        moved = attacker.data_preprocessor(data, True)
        losses, _ = attacker.parse_losses(attacker(**moved, mode='loss'))
        wrapper.update_params(losses)
        attacker.patch.project_()

    return run


def bare_step(attacker: PatchAttacker, images: Tensor) -> Callable[[], object]:
    """A forward pass to the scores and the gradient of their sum in the input.

    The gradient that enters is dense and laid out as the scores are: an expanded
    one, as ``sum()`` gives, sends convolutions a slower way.
    """
    detector: Any = attacker.detector
    inputs = detector.data_preprocessor(dict(inputs=list(images)), False)['inputs']
    inputs = inputs.detach().requires_grad_()

    def run() -> None:
        scores, _ = detector.bbox_head(detector.extract_feat(inputs))
        torch.autograd.grad(
            scores, inputs, [torch.ones_like(level) for level in scores]
        )

    return run


def benchmark_attack(repeat: int) -> Iterator[Measurement]:
    """Overhead of a step, with few faces and with a crowd in each image."""
    images = noise_images(BATCH, SIZE)
    few = [scattered(20, SIZE, 12, 200, seed) for seed in range(BATCH)]
    many, source = crowd(CROWD, SIZE)
    cases = (
        (f'{len(few[0])} random faces', few, 1.10),
        (f'{CROWD} {source}', [many] * BATCH, 1.25),
    )
    for method in ('patch_iou', 'patch_combination'):
        attacker = build_attacker(method)
        bare = bare_step(attacker, images)
        for what, faces, target in cases:
            step = attack_step(attacker, batch_of(images, faces))
            plain, whole = side_by_side([bare, step], repeat)
            where = f'attack: {method}, {BATCH} images of {SIZE} px, {what} in each'
            yield Measurement(where, whole, 's')
            yield Measurement(
                'attack: a step / forward and input gradient alone',
                whole / plain,
                'x',
                target,
            )
