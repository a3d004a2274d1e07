"""Hooks of an attack."""

from .patch_hook import PatchHook, rng_state, set_rng_state
from .patch_report_hook import PatchReportHook

__all__ = ['PatchHook', 'PatchReportHook', 'rng_state', 'set_rng_state']
