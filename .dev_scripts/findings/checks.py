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

from mmengine.registry import Registry

from mmdet_facepatch.evaluation.functional.bootstrap import (
    Difference,
    paired_differences,
)
from mmdet_facepatch.evaluation.functional.face_evaluation import check_pairable
from mmdet_facepatch.experiments import TableEntry

from .evidence import Evidence, pair_entries
from .similarity import patch_similarity
from .verdicts import (
    AGREES,
    DISAGREES,
    EXPECTATIONS,
    NOT_MEASURED,
    UNDECIDED,
    judge_difference,
)

#: Kinds of checks, by the name of their class.
CHECKS = Registry('check of a finding')

Names = str | Sequence[str]
Result = dict[str, Any]


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _entries(
    evidence: Evidence, experiment: str, names: Sequence[str]
) -> list[TableEntry]:
    return [entry for name in names for entry in evidence.entries(experiment, name)]


def _not_measured(entry: TableEntry, reference: TableEntry, reason: str) -> Result:
    return dict(
        entry=entry.name,
        reference=reference.name,
        seed=entry.seed,
        verdict=NOT_MEASURED,
        reason=reason,
    )


def _reason(evidence: Evidence, number: str, *entries: TableEntry) -> str | None:
    """Why a number of some entries cannot be compared, or None."""
    if not all(map(evidence.is_finished, entries)):
        return 'not run'
    for entry in entries:
        evaluation = evidence.evaluation(entry)
        if number not in evaluation.replicates:
            return f'there is no {number} of {entry.name}'
        if math.isnan(evaluation.numbers[number]):
            return (
                f'{number} of {entry.name} has no value: nothing was detected, or '
                'no threshold reaches the precision'
            )
    return None


def paired_difference(
    evidence: Evidence,
    entry: TableEntry,
    reference: TableEntry,
    number: str,
    factor: float = 1.0,
) -> Difference:
    """A number of one entry minus ``factor`` times that of another, with interval.

    Args:
        evidence: Has the evaluations.
        entry: The one.
        reference: The other, on the same images.
        number: Key of the number.
        factor: Of the reference's number.

    Raises:
        ValueError: If they differ in images or in their bootstrap.
    """
    one, two = evidence.evaluation(entry), evidence.evaluation(reference)
    try:
        check_pairable(two, one)
    except ValueError as error:
        raise ValueError(f'{entry.name} and {reference.name}: {error}') from error
    return paired_differences(
        {number: factor * two.numbers[number]},
        {number: factor * two.replicates[number]},
        one.numbers,
        {number: one.replicates[number]},
        one.settings.confidence,
    )[number]


def _judge(
    evidence: Evidence,
    difference: Difference,
    entry: TableEntry,
    expect: str,
    margin: float = 0.0,
) -> str:
    """The verdict on the paired difference of a entry."""
    settings = evidence.evaluation(entry).settings
    return judge_difference(
        difference,
        expect,
        margin,
        max_undefined=int(settings.bootstrap * (1 - settings.confidence) / 2),
    )


