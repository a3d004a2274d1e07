"""Finished experiments, as findings and manifests refer to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..attack import load_patch
from ..engine.digests import content_digest
from ..engine.experiment_report import table_folder
from ..engine.saved_evaluations import SavedEvaluations
from ..evaluation import FaceEvaluation

Row = Mapping[str, Any]


class NotHereError(FileNotFoundError):
    """A run that a table tells of is not on this machine."""


class Evidence:
    """Rows of experiments' tables, with their evaluations and patches.

    Args:
        work_dir: Folder of all experiments.
        data: Name of the data, or path of its config.
        kept: Folder of kept results, as ``.results``; it has the tables of
            experiments that the work dir has not.
    """

    def __init__(self, work_dir: str | Path, data: str,
                 kept: str | Path | None = None) -> None:
        self.work_dir, self.data = Path(work_dir), data
        self.kept = Path(kept) if kept is not None else None
        self.tables: dict[str, dict[str, Any] | None] = {}
        self._saved = SavedEvaluations()

    def rows(self, experiment: str, cell: str) -> list[Row]:
        """The cell of an experiment, or those of its seeds.

        Args:
            experiment: Name of its config, without folder and suffix.
            cell: Name of a cell, or of what it was before it got seeds.

        Returns:
            Rows of its table, with ``folder`` None where they were not run; none
            if the experiment was not run.

        Raises:
            ValueError: If the experiment was run and has no such cell.
        """
        table = self._table(experiment)
        if table is None:
            return []
        found = [row for row in table['cells']
                 if cell in (row['name'], row.get('group'))]
        if not found:
            raise ValueError(
                f'experiment {experiment} has no cell {cell!r}; it has '
                f'{[row["name"] for row in table["cells"]]}')
        return found

    def evaluation(self, row: Row) -> FaceEvaluation:
        """The evaluation behind a row, with its replicates.

        Raises:
            NotHereError: If it was run elsewhere.
        """
        return self._saved(self._folder('evaluation', row['folder']))

    def patch(self, row: Row) -> NDArray[np.float32]:
        """The optimised patch of a row, (3, H, W) in [0, 1]."""
        return load_patch(self.attack_folder(row) / 'patch.npy').numpy()

    def initial_patch(self, row: Row) -> NDArray[np.float32]:
        """What the patch of a row started from, in 8 bits, (3, H, W) in [0, 1].

        Raises:
            NotHereError: If it was run elsewhere; published patches are their end.
        """
        start = self.attack_folder(row) / 'patches' / 'epoch_0000.png'
        if not start.is_file():
            raise NotHereError(f'{start} is not on this machine; run the attack')
        return load_patch(start).numpy()

    def attack_folder(self, row: Row) -> Path:
        """Work dir of a row's attack.

        Raises:
            NotHereError: If it was run elsewhere.
        """
        return self._folder('attack', row['attack_folder'])

    def _folder(self, kind: str, recorded: str) -> Path:
        # What is recorded is relative to the repository, or the last part only.
        folder = self.work_dir / kind / Path(recorded).name
        if not folder.is_dir():
            raise NotHereError(f'{folder} is not on this machine; run its experiment')
        return folder

    def table_path(self, experiment: str) -> Path:
        """The table of an experiment, which need not be there.

        Args:
            experiment: Name of its config, without folder and suffix.

        Returns:
            That of the work dir; if it has none, the one that is kept.
        """
        folder = table_folder(self.work_dir, experiment, self.data)
        own = folder / 'table.json'
        if own.is_file() or self.kept is None:
            return own
        return self.kept / folder.name / 'table.json'

    def _table(self, experiment: str) -> dict[str, Any] | None:
        if experiment not in self.tables:
            path = self.table_path(experiment)
            self.tables[experiment] = (
                json.loads(path.read_text(encoding='utf-8')) if path.is_file()
                else None)
        return self.tables[experiment]


def rows_digest(rows: Iterable[Row]) -> str:
    """12 hexadecimal digits of what rows of tables rest on.

    Args:
        rows: Names, seeds, runs, numbers with their intervals, and patches count.
            Saved detections do not: of two machines they can differ in the last bits
            of a box that no number shows.
    """
    found = []
    for row in rows:
        attack = (row.get('manifest') or {}).get('attack') or {}
        found.append([
            row['name'], row['seed'],
            *(row[key] and Path(row[key]).name for key in ('folder', 'attack_folder')),
            _rounded(row['numbers']), _rounded(row['intervals']), attack.get('patch')])
    return content_digest(found)


def _rounded(value: Any) -> Any:
    """Numbers as text of nine digits, in which machines agree, also within others."""
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_rounded(item) for item in value]
    return None if value is None else f'{value:.9g}'


def pair_rows(cells: list[Row], references: list[Row]) -> list[tuple[Row, Row]]:
    """Rows that are compared: of equal seeds, or each with one that has no seed.

    Args:
        cells: Of one cell and its seeds, run or not.
        references: Of another.
    """
    if any(len(rows) == 1 and rows[0]['seed'] is None for rows in (cells, references)):
        return [(cell, reference) for cell in cells for reference in references]
    by_seed = {row['seed']: row for row in references}
    return [(row, by_seed[row['seed']]) for row in cells if row['seed'] in by_seed]
