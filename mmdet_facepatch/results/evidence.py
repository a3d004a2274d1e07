"""Finished experiments, as findings and manifests refer to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..attack import load_patch
from ..engine.experiment_report import table_folder
from ..engine.saved_evaluations import SavedEvaluations
from ..evaluation import FaceEvaluation

Row = Mapping[str, Any]


class Evidence:
    """Rows of experiments' tables, with their evaluations and patches.

    Args:
        work_dir: Folder of all experiments.
        data: Name of the data, or path of its config.
    """

    def __init__(self, work_dir: str | Path, data: str) -> None:
        self.work_dir, self.data = Path(work_dir), data
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
        """The evaluation behind a row, with its replicates."""
        return self._saved(self._folder('evaluation', row['folder']))

    def patch(self, row: Row) -> NDArray[np.float32]:
        """The optimised patch of a row, (3, H, W) in [0, 1]."""
        return load_patch(self.attack_folder(row) / 'patch.npy').numpy()

    def initial_patch(self, row: Row) -> NDArray[np.float32]:
        """What the patch of a row started from, in 8 bits, (3, H, W) in [0, 1]."""
        start = self.attack_folder(row) / 'patches' / 'epoch_0000.png'
        return load_patch(start).numpy()

    def attack_folder(self, row: Row) -> Path:
        """Work dir of a row's attack."""
        return self._folder('attack', row['attack_folder'])

    def _folder(self, kind: str, recorded: str) -> Path:
        # What is recorded is relative to the repository, or the last part only.
        return self.work_dir / kind / Path(recorded).name

    def _table(self, experiment: str) -> dict[str, Any] | None:
        if experiment not in self.tables:
            path = table_folder(self.work_dir, experiment, self.data) / 'table.json'
            self.tables[experiment] = (
                json.loads(path.read_text(encoding='utf-8')) if path.is_file()
                else None)
        return self.tables[experiment]


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
