"""The one reader and writer of JSON files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import write_atomically


def to_json(value: Any) -> Any:
    """A copy in plain JSON types: NaN is None, numpy's numbers are Python's."""
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if hasattr(value, 'item') and getattr(value, 'ndim', None) == 0:
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a JSON file, all or nothing; NaN, which JSON lacks, is ``null``.

    Raises:
        ValueError: If a number is infinite.
        TypeError: If a value has no place in JSON.
    """
    text = json.dumps(to_json(content), indent=1, allow_nan=False)
    write_atomically(path, f'{text}\n'.encode())


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file, with or without a byte order mark.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no JSON; names the file.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not a JSON file: {error}') from error
