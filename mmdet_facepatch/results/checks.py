"""Checks that findings consist of.

Each is built from its config and run on :class:`Evidence`; it gives *results*, one for
each seed and comparison, as plain data with a ``verdict``. Comparisons that cannot be
made are results as well: 'not measured', with the ``reason``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from mmdet.registry import TASK_UTILS

from ..evaluation.bootstrap import Difference, paired_differences
from ..evaluation.face_evaluation import check_pairable
from .evidence import Evidence, Row, pair_rows
from .similarity import patch_similarity
from .verdicts import (
    AGREES,
    DISAGREES,
    EXPECTATIONS,
    NOT_MEASURED,
    UNDECIDED,
    judge_difference,
)

Names = str | Sequence[str]
Result = dict[str, Any]


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _rows(evidence: Evidence, experiment: str, cells: Sequence[str]) -> list[Row]:
    return [row for cell in cells for row in evidence.rows(experiment, cell)]


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _not_measured(cell: Row, reference: Row, reason: str) -> Result:
    return dict(cell=cell['name'], reference=reference['name'], seed=cell['seed'],
                verdict=NOT_MEASURED, reason=reason)


def _reason(evidence: Evidence, number: str, *rows: Row) -> str | None:
    """Why a number of some rows cannot be compared, or None."""
    if not all(row['folder'] for row in rows):
        return 'not run'
    for row in rows:
        evaluation = evidence.evaluation(row)
        if number not in evaluation.replicates:
            return f'there is no {number} of {row["name"]}'
        if math.isnan(evaluation.numbers[number]):
            return (f'{number} of {row["name"]} has no value: nothing was detected, or '
                    'no threshold reaches the precision')
    return None


def paired_difference(evidence: Evidence, cell: Row, reference: Row, number: str,
                      factor: float = 1.0) -> Difference:
    """A number of one row minus ``factor`` times that of another, with interval.

    Args:
        evidence: Has the evaluations.
        cell: The one.
        reference: The other, on the same images.
        number: Key of the number.
        factor: Of the reference's number.

    Raises:
        ValueError: If they differ in images or in their bootstrap.
    """
    one, two = evidence.evaluation(cell), evidence.evaluation(reference)
    try:
        check_pairable(two, one)
    except ValueError as error:
        raise ValueError(f'{cell["name"]} and {reference["name"]}: {error}') from error
    return paired_differences(
        {number: factor * two.numbers[number]},
        {number: factor * two.replicates[number]},
        one.numbers, {number: one.replicates[number]},
        one.settings.confidence)[number]


def _judge(evidence: Evidence, difference: Difference, row: Row, expect: str,
           margin: float = 0.0) -> str:
    """The verdict on the paired difference of a row."""
    settings = evidence.evaluation(row).settings
    return judge_difference(
        difference, expect, margin,
        max_undefined=int(settings.bootstrap * (1 - settings.confidence) / 2))


@TASK_UTILS.register_module()
class PairedCheck:
    """A number of some cells against the same number of others.

    Args:
        statement: What is claimed.
        experiment: Name of the experiment.
        cells: Name of a cell, or several.
        references: Name of what each is compared with, or several.
        expect: See :func:`~mmdet_facepatch.results.verdicts.judge_difference`.
        number: Key of the number.
        margin: In the number's units.
        factor: Of the reference's number; 0.5 with 'below' asks for less than half.
        reference_experiment: Where the references are; ``experiment`` by default.

    Raises:
        ValueError: If ``expect`` is unknown.
    """

    def __init__(self, statement: str, experiment: str, cells: Names,
                 references: Names, expect: str,
                 number: str = 'all/recall@calibrated', margin: float = 0.0,
                 factor: float = 1.0, reference_experiment: str | None = None) -> None:
        if expect not in EXPECTATIONS:
            raise ValueError(f'PairedCheck {statement!r}: expect is {expect!r}, but '
                             f'must be one of {EXPECTATIONS}')
        self.statement, self.experiment = statement, experiment
        self.cells, self.references = _listed(cells), _listed(references)
        self.expect, self.number = expect, number
        self.margin, self.factor = margin, factor
        self.reference_experiment = reference_experiment or experiment

    def rows(self, evidence: Evidence) -> list[Row]:
        """All that it reads."""
        return [*_rows(evidence, self.experiment, self.cells),
                *_rows(evidence, self.reference_experiment, self.references)]

    def run(self, evidence: Evidence) -> list[Result]:
        """All comparisons; those that cannot be made are 'not measured'."""
        results = []
        for cell, reference in itertools.product(self.cells, self.references):
            pairs = pair_rows(
                evidence.rows(self.experiment, cell),
                evidence.rows(self.reference_experiment, reference))
            results += [self._compare(evidence, *pair) for pair in pairs] or [
                dict(cell=cell, reference=reference, verdict=NOT_MEASURED,
                     reason='not run')]
        return results

    def _compare(self, evidence: Evidence, cell: Row, reference: Row) -> Result:
        if (reason := _reason(evidence, self.number, cell, reference)) is not None:
            return _not_measured(cell, reference, reason)
        difference = paired_difference(
            evidence, cell, reference, self.number, self.factor)
        value, other = (evidence.evaluation(row).numbers[self.number]
                        for row in (cell, reference))
        return dict(
            cell=cell['name'], reference=reference['name'], seed=cell['seed'],
            value=value, reference_value=other, difference=difference.value,
            low=_null(difference.interval.low), high=_null(difference.interval.high),
            undefined=difference.interval.undefined,
            verdict=_judge(evidence, difference, cell, self.expect, self.margin),
            folders=[cell['folder'], reference['folder']])


@TASK_UTILS.register_module()
class OrderCheck:
    """The order of a number over cells, and whether one of them is the lowest.

    Args:
        statement: What is claimed.
        experiment: Name of the experiment.
        cells: Names of the cells, at least two.
        lowest: The one that is claimed to be lowest.
        number: Key of the number.

    Raises:
        ValueError: If ``lowest`` is none of the cells.
    """

    def __init__(self, statement: str, experiment: str, cells: Sequence[str],
                 lowest: str, number: str) -> None:
        if lowest not in cells or len(cells) < 2:
            raise ValueError(f'OrderCheck {statement!r}: lowest is {lowest!r}, which '
                             f'should be one of several cells, got {list(cells)}')
        self.statement, self.experiment = statement, experiment
        self.cells, self.lowest, self.number = list(cells), lowest, number
        self.expect = 'below'

    def rows(self, evidence: Evidence) -> list[Row]:
        """All that it reads."""
        return _rows(evidence, self.experiment, self.cells)

    def run(self, evidence: Evidence) -> list[Result]:
        """One result for each seed that all cells have."""
        rows = [{row['seed']: row for row in evidence.rows(self.experiment, cell)}
                for cell in self.cells]
        seeds = [seed for seed in rows[0] if all(seed in found for found in rows)]
        if not seeds:
            return [dict(cell=self.lowest, verdict=NOT_MEASURED, reason='not run')]
        return [self._order(evidence, seed, {
            cell: found[seed] for cell, found in zip(self.cells, rows, strict=True)})
            for seed in seeds]

    def _order(self, evidence: Evidence, seed: int | None,
               rows: dict[str, Row]) -> Result:
        if (reason := _reason(evidence, self.number, *rows.values())) is not None:
            return dict(cell=self.lowest, seed=seed, verdict=NOT_MEASURED,
                        reason=reason)
        values = {cell: evidence.evaluation(row).numbers[self.number]
                  for cell, row in rows.items()}
        order = sorted(values, key=values.__getitem__)
        signs = [
            '<' if self._difference(evidence, rows, one, two).interval.high < 0 else '~'
            for one, two in itertools.pairwise(order)]
        others = {cell: self._difference(evidence, rows, self.lowest, cell)
                  for cell in self.cells if cell != self.lowest}
        verdicts = [_judge(evidence, d, rows[self.lowest], self.expect)
                    for d in others.values()]
        verdict = (DISAGREES if DISAGREES in verdicts else
                   AGREES if set(verdicts) == {AGREES} else
                   f'{UNDECIDED} (interval contains 0)')
        return dict(
            cell=self.lowest, seed=seed, verdict=verdict,
            order=[[cell, values[cell]] for cell in order], signs=signs,
            differences={cell: [d.value, d.interval.low, d.interval.high]
                         for cell, d in others.items()},
            folders=[row['folder'] for row in rows.values()])

    def _difference(self, evidence: Evidence, rows: dict[str, Row], one: str,
                    two: str) -> Difference:
        return paired_difference(evidence, rows[one], rows[two], self.number)


@TASK_UTILS.register_module()
class SimilarityCheck:
    """Whether patches look alike: each two of them, by their coarse correlation.

    They do if it is at least ``least`` and more than chance, see
    :func:`~mmdet_facepatch.results.similarity.patch_similarity`; they do not if it is
    less than ``least``.

    Args:
        statement: What is claimed.
        experiment: Name of the experiment.
        cells: Names of the cells, at least two.
        of: 'patch', or 'change' for what the attack made of the start, which patches
            from the same start have in common.
        least: Correlation that counts as alike.

    Raises:
        ValueError: If there are no two cells, or ``of`` is neither.
    """

    def __init__(self, statement: str, experiment: str, cells: Sequence[str],
                 of: str = 'patch', least: float = 0.5) -> None:
        if of not in ('patch', 'change') or len(cells) < 2:
            raise ValueError(f"SimilarityCheck {statement!r}: of must be 'patch' or "
                             f"'change', got {of!r}, and two cells are needed")
        self.statement, self.experiment = statement, experiment
        self.cells, self.of, self.least = list(cells), of, least

    def rows(self, evidence: Evidence) -> list[Row]:
        """All that it reads."""
        return _rows(evidence, self.experiment, self.cells)

    def run(self, evidence: Evidence) -> list[Result]:
        """One result for each two cells and seed."""
        results: list[Result] = []
        for one, two in itertools.combinations(self.cells, 2):
            pairs = pair_rows(evidence.rows(self.experiment, one),
                              evidence.rows(self.experiment, two))
            results += [self._compare(evidence, *pair) for pair in pairs] or [
                dict(cell=one, reference=two, verdict=NOT_MEASURED, reason='not run')]
        return results

    def _compare(self, evidence: Evidence, one: Row, two: Row) -> Result:
        if not (one['folder'] and two['folder']):
            return _not_measured(one, two, 'not run')
        similarity = patch_similarity(*(self._patch(evidence, row)
                                        for row in (one, two)))
        verdict = (NOT_MEASURED if math.isnan(similarity.coarse) else
                   DISAGREES if similarity.coarse < self.least else
                   AGREES if similarity.coarse > similarity.chance else
                   f'{UNDECIDED} (no more than chance)')
        return dict(
            cell=one['name'], reference=two['name'], seed=one['seed'],
            pixels=_null(similarity.pixels), coarse=_null(similarity.coarse),
            chance=_null(similarity.chance), verdict=verdict,
            folders=[one['attack_folder'], two['attack_folder']])

    def _patch(self, evidence: Evidence, row: Row) -> Any:
        patch = evidence.patch(row)
        return patch if self.of == 'patch' else patch - evidence.initial_patch(row)
