"""Malformed and unusual files; and that the drill sees what fails."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    ('kind', 'count'),
    [
        ('images', 107),
        ('annotations', 96),
        ('predictions', 57),
        ('ground_truth', 61),
        ('patches', 36),
        ('archives', 20),
        ('checkpoints', 26),
    ],
)
def test_every_file_is_read_correctly_or_rejected(kind, count):
    """403 in all."""
    from damage_drill import drill

    table = drill([kind], verbose=False)
    assert [(o.case.name, o.detail) for o in table.failed] == []
    *_, (_, files, _, _, failed) = table.rows()
    assert (files, failed) == (count, 0)


@pytest.mark.slow
def test_tool(run):
    """The table that it prints, with its sum."""
    done = run('damage_drill.py', '--kinds', 'patches', python=sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, last = done.stdout.strip().splitlines()
    assert last.replace('|', ' ').split() == ['all', '36', '6', '30', '0']


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ('read', 'detail'),
    [
        (lambda path: path.read_bytes(), 'nothing was noticed'),
        (lambda path: _raise(ValueError('no')), 'does not say'),
        (lambda path: _raise(ValueError(f'{path}: no')), "does not say ['line 3']"),
        (lambda path: _raise(KeyError(f'{path}, line 3')), 'a programming error'),
        (lambda path: os.abort(), 'the process ended, status'),
        (lambda path: os.kill(os.getpid(), signal.SIGALRM), 'the process ended'),
        (lambda path: bytes(2**31), 'a programming error: MemoryError'),
        (lambda path: path.with_name('ran').touch(), 'the payload ran'),
        (
            lambda path: _raise(ValueError(f'{path}, line 3: {"x" * 2000}')),
            'an error of',
        ),
    ],
    ids=range(9),
)
def test_the_drill_sees_failures(monkeypatch, read, detail):
    monkeypatch.syspath_prepend(str(ROOT / '.dev_scripts'))
    from drills.case import FAILED, Case, try_case

    outcome = try_case(Case('x', 'x', {'a.txt': b'x'}, read, says=('line 3',)))
    assert outcome.verdict == FAILED
    assert detail in outcome.detail


def test_the_drill_sees_what_is_right(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / '.dev_scripts'))
    from drills.case import CLEAR, FAILED, RIGHT, Case, Table, expect, try_case

    def case(read, right=None):
        return Case('x', 'x', {'a.txt': b'abc'}, read, right=right, says=('line 3',))

    table = Table(
        [
            try_case(case(lambda path: _raise(ValueError(f'{path}, line 3: no')))),
            try_case(case(Path.read_bytes, lambda found: expect(found == b'abc'))),
            try_case(case(Path.read_bytes, lambda found: expect(found == b'xyz'))),
            try_case(case(lambda path: _raise(ValueError(f'{path}, line 3')), print)),
        ]
    )
    verdicts = [outcome.verdict for outcome in table.outcomes]
    assert verdicts == [CLEAR, RIGHT, FAILED, FAILED]
    assert table.rows() == [('x', 4, 1, 1, 2), ('all', 4, 1, 1, 2)]
