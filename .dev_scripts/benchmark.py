"""Measure speed and memory against their targets.

Prints a table and, with --out, writes the same as JSON. Ratios are of two things
that ran in turns in the same process. Measures on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict

import mmdet_facepatch  # checks the stack before anything needs it

# isort: split
import numpy as np
import torch
from benchmarks.annotation import benchmark_annotation
from benchmarks.attack import benchmark_attack
from benchmarks.compositor import benchmark_compositor
from benchmarks.evaluation import benchmark_evaluation
from benchmarks.loading import benchmark_loading
from benchmarks.matching import benchmark_matching
from benchmarks.measure import Measurement
from benchmarks.operators import benchmark_operators
from benchmarks.peers import benchmark_peers
from benchmarks.training import benchmark_training

from mmdet_facepatch.utils.json_files import write_json

PARTS: dict[str, Callable[[int], Iterable[Measurement]]] = {
    'attack': benchmark_attack,
    'compositor': benchmark_compositor,
    'matching': benchmark_matching,
    'operators': benchmark_operators,
    'training': benchmark_training,
    'annotation': benchmark_annotation,
    'loading': benchmark_loading,
    'evaluation': benchmark_evaluation,
    'peers': benchmark_peers,
}
# What needs more than this package does is measured when it is named.
BY_NAME_ONLY = ('peers',)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=PARTS,
        default=[part for part in PARTS if part not in BY_NAME_ONLY],
        help=f'default: all but {", ".join(BY_NAME_ONLY)}',
    )
    parser.add_argument(
        '--repeat', type=int, default=5, help='runs of each measurement'
    )
    parser.add_argument(
        '--cores', type=int, default=1, help='CPU cores that the process may use'
    )
    parser.add_argument('--out', help='write the measurements to this JSON file')
    return parser.parse_args()


def use_cores(count: int) -> None:
    """Keep the process, all its threads, on the first cores."""
    torch.set_num_threads(count)
    if hasattr(os, 'sched_setaffinity'):
        available = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, available[:count])


def main() -> None:
    args = parse_args()
    use_cores(args.cores)
    found = []
    for part in args.parts:
        for line in PARTS[part](args.repeat):
            found.append(line)
            print('  '.join(line.row()).rstrip(), flush=True)
    if args.out:
        device = (
            torch.cuda.get_device_name()
            if torch.cuda.is_available()
            else platform.machine()
        )
        content = dict(
            device=device,
            python=platform.python_version(),
            torch=torch.__version__,
            numpy=np.__version__,
            operators=str(mmdet_facepatch.ops.provide_operators()),
            cores=args.cores,
            repeat=args.repeat,
            measurements=[asdict(line) for line in found],
        )
        write_json(args.out, content)


if __name__ == '__main__':
    main()
