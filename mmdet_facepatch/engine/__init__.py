"""Loops, hooks and the reading of configs."""

from .config import add_common_arguments, load_config
from .hooks import PatchHook, PatchReportHook
from .loops import PatchAttackLoop, PatchTestLoop, PatchValLoop

__all__ = [
    'PatchAttackLoop',
    'PatchHook',
    'PatchReportHook',
    'PatchTestLoop',
    'PatchValLoop',
    'add_common_arguments',
    'load_config',
]
