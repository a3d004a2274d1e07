"""Loops, hooks and the reading of configs."""

from .config import add_common_arguments, load_config
from .hooks import PatchHook, PatchReportHook
from .loops import PatchAttackLoop, PatchTestLoop, PatchValLoop
from .memory import keep_freed_memory

__all__ = [
    'PatchAttackLoop',
    'PatchHook',
    'PatchReportHook',
    'PatchTestLoop',
    'PatchValLoop',
    'add_common_arguments',
    'keep_freed_memory',
    'load_config',
]
