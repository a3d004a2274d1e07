"""The one store of finished runs.

A finished run is ``DIGEST/run.json`` in a folder of the store, with all that the run
left beside it, or ``DIGEST.json`` alone, with its patch as ``DIGEST.png`` and its
curves as ``DIGEST.npz`` where they were kept. Published patches are named NAME.json
and NAME.png instead, and say their digest inside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ..attack import load_patch
from ..attack.patch.manifest import read_manifest
from ..zoo import PATCHES
from .records import AttackRecord, EvaluationRecord, read_record

RUN = 'run.json'
RUNS, EXPERIMENTS = 'runs', 'experiments'
_DIGEST = re.compile(r'[0-9a-f]{12}')


class RunStore:
    """Looks finished runs up by the digest of all that they depend on.

    Args:
        folders (Sequence[str | Path]): In the order in which they are asked; they need
            not exist. New runs go to the first.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self.folders = [Path(folder) for folder in folders]
        self._found: dict[str, Any] = {}

    @classmethod
    def default(
        cls, work_dir: str | Path, results: str | Path, rerun: bool = False
    ) -> RunStore:
        """The work dir of experiments, ``.results``, and the published patches.

        ``rerun`` asks the work dir only.
        """
        own = Path(work_dir) / RUNS
        return cls([own] if rerun else [own, Path(results) / RUNS, PATCHES])

    def attack(self, digest: str | None) -> AttackRecord | None:
        """The record of a finished attack, or None.

        Raises:
            ValueError: If its file is damaged, or of another run.
        """
        return self._read(digest, AttackRecord)

    def evaluation(self, digest: str | None) -> EvaluationRecord | None:
        """The record of a finished evaluation, or None; raises as :meth:`attack`."""
        return self._read(digest, EvaluationRecord)

    def finished(self, digest: str | None) -> bool:
        """Whether there is a record of this run."""
        return self._path(digest) is not None

    def new_folder(self, digest: str) -> Path:
        """Work dir of a run that is not finished; it need not exist."""
        return self.folders[0] / digest

    def folder(self, digest: str | None) -> Path | None:
        """Work dir of a finished run with all that it left, if it is here."""
        path = self._path(digest)
        return path.parent if path is not None and path.name == RUN else None

    def patch(self, digest: str | None) -> Path | None:
        """The 8-bit picture of an attack's patch, or None if it was not kept.

        Raises:
            ValueError: If the file is damaged or another patch.
        """
        path = self._beside(digest, 'patch.png')
        if path is not None:
            # Raises where it is not the one that its manifest tells of.
            load_patch(path)
        return path

    def curves(self, digest: str | None) -> Path | None:
        """The curves of an evaluation as NPZ, or None if they were not kept."""
        return self._beside(digest, 'curves.npz')

    def _beside(self, digest: str | None, name: str) -> Path | None:
        record = self._path(digest)
        if record is None:
            return None
        path = record.with_name(name)
        if record.name != RUN:
            path = record.with_suffix(path.suffix)
        return path if path.is_file() else None

    def _path(self, digest: str | None) -> Path | None:
        """File of a finished run's record, or None."""
        if digest is None:
            return None
        for folder in self.folders:
            for path in (folder / digest / RUN, folder / f'{digest}.json'):
                if path.is_file():
                    return path
            named = self._named.get((folder, digest), [])
            if len(named) > 1:
                raise ValueError(
                    f'{named[0]} and {named[1]} say that they are of the same attack '
                    f'{digest}; remove one of them'
                )
            if named:
                return named[0]
        return None

    @cached_property
    def _named(self) -> dict[tuple[Path, Any], list[Path]]:
        """Records that are not named by their digest: published patches."""
        found: dict[tuple[Path, Any], list[Path]] = {}
        for folder in self.folders:
            for path in sorted(folder.glob('*.json')):
                if not _DIGEST.fullmatch(path.stem):
                    digest = (read_manifest(path) or {}).get('digest')
                    found.setdefault((folder, digest), []).append(path)
        return found

    def _read(self, digest: str | None, kind: type[Any]) -> Any:
        path = None if digest in self._found else self._path(digest)
        if path is not None:
            record = read_record(path, kind)
            if record.digest != digest:
                raise ValueError(
                    f'{path} is of the run {record.digest}, not of {digest}; move it '
                    'away'
                )
            self._found[record.digest] = record
        return self._found.get(digest or '')