@CHECKS.register_module()
class PairedCheck:
    """A number of some entries against the same number of others.

    Args:
        statement: What is claimed.
        experiment: Name of the experiment.
        entries: Name of an entry, or several.
        references: Name of what each is compared with, or several.
        expect: See :func:`~findings.verdicts.judge_difference`.
        number: Key of the number.
        margin: In the number's units.
        factor: Of the reference's number; 0.5 with 'below' asks for less than half.
        reference_experiment: Where the references are; ``experiment`` by default.

    Raises:
        ValueError: If ``expect`` is unknown.
    """

    def __init__(
        self,
        statement: str,
        experiment: str,
        entries: Names,
        references: Names,
        expect: str,
        number: str = 'all/recall@calibrated',
        margin: float = 0.0,
        factor: float = 1.0,
        reference_experiment: str | None = None,
    ) -> None:
        if expect not in EXPECTATIONS:
            raise ValueError(
                f'PairedCheck {statement!r}: expect is {expect!r}, but '
                f'must be one of {EXPECTATIONS}'
            )
        self.statement, self.experiment = statement, experiment
        self.names, self.references = _listed(entries), _listed(references)
        self.expect, self.number = expect, number
        self.margin, self.factor = margin, factor
        self.reference_experiment = reference_experiment or experiment

    def used(self, evidence: Evidence) -> list[TableEntry]:
        """All that it reads."""
        return [
            *_entries(evidence, self.experiment, self.names),
            *_entries(evidence, self.reference_experiment, self.references),
        ]

    def run(self, evidence: Evidence) -> list[Result]:
        """All comparisons; those that cannot be made are 'not measured'."""
        results = []
        for name, other in itertools.product(self.names, self.references):
            pairs = pair_entries(
                evidence.entries(self.experiment, name),
                evidence.entries(self.reference_experiment, other),
            )
            results += [self._compare(evidence, *pair) for pair in pairs] or [
                dict(
                    entry=name,
                    reference=other,
                    verdict=NOT_MEASURED,
                    reason='not run',
                )
            ]
        return results

    def _compare(
        self, evidence: Evidence, entry: TableEntry, reference: TableEntry
    ) -> Result:
        if (reason := _reason(evidence, self.number, entry, reference)) is not None:
            return _not_measured(entry, reference, reason)
        difference = paired_difference(
            evidence, entry, reference, self.number, self.factor
        )
        value, other = (
            evidence.evaluation(one).numbers[self.number] for one in (entry, reference)
        )
        return dict(
            entry=entry.name,
            reference=reference.name,
            seed=entry.seed,
            value=value,
            reference_value=other,
            difference=difference.value,
            low=difference.interval.low,
            high=difference.interval.high,
            undefined=difference.interval.undefined,
            verdict=_judge(evidence, difference, entry, self.expect, self.margin),
            runs=[entry.evaluation, reference.evaluation],
        )


@CHECKS.register_module()
class OrderCheck:
    """The order of a number over entries, and whether one of them is the lowest.

    Args:
        statement: What is claimed.
        experiment: Name of the experiment.
        entries: Names of the entries, at least two.
        lowest: The one that is claimed to be lowest.
        number: Key of the number.

    Raises:
        ValueError: If ``lowest`` is none of the entries.
    """

    def __init__(
        self,
        statement: str,
        experiment: str,
        entries: Sequence[str],
        lowest: str,
        number: str,
    ) -> None:
        if lowest not in entries or len(entries) < 2:
            raise ValueError(
                f'OrderCheck {statement!r}: lowest is {lowest!r}, which '
                f'should be one of several entries, got {list(entries)}'
            )
        self.statement, self.experiment = statement, experiment
        self.names, self.lowest, self.number = list(entries), lowest, number
        self.expect = 'below'

    def used(self, evidence: Evidence) -> list[TableEntry]:
        """All that it reads."""
        return _entries(evidence, self.experiment, self.names)

    def run(self, evidence: Evidence) -> list[Result]:
        """One result for each seed that all entries have."""
        by_seed = [
            {entry.seed: entry for entry in evidence.entries(self.experiment, name)}
            for name in self.names
        ]
        seeds = [seed for seed in by_seed[0] if all(seed in found for found in by_seed)]
        if not seeds:
            return [dict(entry=self.lowest, verdict=NOT_MEASURED, reason='not run')]
        return [
            self._order(
                evidence,
                seed,
                {
                    name: found[seed]
                    for name, found in zip(self.names, by_seed, strict=True)
                },
            )
            for seed in seeds
        ]

    def _order(
        self, evidence: Evidence, seed: int | None, entries: dict[str, TableEntry]
    ) -> Result:
        if (reason := _reason(evidence, self.number, *entries.values())) is not None:
            return dict(
                entry=self.lowest, seed=seed, verdict=NOT_MEASURED, reason=reason
            )
        values = {
            name: evidence.evaluation(entry).numbers[self.number]
            for name, entry in entries.items()
        }
        order = sorted(values, key=values.__getitem__)
        signs = [
            '<'
            if self._difference(evidence, entries, one, two).interval.high < 0
            else '~'
            for one, two in itertools.pairwise(order)
        ]
        others = {
            name: self._difference(evidence, entries, self.lowest, name)
            for name in self.names
            if name != self.lowest
        }
        verdicts = [
            _judge(evidence, d, entries[self.lowest], self.expect)
            for d in others.values()
        ]
        verdict = (
            DISAGREES
            if DISAGREES in verdicts
            else AGREES
            if set(verdicts) == {AGREES}
            else f'{UNDECIDED} (interval contains 0)'
        )
        return dict(
            entry=self.lowest,
            seed=seed,
            verdict=verdict,
            order=[[name, values[name]] for name in order],
            signs=signs,
            differences={
                name: [d.value, d.interval.low, d.interval.high]
                for name, d in others.items()
            },
            runs=[entry.evaluation for entry in entries.values()],
        )

    def _difference(
        self, evidence: Evidence, entries: dict[str, TableEntry], one: str, two: str
    ) -> Difference:
        return paired_difference(evidence, entries[one], entries[two], self.number)


