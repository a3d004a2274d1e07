"""What an experiment's config asks for: read and checked, nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

DEFAULT_DATA = 'subset'


@dataclass(frozen=True)
class AttackSpec:
    """The attack whose patch an entry pastes."""

    method: str  # name of an attack config
    detector: str | None = None  # that is attacked; None is the entry's own
    init: Mapping[str, Any] | None = None  # if not the config's
    half: int | None = None  # 0 or 1 takes every second training image only
    seed: int | None = None  # of the run, and of the noise that the patch starts from
    options: Mapping[str, Any] = field(default_factory=dict)  # override config keys


@dataclass(frozen=True)
class EntrySpec:
    """One entry of a table: what is pasted, how, and who is evaluated."""

    name: str
    detector: str  # that is evaluated
    patch: Mapping[str, Any] | None = None  # an init or a file, pasted as it is
    attack: AttackSpec | None = None
    placement: Mapping[str, Any] = field(default_factory=dict)  # override its keys
    removed: str | None = None  # part of the patch that is not pasted
    scale: float | None = None  # of the pasted side, 1 at full size
    paper: Mapping[str, str] = field(default_factory=dict)  # 'precision/recall'
    group: str | None = None  # name before there was one entry for each seed

    @property
    def condition(self) -> str:
        """What is pasted: 'clean' (nothing), 'init', or 'attack'."""
        return 'attack' if self.attack else 'init' if self.patch else 'clean'

    @property
    def attacked(self) -> str | None:
        """Name of the detector that its attack is against, or None."""
        return (self.attack.detector or self.detector) if self.attack else None


@dataclass(frozen=True)
class MatrixSpec:
    """Each patch on each detector, by their names.

    ``number`` is the key of the one number of the matrix, and ``label`` what it is;
    None is precision and recall of All at both deltas, and that at 0.99 as heat map.
    """

    patches: tuple[str, ...]
    detectors: tuple[str, ...]
    number: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class ExperimentSpec:
    """One experiment on one data set; see :func:`read_spec` for the config."""

    path: str
    title: str
    data: str  # its name, or path of its config
    detectors: Mapping[str, Mapping[str, Any]]  # with 'config' and 'checkpoint'
    attacks: Mapping[str, str]  # method -> config
    entries: tuple[EntrySpec, ...]
    matrix: MatrixSpec | None = None
    figure: str | None = None
    held_out: int = 0  # training images that no attack optimises on
    pyramid: Any = None  # scales of all evaluations, see complete_pipelines
    seeds: tuple[int, ...] = ()  # of entries whose attack names none
    options: Mapping[str, Any] = field(default_factory=dict)  # of every run
    changed_seeds: bool = False  # are not the config's
    changed_data: bool = False

    @property
    def used_detectors(self) -> list[str]:
        """Names of the detectors that entries attack or evaluate."""
        names = [
            name for entry in self.entries for name in (entry.detector, entry.attacked)
        ]
        return list(dict.fromkeys(name for name in names if name))

    def select(self, names: Iterable[str]) -> tuple[EntrySpec, ...]:
        """The entries of these names or groups, in the order of the config.

        Raises:
            ValueError: If there is no such entry.
        """
        wanted = set(names)
        known = {label for e in self.entries for label in (e.name, e.group)}
        if wanted - known:
            raise ValueError(
                f'{self.path} has no entry {sorted(wanted - known)}; it has '
                f'{[entry.name for entry in self.entries]}'
            )
        return tuple(e for e in self.entries if wanted & {e.name, e.group})


def read_spec(
    path: str,
    data: str | None = None,
    seeds: Sequence[int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> ExperimentSpec:
    """Read and check the config of an experiment.

    The config, see ``configs/experiments/``, has ``title``, ``detectors`` (name ->
    ``config`` and ``checkpoint``, None for a black box), ``attacks`` (method -> attack
    config), and ``entries``, each with ``name`` and the keys of :class:`EntrySpec` but
    ``group``; its ``attack`` has those of :class:`AttackSpec`. An entry with neither
    ``patch`` nor ``attack`` is the clean images; without a ``detector`` it is of the
    first one. In place of ``entries`` there may be a ``matrix``: ``patches`` (name ->
    keys of an entry), ``detectors`` (names), and optionally ``number`` and ``label``.
    ``data`` names the images, ``seeds`` make of every entry with an attack one for
    each seed, and ``held_out`` takes that many images, spread evenly, out of the
    training set of all attacks, which are validated on them.

    Args:
        path (str): The config.
        data (str, optional): In place of the config's data. Defaults to None.
        seeds (Sequence[int], optional): In place of the config's seeds. Defaults to
            None.
        options (Mapping, optional): Keys to override in every run's config. Defaults to
            None.

    Returns:
        ExperimentSpec: What it asks for.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If an entry has an unknown key, detector or method, both a patch and
            an attack, or a name that is taken.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'experiment config {path} does not exist')
    cfg = Config.fromfile(path).to_dict()
    if 'entries' not in cfg and not cfg.get('matrix'):
        raise ValueError(f'{path} has neither entries nor a matrix: nothing to run')
    matrix = cfg.get('matrix')
    entries: list[EntrySpec] = []
    for raw in _matrix_entries(matrix) if matrix else cfg['entries']:
        entry = _read_entry(path, raw, cfg['detectors'], cfg['attacks'])
        if not entry.name or entry.name in {other.name for other in entries}:
            raise ValueError(
                f'{path}: each entry needs a name of its own; {entry.name!r} is '
                'missing or taken'
            )
        entries.append(entry)
    own_data, own_seeds = cfg.get('data') or DEFAULT_DATA, tuple(cfg.get('seeds') or ())
    used = own_seeds if seeds is None else tuple(seeds)
    return ExperimentSpec(
        path=path,
        **{key: cfg[key] for key in ('title', 'detectors', 'attacks')},
        data=data or own_data,
        entries=tuple(expand_seeds(entries, used)),
        matrix=matrix
        and MatrixSpec(
            tuple(matrix['patches']),
            tuple(matrix['detectors']),
            matrix.get('number'),
            matrix.get('label'),
        ),
        figure=cfg.get('figure'),
        held_out=cfg.get('held_out') or 0,
        pyramid=cfg.get('pyramid'),
        seeds=used,
        options=dict(options or {}),
        changed_seeds=used != own_seeds,
        changed_data=data is not None and data != own_data,
    )


