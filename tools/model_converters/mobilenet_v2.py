"""Rename torchvision's MobileNetV2 weights to the names that mmdet uses."""

from __future__ import annotations

import argparse
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
import torch
from mmdet.models.backbones import MobileNetV2

from mmdet_facepatch.engine import add_debug_argument, run_tool
from mmdet_facepatch.utils.safe_loading import read_checkpoint

# Blocks of each stage of MobileNetV2.
STAGES = (1, 2, 3, 4, 3, 3, 1)


def block_names() -> dict[int, str]:
    """Names of torchvision's ``features.1`` to ``features.17`` in mmdet."""
    names, index = {}, 1
    for stage, blocks in enumerate(STAGES, start=1):
        for block in range(blocks):
            names[index] = f'layer{stage}.{block}'
            index += 1
    return names


def _conv_bn(rest: list[str], layer: str) -> str:
    """``0.weight`` -> ``<layer>.conv.weight``, ``1.weight`` -> ``<layer>.bn...``."""
    return '.'.join([layer, 'conv' if rest[0] == '0' else 'bn', *rest[1:]])


def rename(key: str) -> str | None:
    """mmdet's name of a torchvision key; None for the classifier."""
    parts = key.split('.')
    if parts[0] != 'features':
        return None
    index, rest = int(parts[1]), parts[2:]
    if index == 0:
        return _conv_bn(rest, 'conv1')
    if index == 18:
        return _conv_bn(rest, 'conv2')
    return _rename_block(parts[3:], block_names()[index], expands=index > 1)


def _rename_block(inner: list[str], layer: str, expands: bool) -> str:
    """``N.M.weight`` or ``N.weight`` of an inverted residual block.

    Triples are convolutions with their norm inside (expansion, depthwise), pairs
    the projection and, one number later, its norm.
    """
    convs = ['expand_conv', 'depthwise_conv'] if expands else ['depthwise_conv']
    position = int(inner[0])
    if len(inner) == 3:
        return _conv_bn(inner[1:], f'{layer}.{convs[position]}')
    return _conv_bn([str(position - len(convs)), *inner[1:]], f'{layer}.linear_conv')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', type=Path, help='torchvision state dict (.pth)')
    parser.add_argument('dst', type=Path, help='file to write')
    add_debug_argument(parser)
    args = parser.parse_args()
    source = read_checkpoint(args.src, map_location='cpu')
    renamed = {rename(key): value for key, value in source.items()}
    renamed.pop(None, None)
    # Nothing may be left over or missing.
    MobileNetV2().load_state_dict(renamed, strict=True)
    args.dst.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=renamed), args.dst)
    print(f'{len(renamed)} tensors written to {args.dst}')


if __name__ == '__main__':
    run_tool(main)
