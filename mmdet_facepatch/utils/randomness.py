"""Random numbers as a function of the seed and of a place in the run.

A generator that runs through a whole run has a state that a resumed run must restore
in every process and data-loading worker. Here every step and every sample starts from
a seed of its own, derived from the run's seed and its place: no state is left to
restore, and it does not matter which worker loads a sample.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

#: First part of a derived seed: what it is for.
STEP, SAMPLE = 1, 2


def derive_seed(*parts: int) -> int:
    """Mix non-negative integers, as a seed and a position, into one in [0, 2**64)."""
    words = np.random.SeedSequence(parts).generate_state(2, np.uint32)
    return int(words[0]) << 32 | int(words[1])


def seed_generators(seed: int) -> None:
    """Seed Python, numpy and torch on every device, by a seed in [0, 2**64)."""
    _seed_on_cpu(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def _seed_on_cpu(seed: int) -> None:
    random.seed(seed)
    np.random.seed([seed >> 32, seed & 0xFFFFFFFF])
    # Not torch.manual_seed: it would touch the GPUs from a data-loading worker.
    torch.default_generator.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the CPU's generators for a block, and put them back after it."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed_on_cpu(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
