"""The record that a run leaves when it is finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..attack.frozen_detector import detector_file_digest
from ..datasets.describe import data_digest, describe_data
from ..engine.attack_history import load_attack_history, summarise_history
from ..evaluation import load_report
from ..evaluation.functional.f_beta import CONFIDENT, PAPER_BETAS
from ..evaluation.functional.faces import OFFICIAL_SUBSETS
from ..utils.digests import by_content, content_digest, file_digest
from ..utils.json_files import read_json, to_json
from ..utils.provenance import portable, software_versions
from .records import AttackRecord, EvaluationRecord

SUBSETS = (*OFFICIAL_SUBSETS, 'all')
#: AF_beta over the whole range, and over s >= 0, for each beta.
AREAS = tuple((f'AF{beta:g}', f'AF{beta:g}{CONFIDENT}') for beta in PAPER_BETAS)
#: Keys of a config that say what an attack or a training is.
CONFIG_KEYS = (
    'model',
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'randomness',
)
_AT_DELTA = [
    f'{name}@{delta}'
    for delta in ('0.99', 'calibrated')
    for name in (
        *('precision', 'recall', 'on_patch'),
        *('true_positives', 'duplicates', 'other_false_positives'),
    )
]
#: Numbers of a report that records keep.
KEPT_NUMBERS = [
    *('calibrated_delta', 'margin_low', 'margin_high', 'num_images', 'num_patches')
] + [
    f'{subset}/{key}'
    for subset in SUBSETS
    for key in ('num_faces', 'AP', *chain(*AREAS), *_AT_DELTA)
]


def run_config(folder: str | Path) -> Config:
    """The config of a run, as mmengine left it in the work dir.

    Raises:
        FileNotFoundError: If there is not exactly one config.
    """
    found = sorted(Path(folder).glob('*.py'))
    if len(found) != 1:
        raise FileNotFoundError(
            f'{folder} should hold the one config of its run, but has '
            f'{[path.name for path in found] or "none"}'
        )
    return Config.fromfile(str(found[0]))


def attack_record(
    folder: str | Path, root: str | Path, digest: str | None = None
) -> AttackRecord:
    """The record of a finished attack, from its work dir; paths are relative to root.

    Raises:
        FileNotFoundError: If a part of it is missing.
    """
    cfg = run_config(folder).to_dict()
    history = load_attack_history(folder)
    config = {key: cfg.get(key) for key in CONFIG_KEYS}
    dataset = cfg['train_dataloader']['dataset']
    content = dict(
        digest=digest,
        detector=_detectors(cfg['model']['detector']),
        data=dict(describe_data(dataset) or {}, digest=data_digest(dataset)),
        config=config,
        config_digest=content_digest(json.loads(json.dumps(by_content(config)))),
        history={key: history[key] for key in ('held_out_clean', 'epochs')},
        files={'.png': file_digest(Path(folder) / 'patch.png')},
        **summarise_history(history),
    )
    return AttackRecord(**portable(content, root))


def evaluation_record(
    folder: str | Path,
    digest: str,
    weights: str,
    data: str,
    seconds: float | None = None,
) -> EvaluationRecord:
    """The record of a finished evaluation of one condition, from its work dir.

    It has ``report.json``, or, of a metric without a report, the ``metrics.json`` of
    :class:`MetricTableHook`. For the others see :class:`EvaluationRecord`.

    Raises:
        FileNotFoundError: If it left no numbers.
    """
    report, table = (Path(folder) / name for name in ('report.json', 'metrics.json'))
    if report.is_file():
        kept = report_numbers(report)
        numbers, intervals = kept['numbers'], kept['intervals']
    elif table.is_file():
        ((_, numbers),) = read_json(table)['conditions'].items()
        intervals = {}
    else:
        raise FileNotFoundError(f'{folder} has neither report.json nor metrics.json')
    saved = sorted(Path(folder).glob('predictions/*.npz'))
    return EvaluationRecord(
        digest=digest,
        weights=weights,
        data=data,
        numbers=numbers,
        intervals=intervals,
        seconds=seconds,
        versions=software_versions(),
        predictions=file_digest(saved[0]) if saved else None,
    )


def report_numbers(path: str | Path) -> dict[str, Any]:
    """Main numbers of the patch in a ``report.json``, or of its only condition.

    Returns:
        dict[str, Any]: ``condition``, ``numbers``, and ``intervals`` with both ends;
        None for NaN.

    Raises:
        ValueError: If it is not clear which condition is the patch.
    """
    conditions = load_report(path)['conditions']
    name = next(iter(conditions)) if len(conditions) == 1 else 'patch'
    if name not in conditions:
        raise ValueError(
            f"{path} has the conditions {list(conditions)}; none of them is 'patch'"
        )
    numbers, intervals = conditions[name]['numbers'], conditions[name]['intervals']
    ends = {key: [interval.low, interval.high] for key, interval in intervals.items()}
    return to_json(
        dict(
            condition=name,
            numbers={key: numbers[key] for key in KEPT_NUMBERS if key in numbers},
            intervals={key: ends[key] for key in KEPT_NUMBERS if key in ends},
        )
    )


def _detectors(detector: Any) -> Any:
    if isinstance(detector, Sequence):
        return [_detectors(one) for one in detector]
    return dict(
        config=detector['config'],
        checkpoint=detector['checkpoint'],
        weights_sha256=detector_file_digest(detector['checkpoint']),
    )
