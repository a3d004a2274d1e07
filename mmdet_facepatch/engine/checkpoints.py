"""Intact checkpoints, and the one to resume from."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ..utils.files import write_atomically

# What CheckpointHook writes by itself; best_*.pth have no optimiser's state.
_NAME = re.compile(r'(epoch|iter)_(\d+)\.pth')
POINTER = 'last_checkpoint'


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, but each is there whole or not at all."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a temporary file, bring it to the disk, then rename it.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The file; missing folders are made.
        """
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """As :meth:`put`, for text."""
        self.put(obj.encode(encoding), filepath)


register_backend('atomic_local', AtomicLocalBackend, force=True)


def damage_of(path: Path) -> str | None:
    """What is wrong with a checkpoint file; nothing in it is executed.

    All of it is read and compared with the checksums that torch wrote.

    Args:
        path (Path): A file as :func:`torch.save` writes it.

    Returns:
        str, optional: What is wrong, or None.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except FileNotFoundError:
        return 'it does not exist'
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        return f'{error}'
    return f'wrong checksum of {broken}' if broken else None


def _candidates(work_dir: Path) -> list[Path]:
    """Checkpoints of a run, the one that it names its last first, then by age."""
    pointer = work_dir / POINTER
    named = []
    if pointer.is_file():
        text = pointer.read_text(encoding='utf-8', errors='replace').strip()
        # A moved work dir has its checkpoints beside the pointer.
        beside = work_dir / Path(text).name
        named = [Path(text) if Path(text).is_file() else beside] if text else []
    folders = dict.fromkeys([path.parent for path in named] + [work_dir])
    found = [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if _NAME.fullmatch(path.name)
    ]
    found.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    return list(dict.fromkeys(named + found))


def has_checkpoint(work_dir: str | Path) -> bool:
    """Whether there is a checkpoint to resume from, intact or damaged.

    Args:
        work_dir (str | Path): The run's folder, which need not be there.
    """
    return bool(_candidates(Path(work_dir)))


def find_intact_checkpoint(work_dir: str | Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint of a run that can be read.

    Args:
        work_dir (str | Path): The run's folder.

    Returns:
        tuple[Path | None, list[str]]: Its path, or None where there is no checkpoint at
        all, and a warning for each newer one that is damaged.

    Raises:
        ValueError: If there are checkpoints and all are damaged.
    """
    warnings: list[str] = []
    for path in _candidates(Path(work_dir)):
        damage = damage_of(path)
        if damage is None:
            return path, warnings
        warnings.append(
            f'checkpoint {path} is damaged ({damage}) and is skipped; '
            'the one before is used'
        )
    if warnings:
        raise ValueError(
            f'{work_dir}: no checkpoint can be read. Start anew without --resume, or '
            'in another --work-dir. ' + '; '.join(warnings)
        )
    return None, warnings
