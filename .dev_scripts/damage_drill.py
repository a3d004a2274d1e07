"""Read malformed and unusual files, each in a process with little memory and time.

Images, annotations, image lists, predictions, ground truth, patches, archives and
checkpoints that are cut off, contradict themselves, are encoded in other ways, or hold
code. Each has to be read correctly, which is checked, or rejected with one error that
names the file (and line). Exit code 0 if all are.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
import cv2
import torch
from drills import (
    archives,
    checkpoints,
    ground_truth,
    images,
    patches,
    predictions,
    texts,
)
from drills.case import FAILED, Case, Table, try_case
from mmengine.registry import init_default_scope

KINDS: dict[str, Callable[[], list[Case]]] = {
    'images': images.cases,
    'annotations': texts.cases,
    'predictions': predictions.cases,
    'ground_truth': ground_truth.cases,
    'patches': patches.cases,
    'archives': archives.cases,
    'checkpoints': checkpoints.cases,
}


def drill(kinds: list[str], verbose: bool) -> Table:
    """Read all files of some kinds."""
    # Forked processes must not wait for threads that only their parent has.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    init_default_scope('mmdet')
    table = Table()
    for case in (case for kind in kinds for case in KINDS[kind]()):
        outcome = try_case(case)
        table.outcomes.append(outcome)
        if verbose or outcome.verdict == FAILED:
            print(
                f'{case.kind}: {case.name}: {outcome.verdict} {outcome.detail}',
                flush=True,
            )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--kinds', nargs='+', choices=list(KINDS), default=list(KINDS))
    parser.add_argument(
        '--verbose', action='store_true', help='every file, not only those that failed'
    )
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    table = drill(args.kinds, args.verbose)
    print(table)
    return 1 if table.failed else 0


if __name__ == '__main__':
    sys.exit(main())
