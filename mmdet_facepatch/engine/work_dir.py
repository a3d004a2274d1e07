"""A work dir belongs to one run at a time, and keeps what earlier ones found."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from mmengine.config import Config

# What a run writes, by its purpose; a training and an evaluation do not collide.
RESULTS = {
    'train': (
        'epoch_*.pth',
        'iter_*.pth',
        'best_*.pth',
        'stopped.*',
        'last_checkpoint',
        'patch.npy',
        'patch.png',
    ),
    'report': ('report.json',),
}
# The keys of a config that say what its results are results of.
CONFIG_KEYS = {
    'train': (
        'model',
        'train_dataloader',
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
        'randomness',
        'load_from',
    ),
    'report': ('model', 'test_dataloader', 'test_evaluator', 'test_cfg', 'load_from'),
}
# Each launcher sets the rank of a process before the processes meet.
RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
# Errors of a disk that can be met in writing only.
WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
# File systems that have no locks say so with these.
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class WorkDirError(OSError):
    """A work dir that cannot be written, or must not be."""


@contextlib.contextmanager
def claim_work_dir(
    cfg: Config, purposes: Sequence[str], overwrite: bool = False
) -> Iterator[None]:
    """Keep a work dir for one run, and earlier results from being lost.

    A second run for the same purpose is refused while the first one runs; the
    lock ends with its process, however that ends. Earlier results are replaced
    only by a run that resumes from them, with ``overwrite``, or if a finished run
    of the same config left them. The first process of a run decides for the others.

    Args:
        cfg (Config): With ``work_dir``, which is made if it is not there.
        purposes (Sequence[str]): 'train' (checkpoints, patches), 'report' (report.json)
            or both.
        overwrite (bool): Replace whatever is there. Defaults to False.

    Raises:
        WorkDirError: If the work dir is in use, holds results of another or of an
            unfinished run, or cannot be written; the last also later, when the disk
            is full.
    """
    folder = Path(cfg.work_dir)
    with _clear_errors(folder):
        if int(os.environ.get(RANKS.get(cfg.get('launcher', 'none'), ''), 0)):
            yield
            return
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            records = [
                stack.enter_context(_Record(folder, purpose)) for purpose in purposes
            ]
            contents = [_content(cfg, purpose) for purpose in purposes]
            for record, content in zip(records, contents, strict=True):
                if _goes_on(cfg, folder):
                    record.warn_of_changes(content)
                elif not overwrite:
                    record.refuse_loss(content)
            for record, content in zip(records, contents, strict=True):
                record.write(content, finished=False)
            yield
            for record, content in zip(records, contents, strict=True):
                record.write(content, finished=True)


def _goes_on(cfg: Config, folder: Path) -> bool:
    """Whether the run is to resume what is in the work dir itself."""
    checkpoint = cfg.get('load_from')
    return bool(cfg.get('resume')) and (
        checkpoint is None or Path(checkpoint).resolve().parent == folder.resolve()
    )


def _content(cfg: Config, purpose: str) -> Any:
    """What the results depend on, as it reads back from JSON."""
    content = {key: cfg.to_dict().get(key) for key in CONFIG_KEYS[purpose]}
    return json.loads(json.dumps(content, default=str, sort_keys=True))


class _Record:
    """Which run a work dir is, or was, used by; locked while it runs.

    A record lock, unlike one of ``flock``, is not inherited by data-loading
    workers, which outlive a killed run for some seconds.
    """

    def __init__(self, folder: Path, purpose: str) -> None:
        self.folder, self.purpose = folder, purpose
        self.path = folder / f'.{purpose}_run.json'
        self.file: TextIO

    def __enter__(self) -> _Record:
        self.file = open(self.path, 'a+', encoding='utf-8')
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                warnings.warn(
                    f'the file system of work dir {self.folder} has no locks '
                    f'({error.strerror}): a second run there would not be noticed',
                    stacklevel=2,
                )
                return self
            user = self._read().get('process', 'another process')
            self.file.close()
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise WorkDirError(
                    f'work dir {self.folder} is in use: {user} is running there. Wait '
                    'for it, or choose another --work-dir'
                ) from None
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def _read(self) -> dict[str, Any]:
        """The last run's record; empty if there is none that can be read."""
        self.file.seek(0)
        try:
            content = json.load(self.file)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, content: Any, finished: bool) -> None:
        """Write this run. In place: a new file would not be the locked one."""
        self.file.seek(0)
        self.file.truncate()
        json.dump(
            dict(
                process=f'process {os.getpid()} on {socket.gethostname()} '
                f'({" ".join(sys.argv[:2])})',
                finished=finished,
                config=content,
            ),
            self.file,
        )
        self.file.flush()

    def _differing(self, content: Any) -> list[str]:
        """Keys in which the last run's config was another."""
        config = self._read().get('config') or {}
        return [key for key in content if content[key] != config.get(key)]

    def warn_of_changes(self, content: Any) -> None:
        """Warn where a run resumes with another config than it began with."""
        changed = [key for key in self._differing(content) if key != 'load_from']
        if not self._read():
            return
        if changed:
            warnings.warn(
                f'the run in work dir {self.folder} resumes with another config than '
                f'it began with ({", ".join(changed)} differ); its results are of '
                'both',
                stacklevel=2,
            )

    def refuse_loss(self, content: Any) -> None:
        """See to it that no results are lost to a run with this config.

        Raises:
            WorkDirError: If they would be.
        """
        found = sorted(
            path.name
            for pattern in RESULTS[self.purpose]
            for path in self.folder.glob(pattern)
        )
        if not found:
            return
        earlier = self._read()
        differing = self._differing(content)
        if not earlier:
            reason = 'of a run that left no record of its config'
        elif differing:
            reason = f'of another run ({", ".join(differing)} of the config differ)'
        elif self.purpose == 'train' and not earlier.get('finished'):
            reason = 'of this config, which has not come to its end'
        else:
            return
        raise WorkDirError(
            f'work dir {self.folder} holds results {reason}: {", ".join(found)}. '
            'Resume with --resume, choose another --work-dir, or replace them with '
            '--overwrite'
        )


@contextlib.contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    """Say of an error in writing where it was, and what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, WorkDirError) or not _is_of_writing(error, folder):
            raise
        raise WorkDirError(
            error.errno,
            f'cannot write into work dir {folder}: {error}. What was there is '
            'unharmed. Free space or fix the permissions and resume with --resume, or '
            'choose another --work-dir',
        ) from error


def _is_of_writing(error: OSError, folder: Path) -> bool:
    if error.errno in WRITE_ERRORS:
        return True
    # Of others only where they are about the folder, one in it, or one above it.
    if not isinstance(error.filename, str):
        return False
    path, base = Path(error.filename).absolute(), folder.absolute()
    return path == base or base in path.parents or path in base.parents
