"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(
    path: str | os.PathLike[str], write: bytes | Callable[[BinaryIO], object]
) -> None:
    """Write a file beside its place, bring it to the disk, then rename it.

    No reader sees half a file, and an earlier one stays whole if anything fails.

    Args:
        path (str | Path): File to write; its folder must exist.
        write (bytes | callable): The content, or a function that writes it into
            the binary file it is given.

    Raises:
        OSError: If the file cannot be written; it names the file.
    """
    target = Path(path)
    # Not tempfile: its files are private to the user, and stay so when renamed.
    temporary = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, 'wb') as file:
            if isinstance(write, bytes):
                file.write(write)
            else:
                write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # Of a full disk the error knows no file.
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(target)
        raise
