"""Loops, hooks and the reading of configs."""

from .attack_record import load_attack_record
from .checkpoints import AtomicLocalBackend, damage_of, find_intact_checkpoint
from .config import (
    add_common_arguments,
    data_config,
    load_config,
    report_on,
    set_report_option,
)
from .evaluation_report import write_evaluation
from .experiment import Experiment, Job, load_numbers
from .experiment_report import table_folder, write_experiment
from .experiment_run import experiment_parser, run_experiment
from .face_likeness import Likeness, Scenes, measure_likeness
from .face_likeness_report import likeness_to_markdown, write_likeness
from .face_likeness_run import run_face_likeness
from .hooks import (
    AttackRecordHook,
    EvaluationReportHook,
    FiniteNumbersHook,
    PatchHook,
    PatchReportHook,
    SafeCheckpointHook,
    UnreadableImagesHook,
)
from .loops import PatchAttackLoop, PatchTestLoop, PatchValLoop
from .memory import keep_freed_memory
from .processes import build_runner
from .safeguards import enable_safeguards
from .saved_evaluations import SavedEvaluations
from .train_loops import ReproducibleEpochLoop, ReproducibleIterLoop
from .work_dir import WorkDirError, claim_work_dir

__all__ = [
    'AtomicLocalBackend',
    'AttackRecordHook',
    'EvaluationReportHook',
    'Experiment',
    'FiniteNumbersHook',
    'Job',
    'Likeness',
    'PatchAttackLoop',
    'PatchHook',
    'PatchReportHook',
    'PatchTestLoop',
    'PatchValLoop',
    'ReproducibleEpochLoop',
    'ReproducibleIterLoop',
    'SafeCheckpointHook',
    'SavedEvaluations',
    'Scenes',
    'UnreadableImagesHook',
    'WorkDirError',
    'add_common_arguments',
    'build_runner',
    'claim_work_dir',
    'damage_of',
    'data_config',
    'enable_safeguards',
    'experiment_parser',
    'find_intact_checkpoint',
    'keep_freed_memory',
    'likeness_to_markdown',
    'load_attack_record',
    'load_config',
    'load_numbers',
    'measure_likeness',
    'report_on',
    'run_experiment',
    'run_face_likeness',
    'set_report_option',
    'table_folder',
    'write_evaluation',
    'write_experiment',
    'write_likeness',
]