def matrix_entry(patch: str, detector: str) -> str:
    """Name of the entry of a patch on a detector."""
    return f'{patch} on {detector}'


def expand_seeds(entries: Iterable[EntrySpec], seeds: Sequence[int]) -> list[EntrySpec]:
    """One entry for each seed, of its ``group``, in place of each with an attack.

    Entries without an attack, and attacks that name their seed, stay as they are.
    """
    expanded: list[EntrySpec] = []
    for entry in entries:
        name, attack = entry.name, entry.attack
        if not seeds or attack is None or attack.seed is not None:
            expanded.append(entry)
            continue
        for seed in seeds:
            seeded = replace(attack, seed=seed)
            expanded.append(
                replace(entry, name=f'{name}, seed {seed}', group=name, attack=seeded)
            )
    return expanded


def _matrix_entries(matrix: Mapping[str, Any]) -> list[dict]:
    return [
        dict(entry, name=matrix_entry(patch, detector), detector=detector)
        for patch, entry in matrix['patches'].items()
        for detector in matrix['detectors']
    ]


def _read_entry(
    path: str,
    raw: Mapping[str, Any],
    detectors: Mapping[str, Any],
    methods: Mapping[str, Any],
) -> EntrySpec:
    name = raw.get('name')
    where = f'{path}: entry {name!r}'
    attack = raw.get('attack') or {}
    unknown = (set(raw) - _keys(EntrySpec)) | {'group'} & set(raw)
    unknown |= set(attack) - _keys(AttackSpec)
    if unknown:
        raise ValueError(f'{where} has unknown keys {sorted(unknown)}')
    if attack and raw.get('patch'):
        raise ValueError(f'{where} has a patch and an attack; which one is pasted?')
    for detector in (raw.get('detector'), attack.get('detector')):
        if detector is not None and detector not in detectors:
            raise ValueError(
                f'{where} names the detector {detector!r}; there are {list(detectors)}'
            )
    if attack and attack.get('method') not in methods:
        raise ValueError(
            f'{where} names the method {attack.get("method")!r}; there are '
            f'{list(methods)}'
        )
    seed = attack.get('seed', 0)
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(
            f'{where} has the seed {seed!r}; a seed is a whole number from 0 on'
        )
    own = {key: value for key, value in raw.items() if value is not None}
    own['attack'] = AttackSpec(**attack) if attack else None
    # The first detector is that of entries that name none.
    return EntrySpec(**{'name': '', 'detector': next(iter(detectors)), **own})


def _keys(kind: type) -> set[str]:
    return {item.name for item in fields(kind)}
