"""What an experiment leaves: table.json, table.md and its figures."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..evaluation import load_report
from ..files import write_atomically
from .attack_record import RECORD, load_attack_record, summarise_record
from .digests import content_digest, file_digest
from .experiment import RUN, Experiment, Job
from .experiment_figures import write_figures
from .experiment_tables import AREAS, SUBSETS, experiment_markdown
from .manifest import describe_data, portable

#: Version of table.json; raised with every change that a reader has to know of.
SCHEMA_VERSION = 1


def table_folder(work_dir: str | Path, config: str, data: str,
                 options: Mapping[str, Any] | None = None) -> Path:
    """Where tables and figures of an experiment are.

    Args:
        work_dir: Folder of all experiments.
        config: Of the experiment.
        data: Name of the data, or path of its config.
        options: Keys that every run overrides: what is made with some is not taken
            for what is made without.
    """
    name = f'{Path(config).stem}_{Path(data).stem}'
    if options:
        name += f'_{content_digest(dict(options))[:12]}'
    return Path(work_dir) / 'tables' / name


def seeds_to_show(folder: str | Path, seeds: Sequence[int]) -> list[int]:
    """Seeds of a table after a run: of the run, and those that it had.

    Args:
        folder: Of the table, which need not be there.
        seeds: Of the run.
    """
    path = Path(folder) / 'table.json'
    if not path.is_file():
        return list(seeds)
    had = json.loads(path.read_text(encoding='utf-8'))['seeds']
    return sorted({*had, *seeds})


def write_experiment(experiment: Experiment, folder: str | Path, data: str,
                     root: str | Path) -> str:
    """Write table.json, table.md and the figures of what is done.

    ``table.json`` has ``kind`` ('experiment' or 'matrix'), ``title``, ``config``,
    ``data``, ``command``, ``seeds``, ``options``, ``held_out``, ``data_sets`` (what
    is reported on, what is optimised on, and what each detector was trained on),
    ``detectors`` (config and checkpoint), ``matrix``, and ``cells``, each with
    ``name``, ``group`` and ``seed``, ``detector``, ``shows`` ('clean', 'init' or
    'attack'), ``paper``, ``numbers``, ``intervals`` (number -> two ends), ``folder``
    and ``attack_folder``, and ``manifest``: of evaluation and attack the digest of
    its config (with which the folder's name ends), of weights, data and patch, the
    budget, time and software. NaN is null.

    Args:
        experiment: Its cells need not all be done; those that are not have the rows
            that it keeps, or dashes.
        folder: Made if it is not there.
        data: Name of the data, for the title.
        root: Folder of the repository, to which paths are relative.

    Returns:
        The tables in Markdown.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    jobs = experiment.finished()
    kept = experiment.kept_rows()
    rows = [_row(experiment, cell, jobs.get(cell['name']), kept.get(cell['name']))
            for cell in experiment.all_cells]
    content = portable(dict(
        schema_version=SCHEMA_VERSION,
        kind='matrix' if experiment.matrix else 'experiment',
        title=experiment.title, config=str(Path(experiment.path).absolute()),
        data=data, command=_command(experiment, data, root), seeds=experiment.seeds,
        options=dict(experiment.options),
        held_out=experiment.held_out, data_sets=_data_sets(experiment),
        detectors={name: dict(experiment.detectors[name])
                   for name in _used_detectors(experiment)},
        matrix=experiment.matrix and dict(
            patches=list(experiment.matrix['patches']),
            detectors=experiment.matrix['detectors']),
        cells=rows), root)
    table = experiment_markdown(content)
    text = json.dumps(content, indent=1, allow_nan=False)
    write_atomically(target / 'table.md', f'{table}\n'.encode())
    write_atomically(target / 'table.json', f'{text}\n'.encode())
    write_figures(experiment, jobs, target)
    return table


def _command(experiment: Experiment, data: str, root: str | Path) -> str:
    """The one command that makes the table again."""
    tool = 'transfer' if experiment.matrix else 'experiment'
    config = portable(str(Path(experiment.path).absolute()), root)
    parts = ['python', f'tools/{tool}.py', config, '--data', portable(data, root)]
    if experiment.seeds != experiment.configured_seeds:
        parts += ['--seeds', *map(str, experiment.seeds)]
    if experiment.options:
        parts += ['--cfg-options', *(
            f'{key}={value}' for key, value in experiment.options.items())]
    return shlex.join(parts)


def _data_sets(experiment: Experiment) -> dict[str, Any]:
    """What was reported on and optimised on, and what detectors have learnt from."""
    # A cell whose weights are not there has no job.
    missing = experiment.missing_weights()
    cells = [cell for cell in experiment.all_cells if cell['name'] not in missing]
    detectors_of = [cell.get('detector', experiment.default_detector) for cell in cells]
    cfg = (experiment.clean_job(detectors_of[0]).config if detectors_of
           else experiment.data)
    found = dict(reported=describe_data(cfg.test_dataloader.dataset.to_dict()))
    attacks = [experiment.attack_job(cell) for cell in cells if cell.get('attack')]
    if attacks and attacks[0] is not None:
        found['optimised'] = describe_data(
            attacks[0].config.train_dataloader.dataset.to_dict())
    detectors: dict[str, Any] = {}
    described: dict[str, Any] = {}
    for name in _used_detectors(experiment):
        path = experiment.detectors[name]['config']
        loader = Config.fromfile(path).get('train_dataloader')
        dataset = loader.dataset.to_dict() if loader else {}
        key = json.dumps({**dataset, 'pipeline': None}, sort_keys=True, default=str)
        if key not in described:
            described[key] = describe_data(dataset) if dataset else None
        detectors[name] = described[key]
    return dict(found, detectors=detectors)


def _used_detectors(experiment: Experiment) -> list[str]:
    """Names of the detectors that cells attack or are evaluated on."""
    names = [name for cell in experiment.all_cells for name in (
        cell.get('detector', experiment.default_detector),
        (cell.get('attack') or {}).get('detector'))]
    return list(dict.fromkeys(name for name in names if name))


def _row(experiment: Experiment, cell: Mapping[str, Any], job: Job | None,
         kept: Mapping[str, Any] | None) -> dict[str, Any]:
    """A cell with its numbers, its own or kept ones; none of what there is not."""
    attack = experiment.finished_attack(dict(cell))
    if job:
        measured, evaluation = _measured(job), _evaluation_manifest(job)
    elif kept:
        measured = {key: kept[key] for key in ('numbers', 'intervals', 'folder')}
        evaluation = kept['manifest']['evaluation']
    else:
        measured, evaluation = dict(numbers={}, intervals={}, folder=None), None
    return dict(
        name=cell['name'], group=cell.get('group'),
        seed=(cell.get('attack') or {}).get('seed'),
        detector=cell.get('detector', experiment.default_detector),
        shows='attack' if cell.get('attack') else 'init' if cell.get('patch') else
        'clean',
        paper=cell.get('paper') or {}, **measured,
        attack_folder=str(attack.folder) if attack else None,
        manifest=dict(evaluation=evaluation,
                      attack=attack_manifest(attack) if attack else None))


def _measured(job: Job) -> dict[str, Any]:
    """Numbers of an evaluation that is done, and its folder."""
    report = load_report(job.folder / 'report.json')
    condition = next(iter(report['conditions'].values()))
    numbers, intervals = condition['numbers'], condition['intervals']
    return dict(
        numbers={key: _null(numbers[key]) for key in _wanted() if key in numbers},
        intervals={
            key: [_null(intervals[key].low), _null(intervals[key].high)]
            for key in _wanted() if key in intervals},
        folder=str(job.folder))


def _wanted() -> list[str]:
    wanted = ['calibrated_delta', 'num_images']
    for subset in SUBSETS:
        wanted += [f'{subset}/{key}' for key in ('num_faces', 'AP', *AREAS)]
        wanted += [f'{subset}/{key}@{delta}' for delta in ('0.99', 'calibrated')
                   for key in ('precision', 'recall', 'on_patch')]
    return wanted


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _manifest(job: Job) -> dict[str, Any]:
    path = job.folder / RUN
    run = json.loads(path.read_text()) if path.is_file() else {}
    return dict(
        config=job.folder.name.rpartition('-')[2], weights=job.identity['weights'],
        data=job.identity['data'], versions=run.get('versions'),
        seconds=run.get('seconds'))


def _evaluation_manifest(job: Job) -> dict[str, Any]:
    return dict(_manifest(job), predictions=file_digest(job.predictions))


def attack_manifest(job: Job) -> dict[str, Any]:
    """Of an attack: digests of config, weights, data and patch; budget, software.

    Args:
        job: An attack that is done.
    """
    manifest = dict(_manifest(job), patch=file_digest(job.folder / 'patch.npy'))
    if (job.folder / RECORD).is_file():
        manifest.update(summarise_record(load_attack_record(job.folder)))
    return manifest
