"""How command-line tools end: known errors in one line, others with a traceback."""

from __future__ import annotations

import argparse
import dis
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType

import mmengine.config
import mmengine.registry

PACKAGE = Path(__file__).resolve().parents[1]
# What mmengine raises where a config or a name in it is wrong.
CONFIG_CODE = tuple(
    Path(str(module.__file__)).resolve().parent
    for module in (mmengine.config, mmengine.registry)
)
RAISE = dis.opmap['RAISE_VARARGS']
# Where mmengine builds a module, some versions put its name before the error's text.
_WRAPPED = re.compile(r'class `\w+` in [\w/.]+\.py: ')
# What torch makes of an error in a process that loads data.
_WORKER = re.compile(r'Caught \w+ in DataLoader worker process \d+\.\n')
_FRAME = re.compile(r'^  File "(.+)", line \d+, in .+\n    (.*)$', re.MULTILINE)
STATUS_ERROR, STATUS_INTERRUPTED = 1, 130


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    """The option that :func:`run_tool` looks for."""
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show where an error was raised, also one that is known',
    )


def run_tool(main: Callable[[], object]) -> None:
    """Run a tool, and end the process as its user can make use of.

    An error that this package, the tool, or mmengine's reading of configs raises is
    known: its message says what to do, and is all that is printed. So is a file's that
    cannot be opened. Every other error is one of the program, and keeps its traceback.
    ``--debug`` shows the traceback always.

    Args:
        main (Callable[[], object]): Of the tool, without arguments. What it returns is
            the exit status; None is success.

    Raises:
        SystemExit: With status 1 after a known error, 130 after an interrupt (Ctrl-C),
            or with what ``main`` returns.
    """
    debug = '--debug' in sys.argv
    try:
        status = main()
    except KeyboardInterrupt as error:
        if debug:
            raise
        hint = error.args[0] if error.args else 'the same command starts anew'
        if hint:
            print(f'\nInterrupted: {hint}', file=sys.stderr, flush=True)
        raise SystemExit(STATUS_INTERRUPTED) from None
    except Exception as error:
        message = None if debug else known_message(error, main.__code__.co_filename)
        if message is None:
            raise
        text = f'ERROR: {message} (--debug shows where)'
        print(text, file=sys.stderr, flush=True)
        raise SystemExit(STATUS_ERROR) from None
    if status is not None and status != 0:
        raise SystemExit(status)


def known_message(error: BaseException, tool: str) -> str | None:
    """What a known error says, in one line.

    Args:
        error (BaseException): As it was caught.
        tool (str): File of the tool, whose errors are known as the package's are.

    Returns:
        str, optional: None if it is not known.
    """
    for cause in _chain(error):
        text = _text(cause)
        if _is_known(cause, tool):
            text = _WRAPPED.sub('', text)
        elif _WORKER.match(text) and _known_in_worker(text, tool):
            text = text.rpartition(_last_frame(text))[2]
            lines = [line for line in text.split('\n') if not line.startswith(' ')]
            text = ' '.join(lines).partition(': ')[2]
        else:
            continue
        return ' '.join(line.strip() for line in text.split('\n') if line.strip())
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised for.

    One that came up while another was handled is an error of its own, except where
    mmengine adds the name of a class.
    """
    found: BaseException | None = error
    while found is not None:
        yield found
        wrapped = _WRAPPED.match(_text(found)) and not found.__suppress_context__
        found = found.__cause__ or (found.__context__ if wrapped else None)


def _text(error: BaseException) -> str:
    # The text of a KeyError is its key's, in quotes.
    if isinstance(error, KeyError) and len(error.args) == 1:
        return str(error.args[0])
    return str(error)


def _is_known(error: BaseException, tool: str) -> bool:
    if isinstance(error, AssertionError) or error.__traceback__ is None:
        return False
    if isinstance(error, OSError) and error.filename is not None:
        return True
    frame, instruction = _innermost(error.__traceback__)
    # Not what an operation raises in a line of ours, as a lookup of a missing key does.
    if frame.f_code.co_code[instruction] != RAISE:
        return False
    wrapper = bool(_WRAPPED.match(_text(error)))
    return not wrapper and _is_trusted(frame.f_code.co_filename, tool)


def _innermost(traceback: TracebackType) -> tuple[FrameType, int]:
    """The frame that raised an error, and which of its instructions did."""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame, traceback.tb_lasti


def _is_trusted(filename: str, tool: str) -> bool:
    """Whether the code of a file raises errors for its user."""
    path = Path(filename).resolve()
    folders = (PACKAGE, *CONFIG_CODE)
    return filename == tool or any(folder in path.parents for folder in folders)


def _last_frame(text: str) -> str:
    frames = [*_FRAME.finditer(text)]
    return frames[-1].group() if frames else ''


def _known_in_worker(text: str, tool: str) -> bool:
    """Whether the traceback in a worker's error ends in a known raise."""
    found = _FRAME.fullmatch(_last_frame(text))
    return (
        found is not None
        and found[2].startswith('raise ')
        and _is_trusted(found[1], tool)
    )
