"""Grids of attacks and evaluations, as the paper's tables and figures need them.

An experiment is a list of *cells*. A cell says what is pasted (nothing, an init
that is not optimised, or a patch that an attack optimises), where, and on which
detector it is evaluated. From the cells follow *jobs*: the attacks, one evaluation
of the clean images for each detector (its calibrated delta is used for all
others), and one evaluation for each cell. A job is a normal run of
``tools/attack.py`` with a config and a work dir of its own. Cells that need the
same attack share it, also over experiments, because a job's folder is named by
its content: config, detector, data and patch.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader

from ..attack import build_frozen_detector, detector_digest
from ..evaluation import load_report
from ..files import write_atomically
from .config import load_config

# What a finished job leaves last.
DONE = 'done.json'
CLEAN = 'clean'
PATCH = 'patch'


@dataclass(frozen=True)
class Job:
    """One run of ``tools/attack.py``.

    Attributes:
        kind: 'attack' or 'evaluation'.
        name: What it is, for people.
        folder: Its work dir, named by its content.
        config: Its config, without work dir.
        identity: What the folder's name was made from.
    """

    kind: str
    name: str
    folder: Path
    config: Config
    identity: Mapping[str, Any] = field(repr=False)

    @property
    def done(self) -> bool:
        """Whether it has been run to its end, with this very content."""
        path = self.folder / DONE
        return path.is_file() and json.loads(path.read_text()) == self.identity

    @property
    def arguments(self) -> list[str]:
        """Arguments of ``tools/attack.py``."""
        config = self.folder / 'job.py'
        common = [str(config), '--work-dir', str(self.folder)]
        if self.kind == 'attack':
            return [*common, '--no-report', '--resume']
        # The folder is named by its content: nothing else can be lost.
        return [*common, '--report-only', '--overwrite']

    def prepare(self) -> None:
        """Make the folder, with the job's config."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.dump(str(self.folder / 'job.py'))

    def finish(self) -> None:
        """Mark it as done; only after its run has succeeded."""
        content = json.dumps(self.identity, indent=2, sort_keys=True)
        write_atomically(self.folder / DONE, f'{content}\n'.encode())


