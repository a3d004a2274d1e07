"""The runs that an experiment consists of, each with its config and its digest."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mmdet.registry import METRICS
from mmengine.config import Config

from ..attack import load_patch
from ..attack.frozen_detector import black_box_digest, detector_file_digest
from ..datasets.describe import data_digest
from ..engine.config import load_config
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
TESTED_MODEL = ('placement', 'compositor', 'tta_model', 'channel_order')
Value = TypeVar('Value')


@dataclass(frozen=True)
class Run:
    """One attack or evaluation: a run of ``tools/attack.py``.

    Attributes:
        kind (str): 'attack' or 'evaluation'.
        name (str): What it is, for people.
        digest (str): Of all that it depends on.
        config (Config): Its config; what other runs leave is filled in later.
        weights (str): SHA-256 of the detector's weights.
        data (str): SHA-256 of its images and faces.
        attack (str | None): Digest of the attack whose patch is pasted.
        reference (str | None): Digest of the evaluation of the clean images, whose
            calibrated delta is used.
    """

    kind: str
    name: str
    digest: str
    config: Config = field(repr=False)
    weights: str = field(repr=False)
    data: str = field(repr=False)
    attack: str | None = None
    reference: str | None = None

    def is_ready(self, store: RunStore) -> bool:
        """Whether the runs that it needs are finished."""
        return all(
            store.finished(digest) for digest in (self.attack, self.reference) if digest
        )


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment.

    Attributes:
        runs (Mapping[str, Run]): By digest, each once, attacks and clean images first.
        evaluations (Mapping[str, Run]): By name of the entry.
        attacks (Mapping[str, Run]): By name of the entry, where it has one.
        missing (Mapping[str, str]): Why an entry cannot be run, and what to do, by its
            name.
    """

    runs: Mapping[str, Run]
    evaluations: Mapping[str, Run]
    attacks: Mapping[str, Run]
    missing: Mapping[str, str]

    def of(self, names: set[str]) -> dict[str, Run]:
        """Runs that the named entries need, by digest."""
        wanted = {
            digest
            for name in names & set(self.evaluations)
            for run in (self.evaluations[name],)
            for digest in (run.digest, run.attack, run.reference)
        }
        return {digest: run for digest, run in self.runs.items() if digest in wanted}


