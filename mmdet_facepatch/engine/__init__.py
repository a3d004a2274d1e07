"""Loops, hooks and the reading of configs."""

from .attack_history import load_attack_history
from .checkpoints import (
    AtomicLocalBackend,
    damage_of,
    find_intact_checkpoint,
    has_checkpoint,
)
from .config import (
    add_common_arguments,
    check_data_config,
    data_config,
    enable_safeguards,
    load_config,
    read_config,
)
from .hooks import (
    AttackHistoryHook,
    CheckFiniteHook,
    FaceVisualizationHook,
    MetricTableHook,
    PatchHook,
    ReportHook,
    SafeCheckpointHook,
    UnreadableImagesHook,
)
from .launch import build_runner
from .log_processor import FaceLogProcessor
from .loops import (
    Condition,
    PatchAttackLoop,
    PatchTestLoop,
    PatchValLoop,
    ReproducibleEpochLoop,
    ReproducibleIterLoop,
    current_condition,
    find_paste_transform,
)
from .options import (
    add_steps_argument,
    draw_detections,
    report_on,
    set_report_option,
    set_steps,
)
from .pipelines import complete_pipelines
from .preflight import preflight
from .report import write_report
from .tool import add_debug_argument, run_tool
from .work_dir import WorkDirError, claim_work_dir

__all__ = [
    'AtomicLocalBackend',
    'AttackHistoryHook',
    'Condition',
    'FaceLogProcessor',
    'FaceVisualizationHook',
    'CheckFiniteHook',
    'MetricTableHook',
    'PatchAttackLoop',
    'PatchHook',
    'PatchTestLoop',
    'PatchValLoop',
    'ReportHook',
    'ReproducibleEpochLoop',
    'ReproducibleIterLoop',
    'SafeCheckpointHook',
    'UnreadableImagesHook',
    'WorkDirError',
    'add_common_arguments',
    'add_debug_argument',
    'add_steps_argument',
    'build_runner',
    'check_data_config',
    'claim_work_dir',
    'complete_pipelines',
    'current_condition',
    'damage_of',
    'data_config',
    'draw_detections',
    'enable_safeguards',
    'find_intact_checkpoint',
    'load_attack_history',
    'find_paste_transform',
    'has_checkpoint',
    'load_config',
    'preflight',
    'read_config',
    'report_on',
    'run_tool',
    'set_report_option',
    'set_steps',
    'write_report',
]
