"""Archives that try to leave their folder, or are damaged."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmdet_facepatch.datasets.widerface_archives import unpack_archive

from .case import Case, expect

FILE = 'wider_face_split.zip'
FOLDER = 'wider_face_split'
GOOD = {f'{FOLDER}/a.txt': b'one', f'{FOLDER}/b.txt': b'two'}

Members = Iterable[tuple[str | zipfile.ZipInfo, bytes]]


def _zip(members: Members, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', method) as archive:
        for member, data in members:
            archive.writestr(member, data)
    return stream.getvalue()


def _unpack(path: Path) -> Path:
    """Unpack, and check that nothing is written elsewhere."""
    root = path.parent / 'root'
    before = set(path.parent.rglob('*'))
    try:
        unpack_archive(str(path), str(root), log=lambda line: None)
    finally:
        for found in set(path.parent.rglob('*')) - before:
            inside = found == root or root / FOLDER in (found, *found.parents)
            expect(inside and not found.is_symlink(), f'{found} was written')
            expect(found.suffix != '.part', f'{found} was left')
    return root


def _is_good(root: Path) -> None:
    files = {p.relative_to(root).as_posix(): p for p in root.rglob('*') if p.is_file()}
    found = {name: path.read_bytes() for name, path in files.items()}
    expect(found == GOOD, str(sorted(found)))


def _wrong(name: str, data: bytes, *says: str) -> Case:
    return Case('archive', name, {FILE: data}, _unpack, says=says)


def _with(*members: Any) -> bytes:
    return _zip([*GOOD.items(), *members])


def _special(kind: int, target: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(f'{FOLDER}/c')
    info.external_attr = (kind | 0o777) << 16
    return info, target


def cases() -> list[Case]:
    """All of them."""
    good = _zip(GOOD.items())
    places = {
        'a member that climbs': '../c',
        'a member that climbs from inside': f'{FOLDER}/../../c',
        'a member that climbs to its folder': f'{FOLDER}/../{FOLDER}/c',
        'an absolute member': '/tmp/damage_drill_c',
        'a member of Windows': '..\\..\\c',
        'a member on a drive': 'C:\\c',
        'a member on another drive, inside': f'{FOLDER}/C:/c',
    }
    zeros = bytes(200 << 20)
    encrypted = bytearray(good)
    for mark, offset in ((b'PK\3\4', 6), (b'PK\1\2', 8)):
        encrypted[good.index(mark) + offset] |= 1
    lying = bytearray(good)
    lying[good.index(b'PK\1\2') + 24] = 200
    method = bytearray(good)
    method[good.index(b'PK\1\2') + 10] = 99
    leftovers = {'__MACOSX/a': b'x', f'{FOLDER}/.DS_Store': b'x', 'other/c': b'x'}
    return [
        Case('archive', 'as it should be', {FILE: good}, _unpack, right=_is_good),
        Case(
            'archive',
            'with leftovers',
            {FILE: _with(*leftovers.items())},
            _unpack,
            right=_is_good,
        ),
        *(_wrong(n, _with((place, b'x')), 'outside') for n, place in places.items()),
        _wrong('a link out', _with(_special(stat.S_IFLNK, b'/etc')), 'outside'),
        _wrong('a link inside', _with(_special(stat.S_IFLNK, b'a.txt')), 'outside'),
        _wrong('200 MB of zeros', _with((f'{FOLDER}/c', zeros)), 'refused'),
        _wrong('a member twice', _with((f'{FOLDER}/a.txt', b'other')), 'times'),
        _wrong('an encrypted member', bytes(encrypted)),
        _wrong('a member that lies about its size', bytes(lying)),
        _wrong('an unknown compression', bytes(method)),
        _wrong('cut off', good[: len(good) // 2], 'damaged'),
        _wrong('no bytes', b'', 'damaged'),
        _wrong('another folder', _zip([('x/a.txt', b'x')]), 'no folder'),
        Case(
            'archive', 'another name', {'x.zip': good}, _unpack, says=('is not one of',)
        ),
    ]
