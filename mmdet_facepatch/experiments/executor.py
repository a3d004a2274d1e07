"""Running of runs: here one after the other, or by submitit side by side."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
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
# Seconds between two looks at runs that others do.
POLL = 0.5


@dataclass(frozen=True)
class Executor:
    """How runs are run.

    Attributes:
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
        waiting = [run for run in runs if not store.finished(run.digest)]
        if self.kind == 'serial':
            return [self._run_here(run, store) for run in waiting].count(False)
        return self._submit(waiting, store)

    def _run_here(self, run: Run, store: RunStore) -> bool:
        # Another experiment may have finished it meanwhile.
        if store.finished(run.digest):
            return True
        folder = _announce(run, store)
        if folder is None:
            return False
        done = run_folder(folder, self.root, self.processes)
        return done or _failed(run, folder)

    def _submit(self, waiting: Sequence[Run], store: RunStore) -> int:
        """Keep so many jobs of submitit at work until all are done."""
        executor = _submitit_executor(
            self.kind, store.folders[0] / 'submitit', self.options
        )
        left, failed = list(waiting), 0
        active: list[tuple[Run, Path, Any]] = []
        while left or active:
            while left and (not self.workers or len(active) < self.workers):
                run = left.pop(0)
                folder = _announce(run, store)
                if folder is None:
                    failed += 1
                    continue
                job = executor.submit(_Resumable(), folder, self.root, self.processes)
                active.append((run, folder, job))
            time.sleep(POLL)
            for item in [item for item in active if item[2].done()]:
                active.remove(item)
                run, folder, job = item
                if not store.finished(run.digest):
                    failed += not _failed(run, folder, job.exception())
        return failed


class _Resumable:
    """What submitit calls; after a preemption it is called again, and resumes."""

    def __call__(self, folder: Path, root: Path, processes: int) -> bool:
        return run_folder(folder, root, processes)

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
    """Make a run's folder, with its config and what its record will say.

    Args:
        run (Run): It is ready.
        store (RunStore): Where it is left.

    Returns:
        Path: The folder.
    """
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


def run_folder(folder: Path, root: Path, processes: int = 1) -> bool:
    """Run what a folder was prepared for, and write its record.

    Args:
        folder (Path): Of :func:`prepare`; output is appended to its ``run.log``.
        root (Path): Folder of the repository, with ``tools``.
        processes (int): Through torchrun, if more than one. Defaults to 1.

    Returns:
        bool: Whether it was run to its end.
    """
    plan = read_json(folder / PLAN)
    start = time.monotonic()
    with open(folder / LOG, 'ab') as log:
        done = subprocess.run(
            _command(folder, plan['kind'], root, processes),
            stdout=log,
            stderr=log,
            check=False,
        )
    if done.returncode != 0:
        return False
    if plan['kind'] == ATTACK:
        record: Any = attack_record(folder, root, plan['digest'])
    else:
        record = evaluation_record(
            folder,
            plan['digest'],
            plan['weights'],
            plan['data'],
            round(time.monotonic() - start, 1),
        )
    # Last: with this file the run is finished.
    write_record(folder / RUN, record)
    return True


def _command(folder: Path, kind: str, root: Path, processes: int) -> list[str]:
    """What runs a prepared folder, on several processes through torchrun."""
    tool = [
        str(root / 'tools' / 'attack.py'),
        str(folder / CONFIG),
        '--work-dir',
        str(folder),
    ]
    if kind == ATTACK:
        # The folder is named by its content: nothing else can be lost.
        tool += ['--no-report']
        tool += ['--resume' if has_checkpoint(folder) else '--overwrite']
    else:
        tool += ['--report-only', '--overwrite']
        if _has_report(folder):
            tool += ['--save-predictions', 'npz']
    if processes == 1:
        return [sys.executable, *tool]
    launcher = ['-m', 'torch.distributed.run', '--standalone']
    return [
        sys.executable,
        *launcher,
        f'--nproc_per_node={processes}',
        *tool,
        '--launcher',
        'pytorch',
    ]


def _has_report(folder: Path) -> bool:
    """Whether a hook of a run's config saves detections."""
    hooks = Config.fromfile(folder / CONFIG).get('custom_hooks') or []
    return any(str(hook['type']).endswith('ReportHook') for hook in hooks)


def _announce(run: Run, store: RunStore) -> Path | None:
    """Prepare a run and say so; None if what it needs is missing or damaged."""
    try:
        folder = prepare(run, store)
    except (FileNotFoundError, ValueError) as error:
        print(f'FAILED {run.kind} {run.name}: {error}', flush=True)
        return None
    print(f'{run.kind} {run.name}: {folder}', flush=True)
    return folder


def _failed(run: Run, folder: Path, error: object = None) -> bool:
    """Say that a run failed, and why; always False."""
    log = folder / LOG
    text = log.read_text(errors='replace') if log.is_file() else ''
    reason = next((line for line in reversed(text.split('\n')) if line.strip()), '')
    print(
        f'FAILED {run.kind} {run.name}: {reason or error or "no output"}\n  see {log}',
        flush=True,
    )
    return False
