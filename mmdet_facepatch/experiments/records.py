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
    """A finished attack; as JSON it is also the manifest of its patch.

    Attributes:
        digest (str | None): Of all that the attack depends on; None if it was not run
            by an experiment.
        detector (Mapping | Sequence): ``config``, ``checkpoint`` and
            ``weights_sha256`` of the attacked detector; of an ensemble a list.
        data (Mapping): What it was optimised on: size, source and ``digest``.
        config (Mapping | None): The parts of its config that say what it is.
        config_digest (str | None): Of these.
        seed (int): Of the run.
        epochs (int): As the following counts, over the whole attack.
        steps (int): Steps of the optimiser.
        empty_steps (int): Steps without adversarial samples.
        batch_size (int): Images of a step, on each process.
        processes (int): Number of processes.
        seconds (float): Time of the steps.
        device (str): Name of the device.
        versions (Mapping[str, str]): Of the software.
        history (Mapping | None): ``held_out_clean`` and ``epochs``, see
            :mod:`mmdet_facepatch.engine.attack_history`; None if it was not kept.
        files (Mapping[str, str]): SHA-256 of each file of the patch by its suffix.
        name (str | None): Of the files, if the patch is published.
        command (str | None): That makes the patch again.
        report (Mapping | None): Main numbers of the patch, and of what they are.
    """

    digest: str | None
    detector: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]
    config: Mapping[str, Any] | None
    config_digest: str | None
    seed: int
    epochs: int
    steps: int
    empty_steps: int
    batch_size: int
    processes: int
    seconds: float
    device: str
    versions: Mapping[str, str]
    history: Mapping[str, Any] | None
    files: Mapping[str, str]
    name: str | None = None
    command: str | None = None
    report: Mapping[str, Any] | None = None
    kind: str = PATCH
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """A finished evaluation of one condition.

    Attributes:
        digest (str): Of all that it depends on.
        weights (str): SHA-256 of the detector's weights.
        data (str): SHA-256 of the data that it reports on.
        numbers (Numbers): Number by key, None for those without a value.
        intervals (Intervals): Both ends by key.
        seconds (float | None): Time that the run took.
        versions (Mapping[str, str] | None): Of the software.
        predictions (str | None): SHA-256 of the saved detections.
    """

    digest: str
    weights: str
    data: str
    numbers: Numbers
    intervals: Intervals
    seconds: float | None = None
    versions: Mapping[str, str] | None = None
    predictions: str | None = None
    kind: str = EVALUATION
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class TableEntry:
    """One entry of an experiment's tables, and the runs that it rests on.

    Attributes:
        name (str): Of its own in the experiment.
        group (str | None): Name before there was one entry for each seed.
        seed (int | None): Of its attack.
        detector (str): Name of the detector that is evaluated.
        condition (str): 'clean', 'init' or 'attack'.
        paper (Mapping): Subset -> the paper's ``precision/recall``.
        evaluation (str | None): Digest of its evaluation, None where it is unknown.
        attack (str | None): Digest of its attack, if it has one.
    """

    name: str
    group: str | None = None
    seed: int | None = None
    detector: str
    condition: str
    paper: Mapping[str, str] = field(default_factory=dict)
    evaluation: str | None = None
    attack: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExperimentIndex:
    """What an experiment consists of; its numbers are in the store of runs.

    Attributes:
        title (str): For tables and figures.
        config (str): Path of its config.
        data (str): Name of the data, or path of its config.
        command (str): The one command that makes it again.
        seeds (Sequence[int]): Seeds of its entries.
        options (Mapping): Keys that every run overrides.
        held_out (int): Training images that no attack optimises on.
        data_sets (Mapping): ``reported``, ``optimised``, and ``detectors`` by name:
            what each was trained on.
        detectors (Mapping): Name -> ``config`` and ``checkpoint``.
        figure (str | None): Kind of its figure.
        matrix (Mapping | None): ``patches``, ``detectors``, ``number`` and ``label``.
        entries (Sequence[TableEntry]): Of its tables, in their order.
    """

    title: str
    config: str
    data: str
    command: str
    seeds: Sequence[int]
    options: Mapping[str, Any]
    held_out: int
    data_sets: Mapping[str, Any]
    detectors: Mapping[str, Any]
    figure: str | None
    matrix: Mapping[str, Any] | None
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
    """Write a record as JSON, all or nothing.

    Args:
        path (str | Path): The file; its folder must exist.
        record (Any): A record of this module.
    """
    write_json(path, asdict(record))


def read_record(path: str | Path, kind: type[Record]) -> Record:
    """Read what :func:`write_record` wrote.

    Args:
        path (str | Path): The file.
        kind (type): Class of the record.

    Returns:
        Record: Keys that the class has not are passed over.

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
