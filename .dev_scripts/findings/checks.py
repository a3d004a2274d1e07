"""Checks that findings consist of.

Each is built from its config and run on :class:`Evidence`; it gives one result for each
comparison and seed. Comparisons that cannot be made are results as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from mmengine.registry import Registry

from mmdet_facepatch.evaluation import FaceEvaluation
from mmdet_facepatch.evaluation.functional.bootstrap import (
    Difference,
    paired_differences,
)
from mmdet_facepatch.evaluation.functional.face_evaluation import check_pairable
from mmdet_facepatch.experiments import TableEntry

from .evidence import Evidence, pair_entries
from .verdicts import (
    AGREES,
    DISAGREES,
    NOT_MEASURED,
    TOO_FEW,
    VERDICTS,
    base,
    bound_of,
    judge_difference,
)

#: Kinds of checks, by the name of their class.
CHECKS = Registry('check of a finding')

#: Detections that a detector needs on clean images for attacks on it to be judged.
ENOUGH = 100

# Outcomes of detections that count, see evaluate_faces.
_OUTCOMES = ('true_positives', 'duplicates', 'on_patch', 'other_false_positives')


@dataclass(frozen=True)
class Result:
    """One comparison.

    Attributes:
        verdict (str): See :mod:`findings.verdicts`.
        text (str): What was compared, in words and numbers; or why it was not.
        seed (int): Of the attack, if it has one.
        against (float): How much it speaks against the claim, in units of its number;
            orders the results of one check.
        numbers (dict): What was measured, by name.
        runs (list[str]): Digests of the evaluations.
    """

    verdict: str
    text: str
    seed: int | None = None
    against: float = 0.0
    numbers: Mapping[str, float] = field(default_factory=dict)
    runs: Sequence[str | None] = ()


def deciding(results: Sequence[Result]) -> Result:
    """The result that speaks most against the claim."""
    return min(results, key=lambda r: (VERDICTS.index(base(r.verdict)), -r.against))


def count_detections(numbers: Mapping[str, float | None], number: str) -> int:
    """How many detections count in a subset at a delta.

    Args:
        numbers (Mapping[str, float]): Of an evaluation.
        number (str): Any number of that subset and delta, as ``all/recall@0.99``.
    """
    subset, _, rest = number.partition('/')
    delta = rest.partition('@')[2]
    return int(sum(numbers.get(f'{subset}/{o}@{delta}') or 0 for o in _OUTCOMES))


def format_number(number: str, value: float, per_image: bool = False) -> str:
    """A number as texts show it: shares in %, counts whole, others in digits."""
    name = number.rpartition('/')[2].partition('@')[0]
    if name in ('precision', 'recall'):
        return f'{100 * value:.1f} %'
    if name in _OUTCOMES and not per_image:
        return f'{value:.0f}'
    return f'{value:.3f}'


class Check:
    """What all checks have: ``statement`` (what is claimed) and what they read."""

    def __init__(self, statement: str, data: str | None = None) -> None:
        self.statement, self.data = statement, data

    def names(self) -> Iterator[tuple[str, str]]:
        """Experiment and name of each entry that it reads."""
        raise NotImplementedError

    def run(self, evidence: Evidence) -> list[Result]:
        """All comparisons, at least one."""
        raise NotImplementedError

    def used(self, evidence: Evidence) -> list[TableEntry]:
        """All that it reads, and what its detectors find on clean images."""
        found = []
        for experiment, name in dict.fromkeys(self.names()):
            entries = evidence.entries(experiment, name, self.data)
            clean = [evidence.clean(experiment, entry.detector) for entry in entries]
            found += [*entries, *(entry for entry in clean if entry)]
        return found


def find_obstacle(
    evidence: Evidence, experiment: str, number: str, *entries: TableEntry
) -> Result | None:
    """Why a number of some entries cannot be judged, or None.

    Args:
        evidence: Has the evaluations.
        experiment: Whose clean images count.
        number: Key of the number.
        entries: On one detector.
    """
    names, seed = '; '.join(entry.name for entry in entries), entries[0].seed
    for entry in entries:
        numbers = evidence.numbers(entry)
        if numbers is None:
            return Result(NOT_MEASURED, f'{names}: not run', seed)
        if number not in numbers:
            text = f'{names}: there is no {number} of {entry.name}'
            return Result(NOT_MEASURED, text, seed)
    clean = evidence.clean(experiment, entries[0].detector)
    numbers = clean and evidence.numbers(clean)
    if numbers and '@' in number:
        count = count_detections(numbers, number)
        if count < ENOUGH:
            text = f'{names}: {clean.detector} has {count} detections on clean images'
            return Result(TOO_FEW, text, seed)
    return None


@CHECKS.register_module()
class PairedCheck(Check):
    """Numbers of entries, each against that of another on the same images.

    Args:
        statement (str): What is claimed.
        experiment (str): Name of its config, without folder and suffix.
        pairs (list): Of each comparison the names of entry and reference.
        numbers (str | list[str]): Key of the number, or several.
        expect (str): See :func:`~findings.verdicts.judge_difference`.
        margin (float): In the number's units.
        factor (float): Of the reference's number; 0.5 with 'below' asks for less than
            half.
        per_image (bool): Divide a count by the number of images.
        min_detections (int): Each of the two needs so many, or the verdict is
            'too few detections'.
        reference_experiment (str): Where the references are, by default in
            ``experiment``.

    Raises:
        ValueError: If ``expect`` is unknown, or the margin negative.
    """

    def __init__(
        self,
        statement: str,
        experiment: str,
        pairs: Sequence[Sequence[str]],
        numbers: str | Sequence[str],
        expect: str,
        margin: float = 0.0,
        factor: float = 1.0,
        per_image: bool = False,
        min_detections: int = 0,
        reference_experiment: str | None = None,
    ) -> None:
        super().__init__(statement)
        try:
            self.bound = bound_of(expect, margin)
        except ValueError as error:
            raise ValueError(f'PairedCheck {statement!r}: {error}') from error
        self.experiment, self.pairs = experiment, pairs
        self.numbers = [numbers] if isinstance(numbers, str) else list(numbers)
        self.expect, self.margin, self.factor = expect, margin, factor
        self.per_image, self.min_detections = per_image, min_detections
        self.reference_experiment = reference_experiment or experiment

    def names(self) -> Iterator[tuple[str, str]]:
        """Experiment and name of each entry that it reads."""
        for entry, reference in self.pairs:
            yield self.experiment, entry
            yield self.reference_experiment, reference

    def run(self, evidence: Evidence) -> list[Result]:
        """One result for each pair, seed and number."""
        results = []
        for name, other in self.pairs:
            pairs = pair_entries(
                evidence.entries(self.experiment, name),
                evidence.entries(self.reference_experiment, other),
            )
            results += [
                self._compare(evidence, number, *pair)
                for number in self.numbers
                for pair in pairs
            ] or [Result(NOT_MEASURED, f'{name}; {other}: not run')]
        return results

    def _compare(
        self, evidence: Evidence, number: str, entry: TableEntry, reference: TableEntry
    ) -> Result:
        obstacle = find_obstacle(evidence, self.experiment, number, entry, reference)
        if obstacle is not None:
            return obstacle
        evaluations = one, two = [evidence.evaluation(e) for e in (entry, reference)]
        unit = one.numbers['num_images'] if self.per_image else 1.0
        value, other = (float(e.numbers[number]) / unit for e in evaluations)

        def shown(amount: float) -> str:
            return format_number(number, amount, self.per_image)

        head = '' if len(self.numbers) == 1 else f'{number.rpartition("/")[2]}: '
        text = f'{head}{entry.name}: {shown(value)}; {reference.name}: {shown(other)}'
        counts = [count_detections(e.numbers, number) for e in evaluations]
        # No number lies below 0, whatever the patch does.
        impossible = self.expect == 'below' and self.factor * other <= self.margin
        if math.isnan(value + other) or min(counts) < self.min_detections or impossible:
            if '@' in number:
                text += f' ({counts[0]} and {counts[1]} detections)'
            return Result(TOO_FEW, text, entry.seed)
        try:
            check_pairable(two, one)
        except ValueError as error:
            raise ValueError(f'{entry.name} and {reference.name}: {error}') from error
        found = self._difference(number, one, two, unit)
        low, high = found.interval.low, found.interval.high
        times = '' if self.factor == 1 else f' to {self.factor:g} x that'
        ends = [shown(x).replace(' %', '') for x in (found.value, low, high)]
        points = ' points' if '%' in shown(0.0) else ''
        text += f'; difference{times} {ends[0]}{points} [{ends[1]}, {ends[2]}]'
        settings = one.settings
        allowed = int(settings.bootstrap * (1 - settings.confidence) / 2)
        upwards = self.expect in ('below', 'not above')
        return Result(
            judge_difference(found, self.expect, self.margin, allowed),
            text,
            entry.seed,
            against=high - self.bound if upwards else self.bound - low,
            numbers=dict(
                value=value,
                reference=other,
                difference=found.value,
                low=low,
                high=high,
                undefined=found.interval.undefined,
            ),
            runs=[entry.evaluation, reference.evaluation],
        )

    def _difference(
        self, number: str, one: FaceEvaluation, two: FaceEvaluation, unit: float
    ) -> Difference:
        return paired_differences(
            {number: self.factor * two.numbers[number] / unit},
            {number: self.factor * np.asarray(two.replicates[number]) / unit},
            {number: one.numbers[number] / unit},
            {number: np.asarray(one.replicates[number]) / unit},
            one.settings.confidence,
        )[number]


@CHECKS.register_module()
class BoundCheck(Check):
    """A number of some entries as it is, against a bound.

    Args:
        statement (str): What is claimed.
        experiment (str): Name of its config, without folder and suffix.
        entries (list[str]): Names of the entries.
        number (str): Key of the number.
        at_most (float): The bound; or ``at_least``.
        at_least (float): The bound; or ``at_most``.
        of (str): Key of the number of which it is a part, for the text.
        data (str): Of the experiment, where it has its own.

    Raises:
        ValueError: If there is no bound, or two.
    """

    def __init__(
        self,
        statement: str,
        experiment: str,
        entries: Sequence[str],
        number: str,
        at_most: float | None = None,
        at_least: float | None = None,
        of: str | None = None,
        data: str | None = None,
    ) -> None:
        super().__init__(statement, data)
        if (at_most is None) == (at_least is None):
            raise ValueError(
                f'BoundCheck {statement!r} needs at_most or at_least, got {at_most} '
                f'and {at_least}'
            )
        self.experiment, self.entries = experiment, entries
        self.number, self.of = number, of
        self.at_most, self.at_least = at_most, at_least

    def names(self) -> Iterator[tuple[str, str]]:
        """Experiment and name of each entry that it reads."""
        return ((self.experiment, name) for name in self.entries)

    def run(self, evidence: Evidence) -> list[Result]:
        """One result for each entry and seed."""
        results = []
        for name in self.entries:
            found = evidence.entries(self.experiment, name, self.data)
            results += [self._judge(evidence, entry) for entry in found] or [
                Result(NOT_MEASURED, f'{name}: not run')
            ]
        return results

    def _judge(self, evidence: Evidence, entry: TableEntry) -> Result:
        obstacle = find_obstacle(evidence, self.experiment, self.number, entry)
        numbers = evidence.numbers(entry) or {}
        value = numbers.get(self.number)
        if obstacle is not None:
            return obstacle
        if value is None:
            return Result(TOO_FEW, f'{entry.name}: no {self.number}', entry.seed)
        excess = -value if self.at_most is None else value
        excess += self.at_least if self.at_most is None else -self.at_most
        whole = numbers.get(self.of) if self.of else None
        text = f'{entry.name}: {format_number(self.number, value)}'
        return Result(
            DISAGREES if excess > 0 else AGREES,
            text if whole is None else f'{text} of {whole:,.0f}',
            entry.seed,
            against=excess,
            numbers=dict(value=value),
            runs=[entry.evaluation],
        )
