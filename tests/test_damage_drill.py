"""The drill of damaged inputs, and that it notices what it is to notice."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_every_input_works_or_gives_one_clear_error(run):
    done = run('damage_drill.py', python=sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, last = done.stdout.strip().splitlines()
    kind, tried, right, clear, failed = (
        part.strip() for part in last.strip('|').split('|'))
    assert kind == 'all'
    assert int(tried) >= 200
    assert int(right) + int(clear) == int(tried)
    assert int(right) >= 50
    assert int(failed) == 0


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
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    from drills.case import FAILED, Case, try_case

    outcome = try_case(Case('x', 'x', {'a.txt': b'x'}, read, says=('line 3',)))
    assert outcome.verdict == FAILED
    assert detail in outcome.detail


def test_the_drill_sees_what_is_right(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    from drills.case import CLEAR, FAILED, RIGHT, Case, Table, expect, try_case

    def case(read, right=None):
        return Case('x', 'x', {'a.txt': b'abc'}, read, right=right, says=('line 3',))

    table = Table([
        try_case(case(lambda path: _raise(ValueError(f'{path}, line 3: no')))),
        try_case(case(Path.read_bytes, lambda found: expect(found == b'abc'))),
        try_case(case(Path.read_bytes, lambda found: expect(found == b'xyz'))),
        try_case(case(lambda path: _raise(ValueError(f'{path}, line 3')), print)),
    ])
    verdicts = [outcome.verdict for outcome in table.outcomes]
    assert verdicts == [CLEAR, RIGHT, FAILED, FAILED]
    assert table.rows() == [('x', 4, 1, 1, 2), ('all', 4, 1, 1, 2)]
