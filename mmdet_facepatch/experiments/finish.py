"""The record that a run leaves when it is finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..attack.frozen_detector import detector_file_digest
from ..datasets.describe import data_digest, describe_data
from ..engine.attack_history import load_attack_history, summarise_history
from ..evaluation import load_report
from ..evaluation.functional.f_beta import PAPER_BETAS
from ..evaluation.functional.faces import OFFICIAL_SUBSETS
from ..utils.digests import by_content, content_digest, file_digest
from ..utils.json_files import read_json, to_json
from ..utils.provenance import portable, software_versions
from .records import AttackRecord, EvaluationRecord

SUBSETS = (*OFFICIAL_SUBSETS, 'all')
AREAS = tuple(f'AF{beta:g}' for beta in PAPER_BETAS)
#: Keys of a config that say what an attack or a training is.
CONFIG_KEYS = (
    'model',
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'randomness',
)
#: Numbers of a report that records keep.
KEPT_NUMBERS = (
    'calibrated_delta',
    'num_images',
    *(
        f'{subset}/{key}'
        for subset in SUBSETS
        for key in (
            'num_faces',
            'AP',
            *AREAS,
            *(
                f'{name}@{delta}'
                for delta in ('0.99', 'calibrated')
                for name in ('precision', 'recall', 'on_patch')
            ),
        )
    ),
)


def run_config(folder: str | Path) -> Config:
    """The config of a run, as mmengine left it in the work dir.

    Args:
        folder (str | Path): Work dir of an attack, a training or an evaluation.

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
    """The record of a finished attack.

    Args:
        folder (str | Path): Its work dir, with config, history and ``patch.png``.
        root (str | Path): Folder of the repository, to which paths are relative.
        digest (str, optional): Of all that it depends on, if an experiment ran it.
            Defaults to None.

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
    """The record of a finished evaluation of one condition.

    Args:
        folder (str | Path): Its work dir, with ``report.json``, or, of a metric without
            a report, with the ``metrics.json`` of :class:`MetricTableHook`.
        digest (str): Of all that it depends on.
        weights (str): SHA-256 of the detector's weights.
        data (str): SHA-256 of its images and faces.
        seconds (float, optional): Time that the run took. Defaults to None.

    Raises:
        FileNotFoundError: If it left no numbers.
    """
    path = Path(folder) / 'report.json'
    if path.is_file():
        ((_, condition),) = load_report(path)['conditions'].items()
        numbers, intervals = pick_numbers(condition)
    else:
        numbers, intervals = _table_numbers(Path(folder)), {}
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
    """Main numbers of a report's patch, or of its only condition.

    Args:
        path (str | Path): A ``report.json``.

    Returns:
        dict[str, Any]: ``condition``, ``numbers`` and ``intervals``.

    Raises:
        ValueError: If it is not clear which condition is the patch.
    """
    conditions = load_report(path)['conditions']
    name = next(iter(conditions)) if len(conditions) == 1 else 'patch'
    if name not in conditions:
        raise ValueError(
            f"{path} has the conditions {list(conditions)}; none of them is 'patch'"
        )
    numbers, intervals = pick_numbers(conditions[name])
    return dict(condition=name, numbers=numbers, intervals=intervals)


def pick_numbers(condition: Mapping[str, Any]) -> tuple[dict, dict]:
    """The numbers of a report's condition that records keep, and their intervals.

    Args:
        condition (Mapping[str, Any]): As :func:`load_report` gives it.

    Returns:
        tuple[dict, dict]: Number by key, and both ends by key; None for NaN.
    """
    numbers, intervals = condition['numbers'], condition['intervals']
    return (
        to_json({key: numbers[key] for key in KEPT_NUMBERS if key in numbers}),
        to_json(
            {
                key: [intervals[key].low, intervals[key].high]
                for key in KEPT_NUMBERS
                if key in intervals
            }
        ),
    )


def _table_numbers(folder: Path) -> dict[str, Any]:
    """Numbers of the only condition of a test without a report."""
    path = folder / 'metrics.json'
    if not path.is_file():
        raise FileNotFoundError(f'{folder} has neither report.json nor metrics.json')
    ((_, numbers),) = read_json(path)['conditions'].items()
    return numbers


def _detectors(detector: Any) -> Any:
    if isinstance(detector, Sequence):
        return [_detectors(one) for one in detector]
    return dict(
        config=detector['config'],
        checkpoint=detector['checkpoint'],
        weights_sha256=detector_file_digest(detector['checkpoint']),
    )
