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

from .checkpoints import has_checkpoint
from .config_differences import Difference, config_differences, named_differences

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
        'data_preprocessor',
        'train_dataloader',
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
        'randomness',
        'auto_scale_lr',
        'custom_hooks',
        'load_from',
    ),
    'report': ('model', 'test_dataloader', 'test_evaluator', 'test_cfg', 'load_from'),
}
# What may be another in a run that resumes, since it does not change its result.
MAY_DIFFER = (
    # Of evaluations alone.
    'model.tta_model',
    'train_cfg.val_begin',
    'train_cfg.val_interval',
    # How images are loaded, not which.
    'train_dataloader.num_workers',
    'train_dataloader.persistent_workers',
    'train_dataloader.pin_memory',
    'train_dataloader.prefetch_factor',
)
# Hooks that write and show, and change nothing of a run.
WRITING_HOOKS = (
    'AttackHistoryHook',
    'DetVisualizationHook',
    'FaceVisualizationHook',
    'MetricTableHook',
    'PatchHook',
    'ReportHook',
)
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
    of the same config left them. A training resumes with the config that it began
    with, but for :data:`MAY_DIFFER`; a report is made anew. The first process of a
    run decides for the others.

    Args:
        cfg (Config): With ``work_dir``, which is made if it is not there.
        purposes (Sequence[str]): 'train' (checkpoints, patches), 'report' (report.json)
            or both.
        overwrite (bool): Replace whatever is there. Defaults to False.

    Raises:
        WorkDirError: If the work dir is in use, holds results of another or of an
            unfinished run, has no checkpoint to resume from or one of another
            config, or cannot be written; the last also later, when the disk is full.
    """
    folder = Path(cfg.work_dir)
    with _clear_errors(folder), _tell_interrupted(cfg, purposes):
        if not is_first_process(cfg):
            yield
            return
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            records = [
                stack.enter_context(_Record(folder, purpose)) for purpose in purposes
            ]
            contents = [_content(cfg, purpose) for purpose in purposes]
            for record, content in zip(records, contents, strict=True):
                if cfg.get('resume') and record.purpose == 'train':
                    _check_resumed(cfg, record, content)
                if _goes_on(cfg, folder):
                    record.warn_of_replacing(content)
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
    if content.get('custom_hooks'):
        content['custom_hooks'] = [
            hook
            for hook in content['custom_hooks']
            if str(hook['type']).split('.')[-1] not in WRITING_HOOKS
        ]
    return json.loads(json.dumps(content, default=str, sort_keys=True))


def _check_resumed(cfg: Config, record: _Record, content: dict[str, Any]) -> None:
    """See to it that the run ends as one in one go, or say why it would not.

    Where it resumes, what it began from stays on record.

    Raises:
        WorkDirError: If there is no checkpoint, or a config differs.
    """
    if cfg.get('load_from') is not None:
        folder = Path(cfg.load_from).parent
    elif has_checkpoint(record.folder):
        folder = record.folder
    else:
        raise WorkDirError(
            f'--resume: work dir {record.folder} has no checkpoint to resume from; '
            'start without --resume, or name the --work-dir or the checkpoint of the '
            'run that is to go on'
        )
    here = folder.resolve() == record.folder.resolve()
    earlier = record.read() if here else _read_record(folder / record.path.name)
    if not earlier:
        warnings.warn(
            f'{folder} has no record of the config that its checkpoints are of: the '
            'result is that of a run in one go only if the config is the same',
            stacklevel=2,
        )
        return
    began = earlier['config']
    differing = _differences(began, content, (*MAY_DIFFER, 'load_from'))
    if differing:
        raise WorkDirError(
            f'--resume: the run in {folder} began with another config, and its result '
            f'would be of both: {named_differences(differing)}. Resume with the old '
            f'{"value" if len(differing) == 1 else "values"}, or start anew without '
            '--resume, in another --work-dir or with --overwrite'
        )
    if here:
        content['load_from'] = began.get('load_from')


def _differences(
    earlier: dict[str, Any], content: dict[str, Any], may_differ: Sequence[str]
) -> list[Difference]:
    """Keys of a run's config that an earlier run has recorded otherwise."""
    # Versions before did not record each of them.
    new = {key: value for key, value in content.items() if key in earlier}
    old = {key: earlier[key] for key in new}
    return list(config_differences(old, new, may_differ))


