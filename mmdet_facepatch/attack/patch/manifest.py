"""Manifests of published patches: what a patch file must be, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What the manifest of a patch says of itself.
KIND = 'patch'


def manifest_path(path: Path) -> Path:
    """Where the manifest of a patch file would be: beside it, as ``NAME.json``."""
    return path.with_suffix('.json')


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a patch.

    Args:
        path (Path): The ``.json`` file.

    Returns:
        dict[str, Any], optional: Its content; None if there is no file, or one that is
        no such manifest.

    Raises:
        ValueError: If the file cannot be read as JSON, or says that it is a patch's
            manifest and names no digests.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{path}: not readable as JSON, so that the patch beside it cannot be '
            f'checked: {error}'
        ) from error
    if not isinstance(content, Mapping) or content.get('kind') != KIND:
        return None
    files = content.get('files')
    if not isinstance(files, Mapping) or not all(
        isinstance(digest, str) for digest in files.values()
    ):
        raise ValueError(
            f'{path}: a manifest of a patch needs "files", the SHA-256 of '
            'each file by its suffix'
        )
    return dict(content)


def check_against_manifest(path: Path, content: bytes) -> None:
    """Raise if a patch file is not the one that the manifest beside it describes.

    Args:
        path (Path): The patch file.
        content (bytes): Its bytes.

    Raises:
        ValueError: If the SHA-256 differs, or the manifest is damaged.
    """
    where = manifest_path(path)
    manifest = read_manifest(where)
    expected = (manifest or {}).get('files', {}).get(path.suffix.lower())
    if expected is None:
        return
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(
            f'patch file {path} has the SHA-256 {found[:12]}..., its manifest {where} '
            f'says {expected[:12]}...: it is damaged or another patch. Get it again, '
            'or move it away from the manifest'
        )
