"""The runs that an experiment consists of, each with its config and its digest."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from mmdet.registry import METRICS
from mmengine.config import Config

from ..attack import load_patch
from ..attack.detector_config import read_detector_config
from ..attack.frozen_detector import black_box_digest, detector_file_digest
from ..datasets.describe import data_digest
from ..engine.config import load_config
from ..engine.pipelines import complete_pipelines
from ..evaluation import Reference
from ..evaluation.metrics.calibrated_metric import CalibratedMetric
from ..evaluation.report import SCHEMA_VERSION as REPORT_VERSION
from ..utils.digests import by_content, content_digest
from .data_split import hold_out, image_ids, take_half
from .records import ATTACK, EVALUATION
from .spec import AttackSpec, EntrySpec, ExperimentSpec
from .store import RunStore

CLEAN, PATCH = 'clean', 'patch'
HISTORY_HOOK = 'AttackHistoryHook'
# Parts of a config that an attack, and an evaluation, depends on besides its model.
ATTACK_KEYS = ('train_cfg', 'optim_wrapper', 'param_scheduler', 'randomness')
EVALUATION_KEYS = ('test_evaluator', 'test_cfg')
# Of a model in a test: no candidates are read, nothing is optimised.
TESTED_MODEL = ('placement', 'compositor', 'tta_model', 'channel_order', 'target')
Value = TypeVar('Value')


@dataclass(frozen=True)
class Run:
    """One attack or evaluation: a run of ``tools/attack.py``."""

    kind: str  # ATTACK or EVALUATION
    name: str  # for people
    digest: str  # of all that it depends on
    config: Config = field(repr=False)  # what other runs leave is filled in later
    weights: str = field(repr=False)  # SHA-256 of the detector's
    data: str = field(repr=False)  # SHA-256 of its images and faces
    attack: str | None = None  # digest of the attack whose patch is pasted
    # Digest of the evaluation of the clean images, whose `Reference` is used.
    reference: str | None = None

    def is_ready(self, store: RunStore) -> bool:
        """Whether the runs that it needs are finished."""
        return all(
            store.finished(digest) for digest in (self.attack, self.reference) if digest
        )


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment."""

    runs: Mapping[str, Run]  # by digest, each once, attacks and clean images first
    evaluations: Mapping[str, Run]  # by name of the entry
    missing: Mapping[str, str]  # why an entry cannot be run, and what to do

    @property
    def attacks(self) -> dict[str, Run]:
        """By name of the entry, where it has one."""
        runs = self.evaluations.items()
        return {name: self.runs[run.attack] for name, run in runs if run.attack}

    def of(self, names: set[str]) -> dict[str, Run]:
        """Runs that the named entries need, by digest."""
        runs = [self.evaluations[name] for name in names & set(self.evaluations)]
        wanted = {d for run in runs for d in (run.digest, run.attack, run.reference)}
        return {digest: run for digest, run in self.runs.items() if digest in wanted}


def _once(method: Callable[..., Value]) -> Callable[..., Value]:
    """Once for each planner and arguments; of data sets the pipeline is no matter."""

    @wraps(method)
    def remembered(self: Planner, argument: Any) -> Value:
        if isinstance(argument, Mapping):
            argument = {k: v for k, v in argument.items() if k != 'pipeline'}
        key = f'{method.__name__} {argument}'
        if key not in self._known:
            self._known[key] = method(self, argument)
        return self._known[key]

    return remembered


