"""Running of runs: here one after the other, or by submitit side by side."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..engine import has_checkpoint
from ..utils.files import write_atomically
from ..utils.json_files import read_json, write_json
from .finish import attack_record, evaluation_record
from .planner import Run, filled_config
from .records import ATTACK, write_record
from .store import RUN, RunStore

CONFIG, PLAN, LOG = 'run_config.py', 'plan.json', 'run.log'
# Seconds between two looks at what is running.
POLL = 0.2


@dataclass(frozen=True)
class Executor:
    """How runs are run.

    Args:
        root (Path): Folder of the repository, with ``tools``.
        kind (str): 'serial', one after the other in this process's children; else a
            cluster of submitit: 'local', or 'slurm'.
        workers (int): Runs at the same time; 0 is all.
        processes (int): Processes of each run, through torchrun.
        options (Mapping): Parameters of submitit's executor.
    """

    root: Path
    kind: str = 'serial'
    workers: int = 0
    processes: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, runs: Sequence[Run], store: RunStore) -> int:
        """Run what is not finished; a failure does not stop the others.

        Args:
            runs (Sequence[Run]): All ready.
            store (RunStore): Where they are looked up and left.

        Returns:
            int: How many failed.
        """
        executor: Any = _Serial()
        workers = 1
        if self.kind != 'serial':
            folder = store.folders[0] / 'submitit'
            executor = _submitit_executor(self.kind, folder, self.options)
            workers = self.workers or len(runs)
        left, failed = list(runs), 0
        active: list[tuple[Run, Path, Any]] = []
        while left or active:
            while left and len(active) < workers:
                run = left.pop(0)
                # Another experiment may have finished it meanwhile.
                if store.finished(run.digest):
                    continue
                try:
                    folder = prepare(run, store)
                except (FileNotFoundError, ValueError) as error:
                    failed += 1
                    print(f'FAILED {run.kind} {run.name}: {error}', flush=True)
                    continue
                print(f'{run.kind} {run.name}: {folder}', flush=True)
                job = executor.submit(_Resumable(), folder, self.root, self.processes)
                active.append((run, folder, job))
            for item in [item for item in active if item[2].done()]:
                active.remove(item)
                run, folder, job = item
                if not store.finished(run.digest):
                    failed += 1
                    _report_failure(run, folder / LOG, job.exception())
            if active:
                time.sleep(POLL)
        return failed


class _Serial:
    """As an executor of submitit, but here, and done when it returns."""

    def submit(self, function: Callable[..., None], *args: Any) -> Future:
        job: Future = Future()
        try:
            function(*args)
            job.set_result(None)
        except (OSError, ValueError) as error:
            job.set_exception(error)
        return job


class _Resumable:
    """What submitit calls; after a preemption it is called again, and resumes."""

    def __call__(self, folder: Path, root: Path, processes: int) -> None:
        run_folder(folder, root, processes)

    def checkpoint(self, *args: Any) -> Any:
        """Submit it again: attacks go on from their last checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *args)


def _submitit_executor(kind: str, folder: Path, options: Mapping[str, Any]) -> Any:
    try:
        import submitit
    except ImportError as error:
        raise ImportError(
            f"--executor {kind} needs submitit: pip install 'mmdet_facepatch[submitit]'"
        ) from error
    executor = submitit.AutoExecutor(folder=str(folder), cluster=kind)
    # Days, where nothing is said: submitit's own limit is five minutes.
    executor.update_parameters(**{'timeout_min': 2 * 24 * 60, **options})
    return executor


def prepare(run: Run, store: RunStore) -> Path:
    """Make the folder of a run that is ready, with its config and its identity."""
    folder = store.new_folder(run.digest)
    folder.mkdir(parents=True, exist_ok=True)
    content = filled_config(run, store).pretty_text.encode()
    path = folder / CONFIG
    # Another process may be reading it.
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)
    plan = {key: getattr(run, key) for key in ('kind', 'digest', 'weights', 'data')}
    write_json(folder / PLAN, plan)
    return folder


def run_folder(folder: Path, root: Path, processes: int = 1) -> None:
    """Run what a folder was prepared for; if it succeeds, write its record.

    Args:
        folder (Path): Of :func:`prepare`; output is appended to its ``run.log``.
        root (Path): Folder of the repository, with ``tools``.
        processes (int): Through torchrun, if more than one. Defaults to 1.
    """
    plan = read_json(folder / PLAN)
    kind = plan.pop('kind')
    command = _command(folder, kind, root, processes)
    start = time.monotonic()
    with open(folder / LOG, 'ab') as log:
        done = subprocess.run(command, stdout=log, stderr=log, check=False)
    if done.returncode != 0:
        return
    if kind == ATTACK:
        record: Any = attack_record(folder, root, plan['digest'])
    else:
        seconds = round(time.monotonic() - start, 1)
        record = evaluation_record(folder, seconds=seconds, **plan)
    # Last: with this file the run is finished.
    write_record(folder / RUN, record)


def _command(folder: Path, kind: str, root: Path, processes: int) -> list[str]:
    """What runs a prepared folder, on several processes through torchrun."""
    tool = [str(root / 'tools' / 'attack.py'), str(folder / CONFIG)]
    tool += ['--work-dir', str(folder)]
    if kind == ATTACK:
        # The folder is named by its content: nothing else can be lost.
        tool += ['--no-report']
        tool += ['--resume' if has_checkpoint(folder) else '--overwrite']
    else:
        tool += ['--report-only', '--overwrite']
        hooks = Config.fromfile(folder / CONFIG).get('custom_hooks') or []
        if any(str(hook['type']).endswith('ReportHook') for hook in hooks):
            tool += ['--save-predictions', 'npz']
    if processes == 1:
        return [sys.executable, *tool]
    launcher = ['-m', 'torch.distributed.run', '--standalone']
    launcher += [f'--nproc_per_node={processes}']
    return [sys.executable, *launcher, *tool, '--launcher', 'pytorch']


def _report_failure(run: Run, log: Path, error: BaseException | None) -> None:
    text = log.read_text(errors='replace') if log.is_file() else ''
    lines = [line for line in text.split('\n') if line.strip()]
    reason = error or (lines[-1] if lines else 'no output')
    print(f'FAILED {run.kind} {run.name}: {reason}\n  see {log}', flush=True)
