"""Digests of contents and files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def content_digest(content: Any) -> str:
    """12 hexadecimal digits of what a run depends on, as canonical JSON."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def by_content(value: Any) -> Any:
    """Files, such as patches and photographs, by their digest, not their path."""
    if isinstance(value, dict):
        return {
            key: file_digest(item)
            if key == 'path' and Path(item).is_file()
            else by_content(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [by_content(item) for item in value]
    return value
