"""Finished experiments, as checks refer to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet_facepatch.evaluation import FaceEvaluation
from mmdet_facepatch.experiments import (
    ExperimentIndex,
    RunStore,
    SavedEvaluations,
    TableEntry,
    experiment_name,
    read_index,
)
from mmdet_facepatch.experiments.store import EXPERIMENTS
from mmdet_facepatch.utils.digests import content_digest


class NotHereError(FileNotFoundError):
    """What a finished run left is not on this machine."""


class Evidence:
    """Entries of experiments, with their evaluations.

    Args:
        work_dir (str | Path): Of experiments.
        data (str): Name of the data, or path of its config.
        results (str | Path): As ``.results``, for what the work dir does not have.
    """

    def __init__(self, work_dir: str | Path, data: str, results: str | Path) -> None:
        self.data = data
        self.store = RunStore.default(work_dir, results)
        self._folders = [Path(folder) / EXPERIMENTS for folder in (work_dir, results)]
        self._indexes: dict[str, ExperimentIndex | None] = {}
        self._saved = SavedEvaluations()

    def entries(
        self, experiment: str, name: str, data: str | None = None
    ) -> list[TableEntry]:
        """The entry of an experiment, or those of its seeds.

        Args:
            experiment (str): Name of its config, without folder and suffix.
            name (str): Of the entry, or of its group.
            data (str, optional): Of this experiment, where it has its own.

        Returns:
            list[TableEntry]: None of an experiment that was not run.

        Raises:
            ValueError: If the experiment was run and has no such entry.
        """
        index = self._index(experiment, data)
        return [] if index is None else index.select(name)

    def clean(self, experiment: str, detector: str) -> TableEntry | None:
        """The entry of the clean images on a detector, if the experiment has one."""
        index = self._index(experiment, None)
        for entry in index.entries if index else ():
            if entry.condition == 'clean' and entry.detector == detector:
                return entry
        return None

    def _index(self, experiment: str, data: str | None) -> ExperimentIndex | None:
        name = experiment_name(experiment, data or self.data)
        if name not in self._indexes:
            _, self._indexes[name] = read_index(name, *self._folders)
        return self._indexes[name]

    def numbers(self, entry: TableEntry) -> Mapping[str, float | None] | None:
        """The main numbers of an entry, or None if it was not run anywhere."""
        record = self.store.evaluation(entry.evaluation)
        return None if record is None else record.numbers

    def evaluation(self, entry: TableEntry) -> FaceEvaluation:
        """The evaluation of an entry, with its replicates.

        Raises:
            NotHereError: If it was run elsewhere.
        """
        folder = self.store.folder(entry.evaluation)
        if folder is None:
            raise NotHereError(
                f'run {entry.evaluation} is not on this machine; run it again'
            )
        return self._saved(folder)

    def digest(self, entries: Iterable[TableEntry]) -> str:
        """12 hexadecimal digits of what entries rest on: their runs and numbers.

        Args:
            entries (Iterable[TableEntry]): Of any experiments.
        """
        found = []
        for entry in entries:
            record = self.store.evaluation(entry.evaluation)
            numbers = [record.numbers, record.intervals] if record else None
            runs = [entry.evaluation, entry.attack]
            found.append([entry.name, entry.seed, *runs, _rounded(numbers)])
        return content_digest(found)


def _rounded(value: Any) -> Any:
    """Numbers as text of nine digits, in which machines agree, also within others."""
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_rounded(item) for item in value]
    return None if value is None else f'{value:.9g}'


def pair_entries(
    entries: list[TableEntry], references: list[TableEntry]
) -> list[tuple[TableEntry, TableEntry]]:
    """Entries that are compared: of equal seeds, or each with one without a seed.

    Args:
        entries (list[TableEntry]): Of one name and its seeds, run or not.
        references (list[TableEntry]): Of another.
    """
    if any(len(part) == 1 and part[0].seed is None for part in (entries, references)):
        return [(entry, other) for entry in entries for other in references]
    by_seed = {other.seed: other for other in references}
    return [(e, by_seed[e.seed]) for e in entries if e.seed in by_seed]
