"""Malformed and unusual ground truth: official .mat files and COCO annotations."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmdet_facepatch.evaluation import ImageFaces, load_faces, load_ground_truth
from mmdet_facepatch.evaluation.functional.faces import ATTRIBUTE_VALUES

from .case import Case, Payload, expect

MAT, COCO = 'ground truth, .mat', 'ground truth, COCO'
FILE = 'wider_hard_val.mat'

Found = Mapping[str, ImageFaces]


def cases() -> list[Case]:
    """All of them."""
    return [*_mats(), *_crafted_mats(), *_cocos()]


def cell(*items: Any) -> np.ndarray:
    """A column of cells."""
    array = np.empty((len(items), 1), dtype=object)
    for i, item in enumerate(items):
        array[i, 0] = item
    return array


def mat(compress: bool = True, **changes: Any) -> bytes:
    """A subset list of two images, with variables replaced or, by None, left out."""
    from scipy.io import savemat

    content: dict[str, Any] = dict(
        event_list=cell('e'),
        file_list=cell(cell('a', 'b')),
        face_bbx_list=cell(cell(np.array([[1.0, 2, 3, 4]] * 3), np.ones((1, 4)))),
        gt_list=cell(cell(np.array([[1], [3]], 'u1'), np.zeros((0, 0), 'u1'))),
    )
    content.update(changes)
    stream = io.BytesIO()
    kept = {name: value for name, value in content.items() if value is not None}
    savemat(stream, kept, do_compression=compress)
    return stream.getvalue()


def _read_mat(path: Path) -> Found:
    return load_ground_truth(path.parent, names=('hard',))


def _is_good(found: Found) -> None:
    expect(list(found) == ['e/a', 'e/b'], 'names')
    expect(found['e/a'].boxes.tolist() == [[1, 2, 4, 6]] * 3, 'boxes')
    expect(found['e/a'].keep['hard'].tolist() == [True, False, True], 'keep')
    expect(not found['e/b'].keep['hard'].any(), 'keep none')


def _mat(name: str, data: bytes, *says: str, right: Any = None) -> Case:
    return Case(MAT, name, {FILE: data}, _read_mat, right=right, says=says)


def _mats() -> list[Case]:
    good = mat()
    plain = mat(compress=False)
    kept = np.zeros((0, 0), 'u1')

    def boxes(*rows: Any) -> dict[str, Any]:
        return dict(face_bbx_list=cell(cell(np.array(rows), np.ones((1, 4)))))

    def keeps(*indices: float) -> dict[str, Any]:
        return dict(gt_list=cell(cell(np.array(indices)[:, None], kept)))

    labels: dict[str, Any] = {
        f'{name}_label_list': cell(cell(np.zeros((3, 1)), np.zeros((1, 1))))
        for name in ATTRIBUTE_VALUES
    }
    sevens = cell(cell(np.full((3, 1), 7.0), np.ones((1, 1))))
    odd: dict[str, Any] = dict(labels, blur_label_list=sevens)
    return [
        _mat('compressed', good, right=_is_good),
        _mat('not compressed', plain, right=_is_good),
        _mat('with attributes', mat(**labels), right=_is_good),
        _mat('other variables', mat(more=np.eye(3)), right=_is_good),
        _mat('no bytes', b''),
        _mat('cut off', good[:-20], 'cut off'),
        _mat('not compressed, cut off', plain[:-20], 'cut off'),
        _mat('a changed byte', good[:-9] + bytes([good[-9] ^ 1]) + good[-8:]),
        _mat('random bytes', np.random.default_rng(0).bytes(4000)),
        _mat('a pickle', pickle.dumps(Payload())),
        _mat('a pickle behind the header', good[:128] + pickle.dumps(Payload())),
        _mat('version 7.3', b'MATLAB 7.3'.ljust(124) + b'\0\2IM\x89HDF\r\n\x1a\n' * 9),
        _mat('a variable less', mat(gt_list=None), 'gt_list'),
        _mat('numbers for cells', mat(gt_list=np.ones((2, 1)))),
        _mat('NaN box', mat(**boxes([1, np.nan, 3, 4])), 'e/a'),
        _mat('infinite box', mat(**boxes([1, 2, np.inf, 4])), 'e/a'),
        _mat('boxes of five columns', mat(**boxes([1, 2, 3, 4, 5])), 'e/a'),
        _mat('text for boxes', mat(**boxes('abcd')), 'e/a'),
        _mat('complex boxes', mat(**boxes([1j, 2, 3, 4])), 'complex'),
        _mat('index too large', mat(**keeps(4)), 'e/a', 'face 4 of 3'),
        _mat('index 0', mat(**keeps(0)), 'e/a', 'face 0 of 3'),
        _mat('index NaN', mat(**keeps(np.nan)), 'e/a'),
        _mat('index 1.5', mat(**keeps(1.5)), 'e/a', 'whole number'),
        _mat('index twice', mat(**keeps(2, 2)), 'e/a', 'twice'),
        _mat('blur 7', mat(**odd), 'e/a', 'blur'),
        _mat('an image twice', mat(file_list=cell(cell('a', 'a'))), 'twice'),
        _mat('a number for a name', mat(file_list=cell(cell(np.ones((1, 1)), 'b')))),
        _mat('a struct', mat(more=dict(a=1)), 'struct'),
    ]


def _element(kind: int, data: bytes) -> bytes:
    return struct.pack('<II', kind, len(data)) + data + bytes(-len(data) % 8)


def _matrix(kind: int, dims: tuple[int, ...], content: bytes, name: str) -> bytes:
    body = _element(6, struct.pack('<II', kind, 0))
    body += _element(5, struct.pack(f'<{len(dims)}i', *dims))
    body += _element(1, name.encode()) + content
    return struct.pack('<II', 14, len(body)) + body


def _crafted_mats() -> list[Case]:
    head = mat()[:128]
    eight = _element(9, bytes(8))
    nested = eight
    for _ in range(2000):
        nested = _matrix(1, (1, 1), nested, '')

    def variable(kind: int, dims: tuple[int, ...], content: bytes = eight) -> bytes:
        return head + _matrix(kind, dims, content, 'gt_list')

    bomb = zlib.compress(bytes(200 << 20), 9)
    return [
        _mat('200 MB of zeros', head + struct.pack('<II', 15, len(bomb)) + bomb),
        _mat('cells, 65,536 x 65,536', variable(1, (65536, 65536), b''), 'parts'),
        _mat('numbers, 65,536 x 65,536', variable(6, (65536, 65536)), 'bytes'),
        _mat('negative dimensions', variable(6, (-1, -1)), 'dimensions'),
        _mat('30 dimensions', variable(6, (1,) * 30), 'dimensions'),
        _mat('cells 2000 deep', head + nested, 'deep'),
        _mat('a function', variable(16, (1, 1)), 'function'),
        _mat('a sparse matrix', variable(5, (1, 1)), 'sparse'),
        _mat('an object', variable(3, (1, 1)), 'object'),
        _mat('an opaque class', variable(17, (1, 1)), 'class 17'),
        _mat('an element longer than the file', head + struct.pack('<II', 14, 2**31)),
    ]


def _coco(name: str, content: Any, *says: str, right: Any = None) -> Case:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Case(COCO, name, {'faces.json': data}, load_faces, right=right, says=says)


def _cocos() -> list[Case]:
    def with_box(*box: Any, **more: Any) -> dict[str, Any]:
        face = dict(dict(id=1, image_id=7, category_id=1, bbox=box), **more)
        return dict(images=[dict(id=7), dict(id=8)], annotations=[face])

    def is_good(found: Found) -> None:
        expect(list(found) == ['7', '8'], 'names')
        expect(found['7'].boxes.tolist() == [[1, 2, 4, 6]], 'boxes')
        expect(found['8'].boxes.shape == (0, 4), 'no face')

    good = with_box(1, 2, 3, 4)
    plain = json.dumps(good).encode()
    twice = dict(good, annotations=good['annotations'] * 2)
    return [
        _coco('as it should be', good, right=is_good),
        _coco('byte order mark', b'\xef\xbb\xbf' + plain, right=is_good),
        _coco('Windows line ends', plain.replace(b' ', b'\r\n'), right=is_good),
        _coco('NaN box', with_box(1, float('nan'), 3, 4), 'annotation 0'),
        _coco('infinite box', with_box(1, 2, float('inf'), 4), 'annotation 0'),
        _coco('negative width', with_box(1, 2, -3, 4), 'annotation 0'),
        _coco('beyond any image', with_box(1, 2, 1e9, 4), 'annotation 0'),
        _coco('integer of 400 digits', with_box(1, 2, 10**400, 4)),
        _coco('three numbers', with_box(1, 2, 3)),
        _coco('text for a number', with_box(1, 2, 'x', 4)),
        _coco('an image that is not listed', with_box(1, 2, 3, 4, image_id=9), '9'),
        _coco('an annotation twice', twice, 'annotation 1'),
        _coco('an image twice', dict(good, images=[dict(id=7)] * 2), 'image 7'),
        _coco('no images', dict(annotations=[])),
        _coco('a list', []),
        _coco('annotations that are text', dict(good, annotations=['x'])),
        _coco('cut off', plain[:-9]),
        _coco('brackets without end', b'[' * 200_000),
        _coco('UTF-16', json.dumps(good).encode('utf-16')),
        _coco('no bytes', b''),
        _coco('a pickle', pickle.dumps(Payload())),
        Case(COCO, 'another suffix', {'faces.yaml': plain}, load_faces),
    ]
