"""The cells of an experiment: what they may say, and how they multiply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CELL_KEYS = frozenset({'name', 'detector', 'patch', 'attack', 'placement', 'removed',
                       'scale', 'paper'})
ATTACK_KEYS = frozenset({'method', 'detector', 'init', 'half', 'seed', 'options'})


def matrix_cell(patch: str, detector: str) -> str:
    """Name of the cell of a patch on a detector."""
    return f'{patch} on {detector}'


def seed_cell(name: str, seed: int) -> str:
    """Name of one of the cells that a cell becomes for several seeds."""
    return f'{name}, seed {seed}'


def matrix_cells(matrix: Mapping[str, Any]) -> list[dict]:
    """Each patch on each detector.

    Args:
        matrix: ``patches`` (name -> keys of a cell) and ``detectors`` (names).
    """
    return [
        dict(cell, name=matrix_cell(patch, detector), detector=detector)
        for patch, cell in matrix['patches'].items()
        for detector in matrix['detectors']]


def expand_seeds(cells: Iterable[Mapping[str, Any]],
                 seeds: Sequence[int]) -> list[dict]:
    """One cell for each seed in place of each cell with an attack.

    Cells without an attack, and attacks that name their seed, stay as they are.

    Args:
        cells: As in :class:`~mmdet_facepatch.engine.experiment.Experiment`.
        seeds: Seeds; none leaves all cells as they are.

    Returns:
        Cells; those that came from one have its name as ``group``.
    """
    expanded: list[dict] = []
    for cell in cells:
        attack = cell.get('attack')
        if not seeds or attack is None or 'seed' in attack:
            expanded.append(dict(cell))
            continue
        expanded += [
            dict(cell, name=seed_cell(cell['name'], seed), group=cell['name'],
                 attack=dict(attack, seed=seed)) for seed in seeds]
    return expanded


def check_cells(cells: Iterable[Mapping[str, Any]], path: str,
                detectors: Mapping[str, Any], methods: Mapping[str, Any]) -> None:
    """Raise if a cell is not what an experiment can run.

    Args:
        cells: As the config has them, before they are expanded.
        path: The config, for errors.
        detectors: By name.
        methods: By name.

    Raises:
        ValueError: If a cell has an unknown key, detector or method, both a
            patch and an attack, or a name that is taken.
    """
    seen = set()
    for cell in cells:
        name = cell.get('name')
        if not name or name in seen:
            raise ValueError(f'{path}: each cell needs a name of its own; '
                             f'{name!r} is missing or taken')
        seen.add(name)
        attack = cell.get('attack') or {}
        unknown = (set(cell) - CELL_KEYS) | (set(attack) - ATTACK_KEYS)
        if unknown:
            raise ValueError(f'{path}: cell {name!r} has unknown keys '
                             f'{sorted(unknown)}')
        if attack and cell.get('patch'):
            raise ValueError(f'{path}: cell {name!r} has a patch and an '
                             'attack; which one is pasted?')
        for detector in (cell.get('detector'), attack.get('detector')):
            if detector is not None and detector not in detectors:
                raise ValueError(f'{path}: cell {name!r} names the detector '
                                 f'{detector!r}; there are {list(detectors)}')
        if attack and attack.get('method') not in methods:
            raise ValueError(
                f'{path}: cell {name!r} names the method '
                f'{attack.get("method")!r}; there are {list(methods)}')
        seed = attack.get('seed', 0)
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(f'{path}: cell {name!r} has the seed {seed!r}; a seed is '
                             'a whole number from 0 on')
