"""Malformed and unusual prediction files."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmdet_facepatch.evaluation import Detections, load_predictions, save_predictions

from .case import Case, Payload, expect

TEXT, NPZ = 'predictions, text', 'predictions, npz'
ROW = '1 2 3 4 0.5'
GOOD = f'a\n2\n{ROW}\n5 6 7 8 0.25\n'

Found = Mapping[str, Detections]


def _is_good(found: Found) -> None:
    (name,) = found
    expect(name == 'e/a', name)
    expect(found['e/a'].boxes.tolist() == [[1, 2, 4, 6], [5, 6, 12, 14]], 'boxes')
    expect(found['e/a'].scores.tolist() == [0.5, 0.25], 'scores')


def cases() -> list[Case]:
    """All of them."""
    return [*_texts(), *_bad_texts(), *_archives(), *_bad_arrays()]


def _text(
    name: str,
    text: str | bytes,
    line: int | None = None,
    right: Callable[[Found], None] | None = None,
    file: str = 'p/e/a.txt',
) -> Case:
    data = text.encode() if isinstance(text, str) else text
    says = () if line is None else (f', line {line}: ',)
    return Case(
        TEXT, name, {file: data}, load_predictions, 'p', right, says, names=file
    )


def _texts() -> list[Case]:
    mark = b'\xef\xbb\xbf'

    def none(found: Found) -> None:
        expect(found['e/a'].boxes.shape == (0, 4), 'no detections')

    return [
        _text('Windows line ends', GOOD.replace('\n', '\r\n'), right=_is_good),
        _text('line ends of old Macs', GOOD.replace('\n', '\r'), right=_is_good),
        _text('byte order mark', mark + GOOD.encode(), right=_is_good),
        _text('blank lines at the end', GOOD + '\n\n', right=_is_good),
        _text('tabs', GOOD.replace(' ', '\t'), right=_is_good),
        _text('name with suffix', GOOD, right=_is_good, file='p/e/a.jpg.txt'),
        _text('no detections', 'a\n0\n', right=none),
    ]


def _bad_texts() -> list[Case]:
    bad: dict[str, tuple[str | bytes, int | None]] = {
        'NaN score': ('a\n1\n1 2 3 4 nan', 3),
        'infinite width': ('a\n1\n1 2 inf 4 0.5', 3),
        'score above 1': (f'a\n2\n{ROW}\n1 2 3 4 1.5', 4),
        'negative score': ('a\n1\n1 2 3 4 -0.5', 3),
        'negative width': (f'a\n2\n{ROW}\n1 2 -3 4 0.5', 4),
        'a column less': ('a\n1\n1 2 3 4', 3),
        'a column more': ('a\n1\n1 2 3 4 0.5 1', 3),
        'letters': (f'a\n2\n{ROW}\n1 2 x 4 0.5', 4),
        'count too large': (f'a\n3\n{ROW}\n{ROW}\n', 2),
        'count too small': (f'a\n1\n{ROW}\n{ROW}\n', 2),
        'negative count': (f'a\n-1\n{ROW}\n', 2),
        'count of 5000 digits': (f'a\n{"9" * 5000}\n{ROW}\n', 2),
        'no count': ('a\n', 2),
        'name of another image': (f'b\n1\n{ROW}\n', 1),
        'blank line between': (f'a\n3\n{ROW}\n\n{ROW}', 4),
        'UTF-16': (GOOD.encode('utf-16'), None),
        'random bytes': (np.random.default_rng(0).bytes(999), None),
        'no bytes': (b'', 1),
    }
    return [_text(name, text, line) for name, (text, line) in bad.items()]


def _saved(**changes: Any) -> bytes:
    """A good npz, with members replaced: an array or bytes."""
    members: dict[str, Any] = dict(
        format_version=np.array(1),
        img_ids=np.array(['e/a']),
        counts=np.array([2]),
        boxes=np.array([[1.0, 2, 4, 6], [5, 6, 12, 14]]),
        scores=np.array([0.5, 0.25]),
        patch_counts=np.array([-1]),
        patch_boxes=np.zeros((0, 4), dtype=np.int64),
    )
    members.update(changes)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(f'{name}.npy', _as_npy(content))
    return stream.getvalue()


def _as_npy(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    stream = io.BytesIO()
    np.save(stream, content, allow_pickle=True)
    return stream.getvalue()


def npy(shape: tuple, kind: str, data: bytes = b'', fortran: bool = False) -> bytes:
    """An .npy file whose header says anything."""
    header = repr({'descr': kind, 'fortran_order': fortran, 'shape': shape}) + '\n'
    size = len(header).to_bytes(2, 'little')
    return b'\x93NUMPY\1\0' + size + header.encode() + data


def _npz(name: str, data: Any, *says: str, right: Any = None) -> Case:
    return Case(NPZ, name, {'p.npz': data}, load_predictions, right=right, says=says)


def _archives() -> list[Case]:
    good = _saved()

    def save(path: Path) -> None:
        boxes = np.array([[1.0, 2, 4, 6], [5, 6, 12, 14]])
        found = Detections(boxes, np.array([0.5, 0.25]))
        save_predictions(path, {'e/a': found})

    pickled = pickle.dumps(Payload())
    objects = np.empty(1, dtype=object)
    objects[0] = Payload()
    return [
        _npz('as written', save, right=_is_good),
        _npz('members in another order', good, right=_is_good),
        _npz('unknown members', _saved(more=np.ones(3)), right=_is_good),
        _npz('a pickle, unknown member', _saved(more=objects), right=_is_good),
        _npz('a pickle for an archive', pickled, 'not an npz'),
        _npz('a pickle for a member', _saved(scores=pickled), 'scores'),
        _npz('objects for img_ids', _saved(img_ids=objects), 'unpickled'),
        _npz('objects for scores', _saved(scores=objects), 'unpickled'),
        _npz('no bytes', b''),
        _npz('cut off', good[: len(good) // 2]),
        _npz('a changed byte', _changed(good, b'scores.npy', 60)),
        _npz('random bytes', np.random.default_rng(0).bytes(999)),
        _npz('300 MB of zeros', _saved(more=npy((1,), '|u1', bytes(300 << 20)))),
        Case(
            NPZ,
            'a pickle by its name',
            {'p.pkl': pickled},
            load_predictions,
            says=('pickles',),
        ),
    ]


def _changed(data: bytes, after: bytes, offset: int) -> bytes:
    changed = bytearray(data)
    changed[data.index(after) + offset] ^= 0x55
    return bytes(changed)


def _bad_arrays() -> list[Case]:
    one = np.array([2])
    bad: dict[str, dict[str, Any]] = {
        'NaN box': dict(boxes=np.array([[1, np.nan, 2, 3], [1, 1, 2, 2]])),
        'infinite score': dict(scores=np.array([0.5, np.inf])),
        'score of 2': dict(scores=np.array([0.5, 2])),
        'turned box': dict(boxes=np.array([[9.0, 1, 2, 3], [1, 1, 2, 2]])),
        'counts too large': dict(counts=np.array([3])),
        'counts that wrap round': dict(
            counts=np.array([2**62, 2**62, 2**62, 2**62, 2]),
            img_ids=np.array(list('abcde')),
            patch_counts=np.full(5, -1),
        ),
        'negative count': dict(counts=np.array([-2])),
        'an image twice': dict(
            img_ids=np.array(['a', 'a']),
            counts=np.array([1, 1]),
            patch_counts=np.array([-1, -1]),
        ),
        'no name': dict(img_ids=np.array([''])),
        'no boxes': dict(boxes=None),
        'another version': dict(format_version=one),
        'numbers for names': dict(img_ids=one),
        'text for boxes': dict(boxes=np.array([['a'] * 4] * 2)),
        'header of 10**15 boxes': dict(boxes=npy((10**15, 4), '<f8', bytes(64))),
        'header of negative length': dict(boxes=npy((-2, 4), '<f8', bytes(64))),
        'header with a call': dict(boxes=b'\x93NUMPY\1\0\x14\0__import__("os")    \n'),
        'names beyond Unicode': dict(img_ids=npy((1,), '<U1', b'\xff' * 4)),
        'patches that are no pixels': dict(
            patch_counts=np.array([1]), patch_boxes=np.array([[0.5, 1, 2, 3]])
        ),
    }
    return [_npz(name, _saved(**changes)) for name, changes in bad.items()]
