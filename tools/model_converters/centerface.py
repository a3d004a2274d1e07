"""Take the MobileNetV2 out of CenterFace's ONNX file, under the names that mmdet uses.

The backbone was trained on the whole of WIDER FACE. Its batch norms are folded into
the convolutions, so each norm written here only adds the bias. The file wants RGB in
[0, 255]; the first convolution takes over the normalisation of the configs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
import torch
from torch import Tensor

from mmdet_facepatch.engine import add_debug_argument, run_tool
from mmdet_facepatch.models.backbones import HeadlessMobileNetV2
from mmdet_facepatch.models.detectors.centerface import CenterFace

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def convolutions(content: bytes) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution of an ONNX file, in the file's order."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'onnx reads the file and is not installed. Install it with: '
            'python -m pip install onnx'
        ) from error
    graph = onnx.load_from_string(content).graph
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == 'Conv':
            weight, bias = (torch.tensor(arrays[name]) for name in node.input[1:3])
            yield weight, bias


def fold_normalization(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The first convolution, for pixels less ``MEAN``, over ``STD``.

    Args:
        weight (Tensor): (N, 3, h, w) float, for RGB in [0, 255].
        bias (Tensor): (N,) float.

    Returns:
        tuple[Tensor, Tensor]: Weight and bias. At the border of an image they differ
        from the file's: it pads with black, and they with ``MEAN``.
    """
    bias = bias + (weight * torch.tensor(MEAN)[:, None, None]).sum(dim=(1, 2, 3))
    return weight * torch.tensor(STD)[:, None, None], bias


def convert(content: bytes) -> dict[str, Tensor]:
    """State dict of :class:`HeadlessMobileNetV2` from CenterFace's ONNX file.

    Raises:
        ValueError: If the file's convolutions are not those of a MobileNetV2.
    """
    backbone = HeadlessMobileNetV2(out_indices=(1, 2, 4, 6))
    state = backbone.state_dict()
    names = [name for name in state if name.endswith('conv.weight')]
    # Behind them come those of the neck and the head.
    pairs = [*zip(names, convolutions(content), strict=False)]
    if len(pairs) < len(names):
        raise ValueError(
            f'the file has {len(pairs)} convolutions, and the MobileNetV2 of '
            f'CenterFace has {len(names)}'
        )
    for number, (name, (weight, bias)) in enumerate(pairs):
        if weight.shape != state[name].shape:
            raise ValueError(
                f'convolution {number} of the file has the shape '
                f'{tuple(weight.shape)}, but {name} has {tuple(state[name].shape)}: '
                'it is not the MobileNetV2 of CenterFace'
            )
        norm = name.removesuffix('conv.weight') + 'bn'
        if number == 0:
            weight, bias = fold_normalization(weight, bias)
        state[name] = weight
        # As new norms, but for the bias; eps is part of the variance.
        eps = backbone.get_submodule(norm).eps
        state[f'{norm}.running_var'] = torch.full_like(bias, 1 - eps)
        state[f'{norm}.bias'] = bias
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'dst', type=Path, help='file to write, e.g. weights/mobilenet_v2_centerface.pth'
    )
    add_debug_argument(parser)
    args = parser.parse_args()
    state = convert(CenterFace.source.read())
    args.dst.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=state), args.dst)
    print(f'{len(state)} tensors written to {args.dst}')


if __name__ == '__main__':
    run_tool(main)
