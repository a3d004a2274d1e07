"""What finished runs and experiments leave behind: typed, and read from JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ..attack.patch.manifest import KIND as PATCH
from ..utils.json_files import read_json, write_json

#: Version of the records; raised with every change that a reader has to know of.
SCHEMA_VERSION = 2
ATTACK, EVALUATION = 'attack', 'evaluation'
Numbers = Mapping[str, float | None]
Intervals = Mapping[str, Sequence[float | None] | None]


@dataclass(frozen=True, kw_only=True)
class AttackRecord:
    """A finished attack; as JSON it is also the manifest of its patch."""

    digest: str | None  # of all that it depends on, if an experiment ran it
    #: ``config``, ``checkpoint`` and ``weights_sha256``; of an ensemble a list.
    detector: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]  # what it was optimised on: size, source and ``digest``
    config: Mapping[str, Any] | None  # the parts that say what it is
    config_digest: str | None
    seed: int
    epochs: int  # as the following counts, over the whole attack
    steps: int
    empty_steps: int  # without adversarial samples
    batch_size: int  # on each process
    processes: int
    seconds: float  # of the steps
    device: str
    versions: Mapping[str, str]  # of the software
    #: ``held_out_clean`` and ``epochs``, see
    #: :mod:`mmdet_facepatch.engine.attack_history`; None if it was not kept.
    history: Mapping[str, Any] | None
    files: Mapping[str, str]  # SHA-256 of each file of the patch by its suffix
    # If the patch is published:
    name: str | None = None  # of the files
    command: str | None = None  # that makes the patch again
    report: Mapping[str, Any] | None = None  # main numbers, and of what they are
    kind: str = PATCH
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """A finished evaluation of one condition."""

    digest: str  # of all that it depends on
    weights: str  # SHA-256 of the detector's
    data: str  # SHA-256 of the data that it reports on
    numbers: Numbers  # None for those without a value
    intervals: Intervals  # both ends
    seconds: float | None = None  # that the run took
    versions: Mapping[str, str] | None = None  # of the software
    predictions: str | None = None  # SHA-256 of the saved detections
    kind: str = EVALUATION
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class TableEntry:
    """One entry of an experiment's tables, and the runs that it rests on."""

    name: str
    group: str | None = None  # name before there was one entry for each seed
    seed: int | None = None  # of its attack
    detector: str  # that is evaluated
    condition: str  # 'clean', 'init' or 'attack'
    paper: Mapping[str, str] = field(default_factory=dict)  # 'precision/recall'
    evaluation: str | None = None  # digest, None where it is unknown
    attack: str | None = None  # digest, if it has one


@dataclass(frozen=True, kw_only=True)
class ExperimentIndex:
    """What an experiment consists of; its numbers are in the store of runs."""

    title: str
    config: str
    data: str  # its name, or path of its config
    command: str  # the one that makes it again
    seeds: Sequence[int]
    options: Mapping[str, Any]  # keys that every run overrides
    held_out: int  # training images that no attack optimises on
    #: ``reported``, ``optimised``, and ``detectors`` by name: what each learnt from.
    data_sets: Mapping[str, Any]
    detectors: Mapping[str, Any]  # name -> ``config`` and ``checkpoint``
    figure: str | None
    matrix: (
        Mapping[str, Any] | None
    )  # ``patches``, ``detectors``, ``number``, ``label``
    entries: Sequence[TableEntry]
    kind: str = 'experiment'
    schema_version: int = SCHEMA_VERSION

    def select(self, name: str) -> list[TableEntry]:
        """The entry of this name, or those of its seeds.

        Raises:
            ValueError: If there is none.
        """
        found = [entry for entry in self.entries if name in (entry.name, entry.group)]
        if not found:
            raise ValueError(
                f'{self.config} has no entry {name!r}; it has '
                f'{[entry.name for entry in self.entries]}'
            )
        return found


Record = TypeVar('Record', AttackRecord, EvaluationRecord, ExperimentIndex)


def write_record(path: str | Path, record: Any) -> None:
    """Write a record of this module as JSON, all or nothing."""
    write_json(path, asdict(record))


def read_record(path: str | Path, kind: type[Record]) -> Record:
    """Read what :func:`write_record` wrote; other keys are passed over.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such record.
    """
    content = read_json(path)
    version = content.get('schema_version') if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(
            f'{path}: schema_version is {version!r}, this version of the package '
            f'reads {SCHEMA_VERSION}'
        )
    try:
        known = {item.name: content[item.name] for item in fields(kind)}
        if kind is ExperimentIndex:
            known['entries'] = [TableEntry(**entry) for entry in known['entries']]
        return kind(**known)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is no {kind.__name__}: it lacks {error}; get it again, or run '
            'what it is of anew'
        ) from error
