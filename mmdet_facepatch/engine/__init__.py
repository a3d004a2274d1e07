"""Loops, hooks and the reading of configs."""

from .config import add_common_arguments, load_config, set_report_option
from .evaluation_report import write_evaluation
from .hooks import EvaluationReportHook, PatchHook, PatchReportHook
from .loops import PatchAttackLoop, PatchTestLoop, PatchValLoop
from .memory import keep_freed_memory

__all__ = [
    'EvaluationReportHook',
    'PatchAttackLoop',
    'PatchHook',
    'PatchReportHook',
    'PatchTestLoop',
    'PatchValLoop',
    'add_common_arguments',
    'keep_freed_memory',
    'load_config',
    'set_report_option',
    'write_evaluation',
]
