"""Evaluate patches on detectors: a matrix with clean images and controls.

The config (configs/transfer/) names the detectors, and the patches: none, inits
that are not optimised, and attacks on any of the detectors. What is not yet done
is run; the matrix is written as tables and drawn as a heat map.
"""

from __future__ import annotations

from pathlib import Path

import mmdet_facepatch  # noqa: F401  checks the stack before anything needs it

# isort: split
from mmdet_facepatch.engine import experiment_parser, run_experiment

ROOT = Path(__file__).resolve().parents[1]

if __name__ == '__main__':
    run_experiment(experiment_parser(__doc__, ROOT).parse_args(), ROOT)
