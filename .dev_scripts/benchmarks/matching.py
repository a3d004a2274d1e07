"""Matching and group sampling against mmdet's dense assigner."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from mmdet.models.task_modules import AnchorGenerator, MaxIoUAssigner
from mmengine.structures import InstanceData
from torch import Tensor

from benchmarks.faces import MOST_FACES, crowd
from benchmarks.measure import Measurement, fastest, memory_growth, seconds
from mmdet_facepatch.models.task_modules import GroupSamplingAssigner

SIZE = 1200
# mmdet holds several matrices of all anchors and faces, 24 GiB here; so it gets the
# anchors in parts, which gives the same result.
PARTS = 4


def _anchors() -> Tensor:
    generator = AnchorGenerator(strides=[4], ratios=[1.0], scales=[4, 8, 16, 32])
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    return generator.grid_priors([(SIZE // 4, SIZE // 4)], device=device)[0]


def _faces(device: torch.device) -> tuple[InstanceData, str]:
    boxes, source = crowd(MOST_FACES, SIZE)
    labels = torch.zeros(len(boxes), dtype=torch.long, device=device)
    return InstanceData(bboxes=boxes.to(device), labels=labels), source


def _dense(anchors: Tensor, faces: InstanceData) -> tuple[Tensor, Tensor]:
    assigner = MaxIoUAssigner(0.6, 0.4, match_low_quality=False)
    found = [
        assigner.assign(InstanceData(priors=part), faces)
        for part in anchors.chunk(PARTS)
    ]
    return (
        torch.cat([result.gt_inds for result in found]),
        torch.cat([result.max_overlaps for result in found]),
    )


def prepare_ours() -> Callable[[], object]:
    """Match and sample all anchors."""
    anchors = _anchors()
    faces, _ = _faces(anchors.device)
    priors = InstanceData(priors=anchors)
    return lambda: GroupSamplingAssigner().assign(priors, faces)


def prepare_dense_part() -> Callable[[], object]:
    """Match one part of the anchors as mmdet does."""
    anchors = _anchors()
    faces, _ = _faces(anchors.device)
    part = InstanceData(priors=anchors.chunk(PARTS)[0])
    return lambda: MaxIoUAssigner(0.6, 0.4, match_low_quality=False).assign(part, faces)


def benchmark_matching(repeat: int) -> Iterator[Measurement]:
    """Time and memory of an assignment, and that it is the same.

    Raises:
        AssertionError: If the results differ.
    """
    anchors = _anchors()
    faces, source = _faces(anchors.device)
    expected: list[Tensor] = []
    dense = seconds(lambda: expected.extend(_dense(anchors, faces)))
    for ours, theirs in zip(
        GroupSamplingAssigner().match(anchors, faces.bboxes), expected, strict=True
    ):
        assert torch.equal(ours, theirs), 'the assignments differ'
    own = fastest(prepare_ours(), repeat)
    yield Measurement(
        f'matching: {len(anchors):,} anchors, {len(faces):,} {source}, with sampling',
        own,
        's',
    )
    yield Measurement(
        "matching: mmdet's MaxIoUAssigner (no sampling) / ours, same result",
        dense / own,
        'x',
        20,
        at_least=True,
    )
    memory = memory_growth(prepare_ours)
    yield Measurement('matching: memory', memory * 1024, 'MiB')
    yield Measurement(
        f"matching: memory of mmdet's for 1/{PARTS} of the anchors / ours",
        memory_growth(prepare_dense_part) / memory,
        'x',
        20 / PARTS,
        at_least=True,
    )
