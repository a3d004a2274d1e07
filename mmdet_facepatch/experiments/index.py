"""The index of an experiment: its entries, and the runs that they rest on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config

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

    Args:
        config (str | Path): Its config.
        data (str): Name of the data, or path of its config.
        options (Mapping, optional): Keys that every run overrides: what is made with
            some is not taken for what is made without. Defaults to None.
    """
    stem, of = Path(config).stem, Path(data).stem
    name = stem if stem.endswith(f'_{of}') else f'{stem}_{of}'
    return f'{name}_{content_digest(dict(options))}' if options else name


def read_index(
    name: str, *folders: str | Path
) -> tuple[Path, ExperimentIndex] | tuple[None, None]:
    """The index of an experiment, from the first folder that has one.

    Args:
        name (str): Of :func:`experiment_name`.
        *folders (str | Path): With NAME.json and the folder NAME of the pictures.

    Returns:
        tuple: The folder that has it, and the index; None twice if none has.
    """
    for folder in folders:
        path = Path(folder) / f'{name}.json'
        if path.is_file():
            return Path(folder), read_record(path, ExperimentIndex)
    return None, None


def build_index(spec: ExperimentSpec, plan: Plan, root: str | Path) -> ExperimentIndex:
    """The index of a planned experiment.

    Args:
        spec (ExperimentSpec): What it asks for.
        plan (Plan): Its runs.
        root (str | Path): Folder of the repository, to which paths are relative.
    """
    content = portable(
        dict(
            title=spec.title,
            config=str(Path(spec.path).absolute()),
            data=spec.data,
            command=_command(spec, root),
            seeds=spec.seeds,
            options=spec.options,
            held_out=spec.held_out,
            data_sets=_data_sets(spec, plan),
            detectors={name: spec.detectors[name] for name in spec.used_detectors},
            figure=spec.figure,
            matrix=spec.matrix and asdict(spec.matrix),
            kind='matrix' if spec.matrix else 'experiment',
        ),
        root,
    )
    return ExperimentIndex(**content, entries=_entries(spec, plan))


def _entries(spec: ExperimentSpec, plan: Plan) -> list[TableEntry]:
    found = []
    for entry in spec.entries:
        evaluation = plan.evaluations.get(entry.name)
        attack = plan.attacks.get(entry.name)
        found.append(
            TableEntry(
                name=entry.name,
                group=entry.group,
                seed=entry.attack.seed if entry.attack else None,
                detector=entry.detector,
                condition=entry.condition,
                paper=dict(entry.paper),
                evaluation=evaluation.digest if evaluation else None,
                attack=attack.digest if attack else None,
            )
        )
    return found


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
    found: dict[str, Any] = {}
    runs = [*plan.evaluations.values()][:1]
    if runs:
        loader = runs[0].config.test_dataloader
        found['reported'] = describe_data(loader.dataset.to_dict())
    attacks = [*plan.attacks.values()][:1]
    if attacks:
        loader = attacks[0].config.train_dataloader
        found['optimised'] = describe_data(loader.dataset.to_dict())
    described: dict[str, Any] = {}
    detectors: dict[str, Any] = {}
    for name in spec.used_detectors:
        cfg = Config.fromfile(spec.detectors[name]['config'])
        loader = cfg.get('train_dataloader')
        dataset = loader.dataset.to_dict() if loader else {}
        key = json.dumps({**dataset, 'pipeline': None}, sort_keys=True, default=str)
        if key not in described:
            described[key] = describe_data(dataset) if dataset else None
        detectors[name] = described[key]
    return dict(found, detectors=detectors)
