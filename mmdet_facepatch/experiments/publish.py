"""Publishing: finished patches with their manifests, and results to keep."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
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
        out (str | Path): Where to write; made if it is not there.
        name (str): Of the files, without suffix.
        root (str | Path): Folder of the repository, to which paths are relative.
        report (str | Path, optional): ``report.json`` whose main numbers the manifest
            has; by default that of the work dir, if it has one.
        command (str, optional): That makes the patch again; by default
            ``tools/attack.py`` with the config of the work dir.

    Returns:
        list[Path]: Both files.

    Raises:
        FileNotFoundError: If a part of the attack, or the report, is missing.
    """
    source = Path(folder)
    path = Path(report or source / 'report.json')
    numbers = report_numbers(path) if report or path.is_file() else None
    config = portable(Path(run_config(source).filename).absolute(), root)
    plan = source / PLAN
    record = attack_record(
        source, root, read_json(plan)['digest'] if plan.is_file() else None
    )
    return _write_patch(
        record,
        source / 'patch.png',
        out,
        name,
        command or shlex.join(['python', 'tools/attack.py', config]),
        numbers,
    )


def publish_experiment(
    config: str | Path,
    out: str | Path,
    root: str | Path,
    data: str | None = None,
    work_dir: str | Path = 'work_dirs',
) -> list[Path]:
    """Publish every finished attack of an experiment, each once.

    Args:
        config (str | Path): Of the experiment.
        out (str | Path): Where to write; made if it is not there.
        root (str | Path): Folder of the repository, to which paths are relative.
        data (str, optional): Name of the data, or path of its config; by default that
            of the experiment's config.
        work_dir (str | Path): Of experiments, with the index of this one. Defaults to
            'work_dirs'.

    Returns:
        list[Path]: All files.

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
    for (digest, entry), file_name in zip(entries.items(), names, strict=True):
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
        written += _write_patch(record, patch, out, file_name, command, report)
    return written


def published_name(name: str) -> str:
    """File name of the patch of an entry: its name, of plain characters."""
    return re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')


def keep_experiment(name: str, work_dir: str | Path, results: str | Path) -> list[Path]:
    """Copy what an experiment's tables rest on into the results that are kept.

    The index, the record of each finished run, the picture of each patch that is not
    published with the package, and the curves that its figure is drawn from. Pictures
    of the experiment are left to the caller, who may have to reduce them.

    Args:
        name (str): Of :func:`~mmdet_facepatch.experiments.index.experiment_name`.
        work_dir (str | Path): Of experiments.
        results (str | Path): As ``.results`` of the repository.

    Returns:
        list[Path]: Files that were written.

    Raises:
        FileNotFoundError: If the experiment was not run.
    """
    target = Path(results)
    source = Path(work_dir) / EXPERIMENTS / f'{name}.json'
    index = read_record(source, ExperimentIndex)
    store = RunStore([Path(work_dir) / RUNS])
    for part in (RUNS, EXPERIMENTS):
        (target / part).mkdir(parents=True, exist_ok=True)
    published = RunStore.default(target, target)
    written = []
    for digest in dict.fromkeys(e.attack for e in index.entries if e.attack):
        attack = store.attack(digest)
        if attack is not None and not published.finished(digest):
            path = target / RUNS / f'{digest}.json'
            patch = store.patch(digest)
            if patch is not None:
                write_atomically(path.with_suffix('.png'), patch.read_bytes())
            write_record(path, attack)
            written.append(path)
    for digest in dict.fromkeys(e.evaluation for e in index.entries if e.evaluation):
        evaluation = store.evaluation(digest)
        if evaluation is not None:
            path = target / RUNS / f'{digest}.json'
            curves = store.curves(digest) if index.figure == 'f_beta' else None
            if curves is not None:
                _keep_curves(curves, path.with_suffix('.npz'))
            write_record(path, evaluation)
            written.append(path)
    write_record(target / EXPERIMENTS / f'{name}.json', index)
    return [*written, target / EXPERIMENTS / f'{name}.json']


def _keep_curves(source: Path, target: Path) -> None:
    """The Threshold-F_beta curves of All, without the others."""
    with np.load(source, allow_pickle=False) as content:
        kept = {
            key: content[key]
            for key in content
            if re.search(r'/(margin_thresholds|all/F[0-9.]+)$', key)
        }
    write_atomically(target, lambda file: np.savez_compressed(file, **kept))


def _write_patch(
    record: AttackRecord,
    patch: Path,
    out: str | Path,
    name: str,
    command: str,
    report: Mapping[str, Any] | None,
) -> list[Path]:
    """Write a patch and its record, which is its manifest."""
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    picture = target / f'{name}.png'
    where = manifest_path(picture)
    # An earlier manifest would not fit the picture until it is replaced.
    where.unlink(missing_ok=True)
    write_atomically(picture, patch.read_bytes())
    files = {'.png': file_digest(picture)}
    write_record(
        where, replace(record, name=name, command=command, report=report, files=files)
    )
    return [picture, where]
