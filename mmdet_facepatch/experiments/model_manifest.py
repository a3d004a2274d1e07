"""Publishing of weights, with a manifest of what they were trained on and measure."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import zoo
from ..datasets.describe import data_digest, describe_data
from ..evaluation import load_report
from ..utils.digests import content_digest, file_digest
from ..utils.json_files import read_json, to_json, write_json
from ..utils.provenance import portable, software_versions
from ..utils.safe_loading import SafeCheckpointLoader, read_checkpoint
from ..utils.tables import markdown_table
from .finish import CONFIG_KEYS, SUBSETS, report_numbers, run_config
from .tables import pair

#: Version of the manifest.
SCHEMA_VERSION = 1
KIND = 'model'


def publish_model(
    checkpoint: str | Path,
    out: Path,
    root: str | Path,
    command: str,
    report: str | Path | None = None,
) -> dict[str, Any] | None:
    """Reduce a training checkpoint to float16 weights that hold nothing to unpickle.

    Args:
        checkpoint (str | Path): In the work dir of its training.
        out (Path): File to write, NAME.pth. In the folder of the package's weights its
            digest is recorded.
        root (str | Path): Folder of the repository, to which paths are relative.
        command (str): That publishes the weights.
        report (str | Path, optional): ``report.json`` of tools/test.py with this
            checkpoint, for the manifest NAME.json. Defaults to None, no manifest.

    Returns:
        dict[str, Any], optional: The manifest (:func:`model_manifest`), with ``name``
        and ``files``, the SHA-256 by suffix.

    Raises:
        FileNotFoundError: If config or logs of the training are missing.
        ValueError: If the report is of another checkpoint; nothing is written.
    """
    content = SafeCheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')
    known = content['meta']
    meta = {key: known[key] for key in ('epoch', 'iter', 'seed') if key in known}
    manifest = report and model_manifest(checkpoint, meta, report, root, command)
    out.parent.mkdir(parents=True, exist_ok=True)
    # mmdet's inferencers name what they find by it.
    classes = tuple((known.get('dataset_meta') or {}).get('classes') or zoo.CLASSES)
    saved = dict(meta, dataset_meta=dict(classes=classes))
    zoo.save_checkpoint(content['state_dict'], out, saved)
    if out.parent.resolve() == zoo.FOLDER.resolve():
        zoo.record_digest(out.stem)
    if not manifest:
        return None
    manifest = dict(manifest, name=out.stem, files={out.suffix: file_digest(out)})
    write_json(out.with_suffix('.json'), manifest)
    return manifest


def model_manifest(
    checkpoint: str | Path,
    meta: Mapping[str, Any],
    report: str | Path,
    root: str | Path,
    command: str,
) -> dict[str, Any]:
    """What is to be known of trained weights, without their files.

    Arguments are as in :func:`publish_model`; ``meta`` is of the checkpoint.

    Returns:
        dict[str, Any]: ``kind`` 'model', ``command``, ``config`` and ``config_digest``,
        ``data`` (what is trained on, with ``digest``), ``iter``, ``epoch``, ``seed``,
        ``seconds`` of the training steps up to it, ``before`` (a list of the trainings
        whose weights it started from, the first one first, each with ``checkpoint``,
        ``iter``, ``seconds``, and ``sha256`` of weights of the package), ``versions``
        (of the software that publishes), and ``report``: main numbers with their
        intervals, ``scales``, and the data they are of.

    Raises:
        FileNotFoundError: If config or logs are missing.
        ValueError: If the report is of another checkpoint.
    """
    cfg = run_config(Path(checkpoint).parent).to_dict()
    config = {key: cfg.get(key) for key in CONFIG_KEYS}
    dataset = cfg['train_dataloader']['dataset']
    protocol = load_report(report)['protocol']
    tested = protocol['checkpoint']
    # Of a black box the report names none.
    if Path(tested or '').resolve() != Path(checkpoint).resolve():
        raise ValueError(f'{report} is of {tested}, not of {checkpoint}')
    manifest = dict(
        schema_version=SCHEMA_VERSION,
        kind=KIND,
        command=command,
        **meta,
        seconds=training_seconds(Path(checkpoint).parent, meta.get('iter')),
        before=trainings_before(checkpoint),
        data=dict(describe_data(dataset) or {}, digest=data_digest(dataset)),
        versions=software_versions(),
        report=dict(
            report_numbers(report), scales=protocol['scales'], data=protocol['dataset']
        ),
        config_digest=content_digest(to_json(config)),
        config=config,
    )
    return portable(manifest, root)


def trainings_before(checkpoint: str | Path) -> list[dict[str, Any]]:
    """Trainings that a chain of ``load_from`` started from.

    The chain is read from the configs that mmengine keeps in checkpoints: that of a
    work dir may be of a later run, a resumed one or a test. A chain that begins with
    weights of the package goes on with the trainings in their manifest, and their
    ``sha256`` is told: publish before weights of that name are replaced.

    Raises:
        FileNotFoundError: If a checkpoint or the logs beside it are missing.
    """
    start = _started_from(checkpoint)
    # A resumed run started from a checkpoint of its own.
    while start and Path(start).parent.resolve() == Path(checkpoint).parent.resolve():
        start = _started_from(start)
    if not start:
        return []
    if start.startswith(zoo.SCHEME):
        manifest = read_json(zoo.checkpoint_path(start).with_suffix('.json'))
        own = {key: manifest[key] for key in ('iter', 'seconds')}
        own['sha256'] = manifest['files']['.pth']
        return [*manifest['before'], dict(checkpoint=start, **own)]
    steps = read_checkpoint(start)['meta']['iter']
    seconds = training_seconds(Path(start).parent, steps)
    own = dict(checkpoint=start, iter=steps, seconds=seconds)
    return [*trainings_before(start), own]


def _started_from(checkpoint: str | Path) -> str | None:
    """``load_from`` in a checkpoint's config, which is parsed and not run."""
    text = read_checkpoint(checkpoint)['meta'].get('cfg') or ''
    for statement in ast.parse(text).body:
        match statement:
            case ast.Assign([ast.Name('load_from')], ast.Constant(str(start))):
                return start
    return None


