"""Loops of attacks, and training loops that resume where they stopped."""

from .conditions import Condition, current_condition, find_paste_transform
from .patch_loops import PatchAttackLoop, PatchTestLoop, PatchValLoop
from .train_loops import ReproducibleEpochLoop, ReproducibleIterLoop

__all__ = [
    'Condition',
    'PatchAttackLoop',
    'PatchTestLoop',
    'PatchValLoop',
    'ReproducibleEpochLoop',
    'ReproducibleIterLoop',
    'current_condition',
    'find_paste_transform',
]