class Planner:
    """Makes runs of entries.

    Entries that need the same attack share it, also over experiments: a run is named
    by the digest of its content. What counts is the config, the weights, the images
    and faces, and the pixels of files, not their paths. A patch that is optimised
    counts by the digest of its attack, and the calibrated delta by that of its
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
        attacks: dict[str, Run] = {}
        missing: dict[str, str] = {}
        for entry in self.spec.entries:
            reasons = map(self._missing, filter(None, (entry.attacked, entry.detector)))
            reason = next((found for found in reasons if found), None)
            if reason:
                missing[entry.name] = reason
                continue
            clean = self.clean_run(entry.detector)
            first[clean.digest] = clean
            if entry.attack is not None:
                attack = attacks[entry.name] = self.attack_run(entry)
                first[attack.digest] = attack
            evaluations[entry.name] = self.evaluation_run(entry)
        runs = first | {run.digest: run for run in evaluations.values()}
        return Plan(runs, evaluations, attacks, missing)

    def clean_run(self, detector: str) -> Run:
        """Evaluation of a detector on the clean images."""
        return self._once(
            f'{CLEAN} {detector}',
            lambda: self._evaluation(EntrySpec(f'{CLEAN} {detector}', detector)),
        )

    def evaluation_run(self, entry: EntrySpec) -> Run:
        """Evaluation of an entry."""
        if entry.condition == CLEAN:
            return self.clean_run(entry.detector)
        return self._evaluation(entry)

    def attack_run(self, entry: EntrySpec) -> Run:
        """The attack whose patch an entry pastes."""
        assert entry.attack is not None
        key = f'{ATTACK} {entry.attacked} {entry.attack} {entry.placement}'
        return self._once(key, lambda: self._attack(entry, entry.attack))

    def _attack(self, entry: EntrySpec, attack: AttackSpec | None) -> Run:
        assert attack is not None
        spec, detector = self.spec, entry.attacked or entry.detector
        cfg = self._config(spec.attacks[attack.method])
        self._set_model(cfg, detector, entry.placement)
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
        content = cfg.to_dict()
        parts = {key: content.get(key) for key in ATTACK_KEYS}
        model = {k: v for k, v in content['model'].items() if k != 'detector'}
        name = f'{attack.method} {detector} {entry.name}'
        return self._run(ATTACK, name, cfg, 'train_dataloader', detector, parts, model)

    def _evaluation(self, entry: EntrySpec) -> Run:
        spec, detector = self.spec, entry.detector
        cfg = self._config(next(iter(spec.attacks.values())))
        self._set_model(cfg, detector, entry.placement)
        changes = {
            key: value
            for key, value in (('removed', entry.removed), ('scale', entry.scale))
            if value is not None
        }
        attack = self.attack_run(entry).digest if entry.attack else None
        patch: Any = dict(type='file', path=None) if attack else entry.patch
        clean = entry.condition == CLEAN
        cfg.test_cfg.conditions = (
            {CLEAN: None} if clean else {PATCH: {**patch, **changes}}
        )
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.merge_from_dict(dict(spec.options))
        reference = None
        if not clean and _has_reference(cfg.test_evaluator):
            reference = self.clean_run(detector).digest
        content = cfg.to_dict()
        parts = {key: content.get(key) for key in EVALUATION_KEYS}
        parts.update(attack=attack, reference=reference)
        model = {key: content['model'].get(key) for key in TESTED_MODEL}
        return self._run(
            EVALUATION,
            entry.name,
            cfg,
            'test_dataloader',
            detector,
            parts,
            model,
            attack,
            reference,
        )

    def _run(
        self,
        kind: str,
        name: str,
        cfg: Config,
        loader: str,
        detector: str,
        parts: Mapping[str, Any],
        model: Mapping[str, Any],
        attack: str | None = None,
        reference: str | None = None,
    ) -> Run:
        weights = self._weights(detector)
        loading = cfg[loader].to_dict()
        data = self._data(loading['dataset'])
        identity = {
            **parts,
            'model': model,
            'loading': loading,
            'detector': self._detector_model(self.spec.detectors[detector]['config']),
            'weights': weights,
        }
        digest = content_digest(json.loads(json.dumps(self._by_content(identity))))
        return Run(kind, name, digest, cfg, weights, data, attack, reference)

    def _config(self, attack: str) -> Config:
        """Of an attack, with the data of the experiment; to be changed freely."""
        key = f'config {attack}'
        cfg = self._once(key, lambda: load_config(attack, overlay=self.data))
        return copy.deepcopy(cfg)

    def _detector_model(self, config: str) -> dict[str, Any]:
        key = f'model {config}'
        return self._once(key, lambda: Config.fromfile(config).to_dict()['model'])

    def _set_model(
        self, cfg: Config, detector: str, placement: Mapping[str, Any]
    ) -> None:
        paths = self.spec.detectors[detector]
        cfg.model.detector = dict(
            config=paths['config'], checkpoint=paths.get('checkpoint')
        )
        if placement:
            own = cfg.model.get('placement') or dict(type='PatchPlacement')
            cfg.model.placement = dict(own, **placement)

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

    def _weights(self, detector: str) -> str:
        """Digest of a detector's checkpoint, or of the weights that it brings."""
        paths = self.spec.detectors[detector]
        checkpoint = paths.get('checkpoint')
        if checkpoint is None:
            config = paths['config']
            return self._once(f'box {config}', lambda: black_box_digest(config))
        return self._once(checkpoint, lambda: detector_file_digest(checkpoint))

    def _data(self, dataset: Mapping[str, Any]) -> str:
        plain = _without_pipeline(dataset)
        key = f'data {json.dumps(plain, sort_keys=True)}'
        return self._once(key, lambda: data_digest(plain))

    def _ids(self, dataset: dict) -> list[str]:
        key = f'ids {json.dumps(_without_pipeline(dataset), sort_keys=True)}'
        return self._once(key, lambda: image_ids(dataset))

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

    def _once(self, key: str, make: Callable[[], Value]) -> Value:
        """Made once: configs are read for it, and images."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


def filled_config(run: Run, store: RunStore) -> Config:
    """The config of a run with what the runs left that it needs.

    Args:
        run (Run): It is ready.
        store (RunStore): Has the patch of its attack, and the evaluation of the clean
            images.

    Raises:
        FileNotFoundError: If the attack's patch was not kept.
    """
    cfg = copy.deepcopy(run.config)
    if run.reference:
        clean = store.evaluation(run.reference)
        delta = clean and clean.numbers.get('calibrated_delta')
        # A config file has no NaN, which says that there was none.
        cfg.test_evaluator.reference_delta = 'nan' if delta is None else delta
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
    """Whether a metric takes the clean images' calibrated delta."""
    metric = METRICS.get(evaluator['type'])
    return metric is not None and (
        'reference_delta' in inspect.signature(metric).parameters
    )


def _pixels_digest(path: str) -> str:
    """SHA-256 of a patch in 8 bits, whatever its file format."""
    pixels = (255 * load_patch(path)).round().byte()
    digest = hashlib.sha256(str(tuple(pixels.shape)).encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()


def _without_pipeline(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in dataset.items() if key != 'pipeline'}


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
