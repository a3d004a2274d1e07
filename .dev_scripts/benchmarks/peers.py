"""A step of the attack beside other ways to take it.

The patch attack of the Adversarial Robustness Toolbox (ART, from the package
registry: ``adversarial-robustness-toolbox``, with torchvision) has one patch in each
image, of one size at one location; so the comparison with it gives every image one
face, there. It attacks the same frozen detector with the same loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from benchmarks.attack import BATCH, SIZE, attack_step, batch_of, build_attacker
from benchmarks.compositor import paste_on_canvases
from benchmarks.faces import noise_images, scattered
from benchmarks.measure import Measurement, memory_growth, side_by_side
from mmdet_facepatch.attack import PatchAttacker, adversarial_objective

# An anchor of 128 px lies on this face with an IoU above 0.6; its patch has the
# patch's own size, for ART does not resize it.
FACE = (252.0, 252.0, 380.0, 380.0)
PATCH = 64
MANY = 20


class _ObjectiveOfFaces(nn.Module):
    """The detector as ART wants it: images and faces in, losses by name out."""

    def __init__(self, attacker: PatchAttacker) -> None:
        super().__init__()
        self.target = attacker._targets[0]
        self.sample_set = attacker.sample_set

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Equation 1 on images (B, 3, H, W) in [0, 1]."""
        samples = [
            DetDataSample(metainfo=dict(img_shape=(SIZE, SIZE))) for _ in targets
        ]
        detector: Any = self.target.detector
        batch = detector.data_preprocessor(
            dict(inputs=list(images * 255), data_samples=samples), False
        )
        found = self.target.reader(detector, batch['inputs'], batch['data_samples'])
        selected = []
        for candidates, target in zip(found, targets, strict=True):
            faces = target['boxes']
            index = self.sample_set(candidates, faces, faces)
            selected.append(candidates.log_scores[index])
        return dict(loss_adv=adversarial_objective(torch.cat(selected)))

    def train(self, mode: bool = True) -> _ObjectiveOfFaces:
        """ART calls it before each step; the detector stays in eval()."""
        return self


class _CanvasCompositor:
    """An image-sized canvas and mask for each face."""

    def __call__(
        self, images: list[Tensor], patch: Tensor, boxes: list[Tensor]
    ) -> list[Tensor]:
        return [
            paste_on_canvases(image, patch, squares)
            for image, squares in zip(images, boxes, strict=True)
        ]


def _attacker() -> PatchAttacker:
    return build_attacker('patch_iou', patch=PATCH)


def prepare_ours(faces: int) -> Callable[[], object]:
    """Our step, with one face or more in each image."""
    return attack_step(_attacker(), _batch(faces))


def prepare_canvases(faces: int) -> Callable[[], object]:
    """Our step but for the compositor."""
    attacker = _attacker()
    attacker.compositor = _CanvasCompositor()
    return attack_step(attacker, _batch(faces))


def prepare_art() -> Callable[[], object]:
    """ART's step."""
    from art.attacks.evasion import AdversarialPatchPyTorch
    from art.estimators.object_detection import PyTorchObjectDetector

    device = 'gpu' if torch.cuda.is_available() else 'cpu'
    estimator = PyTorchObjectDetector(
        _ObjectiveOfFaces(_attacker()),
        input_shape=(3, SIZE, SIZE),
        clip_values=(0.0, 255.0),
        attack_losses=('loss_adv',),
        device_type=device,
    )
    left, top = (
        int((low + high - PATCH) / 2)
        for low, high in ((FACE[0], FACE[2]), (FACE[1], FACE[1] + PATCH))
    )
    attack = AdversarialPatchPyTorch(
        estimator,
        rotation_max=0.0,
        patch_shape=(3, PATCH, PATCH),
        patch_location=(left, top),
        patch_type='square',
        targeted=False,
        learning_rate=5.0,
        batch_size=BATCH,
        max_iter=1,
        verbose=False,
    )
    images = noise_images(BATCH, SIZE).numpy().astype(np.float32)
    face = dict(
        boxes=np.array([FACE], np.float32),
        labels=np.zeros(1, np.int64),
        scores=np.ones(1, np.float32),
    )
    return lambda: attack.generate(images, [face] * BATCH)


def _batch(faces: int) -> dict[str, list]:
    boxes = [scattered(faces, SIZE, 12, 200, seed) for seed in range(BATCH)]
    if faces == 1:
        boxes = [torch.tensor([FACE])] * BATCH
    return batch_of(noise_images(BATCH, SIZE), boxes)


def benchmark_peers(repeat: int) -> Iterator[Measurement]:
    """Images a second and memory.

    Raises:
        ModuleNotFoundError: If ART is not installed.
    """
    if find_spec('art') is None:
        raise ModuleNotFoundError(
            '--parts peers compares with the Adversarial Robustness Toolbox, which '
            'is not installed: pip install adversarial-robustness-toolbox, in a '
            'virtual environment of its own'
        )
    one: list[tuple[str, Callable[..., Callable[[], object]], tuple]] = [
        ('ours', prepare_ours, (1,)),
        ('ART', prepare_art, ()),
        ('a canvas for each face', prepare_canvases, (1,)),
    ]
    many = [(name, prepare, (MANY,)) for name, prepare, args in one if args]
    for faces, ways in ((1, one), (MANY, many)):
        times = side_by_side([prepare(*args) for _, prepare, args in ways], repeat)
        for (name, prepare, args), took in zip(ways, times, strict=True):
            what = f'peers: {faces} face(s) an image, {name}'
            yield Measurement(f'{what}: speed', BATCH / took, 'images/s')
            yield Measurement(
                f'{what}: memory', memory_growth(prepare, *args) * 1024, 'MiB'
            )