def training_seconds(folder: str | Path, until: int | None = None) -> float:
    """Seconds that the logged training steps of a work dir took, of all its runs.

    From mmengine's ``*/vis_data/scalars.json``, whose ``time`` is the mean over the
    steps since the line before; steps after ``until`` do not count. Wall time: a
    process that is stopped and goes on counts the pause.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a line of it is no JSON.
    """
    logs = sorted(Path(folder).glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(
            f'{folder}: no */vis_data/scalars.json; publish from '
            'the work dir of the training'
        )
    # A resumed run repeats steps of the one before; its line of a step is kept.
    steps: dict[int, float] = {}
    for log in logs:
        for number, text in enumerate(log.read_text(encoding='utf-8').splitlines(), 1):
            try:
                line = json.loads(text)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f'{log}, line {number} is no JSON ({error}); remove '
                    'it if its run was cut off'
                ) from error
            if 'time' in line and 'loss' in line:
                steps[line['step']] = line['time']
    ends = sorted(steps)
    last = math.inf if until is None else until
    return sum(
        steps[end] * (min(end, last) - start)
        for start, end in zip([0, *ends], ends, strict=False)
        if start < last
    )


def model_table(manifest: Mapping[str, Any]) -> str:
    """The numbers of a manifest as a card shows them, in Markdown."""
    report = manifest['report']
    numbers, intervals = report['numbers'], report['intervals']
    rows = {'faces': [f'{numbers[f"{subset}/num_faces"]:,.0f}' for subset in SUBSETS]}
    rows['AP'] = [f'{numbers[f"{subset}/AP"]:.3f}' for subset in SUBSETS]
    rows['95 % interval'] = [
        '{:.3f} to {:.3f}'.format(*intervals[f'{subset}/AP']) for subset in SUBSETS
    ]
    delta = numbers['calibrated_delta']
    named = f'calibrated delta, {"-" if delta is None else format(delta, ".4f")}'
    for title, at in (('delta 0.99', '0.99'), (named, 'calibrated')):
        rows[title] = [pair(numbers, subset, at) for subset in SUBSETS]
    return markdown_table(
        ['', *(subset.title() for subset in SUBSETS)],
        [[name, *cells] for name, cells in rows.items()],
    )
