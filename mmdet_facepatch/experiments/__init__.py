"""Grids of attacks and evaluations, and what is published of them.

From the config of an experiment follow its entries (:mod:`.spec`), from these its runs
with their digests (:mod:`.planner`), which are run where they are not finished
(:mod:`.executor`). What is finished is in one store (:mod:`.store`), from which tables
and figures are written (:mod:`.tables`, :mod:`.figures`).
"""

from .executor import Executor
from .index import experiment_name, read_index
from .model_index import build_metafile, write_metafile
from .model_manifest import model_manifest, model_table, publish_model
from .planner import Plan, Planner
from .publish import keep_experiment, publish_attack, publish_experiment
from .records import AttackRecord, EvaluationRecord, ExperimentIndex, TableEntry
from .run import experiment_parser, run_experiment
from .saved_evaluations import SavedEvaluations
from .spec import AttackSpec, EntrySpec, read_spec
from .store import RunStore

__all__ = [
    'AttackRecord',
    'AttackSpec',
    'EntrySpec',
    'EvaluationRecord',
    'Executor',
    'ExperimentIndex',
    'Plan',
    'Planner',
    'RunStore',
    'SavedEvaluations',
    'TableEntry',
    'build_metafile',
    'experiment_name',
    'experiment_parser',
    'keep_experiment',
    'model_manifest',
    'model_table',
    'publish_attack',
    'publish_experiment',
    'publish_model',
    'read_index',
    'read_spec',
    'run_experiment',
    'write_metafile',
]