class Planner:
    """Makes runs of entries.

    Entries that need the same attack share it, also over experiments: a run is named
    by the digest of its content. What counts is the config, the weights, the images
    and faces, and the pixels of files, not their paths. A patch that is optimised
    counts by the digest of its attack, and the reference by that of the clean images'
    evaluation, so that all digests are known before anything is run.

    Args:
        spec (ExperimentSpec): What is asked for.
        data (Config): Config whose dataloaders and evaluators are used.
    """

    def __init__(self, spec: ExperimentSpec, data: Config) -> None:
        self.spec, self.data = spec, data
        self._known: dict[str, Any] = {}

    def plan(self) -> Plan:
        """All runs; entries whose weights are not there have none."""
        first: dict[str, Run] = {}
        evaluations: dict[str, Run] = {}
        missing: dict[str, str] = {}
        for entry in self.spec.entries:
            detectors = filter(None, (entry.attacked, entry.detector))
            reason = next(filter(None, map(self._missing, detectors)), None)
            if reason:
                missing[entry.name] = reason
                continue
            clean = self._clean_run(entry.detector)
            first[clean.digest] = clean
            if entry.attack is not None:
                attack = self._attack_run(entry, entry.attack)
                first[attack.digest] = attack
            evaluations[entry.name] = (
                clean if entry.condition == CLEAN else self._evaluation(entry)
            )
        runs = first | {run.digest: run for run in evaluations.values()}
        return Plan(runs, evaluations, missing)

    @_once
    def _clean_run(self, detector: str) -> Run:
        return self._evaluation(EntrySpec(f'{CLEAN} {detector}', detector))

    def _attack_run(self, entry: EntrySpec, attack: AttackSpec) -> Run:
        # Not by the entry's name: others may need the same attack.
        key = f'{ATTACK} {entry.attacked} {attack} {entry.placement}'
        if key not in self._known:
            self._known[key] = self._attack(entry, attack)
        return self._known[key]

    def _attack(self, entry: EntrySpec, attack: AttackSpec) -> Run:
        spec, detector = self.spec, entry.attacked or entry.detector
        cfg = self._config(spec.attacks[attack.method], detector, entry.placement)
        if attack.init:
            cfg.model.patch.init = attack.init
        if attack.seed is not None:
            _set_seed(cfg, attack.seed)
        if spec.held_out:
            hold_out(cfg, spec.held_out, self._ids)
        else:
            cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        if attack.half is not None:
            take_half(cfg.train_dataloader.dataset, attack.half, self._ids)
        _keep_history(cfg)
        cfg.merge_from_dict({**attack.options, **spec.options})
        name = f'{attack.method} {detector} {entry.name}'
        return self._run(ATTACK, name, detector, cfg)

    def _evaluation(self, entry: EntrySpec) -> Run:
        spec, detector = self.spec, entry.detector
        method = next(iter(spec.attacks.values()))
        cfg = self._config(method, detector, entry.placement)
        attack = self._attack_run(entry, entry.attack).digest if entry.attack else None
        patch: Any = dict(type='file', path=None) if attack else {**(entry.patch or {})}
        if entry.removed is not None:
            patch['removed'] = entry.removed
        if entry.scale is not None:
            patch['scale'] = entry.scale
        clean = entry.condition == CLEAN
        cfg.test_cfg.conditions = {CLEAN: None} if clean else {PATCH: patch}
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.merge_from_dict(dict(spec.options))
        reference = None
        if not clean and _has_reference(cfg.test_evaluator):
            reference = self._clean_run(detector).digest
        needs = dict(attack=attack, reference=reference)
        return self._run(EVALUATION, entry.name, detector, cfg, **needs)

    def _run(
        self, kind: str, name: str, detector: str, cfg: Config, **needs: str | None
    ) -> Run:
        """A run with its digest; ``needs`` are the digests of other runs."""
        content = cfg.to_dict()
        if kind == ATTACK:
            keys: Sequence[str] = ATTACK_KEYS
            loading = content['train_dataloader']
            model = {k: v for k, v in content['model'].items() if k != 'detector'}
        else:
            keys, loading = EVALUATION_KEYS, content['test_dataloader']
            model = {key: content['model'].get(key) for key in TESTED_MODEL}
        weights = self._weights(detector)
        identity = {
            **{key: content.get(key) for key in keys},
            **needs,
            'model': model,
            'loading': loading,
            'detector': self._detector_model(self.spec.detectors[detector]['config']),
            'weights': weights,
        }
        if kind == EVALUATION:
            # Numbers of another version may mean something else.
            identity['report'] = REPORT_VERSION
        digest = content_digest(json.loads(json.dumps(self._by_content(identity))))
        data = self._data(loading['dataset'])
        return Run(kind, name, digest, cfg, weights, data, **needs)

    def _config(
        self, attack: str, detector: str, placement: Mapping[str, Any]
    ) -> Config:
        """Of an attack on a detector, with the data of the experiment; a copy."""
        cfg = copy.deepcopy(self._attack_config(attack))
        paths = self.spec.detectors[detector]
        cfg.model.detector = dict(
            config=paths['config'], checkpoint=paths.get('checkpoint')
        )
        if placement:
            own = cfg.model.get('placement') or dict(type='PatchPlacement')
            cfg.model.placement = dict(own, **placement)
        if self.spec.pyramid is not None:
            cfg.pyramid = self.spec.pyramid
        complete_pipelines(cfg, self._detector_config(paths['config']))
        return cfg

    @_once
    def _attack_config(self, attack: str) -> Config:
        return load_config(attack, overlay=self.data)

    @_once
    def _detector_config(self, config: str) -> Config:
        return read_detector_config(config)

    @_once
    def _detector_model(self, config: str) -> dict[str, Any]:
        return self._detector_config(config).to_dict()['model']

    def _missing(self, detector: str) -> str | None:
        """Why a detector's weights cannot be had, or None."""
        checkpoint = self.spec.detectors[detector].get('checkpoint')
        if checkpoint is None:
            try:
                self._weights(detector)
            except ImportError as error:
                return str(error)
        elif '://' not in checkpoint and not Path(checkpoint).is_file():
            return f'there is no checkpoint {checkpoint}; train it first'
        return None

    @_once
    def _weights(self, detector: str) -> str:
        """Digest of a detector's checkpoint, or of the weights that it brings."""
        paths = self.spec.detectors[detector]
        checkpoint = paths.get('checkpoint')
        if checkpoint is None:
            return black_box_digest(paths['config'])
        return detector_file_digest(checkpoint)

    @_once
    def _data(self, dataset: dict) -> str:
        return data_digest(dataset)

    @_once
    def _ids(self, dataset: dict) -> list[str]:
        return image_ids(dataset)

    def _by_content(self, value: Any) -> Any:
        """Data sets, patches and other files by what they hold, not by their paths."""
        if isinstance(value, Mapping):
            found = dict(value)
            if isinstance(found.get('dataset'), Mapping):
                dataset = found.pop('dataset')
                found['data'] = self._data(dataset)
                found['pipeline'] = dataset.get('pipeline')
            if found.get('type') == 'file':
                # Of an attack that need not have been run there is no path yet.
                path = found.pop('path', None)
                found['pixels'] = path and _pixels_digest(path)
            # Other files by their bytes.
            return by_content({k: self._by_content(v) for k, v in found.items()})
        if isinstance(value, (list, tuple)):
            return [self._by_content(item) for item in value]
        return value


