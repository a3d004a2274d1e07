"""Published patches in place of the attacks that would make them again.

The manifest of a patch that an experiment's attack made names its ``job``: the digest
of all that the attack depended on, with which its folder's name ends. An attack with
that very digest need not be run: the patch, its course and its manifest are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..attack import load_patch
from ..attack.manifest import read_manifest
from ..files import write_atomically
from .attack_record import RECORD
from .experiment import Job

# What a record of an attack has besides its epochs, all of which manifests keep.
_RECORDED = ('seed', 'batch_size', 'processes', 'device', 'versions')


def published_patches(folder: str | Path) -> dict[str, Path]:
    """Manifests of patches by the digest of the attack that made them.

    Args:
        folder: Of published patches. Manifests that name no ``job``, as of patches
            that no experiment made, are passed over.

    Raises:
        FileNotFoundError: If there is no manifest with a ``job``.
        ValueError: If two have the same, or one cannot be read.
    """
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).glob('*.json')):
        manifest = read_manifest(path)
        job = (manifest or {}).get('job')
        if job is None:
            continue
        if job in found:
            raise ValueError(f'{path} and {found[job]} say that they are of the same '
                             f'attack {job}; remove one of them')
        found[job] = path
    if not found:
        raise FileNotFoundError(
            f'{folder} has no manifest of a patch that an experiment made; '
            'tools/publish_patch.py --experiment writes them')
    return found


def take_published(jobs: Iterable[Job], folder: str | Path) -> list[Job]:
    """Finish attacks with their published patches.

    Args:
        jobs: Of any kind; evaluations, and what is done, stay as they are.
        folder: Of published patches.

    Returns:
        Those that are finished by it. Each has ``patch.npy``, ``patch.png`` and
        ``record.json`` as its attack left them; pictures of epochs were not
        published.

    Raises:
        FileNotFoundError: If a file of a patch is missing, or there is none at all.
        ValueError: If a file is damaged.
    """
    published = published_patches(folder)
    taken = [job for job in jobs
             if job.kind == 'attack' and not job.done and job.digest in published]
    for job in taken:
        _take(job, published[job.digest])
    return taken


def _take(job: Job, path: Path) -> None:
    """Fill the folder of an attack from the manifest of its patch."""
    manifest: dict[str, Any] = read_manifest(path) or {}
    try:
        record = {**{key: manifest[key] for key in _RECORDED},
                  **{key: manifest['convergence'][key]
                     for key in ('held_out_clean', 'epochs')}}
        seconds = manifest['seconds']
    except (KeyError, TypeError) as error:
        raise ValueError(f'{path}: a manifest of a published patch needs {error}; get '
                         'it again, or publish the patch anew') from error
    files = [path.with_suffix(suffix) for suffix in ('.npy', '.png')]
    for file in files:
        # Raises where a file is not the one that the manifest tells of.
        load_patch(file)
    job.prepare()
    for file in files:
        write_atomically(job.folder / f'patch{file.suffix}', file.read_bytes())
    text = json.dumps(record, indent=1)
    write_atomically(job.folder / RECORD, f'{text}\n'.encode())
    job.finish(seconds, record['versions'])
