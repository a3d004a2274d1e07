"""The compositor against pasting face by face."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.faces import MOST_FACES, crowd, scattered
from benchmarks.measure import (
    Measurement,
    in_new_process,
    memory_growth,
    side_by_side,
)
from mmdet_facepatch.attack import paste_patch, patch_boxes
from mmdet_facepatch.utils.memory import keep_freed_memory

SIZE, FACES, PATCH = 1024, 200, 128
FAR_FACE = 9


def _device() -> str:
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def _inputs(faces: Tensor, alpha: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, SIZE, SIZE, generator=generator).to(_device())
    patch = torch.rand(3, PATCH, PATCH, generator=generator).to(_device())
    return image, patch.requires_grad_(), patch_boxes(faces, alpha)


def paste_by_loop(image: Tensor, patch: Tensor, boxes: Tensor) -> Tensor:
    """The plain way: resize the patch for each box, and write it into the image."""
    out = image.clone()
    height, width = image.shape[1:]
    for x1, y1, x2, y2 in boxes.tolist():
        if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
            continue
        resized = F.interpolate(
            patch[None], size=(y2 - y1, x2 - x1), mode='bilinear', antialias=True
        )[0]
        top, left = max(0, -y1), max(0, -x1)
        part = resized[:, top : height - y1, left : width - x1]
        out[:, max(0, y1) : y2, max(0, x1) : x2] = part
    return out


def paste_on_canvases(image: Tensor, patch: Tensor, boxes: Tensor) -> Tensor:
    """The way of much research code: an image-sized canvas and mask for each box."""
    out = image
    height, width = image.shape[1:]
    for x1, y1, x2, y2 in boxes.tolist():
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height or x2 <= x1:
            continue
        resized = F.interpolate(
            patch[None], size=(y2 - y1, x2 - x1), mode='bilinear', antialias=True
        )[0]
        border = (x1, width - x2, y1, height - y2)
        mask = F.pad(torch.ones_like(resized), border)
        out = out * (1 - mask) + F.pad(resized, border)
    return out


def _ours(image: Tensor, patch: Tensor, boxes: Tensor) -> Tensor:
    return paste_patch([image], patch, [boxes])[0]


def _step(
    paste: Callable[..., Tensor], inputs: tuple[Tensor, Tensor, Tensor], weight: Tensor
) -> Callable[[], object]:
    image, patch, boxes = inputs

    def run() -> None:
        patch.grad = None
        paste(image, patch, boxes).backward(weight)

    return run


def prepare_crowd(count: int) -> Callable[[], object]:
    """One forward and backward pass over an image with so many faces."""
    faces, _ = crowd(MOST_FACES, SIZE)
    inputs = _inputs(faces[:count])
    return _step(_ours, inputs, torch.ones_like(inputs[0]))


def coverage(side: int) -> float:
    """Share of the patch's pixels with a gradient when pasted at a size, in %."""
    face = torch.tensor([[100.0, 100.0, 100.0 + side, 100.0 + side]])
    image, patch, boxes = _inputs(face, alpha=1.0)
    generator = torch.Generator().manual_seed(1)
    weight = torch.rand(image.shape, generator=generator).to(image)
    _ours(image, patch, boxes).backward(weight)
    assert patch.grad is not None
    return float(patch.grad.ne(0).all(dim=0).float().mean()) * 100


def time_pastes(repeat: int, keep: bool) -> list[float]:
    """Seconds of ours, of a loop and of canvases, forward and backward.

    Args:
        repeat: Runs of each.
        keep: Whether freed memory is kept, as in the tools of this package. That
            spares the loop, which copies the image's gradient for each face, more
            than half of its time.
    """
    if keep:
        keep_freed_memory()
    inputs = _inputs(scattered(FACES, SIZE, 12, 200))
    weight = torch.ones_like(inputs[0])
    return side_by_side(
        [
            _step(paste, inputs, weight)
            for paste in (_ours, paste_by_loop, paste_on_canvases)
        ],
        repeat,
    )


def benchmark_compositor(repeat: int) -> Iterator[Measurement]:
    """Time, memory, and how much of the patch far faces teach."""
    what = f'compositor: {FACES} faces, {SIZE} x {SIZE}, forward and backward'
    for keep, note, target in ((False, '', 10), (True, ', freed memory kept', None)):
        ours, loop, canvases = in_new_process(time_pastes, repeat, keep)
        yield Measurement(f'{what}{note}', ours, 's')
        yield Measurement(
            f'compositor: a loop over the faces / ours{note}',
            loop / ours,
            'x',
            target,
            at_least=True,
        )
        yield Measurement(
            f'compositor: a canvas for each face / ours{note}', canvases / ours, 'x'
        )
    few, many = (memory_growth(prepare_crowd, count) for count in (1, MOST_FACES))
    yield Measurement('compositor: memory for one face', few * 1024, 'MiB')
    yield Measurement(
        f'compositor: memory for {MOST_FACES:,} faces / one face', many / few, 'x', 1.5
    )
    yield Measurement(
        f'compositor: patch pixels with a gradient at {FAR_FACE} px',
        coverage(FAR_FACE),
        '%',
        100,
        at_least=True,
    )