def filled_config(run: Run, store: RunStore) -> Config:
    """The config of a run that is ready, with what the runs left that it needs.

    Raises:
        FileNotFoundError: If the attack's patch was not kept.
        ValueError: If the clean images' evaluation has no reference.
    """
    cfg = copy.deepcopy(run.config)
    if run.reference:
        clean = store.evaluation(run.reference)
        assert clean is not None, 'the run is not ready'
        try:
            reference = Reference.from_numbers(clean.numbers)
        except ValueError as error:
            raise ValueError(
                f'the evaluation {run.reference} of the clean images, for '
                f'{run.name!r}: {error}; run with --rerun to make it again'
            ) from error
        cfg.test_evaluator.reference = reference.to_config()
    if run.attack:
        patch = store.patch(run.attack)
        if patch is None:
            raise FileNotFoundError(
                f'the patch of the finished attack {run.attack}, which {run.name!r} '
                'pastes, was not kept; run with --rerun to make it again'
            )
        cfg.test_cfg.conditions[PATCH].path = str(patch.absolute())
    return cfg


def _has_reference(evaluator: Mapping[str, Any]) -> bool:
    """Whether a metric takes a :class:`Reference` of the clean images."""
    metric = METRICS.get(evaluator['type'])
    return isinstance(metric, type) and issubclass(metric, CalibratedMetric)


def _pixels_digest(path: str) -> str:
    """SHA-256 of a patch in 8 bits, whatever its file format."""
    pixels = (255 * load_patch(path)).round().byte()
    digest = hashlib.sha256(str(tuple(pixels.shape)).encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()


def _set_seed(cfg: Config, seed: int) -> None:
    """Seed the run, and the noise that the patch starts from, if it does."""
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    init = dict(cfg.model.patch.get('init') or dict(type='noise'))
    if init.get('type') == 'noise':
        cfg.model.patch.init = dict(init, seed=seed)


def _keep_history(cfg: Config) -> None:
    """See to it that the attack leaves its history, whatever its config names."""
    hooks = list(cfg.get('custom_hooks') or [])
    if not any(hook['type'] == HISTORY_HOOK for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type=HISTORY_HOOK)]