def _parse_record(text: str) -> dict[str, Any]:
    """Content of a record; empty if it is damaged."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    known = isinstance(content, dict) and isinstance(content.get('config'), dict)
    return content if known else {}


def _read_record(path: Path) -> dict[str, Any]:
    """Another work dir's record; empty if there is none that can be read."""
    if not path.is_file():
        return {}
    return _parse_record(path.read_text(encoding='utf-8', errors='replace'))


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
            user = self.read().get('process', 'another process')
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

    def read(self) -> dict[str, Any]:
        """The last run's record; empty if there is none that can be read."""
        self.file.seek(0)
        return _parse_record(self.file.read())

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

    def _found(self) -> list[str]:
        """Names of the results that are there."""
        return sorted(
            path.name
            for pattern in RESULTS[self.purpose]
            for path in self.folder.glob(pattern)
        )

    def _differing(self, content: Any) -> list[Difference]:
        """Keys in which the results of the last run are of another config."""
        free = MAY_DIFFER if self.purpose == 'train' else ()
        return _differences(self.read().get('config', {}), content, free)

    def warn_of_replacing(self, content: Any) -> None:
        """Say which report a run that resumes replaces, if it is of another config."""
        if self.purpose == 'train' or not self._found():
            return
        if differing := self._differing(content):
            warnings.warn(
                f'{", ".join(self._found())} in work dir {self.folder} is replaced '
                f'by that of another config: {named_differences(differing)}',
                stacklevel=2,
            )

    def refuse_loss(self, content: Any) -> None:
        """See to it that no results are lost to a run with this config.

        Raises:
            WorkDirError: If they would be.
        """
        found = self._found()
        if not found:
            return
        earlier = self.read()
        differing = self._differing(content)
        remedy = 'Choose another --work-dir, or replace them with --overwrite'
        if not earlier:
            reason = 'of a run that left no record of its config'
        elif differing:
            reason = f'of another config ({named_differences(differing)})'
        elif self.purpose == 'train' and not earlier.get('finished'):
            reason = 'of this config, which has not come to its end'
            if has_checkpoint(self.folder):
                remedy = f'Resume with --resume, c{remedy[1:]}'
        else:
            return
        raise WorkDirError(
            f'work dir {self.folder} holds results {reason}: {", ".join(found)}. '
            f'{remedy}'
        )


def is_first_process(cfg: Config) -> bool:
    """Whether a launcher started this process first, or none did."""
    rank = RANKS.get(cfg.get('launcher', 'none'), '')
    return not int(os.environ.get(rank, 0))


@contextlib.contextmanager
def _tell_interrupted(cfg: Config, purposes: Sequence[str]) -> Iterator[None]:
    """Let an interrupt (Ctrl-C) say how to go on; once, and not in each process."""
    try:
        yield
    except KeyboardInterrupt as error:
        first = is_first_process(cfg)
        error.args = (_how_to_go_on(Path(cfg.work_dir), purposes) if first else '',)
        raise


def _how_to_go_on(folder: Path, purposes: Sequence[str]) -> str:
    if 'train' not in purposes:
        return 'no report was written; the same command makes it'
    if has_checkpoint(folder):
        return f'nothing in {folder} is lost; the same command with --resume goes on'
    left = any(True for name in RESULTS['train'] for _ in folder.glob(name))
    option = ' with --overwrite' if left else ''
    return f'{folder} has no checkpoint yet; the same command{option} starts anew'


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
