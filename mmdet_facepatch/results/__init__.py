"""What finished experiments say: findings, published patches, RESULTS.md."""

from .checks import OrderCheck, PairedCheck, SimilarityCheck
from .collect import Entry, collect, read_entries, read_entry
from .document import results_document
from .evidence import Evidence
from .findings import judge_findings, write_findings
from .model_manifest import model_manifest, model_table
from .publish import (
    patch_manifest,
    publish_experiment,
    publish_patch,
    report_numbers,
    run_config,
)
from .sections import SECTIONS
from .similarity import Similarity, patch_similarity
from .verdicts import judge_difference, summarise

__all__ = [
    'SECTIONS',
    'Entry',
    'Evidence',
    'OrderCheck',
    'PairedCheck',
    'Similarity',
    'SimilarityCheck',
    'collect',
    'judge_difference',
    'judge_findings',
    'model_manifest',
    'model_table',
    'patch_manifest',
    'patch_similarity',
    'publish_experiment',
    'publish_patch',
    'read_entries',
    'read_entry',
    'report_numbers',
    'results_document',
    'run_config',
    'summarise',
    'write_findings',
]
