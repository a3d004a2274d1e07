"""Hooks of an attack and of its evaluation."""

from .evaluation_report_hook import EvaluationReportHook
from .patch_hook import PatchHook, rng_state, set_rng_state
from .patch_report_hook import PatchReportHook
from .unreadable_images_hook import UnreadableImagesHook

__all__ = [
    'EvaluationReportHook',
    'PatchHook',
    'PatchReportHook',
    'UnreadableImagesHook',
    'rng_state',
    'set_rng_state',
]
