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

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..evaluation import load_report
from ..files import write_atomically
from .config import load_config
from .data_split import hold_out, image_ids, take_half
from .digests import (
    black_box_digest,
    by_content,
    content_digest,
    data_digest,
    detector_file_digest,
)
from .experiment_cells import check_cells, expand_seeds, matrix_cells
from .manifest import software_versions

# What a finished job leaves last, and what it says of its run.
DONE = 'done.json'
RUN = 'run.json'
CLEAN = 'clean'
PATCH = 'patch'
# Figures that need curves, pictures or detections of evaluations.
DRAWN_FROM_EVALUATIONS = ('f_beta', 'pictures', 'ranking')


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
    def digest(self) -> str:
        """Of its content; the folder's name ends with it."""
        return content_digest(self.identity)

    @property
    def done(self) -> bool:
        """Whether it has been run to its end, with this very content."""
        path = self.folder / DONE
        return (path.is_file() and json.loads(path.read_text()) == self.identity
                and (self.kind == 'attack' or self.predictions.is_file()))

    @property
    def predictions(self) -> Path:
        """The detections that an evaluation leaves, for paired comparisons."""
        condition = next(iter(self.config.test_cfg.conditions))
        return self.folder / 'predictions' / f'{condition}.npz'

    @property
    def arguments(self) -> list[str]:
        """Arguments of ``tools/attack.py``."""
        config = self.folder / 'job.py'
        common = [str(config), '--work-dir', str(self.folder)]
        if self.kind == 'attack':
            return [*common, '--no-report', '--resume']
        # The folder is named by its content: nothing else can be lost.
        return [*common, '--report-only', '--overwrite', '--save-predictions', 'npz']

    def prepare(self) -> None:
        """Make the folder, with the job's config."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path, content = self.folder / 'job.py', self.config.pretty_text.encode()
        # Another run of the same job may be reading it.
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)

    def finish(self, seconds: float | None = None,
               versions: Mapping[str, str] | None = None) -> None:
        """Mark it as done; only after its run has succeeded.

        Args:
            seconds: Time that the run took, of an interrupted one the last part.
            versions: Of the software that ran it, this machine's by default.
        """
        run = dict(versions=versions or software_versions(), seconds=seconds)
        write_atomically(self.folder / RUN, f'{json.dumps(run, indent=2)}\n'.encode())
        content = json.dumps(self.identity, indent=2, sort_keys=True)
        write_atomically(self.folder / DONE, f'{content}\n'.encode())


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
              ``half`` (0 or 1: every second training image), ``seed`` (of the
              noise that it starts from, and of the run) and ``options`` (keys of
              the attack config to override);
            - ``placement``: of attack and evaluation;
            - ``removed`` and ``scale``: how the patch is changed after that, see
              :meth:`PastePatch.set_patch`;
            - ``paper``: subset -> the paper's ``precision/recall``.

            A cell with neither ``patch`` nor ``attack`` is the clean images.

            In place of ``cells`` there may be a ``matrix``: ``patches`` (name ->
            keys of a cell) and ``detectors`` (names), each patch on each
            detector. ``seeds`` makes of every cell with an attack one for each
            seed. ``held_out`` takes that many images, spread evenly, out of the
            training set of all attacks and validates on them after every epoch.
        data: Config whose dataloaders and evaluators are used.
        root: Folder of all jobs.
        options: Keys to override in every job's config.
        seeds: In place of the config's.

    Raises:
        ValueError: If a cell has an unknown key, detector or method, both a
            patch and an attack, or a name that is taken.
    """

    def __init__(self, path: str, data: Config, root: str | Path,
                 options: dict | None = None,
                 seeds: Sequence[int] | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f'experiment config {path} does not exist')
        cfg = Config.fromfile(path)
        self.path = path
        self.title: str = cfg.title
        self.detectors: dict[str, dict] = cfg.detectors.to_dict()
        self.methods: dict[str, str] = cfg.attacks.to_dict()
        self.matrix: dict | None = cfg.to_dict().get('matrix')
        self.figure: str | None = cfg.get('figure')
        self.held_out: int = cfg.get('held_out') or 0
        self.configured_seeds = list(cfg.get('seeds', ()))
        self.seeds = self.configured_seeds if seeds is None else list(seeds)
        self.data, self.root, self.options = data, Path(root), options or {}
        # Rows of an earlier table by the name of their evaluation's folder.
        self._rows: dict[str, dict] = {}
        self._digests: dict[str, Any] = {}
        self._jobs: dict[str, Job] = {}
        cells: list[dict] = (matrix_cells(self.matrix) if self.matrix else
                             cfg.to_dict()['cells'])
        check_cells(cells, path, self.detectors, self.methods)
        self.cells = self.all_cells = expand_seeds(cells, self.seeds)

    def select(self, names: Iterable[str]) -> None:
        """Run the named cells only; tables still have all.

        Args:
            names: Of cells, or of what they were before they got seeds.

        Raises:
            ValueError: If there is no such cell.
        """
        wanted = list(names)
        known = [cell['name'] for cell in self.cells]
        groups = {cell.get('group') for cell in self.cells}
        unknown = [name for name in wanted if name not in known and name not in groups]
        if unknown:
            raise ValueError(f'{self.path} has no cell {unknown}; it has {known}')
        self.cells = [cell for cell in self.cells
                      if cell['name'] in wanted or cell.get('group') in wanted]

    def keep(self, table: str | Path) -> None:
        """Take rows of an earlier table in place of their evaluations.

        Those of the very same content, which has not to be run again.

        Args:
            table: A ``table.json``, of this experiment or of another.

        Raises:
            FileNotFoundError: If it does not exist.
            ValueError: If a figure of this experiment is drawn from what
                evaluations leave besides numbers.
        """
        if self.figure in DRAWN_FROM_EVALUATIONS:
            raise ValueError(
                f'{self.path} has a figure of what its evaluations leave, which '
                'tables do not have; run it without --kept')
        if not Path(table).is_file():
            raise FileNotFoundError(f'{table} does not exist: there are no kept rows')
        rows = json.loads(Path(table).read_text(encoding='utf-8'))['cells']
        self._rows.update({
            Path(row['folder']).name: row for row in rows if row['folder']})

    def kept_row(self, job: Job) -> dict | None:
        """The earlier row of an evaluation that is not done here, or None."""
        return None if job.done else self._rows.get(job.folder.name)

    def missing_weights(self) -> dict[str, str]:
        """What is not there, and what to do, by name of the cell that needs it."""
        found = {cell['name']: self._reason(cell) for cell in self.cells}
        return {name: reason for name, reason in found.items() if reason}

    def _reason(self, cell: dict) -> str | None:
        """Why a cell's detectors cannot be had, or None."""
        names = [(cell.get('attack') or {}).get('detector'), self._detector(cell)]
        reasons = [self._missing(name) for name in names if name]
        return next((reason for reason in reasons if reason), None)

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
            jobs.update({job.folder: job for job in found
                         if job is not None and not self.kept_row(job)})
        return list(jobs.values())

    def clean_job(self, detector: str) -> Job:
        """Evaluation of a detector on the clean images."""
        return self._kept(f'{CLEAN} {detector}', lambda: self._evaluation(
            f'{CLEAN} {detector}', detector, {CLEAN: None}, None))

    def attack_job(self, cell: dict) -> Job | None:
        """The attack whose patch a cell shows, or None."""
        if cell.get('attack') is None:
            return None
        return self._kept(json.dumps(cell, sort_keys=True),
                          lambda: self._attack(cell))

    def _attack(self, cell: dict) -> Job:
        attack = cell['attack']
        method = attack['method']
        cfg = load_config(self.methods[method], overlay=self.data)
        detector = attack.get('detector', self._detector(cell))
        self._set_model(cfg, detector, cell)
        if attack.get('init'):
            cfg.model.patch.init = attack['init']
        if 'seed' in attack:
            _set_seed(cfg, attack['seed'])
        if self.held_out:
            hold_out(cfg, self.held_out, self._ids)
        else:
            cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        if 'half' in attack:
            take_half(cfg.train_dataloader.dataset, attack['half'], self._ids)
        _record_course(cfg)
        cfg.merge_from_dict({**attack.get('options', {}), **self.options})
        keys = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler',
                'randomness')
        identity = self._identity(cfg, detector, 'train_dataloader', keys)
        name = f'{method} {detector} {cell["name"]}'
        return self._job('attack', name, f'{method}_{detector}', cfg, identity)

    def finished_attack(self, cell: dict) -> Job | None:
        """The attack of a cell if it has one that is done."""
        if self._reason(cell):
            return None
        attack = self.attack_job(cell)
        return attack if attack is not None and attack.done else None

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
        row = self.kept_row(clean)
        delta = (row['numbers'] if row else load_numbers(clean))['calibrated_delta']
        # Tables have null for NaN.
        delta = math.nan if delta is None else delta
        return self._evaluation(
            cell['name'], detector, {PATCH: {**patch, **changes}}, delta, cell)

    def ready_evaluations(self) -> list[Job]:
        """Evaluations of the cells whose first jobs are done, each once."""
        jobs = [self.evaluation_job(cell) for cell in self.cells if self._ready(cell)]
        return list({job.folder: job for job in jobs
                     if not self.kept_row(job)}.values())

    def kept_rows(self) -> dict[str, dict]:
        """Earlier row by name of the cell, of cells that are not done here."""
        rows = {cell['name']: self.kept_row(self.evaluation_job(cell))
                for cell in self.all_cells if self._ready(cell)}
        return {name: row for name, row in rows.items() if row}

    def finished(self) -> dict[str, Job]:
        """Evaluation by name of the cell, of the cells that are done."""
        jobs = {cell['name']: self.evaluation_job(cell) for cell in self.all_cells
                if self._ready(cell)}
        return {name: job for name, job in jobs.items() if job.done}

    def _ready(self, cell: dict) -> bool:
        if self._reason(cell):
            return False
        attack = self.attack_job(cell)
        clean = self.clean_job(self._detector(cell))
        return bool(clean.done or self.kept_row(clean)) and (
            attack is None or attack.done)

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
        return json.loads(json.dumps(by_content(identity)))

    def _weights(self, detector: dict) -> str:
        """Digest of a detector's checkpoint, or of the weights that it brings."""
        checkpoint = detector.get('checkpoint')
        if checkpoint is None:
            return self._digest(detector['config'], black_box_digest)
        return self._digest(checkpoint, detector_file_digest)

    def _digest(self, source: Any, function: Any) -> Any:
        key = f'{function.__name__} {json.dumps(source, sort_keys=True)}'
        if key not in self._digests:
            self._digests[key] = function(source)
        return self._digests[key]

    def _ids(self, dataset: dict) -> list[str]:
        return self._digest(dataset, image_ids)

    def _kept(self, key: str, make: Callable[[], Job]) -> Job:
        """A job is made once: its config is read, and parts of the data."""
        if key not in self._jobs:
            self._jobs[key] = make()
        return self._jobs[key]

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


def load_numbers(job: Job) -> dict[str, float]:
    """Numbers of an evaluation that is done.

    Raises:
        FileNotFoundError: If it is not.
    """
    report = load_report(job.folder / 'report.json')
    return next(iter(report['conditions'].values()))['numbers']


def _set_seed(cfg: Config, seed: int) -> None:
    """Seed the run, and the noise that the patch starts from, if it does."""
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    init = dict(cfg.model.patch.get('init') or dict(type='noise'))
    if init.get('type') == 'noise':
        cfg.model.patch.init = dict(init, seed=seed)


def _record_course(cfg: Config) -> None:
    """See to it that the attack leaves its course, whatever its config names."""
    hooks = list(cfg.get('custom_hooks') or [])
    if not any(hook['type'] == 'AttackRecordHook' for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type='AttackRecordHook')]
