"""How time and memory are measured, and one line of the table."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    Attributes:
        part: What was measured, and on what.
        value: The figure.
        unit: Its unit; 'x' for a ratio.
        target: Limit that it has to keep; None for information.
        at_least: Whether the target is a lower bound, not an upper one.
    """

    part: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    def row(self) -> tuple[str, str, str]:
        """Part, figure, and target with its verdict."""
        if self.target is None:
            verdict = ''
        else:
            sign = '>=' if self.at_least else '<='
            met = (
                self.value >= self.target
                if self.at_least
                else self.value <= self.target
            )
            verdict = (
                f'{sign} {self.target:g} {self.unit}: {"met" if met else "MISSED"}'
            )
        return self.part, f'{self.value:.3g} {self.unit}', verdict


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(function: Callable[[], object]) -> float:
    """Time of one call, until the GPU is done too."""
    _synchronize()
    start = time.perf_counter()
    function()
    _synchronize()
    return time.perf_counter() - start


def fastest(function: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest of some runs."""
    return min(seconds(function) for _ in range(repeat))


def side_by_side(functions: list[Callable[[], object]], repeat: int) -> list[float]:
    """Median seconds of each of some functions, run in turns.

    In turns, because a machine that others use is slower at one time than at
    another; once before it counts, because first calls allocate.
    """
    for function in functions:
        function()
    rounds = [[seconds(function) for function in functions] for _ in range(repeat)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def peak_memory() -> float:
    """Highest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _status(name: str) -> float:
    """A line of /proc/self/status, in GiB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{name}:'):
            return int(line.split()[1]) / 2**20
    raise RuntimeError(f'/proc/self/status has no line {name}')


def _growth(function: Callable[[], object]) -> float:
    """By how much a call raises memory above what is held before it, in GiB."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - held) / 2**30
    # Forget the peak of the imports (proc(5), clear_refs).
    Path('/proc/self/clear_refs').write_text('5')
    before = _status('VmRSS')
    function()
    return _status('VmHWM') - before


def _put(queue: Any, function: Callable[..., object], args: tuple) -> None:
    torch.set_num_threads(1)
    queue.put(function(*args))


def in_new_process(function: Callable[..., Any], *args: object) -> Any:
    """Call a function in a process of its own, on one thread.

    What ran before in this process changes how its allocator behaves; a new one
    knows nothing of it.

    Args:
        function: Function of a module, so that the new process finds it.
        *args: Its arguments.

    Returns:
        What it returns.

    Raises:
        RuntimeError: If the process ended without a result, as one does that
            the system stops for want of memory.
    """
    context = multiprocessing.get_context('spawn')
    queue = context.SimpleQueue()
    process = context.Process(target=_put, args=(queue, function, args))
    process.start()
    process.join()
    if process.exitcode or queue.empty():
        raise RuntimeError(
            f'measuring {function.__name__}{args} ended with exit code '
            f'{process.exitcode}'
        )
    return queue.get()


def _growth_of_prepared(
    prepare: Callable[..., Callable[[], object]], *args: object
) -> float:
    return _growth(prepare(*args))


def memory_growth(prepare: Callable[..., Callable[[], object]], *args: object) -> float:
    """By how much a function raises the peak memory of a process, in GiB.

    Args:
        prepare: Function of a module, so that a new process finds it. Returns the
            function to measure; what it does itself is not counted.
        *args: Its arguments.

    Raises:
        RuntimeError: If the process ended without a result.
    """
    return in_new_process(_growth_of_prepared, prepare, *args)
