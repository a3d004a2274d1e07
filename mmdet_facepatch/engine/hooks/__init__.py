"""Hooks of an attack and of its evaluation."""

from .attack_record_hook import AttackRecordHook
from .evaluation_report_hook import EvaluationReportHook
from .finite_numbers_hook import FiniteNumbersHook
from .patch_hook import PatchHook
from .patch_report_hook import PatchReportHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .unreadable_images_hook import UnreadableImagesHook

__all__ = [
    'AttackRecordHook',
    'EvaluationReportHook',
    'FiniteNumbersHook',
    'PatchHook',
    'PatchReportHook',
    'SafeCheckpointHook',
    'UnreadableImagesHook',
]
