"""Run an experiment of the paper: what is not yet done, then its table.

Each cell is a normal run of tools/attack.py with a work dir of its own, named by
its content. An interrupted experiment goes on where it stopped; a failed run is
reported, and the others go on.
"""

from __future__ import annotations

from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine import experiment_parser, run_experiment

ROOT = Path(__file__).resolve().parents[1]

if __name__ == '__main__':
    run_experiment(experiment_parser(__doc__, ROOT).parse_args(), ROOT)
