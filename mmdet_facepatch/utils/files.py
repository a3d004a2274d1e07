"""Files that are there whole or not at all."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO


def write_atomically(
    path: str | os.PathLike[str], write: bytes | Callable[[BinaryIO], object]
) -> None:
    """Write a file beside its place, bring it to the disk, then rename it.

    No reader sees half a file, and an earlier one stays whole if anything fails.

    Args:
        path (str | Path): File to write; its folder must exist.
        write (bytes | callable): The content, or a function that writes it into the
            binary file it is given, which is in memory.

    Raises:
        OSError: If the file cannot be written; it names the file.
    """
    target = Path(path)
    content = write
    if not isinstance(content, bytes):
        # Into memory: numpy hands arrays to C's own buffers, which a full disk cuts
        # short without an error.
        buffer = io.BytesIO()
        content(buffer)
        content = buffer.getvalue()
    # Not tempfile: its files are private to the user, and stay so when renamed.
    temporary = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # Of a full disk the error knows no file.
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(target)
        raise


# What an archive may unpack to: this much, plus so many times its own size. Weights,
# images and predictions shrink by less than two, annotations by less than six.
UNPACKED_BASE = 64 * 2**20
UNPACKED_RATIO = 20


def check_unpacked_size(members: Iterable[zipfile.ZipInfo], packed: int) -> None:
    """Refuse archives of which few bytes become gigabytes.

    zipfile never unpacks more of a member than it declares.

    Raises:
        ValueError: If they unpack to more than 64 MiB plus 20 times the archive's size.
    """
    total = sum(info.file_size for info in members)
    allowed = UNPACKED_BASE + UNPACKED_RATIO * packed
    if total > allowed:
        raise ValueError(
            f'{packed:,} bytes that unpack to {total:,}, more than the {allowed:,} '
            'that a regular archive of this size may; it is refused'
        )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes left half-written by :func:`write_atomically`.

    Only this machine's processes may write into the folder; files of living ones stay.
    """
    for path in Path(folder).glob('.*.tmp'):
        found = re.fullmatch(r'\..+\.(\d+)\.tmp', path.name)
        if found and not _is_alive(int(found[1])):
            path.unlink(missing_ok=True)