@CHECKS.register_module()
class SimilarityCheck:
    """Whether patches look alike: each two of them, by their coarse correlation.

    They do if it is at least ``least`` and more than chance, see
    :func:`~findings.similarity.patch_similarity`; they do not if it is
    less than ``least``.

    Args:
        statement: What is claimed.
        experiment: Name of the experiment.
        entries: Names of the entries, at least two.
        of: 'patch', or 'change' for what the attack made of the start, which patches
            from the same start have in common.
        least: Correlation that counts as alike.

    Raises:
        ValueError: If there are no two entries, or ``of`` is neither.
    """

    def __init__(
        self,
        statement: str,
        experiment: str,
        entries: Sequence[str],
        of: str = 'patch',
        least: float = 0.5,
    ) -> None:
        if of not in ('patch', 'change') or len(entries) < 2:
            raise ValueError(
                f"SimilarityCheck {statement!r}: of must be 'patch' or "
                f"'change', got {of!r}, and two entries are needed"
            )
        self.statement, self.experiment = statement, experiment
        self.names, self.of, self.least = list(entries), of, least

    def used(self, evidence: Evidence) -> list[TableEntry]:
        """All that it reads."""
        return _entries(evidence, self.experiment, self.names)

    def run(self, evidence: Evidence) -> list[Result]:
        """One result for each two entries and seed."""
        results: list[Result] = []
        for one, two in itertools.combinations(self.names, 2):
            pairs = pair_entries(
                evidence.entries(self.experiment, one),
                evidence.entries(self.experiment, two),
            )
            results += [self._compare(evidence, *pair) for pair in pairs] or [
                dict(entry=one, reference=two, verdict=NOT_MEASURED, reason='not run')
            ]
        return results

    def _compare(self, evidence: Evidence, one: TableEntry, two: TableEntry) -> Result:
        if not (evidence.is_finished(one) and evidence.is_finished(two)):
            return _not_measured(one, two, 'not run')
        similarity = patch_similarity(
            *(self._patch(evidence, entry) for entry in (one, two))
        )
        verdict = (
            NOT_MEASURED
            if math.isnan(similarity.coarse)
            else DISAGREES
            if similarity.coarse < self.least
            else AGREES
            if similarity.coarse > similarity.chance
            else f'{UNDECIDED} (no more than chance)'
        )
        return dict(
            entry=one.name,
            reference=two.name,
            seed=one.seed,
            pixels=similarity.pixels,
            coarse=similarity.coarse,
            chance=similarity.chance,
            verdict=verdict,
            runs=[one.attack, two.attack],
        )

    def _patch(self, evidence: Evidence, entry: TableEntry) -> Any:
        patch = evidence.patch(entry)
        return patch if self.of == 'patch' else patch - evidence.initial_patch(entry)