def content_digest(content: Any) -> str:
    """12 hexadecimal digits of what a job depends on, as canonical JSON."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def data_digest(dataset: dict) -> str:
    """SHA-256 of what a data set holds: images by name and size, and faces.

    Args:
        dataset: mmdet config of the data set.

    Returns:
        64 hexadecimal digits. The pipeline does not count; it stands in the
        config.
    """
    with DefaultScope.overwrite_default_scope('mmdet'):
        built = DATASETS.build(dict(copy.deepcopy(dataset), pipeline=[]))
    digest = hashlib.sha256()
    for index in range(len(built)):
        info = built.get_data_info(index)
        faces = [[float(v) for v in face['bbox']] for face in info['instances']]
        size = Path(info['img_path']).stat().st_size
        digest.update(json.dumps([str(info['img_id']), size, faces]).encode())
    return digest.hexdigest()


def detector_file_digest(checkpoint: str) -> str:
    """SHA-256 of a checkpoint, also of one that is named by a scheme or URL."""
    if Path(checkpoint).is_file():
        return file_digest(checkpoint)
    state = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    state = state.get('state_dict', state)
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().numpy().tobytes())
    return digest.hexdigest()


def black_box_digest(config: str) -> str:
    """SHA-256 of the weights that a black box brings.

    Args:
        config: Path of its config.

    Raises:
        ImportError: If the package with the weights is not installed.
    """
    return detector_digest(build_frozen_detector(config))


class Experiment:
    """One experiment on one data set.

    Args:
        path: Experiment config, see ``configs/experiments/``. It has ``title``,
            ``detectors`` (name -> ``config`` and ``checkpoint``, None for a black
            box), ``attacks`` (method -> attack config), and ``cells``, each with
            ``name`` and optionally

            - ``detector``: name of the one it is evaluated on, the first by
              default;
            - ``patch``: an init that is pasted as it is, or
            - ``attack``: ``method``, and optionally ``detector``, ``init``,
              ``half`` (0 or 1: every second training image) and ``options``
              (keys of the attack config to override);
            - ``placement``: of attack and evaluation;
            - ``removed`` and ``scale``: how the patch is changed after that, see
              :meth:`PastePatch.set_patch`;
            - ``paper``: subset -> the paper's ``precision/recall``.

            A cell with neither ``patch`` nor ``attack`` is the clean images.

            In place of ``cells`` there may be a ``matrix``: ``patches`` (name ->
            keys of a cell) and ``detectors`` (names), each patch on each
            detector.
        data: Config whose dataloaders and evaluators are used.
        root: Folder of all jobs.
        options: Keys to override in every job's config.

    Raises:
        ValueError: If a cell has an unknown key, detector or method, both a
            patch and an attack, or a name that is taken.
    """

    CELL_KEYS = frozenset({'name', 'detector', 'patch', 'attack', 'placement',
                           'removed', 'scale', 'paper'})
    ATTACK_KEYS = frozenset({'method', 'detector', 'init', 'half', 'options'})

    def __init__(self, path: str, data: Config, root: str | Path,
                 options: dict | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f'experiment config {path} does not exist')
        cfg = Config.fromfile(path)
        self.path = path
        self.title: str = cfg.title
        self.detectors: dict[str, dict] = cfg.detectors.to_dict()
        self.methods: dict[str, str] = cfg.attacks.to_dict()
        self.matrix: dict | None = cfg.to_dict().get('matrix')
        self.cells: list[dict] = (
            _matrix_cells(self.matrix) if self.matrix else
            [dict(cell) for cell in cfg.to_dict()['cells']])
        self.figure: str | None = cfg.get('figure')
        self.data, self.root, self.options = data, Path(root), options or {}
        self._digests: dict[str, str] = {}
        self._check_cells()

    def select(self, names: Iterable[str]) -> None:
        """Keep the named cells only.

        Raises:
            ValueError: If there is no such cell.
        """
        wanted = list(names)
        known = [cell['name'] for cell in self.cells]
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise ValueError(f'{self.path} has no cell {unknown}; it has {known}')
        self.cells = [cell for cell in self.cells if cell['name'] in wanted]

    def missing_weights(self) -> dict[str, str]:
        """What is not there, and what to do, by name of the cell that needs it."""
        found = {}
        for cell in self.cells:
            attack = cell.get('attack') or {}
            for name in (attack.get('detector'), self._detector(cell)):
                reason = self._missing(name) if name else None
                if reason:
                    found[cell['name']] = reason
        return found

    def _missing(self, name: str) -> str | None:
        """Why a detector's weights cannot be had, or None."""
        detector = self.detectors[name]
        checkpoint = detector.get('checkpoint')
        if checkpoint is None:
            try:
                self._weights(detector)
            except ImportError as error:
                return str(error)
        elif '://' not in checkpoint and not Path(checkpoint).is_file():
            return f'there is no checkpoint {checkpoint}; train it first'
        return None

    def first_jobs(self) -> list[Job]:
        """Jobs that wait for no other: clean images and attacks, each once."""
        jobs: dict[Path, Job] = {}
        missing = self.missing_weights()
        for cell in self.cells:
            if cell['name'] in missing:
                continue
            found = [self.clean_job(self._detector(cell)), self.attack_job(cell)]
            jobs.update({job.folder: job for job in found if job is not None})
        return list(jobs.values())

    def clean_job(self, detector: str) -> Job:
        """Evaluation of a detector on the clean images."""
        return self._evaluation(f'{CLEAN} {detector}', detector, {CLEAN: None}, None)

    def attack_job(self, cell: dict) -> Job | None:
        """The attack whose patch a cell shows, or None."""
        attack = cell.get('attack')
        if attack is None:
            return None
        method = attack['method']
        cfg = load_config(self.methods[method], overlay=self.data)
        detector = attack.get('detector', self._detector(cell))
        self._set_model(cfg, detector, cell)
        if attack.get('init'):
            cfg.model.patch.init = attack['init']
        # The cells are what is measured; nothing is held out meanwhile.
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        if 'half' in attack:
            _take_half(cfg.train_dataloader.dataset, attack['half'])
        cfg.merge_from_dict({**attack.get('options', {}), **self.options})
        keys = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler',
                'randomness')
        identity = self._identity(cfg, detector, 'train_dataloader', keys)
        name = f'{method} {detector} {cell["name"]}'
        return self._job('attack', name, f'{method}_{detector}', cfg, identity)

    def evaluation_job(self, cell: dict) -> Job:
        """Evaluation of a cell; its first jobs have to be done.

        Raises:
            FileNotFoundError: If they are not.
        """
        detector = self._detector(cell)
        clean = self.clean_job(detector)
        attack = self.attack_job(cell)
        if attack is None and cell.get('patch') is None:
            return clean
        patch: Any = cell.get('patch')
        if attack is not None:
            patch = dict(type='file', path=str(attack.folder / 'patch.npy'))
        changes = {key: cell[key] for key in ('removed', 'scale') if key in cell}
        delta = load_numbers(clean)['calibrated_delta']
        return self._evaluation(
            cell['name'], detector, {PATCH: {**patch, **changes}}, delta, cell)

    def ready_evaluations(self) -> list[Job]:
        """Evaluations of the cells whose first jobs are done, each once."""
        jobs = [self.evaluation_job(cell) for cell in self.cells if self._ready(cell)]
        return list({job.folder: job for job in jobs}.values())

    def finished(self) -> dict[str, Job]:
        """Evaluation by name of the cell, of the cells that are done."""
        jobs = {cell['name']: self.evaluation_job(cell) for cell in self.cells
                if self._ready(cell)}
        return {name: job for name, job in jobs.items() if job.done}

    def _ready(self, cell: dict) -> bool:
        if cell['name'] in self.missing_weights():
            return False
        attack = self.attack_job(cell)
        clean = self.clean_job(self._detector(cell))
        return clean.done and (attack is None or attack.done)

    def _evaluation(self, name: str, detector: str, conditions: dict,
                    delta: float | None, cell: dict | None = None) -> Job:
        cfg = load_config(next(iter(self.methods.values())), overlay=self.data)
        self._set_model(cfg, detector, cell or {})
        cfg.test_cfg.conditions = conditions
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        if delta is not None:
            # A config file has no NaN, which says that there was none.
            cfg.test_evaluator.reference_delta = 'nan' if math.isnan(delta) else delta
        keys = ('test_dataloader', 'test_evaluator', 'test_cfg')
        cfg.merge_from_dict(self.options)
        identity = self._identity(cfg, detector, 'test_dataloader', keys)
        slug = f'{next(iter(conditions))}_{detector}'
        return self._job('evaluation', name, slug, cfg, identity)

    def _set_model(self, cfg: Config, detector: str, cell: dict) -> None:
        cfg.model.detector = dict(
            config=self.detectors[detector]['config'],
            checkpoint=self.detectors[detector].get('checkpoint'))
        if cell.get('placement'):
            own = cfg.model.get('placement') or dict(type='PatchPlacement')
            cfg.model.placement = dict(own, **cell['placement'])

    def _identity(self, cfg: Config, detector: str, loader: str,
                  keys: Sequence[str]) -> dict[str, Any]:
        content = cfg.to_dict()
        model = dict(content['model'])
        # Paths differ between machines; what they hold is what counts.
        paths = model.pop('detector')
        identity = {key: content.get(key) for key in keys}
        if loader == 'test_dataloader':
            # Of a test only: no candidates are read, nothing is optimised.
            model = {key: model.get(key) for key in (
                'placement', 'compositor', 'tta_model', 'channel_order')}
        identity.update(
            model=model,
            detector=Config.fromfile(paths['config']).to_dict()['model'],
            weights=self._weights(paths),
            data=self._digest(content[loader]['dataset'], data_digest))
        return json.loads(json.dumps(_by_content(identity)))

    def _weights(self, detector: dict) -> str:
        """Digest of a detector's checkpoint, or of the weights that it brings."""
        checkpoint = detector.get('checkpoint')
        if checkpoint is None:
            return self._digest(detector['config'], black_box_digest)
        return self._digest(checkpoint, detector_file_digest)

    def _digest(self, source: Any, function: Any) -> str:
        key = json.dumps(source, sort_keys=True)
        if key not in self._digests:
            self._digests[key] = function(source)
        return self._digests[key]

    def _job(self, kind: str, name: str, slug: str, cfg: Config,
             identity: dict) -> Job:
        # No name of a cell: cells of any experiment may share the job.
        folder = self.root / kind / f'{slug}-{content_digest(identity)}'
        return Job(kind, name, folder, cfg, identity)

    @property
    def default_detector(self) -> str:
        """The detector of cells that name none: the first."""
        return next(iter(self.detectors))

    def _detector(self, cell: dict) -> str:
        return cell.get('detector', self.default_detector)

    def _check_cells(self) -> None:
        seen = set()
        for cell in self.cells:
            name = cell.get('name')
            if not name or name in seen:
                raise ValueError(f'{self.path}: each cell needs a name of its own; '
                                 f'{name!r} is missing or taken')
            seen.add(name)
            attack = cell.get('attack') or {}
            unknown = (set(cell) - self.CELL_KEYS) | (set(attack) - self.ATTACK_KEYS)
            if unknown:
                raise ValueError(f'{self.path}: cell {name!r} has unknown keys '
                                 f'{sorted(unknown)}')
            if attack and cell.get('patch'):
                raise ValueError(f'{self.path}: cell {name!r} has a patch and an '
                                 'attack; which one is pasted?')
            for detector in (cell.get('detector'), attack.get('detector')):
                if detector is not None and detector not in self.detectors:
                    raise ValueError(f'{self.path}: cell {name!r} names the detector '
                                     f'{detector!r}; there are {list(self.detectors)}')
            if attack and attack.get('method') not in self.methods:
                raise ValueError(
                    f'{self.path}: cell {name!r} names the method '
                    f'{attack.get("method")!r}; there are {list(self.methods)}')


def matrix_cell(patch: str, detector: str) -> str:
    """Name of the cell of a patch on a detector."""
    return f'{patch} on {detector}'


def _matrix_cells(matrix: dict) -> list[dict]:
    return [
        dict(cell, name=matrix_cell(patch, detector), detector=detector)
        for patch, cell in matrix['patches'].items()
        for detector in matrix['detectors']]


def load_numbers(job: Job) -> dict[str, float]:
    """Numbers of an evaluation that is done.

    Raises:
        FileNotFoundError: If it is not.
    """
    report = load_report(job.folder / 'report.json')
    return next(iter(report['conditions'].values()))['numbers']


def _by_content(value: Any) -> Any:
    """Files, such as patches and photographs, by their digest, not their path."""
    if isinstance(value, dict):
        return {key: file_digest(item) if key == 'path' and Path(item).is_file()
                else _by_content(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_by_content(item) for item in value]
    return value


def _take_half(dataset: dict, half: int) -> None:
    """Every second image, from the first (0) or the second (1)."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        built = DATASETS.build(dict(copy.deepcopy(dict(dataset)), pipeline=[]))
    dataset['indices'] = list(range(half, len(built), 2))
