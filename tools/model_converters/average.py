"""Average the weights of trainings that began from the same weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
import torch
from torch import Tensor

from mmdet_facepatch.engine import add_debug_argument, run_tool
from mmdet_facepatch.utils.safe_loading import read_checkpoint


def average(
    states: Sequence[dict[str, Tensor]], shares: Sequence[float]
) -> dict[str, Tensor]:
    """Weighted mean of state dicts, taken in float64.

    Args:
        states (Sequence[dict[str, Tensor]]): With the same names and shapes.
        shares (Sequence[float]): One of each, positive; only their ratio counts.

    Returns:
        dict[str, Tensor]: Floats averaged, counters those of the last state.

    Raises:
        ValueError: If names or shapes differ, or a share is missing or not positive.
    """
    if len(shares) != len(states) or min(shares) <= 0:
        raise ValueError(
            f'{len(states)} checkpoints need as many positive shares, got {shares}'
        )
    last = states[-1]
    for state in states:
        other = {key: value.shape for key, value in state.items()}
        if other != {key: value.shape for key, value in last.items()}:
            raise ValueError('the checkpoints are of different architectures')
    weights = torch.tensor(shares, dtype=torch.float64) / sum(shares)

    def mean(key: str) -> Tensor:
        parts = torch.stack([state[key].double() for state in states])
        return torch.tensordot(weights, parts, dims=1)

    return {
        key: mean(key).to(value.dtype) if value.is_floating_point() else value
        for key, value in last.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'checkpoints', nargs='+', type=Path, help='the last gives all but the weights'
    )
    parser.add_argument('--shares', nargs='+', type=float, required=True)
    parser.add_argument('--out', type=Path, required=True, help='file to write')
    add_debug_argument(parser)
    args = parser.parse_args()
    loaded = [read_checkpoint(path, map_location='cpu') for path in args.checkpoints]
    mean = average([one['state_dict'] for one in loaded], args.shares)
    torch.save(dict(loaded[-1], state_dict=mean), args.out)
    print(f'{len(mean)} tensors written to {args.out}')


if __name__ == '__main__':
    run_tool(main)
