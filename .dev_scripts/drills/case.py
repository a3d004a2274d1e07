"""One malformed or unusual file, and how it is read in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from mmdet_facepatch.utils.tables import markdown_table

#: Limits of one reading, in bytes and seconds.
MEMORY = 2**30
CPU_SECONDS = 20
WALL_SECONDS = 120

RIGHT = 'read correctly'
CLEAR = 'rejected'
FAILED = 'failed'

# File that a malicious input makes if its payload runs.
TRAP = 'ran'

Content = bytes | Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One input and what is expected of it.

    Attributes:
        kind: Row of the table.
        name: What is wrong with it.
        files: Path in a fresh folder -> its bytes, or a function that makes it there.
        read: Reads the input at the path that it is given.
        target: Path in the folder to read; by default that of the first file.
        right: Raises unless what was read is right; None if the input has to be
            refused.
        says: What the error has to say, besides the path.
        names: Path that the error has to name, if not the target's.
        either: Whether an error that names the file is as good as a right result,
            since the damage may or may not be visible.
    """

    kind: str
    name: str
    files: Mapping[str, Content]
    read: Callable[[Path], Any]
    target: str | None = None
    right: Callable[[Any], None] | None = None
    says: tuple[str, ...] = ()
    names: str | None = None
    either: bool = False

    @property
    def path(self) -> str:
        """Path in the folder of what is read."""
        return next(iter(self.files)) if self.target is None else self.target


@dataclass(frozen=True)
class Outcome:
    """What became of a case: RIGHT, CLEAR or FAILED, and why."""

    case: Case
    verdict: str
    detail: str = ''


@dataclass
class Table:
    """Outcomes by kind."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failed(self) -> list[Outcome]:
        """The cases that failed."""
        return [o for o in self.outcomes if o.verdict == FAILED]

    def rows(self) -> list[tuple[str | int, ...]]:
        """Kind, files, read correctly, rejected, failed; and their sum."""
        by_kind: dict[str, list[str]] = {}
        for outcome in self.outcomes:
            by_kind.setdefault(outcome.case.kind, []).append(outcome.verdict)
        by_kind['all'] = [outcome.verdict for outcome in self.outcomes]
        return [
            (kind, len(found), *(found.count(one) for one in (RIGHT, CLEAR, FAILED)))
            for kind, found in by_kind.items()
        ]

    def __str__(self) -> str:
        rows = [[str(part) for part in row] for row in self.rows()]
        return markdown_table(['kind', 'files', RIGHT, CLEAR, FAILED], rows)


def try_case(case: Case) -> Outcome:
    """Read an input in a forked process with little memory and time.

    Forked, since importing the package takes longer than all inputs together.
    """
    folder = Path(tempfile.mkdtemp(prefix='damage_'))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _try_in_child(case, folder, writer)
    os.close(writer)
    with os.fdopen(reader, 'rb') as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    if not said:
        return Outcome(case, FAILED, f'the process ended, status {status}')
    verdict, detail = json.loads(said)
    return Outcome(case, verdict, detail)


def _try_in_child(case: Case, folder: Path, writer: int) -> NoReturn:
    """Write the input, read it, and send the verdict through a pipe."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    verdict = FAILED, 'the input could not be made'
    try:
        for name, content in case.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content)
        os.chdir(folder)
        with limits():
            verdict = _judge(case, folder)
    # Whatever comes, the parent has to hear of it.
    except BaseException as error:
        verdict = FAILED, f'{type(error).__name__}: {error}'
    os.write(writer, json.dumps(verdict).encode())
    os._exit(0)


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Little memory beyond what is used, and little time."""
    signal.alarm(WALL_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    pages = Path('/proc/self/statm')
    if pages.exists():
        used = int(pages.read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
        yield
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    else:
        yield


def _judge(case: Case, folder: Path) -> tuple[str, str]:
    verdict = _judge_reading(case, folder)
    if (folder / TRAP).exists():
        return FAILED, 'the payload ran'
    return verdict


def _judge_reading(case: Case, folder: Path) -> tuple[str, str]:
    try:
        found = case.read(folder / case.path)
    # Any error is judged by what it says.
    except Exception as error:
        return _judge_error(case, folder, error)
    if case.right is None:
        return FAILED, 'nothing was noticed'
    try:
        case.right(found)
    except Exception as error:
        return FAILED, f'read, but wrong: {type(error).__name__}: {error}'
    return RIGHT, ''


def _judge_error(case: Case, folder: Path, error: Exception) -> tuple[str, str]:
    said = f'{type(error).__name__}: {error}'
    if case.right is not None and not case.either:
        return FAILED, f'should have worked: {said[:300]}'
    if not isinstance(error, (OSError, ValueError, TypeError, ImportError)):
        return FAILED, f'a programming error: {said[:300]}'
    wanted = (str(folder / (case.names or case.path)), *case.says)
    missing = [part for part in wanted if part not in said]
    if missing:
        return FAILED, f'does not say {missing}: {said[:300]}'
    if len(said) > 1500:
        return FAILED, f'an error of {len(said)} characters'
    return CLEAR, said[:300]


class Payload:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (open, (TRAP, 'w'))


def expect(condition: object, what: str = 'not as it should be') -> None:
    """Raise unless a condition holds."""
    if not condition:
        raise AssertionError(what)
