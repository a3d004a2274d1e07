"""The index of an experiment: its entries, and the runs that they rest on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..attack.detector_config import read_detector_config
from ..datasets.describe import describe_data
from ..utils.digests import content_digest
from ..utils.provenance import portable
from .planner import Plan
from .records import ExperimentIndex, TableEntry, read_record
from .spec import ExperimentSpec


def experiment_name(
    config: str | Path, data: str, options: Mapping[str, Any] | None = None
) -> str:
    """Name of an experiment's index and of the folder of its tables.

    What is made with options is not taken for what is made without.
    """
    stem, of = Path(config).stem, Path(data).stem
    name = stem if stem.endswith(f'_{of}') else f'{stem}_{of}'
    return f'{name}_{content_digest(dict(options))}' if options else name


def read_index(
    name: str, *folders: str | Path
) -> tuple[Path, ExperimentIndex] | tuple[None, None]:
    """The first folder that has NAME.json, and this index; None twice if none has."""
    for folder in folders:
        path = Path(folder) / f'{name}.json'
        if path.is_file():
            return Path(folder), read_record(path, ExperimentIndex)
    return None, None


def build_index(spec: ExperimentSpec, plan: Plan, root: str | Path) -> ExperimentIndex:
    """The index of a planned experiment; paths become relative to ``root``."""
    keys = ('title', 'data', 'seeds', 'options', 'held_out', 'figure')
    content = portable(
        dict(
            {key: getattr(spec, key) for key in keys},
            config=str(Path(spec.path).absolute()),
            command=_command(spec, root),
            data_sets=_data_sets(spec, plan),
            detectors={name: spec.detectors[name] for name in spec.used_detectors},
            matrix=spec.matrix and asdict(spec.matrix),
            kind='matrix' if spec.matrix else 'experiment',
        ),
        root,
    )
    entries = []
    for entry in spec.entries:
        run = plan.evaluations.get(entry.name)
        entries.append(
            TableEntry(
                name=entry.name,
                group=entry.group,
                seed=entry.attack.seed if entry.attack else None,
                detector=entry.detector,
                condition=entry.condition,
                paper=dict(entry.paper),
                evaluation=run.digest if run else None,
                attack=run.attack if run else None,
            )
        )
    return ExperimentIndex(**content, entries=entries)


def _command(spec: ExperimentSpec, root: str | Path) -> str:
    """The one command that makes the experiment again."""
    config = portable(str(Path(spec.path).absolute()), root)
    parts = ['python', 'tools/experiment.py', config]
    if spec.changed_data:
        parts += ['--data', portable(spec.data, root)]
    if spec.changed_seeds:
        parts += ['--seeds', *map(str, spec.seeds)]
    if spec.options:
        parts += ['--cfg-options', *(f'{k}={v}' for k, v in spec.options.items())]
    return shlex.join(parts)


def _data_sets(spec: ExperimentSpec, plan: Plan) -> dict[str, Any]:
    """What was reported on and optimised on, and what detectors have learnt from."""
    described: dict[str, Any] = {}

    def describe(loader: Any) -> Any:
        if not loader:
            return None
        dataset = loader.dataset.to_dict()
        key = json.dumps({**dataset, 'pipeline': None}, sort_keys=True, default=str)
        if key not in described:
            described[key] = describe_data(dataset)
        return described[key]

    found = {}
    for run in [*plan.evaluations.values()][:1]:
        found['reported'] = describe(run.config.test_dataloader)
    for run in [*plan.attacks.values()][:1]:
        found['optimised'] = describe(run.config.train_dataloader)
    detectors = {}
    for name in spec.used_detectors:
        cfg = read_detector_config(spec.detectors[name]['config'])
        detectors[name] = describe(cfg.get('train_dataloader'))
    return dict(found, detectors=detectors)
