"""Hooks: the patch, its history and report; checkpoints and checks of runs."""

from .attack_history_hook import AttackHistoryHook
from .check_finite_hook import CheckFiniteHook
from .face_visualization_hook import FaceVisualizationHook
from .metric_table_hook import MetricTableHook
from .patch_hook import PatchHook
from .report_hook import ReportHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .unreadable_images_hook import UnreadableImagesHook

__all__ = [
    'AttackHistoryHook',
    'CheckFiniteHook',
    'FaceVisualizationHook',
    'MetricTableHook',
    'PatchHook',
    'ReportHook',
    'SafeCheckpointHook',
    'UnreadableImagesHook',
]
