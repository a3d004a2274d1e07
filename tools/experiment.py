"""Run experiments, as the paper's tables: what is not finished, then the tables.

Each run is one of tools/attack.py with a work dir of its own, named by its content.
Finished runs are taken from the work dir, from .results, and from the published
patches. An interrupted experiment goes on where it stopped; a failed run is reported,
and the others go on.

    python tools/experiment.py configs/experiments/table1.py
    python tools/experiment.py configs/transfer/frameworks_subset.py --tables-only
"""

from __future__ import annotations

from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine import add_debug_argument, run_tool
from mmdet_facepatch.experiments import experiment_parser, run_experiment

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = experiment_parser(__doc__)
    add_debug_argument(parser)
    run_experiment(parser.parse_args(), ROOT)


if __name__ == '__main__':
    run_tool(main)
