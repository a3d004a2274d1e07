"""Operators of this package against mmcv's compiled ones."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from benchmarks.attack import attack_step, batch_of, build_attacker
from benchmarks.faces import noise_images, scattered
from benchmarks.measure import Measurement, seconds, side_by_side
from mmdet_facepatch.attack import build_frozen_detector
from mmdet_facepatch.ops import provide_operators
from mmdet_facepatch.ops.backend import find_torchvision
from mmdet_facepatch.ops.extension import OperatorModule

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
#: Modules of mmcv that hold the compiled one, as far as it is compared.
USERS = ('nms', 'roi_align')
BOXES, BOX_SIZE = 10_000, 60
REGIONS, CHANNELS, MAP = 512, 64, 160
#: mmcv's compiled operators, or None.
COMPILED = sys.modules['mmcv._ext'] if provide_operators().name == 'compiled' else None


def libraries() -> dict[str, ModuleType]:
    """Operators that are here, by the name of the library."""
    found: dict[str, ModuleType] = {'torch': OperatorModule('mmcv._ext')}
    torchvision, _ = find_torchvision()
    if torchvision is not None:
        found['torchvision'] = OperatorModule('mmcv._ext', torchvision)
    if COMPILED is not None:
        found['compiled'] = COMPILED
    return found


def using(library: ModuleType, function: Callable[[], object]) -> Callable[[], object]:
    """The function with mmcv calling the operators of a library."""

    def run() -> None:
        for name in USERS:
            sys.modules[f'mmcv.ops.{name}'].ext_module = library  # type: ignore[attr-defined]
        function()

    return run


def _compare(
    what: str,
    calls: dict[str, Callable[[], object]],
    repeat: int,
    target: float | None = None,
) -> Iterator[Measurement]:
    """Times of all libraries, and their ratios to the compiled one's."""
    times = dict(zip(calls, side_by_side(list(calls.values()), repeat), strict=True))
    for name, value in times.items():
        yield Measurement(f'operators: {what}, {name}', value * 1000, 'ms')
    for name, value in times.items():
        if name != 'compiled' and 'compiled' in times:
            yield Measurement(
                f'operators: {what}, {name} / compiled',
                value / times['compiled'],
                'x',
                target,
            )


def _device() -> str:
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def _random_boxes(count: int, size: float, area: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * area
    extent = torch.rand(count, 2, generator=generator) * size + 2
    return torch.cat([corner, corner + extent], 1).to(_device())


def _pooling(library: ModuleType) -> Callable[[], object]:
    maps = torch.rand(1, CHANNELS, MAP, MAP, device=_device())
    boxes = _random_boxes(REGIONS, 120, 500)
    rois = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], 1)
    output = maps.new_zeros(REGIONS, CHANNELS, 7, 7)
    none = maps.new_zeros(0)
    arguments = dict(
        aligned_height=7,
        aligned_width=7,
        spatial_scale=0.25,
        sampling_ratio=2,
        pool_mode=1,
        aligned=True,
    )
    gradient, back = torch.ones_like(output), torch.zeros_like(maps)

    def run() -> None:
        library.roi_align_forward(maps, rois, output, none, none, **arguments)
        library.roi_align_backward(gradient, rois, none, none, back, **arguments)

    return run


def _attack_steps(repeat: int) -> Iterator[Measurement]:
    """A step against Faster R-CNN, whose proposals and regions are both here."""
    attacker = build_attacker(
        'patch_combination',
        detector=dict(
            config=str(CONFIGS / 'faster_rcnn_mbv2_widerface_subset.py'),
            checkpoint='facepatch://faster_rcnn_mbv2_widerface_subset',
        ),
    )
    faces = [scattered(20, 640, 12, 200, seed) for seed in range(4)]
    step = attack_step(attacker, batch_of(noise_images(4, 640), faces))
    calls = {name: using(library, step) for name, library in libraries().items()}
    yield from _compare(
        'a step of the attack on Faster R-CNN, 4 images of 640 px', calls, repeat, 1.3
    )


def _evaluation() -> Iterator[Measurement]:
    """SLN on the images of the validation list, each library in turns."""
    config = CONFIGS / 'sln_mbv2_widerface_subset.py'
    detector: Any = build_frozen_detector(
        str(config), 'facepatch://sln_mbv2_widerface_subset'
    ).to(_device())
    cfg = Config.fromfile(config).test_dataloader.dataset
    if not Path(cfg.data_root, cfg.image_list).is_file():
        return
    with DefaultScope.overwrite_default_scope('mmdet'):
        images = DATASETS.build(cfg)
    times: dict[str, list[float]] = {name: [] for name in libraries()}
    for index in range(len(images)):
        sample = images[index]
        data = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
        for name, library in libraries().items():
            with torch.no_grad():
                predict = using(library, partial(detector.test_step, data))
                times[name].append(seconds(predict))
    what = f'operators: SLN on {len(images)} validation images'
    for name, values in times.items():
        yield Measurement(f'{what}, {name}', sum(values), 's')
    for name, values in times.items():
        if name != 'compiled' and 'compiled' in times:
            yield Measurement(
                f'{what}, {name} / compiled',
                sum(values) / sum(times['compiled']),
                'x',
                1.2,
            )
            # A pause of the machine in one of them weighs less.
            ratios = [
                one / other
                for one, other in zip(values, times['compiled'], strict=True)
            ]
            yield Measurement(
                f'{what}, {name} / compiled, median of images',
                statistics.median(ratios),
                'x',
            )


def benchmark_operators(repeat: int) -> Iterator[Measurement]:
    """Each of them alone, a step of an attack, and an evaluation."""
    boxes = _random_boxes(BOXES, BOX_SIZE, 1000)
    scores = torch.rand(BOXES, generator=torch.Generator().manual_seed(1)).to(_device())
    yield from _compare(
        f'nms of {BOXES:,} boxes',
        {
            name: partial(library.nms, boxes, scores, iou_threshold=0.5, offset=0)
            for name, library in libraries().items()
        },
        repeat,
        3,
    )
    yield from _compare(
        f'RoIAlign of {REGIONS} regions and its gradient, {CHANNELS} channels',
        {name: _pooling(library) for name, library in libraries().items()},
        repeat,
    )
    yield from _attack_steps(repeat)
    yield from _evaluation()
