"""Hooks of an attack and of its evaluation."""

from .evaluation_report_hook import EvaluationReportHook
from .finite_numbers_hook import FiniteNumbersHook
from .patch_hook import PatchHook, rng_state, set_rng_state
from .patch_report_hook import PatchReportHook

__all__ = [
    'EvaluationReportHook',
    'FiniteNumbersHook',
    'PatchHook',
    'PatchReportHook',
    'rng_state',
    'set_rng_state',
]
