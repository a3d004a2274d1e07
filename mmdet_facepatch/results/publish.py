"""Publishing of finished patches, with a manifest that says how they came about."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..attack import load_patch, save_patch
from ..attack.manifest import KIND, manifest_path
from ..engine.attack_record import load_attack_record, summarise_record
from ..engine.digests import (
    by_content,
    content_digest,
    data_digest,
    detector_file_digest,
    file_digest,
)
from ..engine.experiment import DONE
from ..engine.manifest import describe_data, portable
from ..evaluation import load_report
from ..files import write_atomically
from .evidence import Evidence, Row

#: Version of the manifest.
SCHEMA_VERSION = 1
#: Keys of a config that say what an attack or a training is.
CONFIG_KEYS = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper',
               'param_scheduler', 'randomness')
PATCH_CONDITION = 'patch'
_REPORTED = re.compile(
    r'^((easy|medium|hard|all)/(AP|AF[^@]*|num_faces|(precision|recall|on_patch)'
    r'@(0\.99|calibrated))|calibrated_delta|num_images)$')


def run_config(folder: str | Path) -> Config:
    """The config of a run, as mmengine left it in the work dir.

    Args:
        folder: Work dir of an attack or of a training.

    Raises:
        FileNotFoundError: If there is not exactly one config.
    """
    found = sorted(Path(folder).glob('*.py'))
    if len(found) != 1:
        raise FileNotFoundError(
            f'{folder} should hold the one config of its run, but has '
            f'{[path.name for path in found] or "none"}')
    return Config.fromfile(str(found[0]))


def patch_manifest(folder: str | Path, root: str | Path, command: str,
                   report: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is to be known of a finished patch, without its files.

    Args:
        folder: Work dir of the attack, with ``patch.npy``, ``record.json`` and config.
        root: Folder of the repository, to which paths are relative.
        command: That makes the patch again.
        report: Main numbers of the patch by name, and what they are of.

    Returns:
        ``kind`` 'patch', ``command``, ``job`` (digest of all that an attack of an
        experiment depends on, None of another; ``--published`` of
        ``tools/experiment.py`` finds the patch by it), ``config``,
        ``config_digest``, ``detector`` (path of its config, checkpoint,
        ``weights_sha256``; of an ensemble a list),
        ``data`` (what is optimised on, with ``digest``), ``seed``, ``steps``,
        ``epochs``, ``seconds``, ``device``, ``versions``, ``convergence`` and
        ``report``.

    Raises:
        FileNotFoundError: If a part of the attack is missing.
    """
    cfg = run_config(folder).to_dict()
    record = load_attack_record(folder)
    config = {key: cfg.get(key) for key in CONFIG_KEYS}
    dataset = cfg['train_dataloader']['dataset']
    return portable(dict(
        schema_version=SCHEMA_VERSION, kind=KIND, command=command, job=_job(folder),
        **summarise_record(record), detector=_detectors(cfg['model']['detector']),
        data=dict(describe_data(dataset) or {}, digest=data_digest(dataset)),
        config_digest=content_digest(json.loads(json.dumps(by_content(config)))),
        report=report, convergence=dict(
            held_out_clean=record['held_out_clean'], epochs=record['epochs']),
        config=config), root)


def publish_patch(folder: str | Path, out: str | Path, name: str,
                  manifest: Mapping[str, Any]) -> list[Path]:
    """Write NAME.png, NAME.npy and NAME.json.

    Args:
        folder: Work dir of the attack.
        out: Made if it is not there.
        name: Of the files, without suffix.
        manifest: Of :func:`patch_manifest`; ``files`` is added, the SHA-256 of each
            file by its suffix, which reading the patch checks.

    Returns:
        The three files.
    """
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    files = [target / f'{name}{suffix}' for suffix in ('.png', '.npy')]
    where = manifest_path(files[0])
    # An earlier manifest would not fit the files until it is replaced.
    where.unlink(missing_ok=True)
    pixels = load_patch(Path(folder) / 'patch.npy')
    for path in files:
        save_patch(path, pixels)
    content = dict(manifest, name=name,
                   files={path.suffix: file_digest(path) for path in files})
    text = json.dumps(content, indent=1, allow_nan=False)
    write_atomically(where, f'{text}\n'.encode())
    return [*files, where]


def report_numbers(path: str | Path) -> dict[str, Any]:
    """Main numbers of a report's patch, or of its only condition.

    Args:
        path: A ``report.json``.

    Raises:
        ValueError: If it is not clear which condition is the patch.
    """
    conditions = load_report(path)['conditions']
    name = next(iter(conditions)) if len(conditions) == 1 else PATCH_CONDITION
    if name not in conditions:
        raise ValueError(f'{path} has the conditions {list(conditions)}; none of them '
                         f'is {PATCH_CONDITION!r}')
    numbers = conditions[name]['numbers']
    intervals = conditions[name]['intervals']
    keys = [key for key in numbers if _REPORTED.match(key)]
    return dict(
        condition=name, numbers={key: _null(numbers[key]) for key in keys},
        intervals={key: [_null(intervals[key].low), _null(intervals[key].high)]
                   for key in keys if key in intervals})


def published_name(row: Row) -> str:
    """File name of the patch of a table's row: its name, of plain characters."""
    return re.sub(r'[^a-z0-9]+', '_', row['name'].lower()).strip('_')


def publish_experiment(table: str | Path, work_dir: str | Path, out: str | Path,
                       root: str | Path) -> list[Path]:
    """Publish every attack of an experiment, each once.

    Args:
        table: Its ``table.json``.
        work_dir: Folder of all experiments.
        out: Where to write.
        root: Folder of the repository.

    Returns:
        All files.

    Raises:
        ValueError: If no attack is done, or two cells would have files of one name.
    """
    content = json.loads(Path(table).read_text(encoding='utf-8'))
    evidence = Evidence(work_dir, content['data'])
    rows: dict[str, Row] = {}
    for row in content['cells']:
        if row['attack_folder']:
            rows.setdefault(row['attack_folder'], row)
    if not rows:
        raise ValueError(f'{table}: no attack of this experiment is done')
    names = [published_name(row) for row in rows.values()]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f'{table}: cells whose files would all be named {twice}')
    written = []
    for row, name in zip(rows.values(), names, strict=True):
        command = f'{content["command"]} --cells {shlex.quote(row["name"])}'
        report = dict(
            detector=row['detector'], numbers=row['numbers'],
            intervals=row['intervals']) if row['folder'] else None
        folder = evidence.attack_folder(row)
        written += publish_patch(
            folder, out, name, patch_manifest(folder, root, command, report))
    return written


def _job(folder: str | Path) -> str | None:
    """Digest of an attack of an experiment, as the experiment names it."""
    path = Path(folder) / DONE
    return content_digest(json.loads(path.read_text())) if path.is_file() else None


def _detectors(detector: Any) -> Any:
    if isinstance(detector, (list, tuple)):
        return [_detectors(one) for one in detector]
    return dict(config=detector['config'], checkpoint=detector['checkpoint'],
                weights_sha256=detector_file_digest(detector['checkpoint']))


def _null(value: float) -> float | None:
    return None if value != value else value
