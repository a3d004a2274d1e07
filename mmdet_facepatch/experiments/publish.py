"""Publishing: finished patches with their manifests, and results to keep."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..attack.patch.manifest import manifest_path
from ..utils.digests import file_digest
from ..utils.files import write_atomically
from ..utils.json_files import read_json
from ..utils.provenance import portable
from .executor import PLAN
from .finish import attack_record, report_numbers, run_config
from .index import experiment_name
from .records import (
    AttackRecord,
    ExperimentIndex,
    TableEntry,
    read_record,
    write_record,
)
from .spec import read_spec
from .store import EXPERIMENTS, RUNS, RunStore


def publish_attack(
    folder: str | Path,
    out: str | Path,
    name: str,
    root: str | Path,
    report: str | Path | None = None,
    command: str | None = None,
) -> list[Path]:
    """Publish the patch of one work dir: NAME.png and its manifest NAME.json.

    Args:
        folder (str | Path): Work dir of the attack, with ``patch.png``, history and
            config.
        out (str | Path): Folder to write to.
        name (str): Of the files, without suffix.
        root (str | Path): Folder of the repository, to which paths are relative.
        report (str | Path, optional): ``report.json`` whose main numbers the manifest
            has; by default that of the work dir, if it has one.
        command (str, optional): That makes the patch again; by default
            ``tools/attack.py`` with the config of the work dir.

    Raises:
        FileNotFoundError: If a part of the attack, or the report, is missing.
    """
    source = Path(folder)
    path = Path(report or source / 'report.json')
    numbers = report_numbers(path) if report or path.is_file() else None
    if command is None:
        config = portable(Path(run_config(source).filename).absolute(), root)
        command = shlex.join(['python', 'tools/attack.py', config])
    plan = source / PLAN
    digest = read_json(plan)['digest'] if plan.is_file() else None
    record = attack_record(source, root, digest)
    record = replace(record, name=name, command=command, report=numbers)
    return _write_patch(record, source / 'patch.png', out)


def publish_experiment(
    config: str | Path,
    out: str | Path,
    data: str | None = None,
    work_dir: str | Path = 'work_dirs',
) -> list[Path]:
    """Publish every finished attack of an experiment, each once.

    Args:
        config (str | Path): Of the experiment.
        out (str | Path): Folder to write to.
        data (str, optional): In place of the config's data. Defaults to None.
        work_dir (str | Path): Of experiments. Defaults to 'work_dirs'.

    Raises:
        FileNotFoundError: If the experiment was not run, or a patch was not kept.
        ValueError: If no attack is finished, or two would have files of one name.
    """
    name = experiment_name(config, read_spec(str(config), data).data)
    path = Path(work_dir) / EXPERIMENTS / f'{name}.json'
    index = read_record(path, ExperimentIndex)
    store = RunStore([Path(work_dir) / RUNS])
    entries: dict[str, TableEntry] = {}
    for entry in index.entries:
        if entry.attack and store.finished(entry.attack):
            entries.setdefault(entry.attack, entry)
    if not entries:
        raise ValueError(f'{path}: no attack of this experiment is finished')
    names = [published_name(entry.name) for entry in entries.values()]
    twice = {one for one in names if names.count(one) > 1}
    if twice:
        raise ValueError(f'{path}: entries whose files would all be named {twice}')
    written = []
    for digest, entry in entries.items():
        record, patch = store.attack(digest), store.patch(digest)
        if record is None or patch is None:
            raise FileNotFoundError(f'the patch of {entry.name!r} was not kept')
        evaluation = store.evaluation(entry.evaluation)
        report = None
        if evaluation is not None:
            report = dict(
                detector=entry.detector,
                numbers=evaluation.numbers,
                intervals=evaluation.intervals,
            )
        command = f'{index.command} --entries {shlex.quote(entry.name)}'
        record = replace(
            record, name=published_name(entry.name), command=command, report=report
        )
        written += _write_patch(record, patch, out)
    return written


def published_name(name: str) -> str:
    """File name of the patch of an entry: its name, in plain characters."""
    return re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')


def keep_experiment(name: str, work_dir: str | Path, results: str | Path) -> list[Path]:
    """Copy what an experiment's tables rest on into results that are kept.

    The index, the record of each finished run, the picture of each patch that is not
    published with the package, and the curves that its figure is drawn from. Pictures
    of the experiment are left to the caller, who may have to reduce them.

    Raises:
        FileNotFoundError: If the experiment was not run.
    """
    target = Path(results)
    index = read_record(Path(work_dir) / EXPERIMENTS / f'{name}.json', ExperimentIndex)
    store = RunStore([Path(work_dir) / RUNS])
    for part in (RUNS, EXPERIMENTS):
        (target / part).mkdir(parents=True, exist_ok=True)
    published = RunStore.default(target, target)
    records: dict[str, Any] = {}
    for digest in {e.attack: None for e in index.entries if e.attack}:
        attack, patch = store.attack(digest), store.patch(digest)
        if attack is not None and not published.finished(digest):
            records[f'{RUNS}/{digest}'] = attack
            if patch is not None:
                picture = target / RUNS / f'{digest}.png'
                write_atomically(picture, patch.read_bytes())
    for digest in {e.evaluation: None for e in index.entries if e.evaluation}:
        evaluation, curves = store.evaluation(digest), store.curves(digest)
        if evaluation is not None:
            records[f'{RUNS}/{digest}'] = evaluation
            if curves is not None and index.figure == 'f_beta':
                _keep_curves(curves, target / RUNS / f'{digest}.npz')
    # Last: what it names is there.
    records[f'{EXPERIMENTS}/{name}'] = index
    paths = [target / f'{path}.json' for path in records]
    for path, record in zip(paths, records.values(), strict=True):
        write_record(path, record)
    return paths


def _keep_curves(source: Path, target: Path) -> None:
    """The Threshold-F_beta curves of All, without the others."""
    with np.load(source, allow_pickle=False) as content:
        kept = {
            key: content[key]
            for key in content
            if re.search(r'/(margin_thresholds|all/F[0-9.]+)$', key)
        }
    write_atomically(target, lambda file: np.savez_compressed(file, **kept))


def _write_patch(record: AttackRecord, patch: Path, out: str | Path) -> list[Path]:
    """Write a patch and its record, which is its manifest."""
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    picture = target / f'{record.name}.png'
    where = manifest_path(picture)
    # An earlier manifest would not fit the picture until it is replaced.
    where.unlink(missing_ok=True)
    write_atomically(picture, patch.read_bytes())
    write_record(where, replace(record, files={'.png': file_digest(picture)}))
    return [picture, where]
