"""Damaged and odd annotation texts and image lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from mmdet_facepatch.attack.placement import patch_boxes
from mmdet_facepatch.datasets.wider_face import WiderFaceDataset
from mmdet_facepatch.utils.wider_annotation import (
    WiderImage,
    parse_wider_annotation,
    read_image_list,
)

from .case import Case, expect
from .images import encode

FILE = 'wider_face_train_bbx_gt.txt'
FACE = '1 2 3 4 0 0 0 0 0 0'
OTHER = '5 6 7 8 2 1 1 1 2 1'
GOOD = (
    f'e/a.jpg\n2\n{FACE}\n{OTHER} \ne/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n'
    f'e/c.jpg\n1\n{FACE}\n'
)

Parsed = Mapping[str, WiderImage]


def _read(path: Path) -> Parsed:
    return parse_wider_annotation(str(path))


def _is_good(found: Parsed) -> None:
    expect(list(found) == ['e/a.jpg', 'e/b.jpg', 'e/c.jpg'], 'names')
    expect(found['e/a.jpg'].boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]], 'boxes')
    expect(found['e/a.jpg'].attributes[1].tolist() == [2, 1, 1, 1, 2, 1], 'attributes')
    expect(found['e/b.jpg'].boxes.shape == (0, 4), 'no face')
    expect(len(found['e/c.jpg'].boxes) == 1, 'last image')


def _right(name: str, text: str | bytes, check: Callable = _is_good) -> Case:
    data = text.encode() if isinstance(text, str) else text
    return Case('annotation', name, {FILE: data}, _read, right=check)


def _wrong(name: str, text: str | bytes, line: int | None, *says: str) -> Case:
    data = text.encode() if isinstance(text, str) else text
    where = () if line is None else (f', line {line}: ',)
    return Case('annotation', name, {FILE: data}, _read, says=(*where, *says))


def cases() -> list[Case]:
    """All of them."""
    return [
        *_texts(),
        *_odd_faces(),
        *_numbers(),
        *_counts(),
        *_paths(),
        *_encodings(),
        *_lists(),
        *_folders(),
    ]


def _texts() -> list[Case]:
    return [
        _right('Windows line ends', GOOD.replace('\n', '\r\n')),
        _right('line ends of old Macs', GOOD.replace('\n', '\r')),
        _right('mixed line ends', GOOD.replace('\n', '\r\n', 4)),
        _right('byte order mark', b'\xef\xbb\xbf' + GOOD.encode()),
        _right(
            'mark and Windows line ends',
            b'\xef\xbb\xbf' + GOOD.replace('\n', '\r\n').encode(),
        ),
        _right('blank lines at the end', GOOD + '\n \n\t\n'),
        _right('no last line end', GOOD.rstrip()),
        _right('tabs', GOOD.replace(' ', '\t')),
        _right('indented', GOOD.replace('\n', '\n  ')),
        _right('no row of zeros', GOOD.replace('0 0 0 0 0 0 0 0 0 0\n', '')),
        _right('exponents', GOOD.replace('1 2 3 4 ', '1e0 20e-1 3.0 +4 ')),
    ]


def _odd_faces() -> list[Case]:
    def one(*box: float) -> Callable[[Parsed], None]:
        def check(found: Parsed) -> None:
            (image,) = found.values()
            expect(image.boxes.tolist() == [list(box)], 'box')
            expect(image.ignored.tolist() == [min(box[2:]) <= 0], 'ignored')
            corners = torch.tensor(image.boxes)
            corners[:, 2:] += corners[:, :2]
            side = patch_boxes(corners)[0, 2:] - patch_boxes(corners)[0, :2]
            expect((side > 0).all() == (min(box[2:]) > 0), 'patch')

        return check

    def text(box: str) -> str:
        return f'e/a.jpg\n1\n{box} 0 0 0 0 0 0\n'

    def three(found: Parsed) -> None:
        expect(found['e/a.jpg'].boxes.tolist() == [[1, 2, 3, 4]] * 3, 'kept thrice')

    def named(name: str) -> Callable[[Parsed], None]:
        return lambda found: expect(list(found) == [name], 'name')

    def many(found: Parsed) -> None:
        expect(len(found['e/a.jpg'].boxes) == 20_000, 'count')

    return [
        _right('a negative width', text('9 9 -26 5'), one(9, 9, -26, 5)),
        _right('a negative height', text('9 9 5 -1'), one(9, 9, 5, -1)),
        _right('no extent', text('9 9 0 0'), one(9, 9, 0, 0)),
        _right('fractions', text('0.5 1.25 2.5 3'), one(0.5, 1.25, 2.5, 3)),
        _right('outside the image', text('-90 -90 5 5'), one(-90, -90, 5, 5)),
        _right('a face three times', f'e/a.jpg\n3\n{FACE}\n{FACE}\n{FACE}\n', three),
        _right('a name with blanks', f'e/a b.jpg\n1\n{FACE}\n', named('e/a b.jpg')),
        _right('a name in Chinese', 'e/\u56fe.jpg\n0\n', named('e/\u56fe.jpg')),
        _right('20,000 faces', 'e/a.jpg\n20000\n' + f'{FACE}\n' * 20_000, many),
    ]


def _numbers() -> list[Case]:
    bad = {
        'NaN': 'nan 2 3 4 0 0 0 0 0 0',
        'infinite width': '1 2 inf 4 0 0 0 0 0 0',
        'infinite and negative': '1 -inf 3 4 0 0 0 0 0 0',
        'NaN attribute': '1 2 3 4 nan 0 0 0 0 0',
        'beyond float32': '1 2 1e300 4 0 0 0 0 0 0',
        'beyond float64': '1 2 1e999 4 0 0 0 0 0 0',
        'beyond any image': '1 2 1e7 4 0 0 0 0 0 0',
        'underscores': '1_0 2 3 4 0 0 0 0 0 0',
        'Arabic digits': '\u0661 2 3 4 0 0 0 0 0 0',
        'hexadecimal': '0x10 2 3 4 0 0 0 0 0 0',
        'comma for a point': '1,5 2 3 4 0 0 0 0 0 0',
        'a letter': '1 2 x 4 0 0 0 0 0 0',
        'a column less': '1 2 3 4 0 0 0 0 0',
        'a column more': '1 2 3 4 0 0 0 0 0 0 0',
        'no columns': '',
        'attribute 3': '1 2 3 4 3 0 0 0 0 0',
        'attribute -1': '1 2 3 4 0 0 0 -1 0 0',
        'attribute 0.5': '1 2 3 4 0 0.5 0 0 0 0',
        'attribute beyond int64': '1 2 3 4 1e19 0 0 0 0 0',
    }
    return [
        _wrong(name, f'e/a.jpg\n2\n{FACE}\n{face}\ne/b.jpg\n1\n{FACE}\n', 4)
        for name, face in bad.items()
    ]


def _counts() -> list[Case]:
    tail = f'{FACE}\n{FACE}\ne/b.jpg\n1\n{FACE}\n'
    return [
        _wrong('count too large by one', f'e/a.jpg\n3\n{tail}', 5, 'count 3'),
        _wrong('count too large by two', f'e/a.jpg\n4\n{tail}', 5, 'count 4'),
        _wrong('count beyond the file', f'e/a.jpg\n9\n{tail}', 2),
        _wrong('count of a thousand million', f'e/a.jpg\n999999999\n{tail}', 2),
        _wrong('count of 5000 digits', f'e/a.jpg\n{"9" * 5000}\n{tail}', 2),
        _wrong('count too small', f'e/a.jpg\n1\n{tail}', 4, 'line 2'),
        _wrong('count 0 before faces', f'e/a.jpg\n0\n{tail}', 3, 'line 2'),
        _wrong('negative count', f'e/a.jpg\n-2\n{tail}', 2),
        _wrong('count with a point', f'e/a.jpg\n2.0\n{tail}', 2),
        _wrong('count in words', f'e/a.jpg\ntwo\n{tail}', 2),
        _wrong('count in Arabic', f'e/a.jpg\n\u0662\n{tail}', 2),
        _wrong('no count', f'e/a.jpg\n{tail}', 2),
        _wrong('empty count', f'e/a.jpg\n\n{tail}', 2),
        _wrong('no name', f'2\n{tail}', 1),
        _wrong('end before the count', f'{GOOD}e/d.jpg', 11),
        _wrong('a line missing at the end', GOOD.rsplit('\n', 2)[0], 9),
        _wrong('an image twice', GOOD + GOOD, 11, 'line 1'),
        _wrong('a name of 3 MB', 'x' * 3_000_000 + f'\n2\n{tail}', 1),
        _wrong('a face of 3 MB', 'e/a.jpg\n1\n' + '1 ' * 1_500_000, 3),
    ]


def _paths() -> list[Case]:
    bad = {
        'absolute path': '/etc/a.jpg',
        'path that climbs': '../a.jpg',
        'path that climbs from inside': 'e/../../../a.jpg',
        'path with a dot': './a.jpg',
        'path with an empty part': 'e//a.jpg',
        'path of Windows': 'e\\a.jpg',
        'climbing path of Windows': '..\\..\\a.jpg',
        'URL': 'http://e/a.jpg',
        'NUL in the path': 'e/a\0.jpg',
        'escape in the path': 'e/\x1b[2J.jpg',
        'no suffix': 'e/a',
        'another suffix': 'e/a.exe',
    }
    return [
        _wrong(name, f'{GOOD}{path}\n1\n{FACE}\n', 11) for name, path in bad.items()
    ]


def _encodings() -> list[Case]:
    accent = f'{GOOD}e/\u00e9.jpg\n1\n{FACE}\n'
    return [
        _wrong('UTF-16', GOOD.encode('utf-16'), 1, 'UTF-8'),
        _wrong('UTF-16 without mark', GOOD.encode('utf-16-le'), 1),
        _wrong('UTF-32', GOOD.encode('utf-32'), 1, 'UTF-8'),
        _wrong('Latin-1', accent.encode('latin-1'), 11, 'UTF-8'),
        _wrong('a zip', b'PK\3\4\xff\xfe' + bytes(999), 1),
        _wrong('zeros', bytes(999), 1),
        _wrong('no bytes', b'', None, 'empty'),
        _wrong('blank', b' \n\n', None, 'empty'),
        _wrong('a mark only', b'\xef\xbb\xbf', None, 'empty'),
        Case('annotation', 'no such file', {'b': b''}, _read, target=FILE),
        Case('annotation', 'a folder', {FILE: Path.mkdir}, _read),
    ]


# Image lists

LIST = 'train_subset.txt'


def _build(path: Path) -> WiderFaceDataset:
    root = path.parent
    return WiderFaceDataset(
        data_root=str(root), ann_file=FILE, image_list=LIST, pipeline=[]
    )


def _with_list(text: str | bytes) -> dict[str, bytes]:
    data = text.encode() if isinstance(text, str) else text
    images = {f'WIDER_train/images/e/{name}.jpg': encode() for name in 'abc'}
    return {LIST: data, FILE: GOOD.encode(), **images}


def _lists() -> list[Case]:
    def right(name: str, text: str | bytes) -> Case:
        def check(found: WiderFaceDataset) -> None:
            expect([info['img_id'] for info in found] == ['e/c', 'e/a'])

        return Case('image list', name, _with_list(text), _build, right=check)

    def wrong(name: str, text: str | bytes, line: int | None) -> Case:
        says = () if line is None else (f', line {line}: ',)
        return Case('image list', name, _with_list(text), _build, says=says)

    def long(found: Mapping[str, int]) -> None:
        expect(len(found) == 100_000 and found['e/99999.jpg'] == 100_000)

    lines = [f'e/{i}.jpg' for i in range(100_000)]
    good = 'e/c.jpg\ne/a.jpg\n'
    return [
        right('Windows line ends', good.replace('\n', '\r\n')),
        right('byte order mark', b'\xef\xbb\xbf' + good.encode()),
        right('comments and blanks', f'# few\n\n  {good}'),
        Case(
            'image list',
            '100,000 lines',
            {LIST: '\n'.join(lines).encode()},
            lambda path: read_image_list(str(path)),
            right=long,
        ),
        wrong('a duplicate', f'{good}e/c.jpg\n', 3),
        wrong('a duplicate of 100,001', '\n'.join([*lines, lines[0]]), 100_001),
        wrong('an unknown image', f'{good}e/z.jpg\n', 3),
        wrong('a path that climbs', f'{good}../../e/a.jpg\n', 3),
        wrong('an absolute path', '/e/a.jpg\n', 1),
        wrong('UTF-16', good.encode('utf-16'), 1),
        wrong('Latin-1', f'{good}\u00e9.jpg'.encode('latin-1'), 3),
        wrong('no bytes', b'', None),
        wrong('comments only', '# nothing\n', None),
    ]


def _folders() -> list[Case]:
    """Annotations that are right, of images that are not."""
    image = 'WIDER_train/images/e/c.jpg'

    def load(path: Path) -> None:
        root = path.parents[3]
        steps = [dict(type='LoadIntactImage', unreadable='skip')]
        dataset = WiderFaceDataset(
            data_root=str(root), ann_file=FILE, test_mode=True, pipeline=steps
        )
        for index in range(len(dataset)):
            dataset[index]

    files: dict[str, bytes] = {**_with_list('e/a.jpg'), image: b''}
    missing = {name: data for name, data in files.items() if name != image}
    return [
        Case(
            'annotation',
            'an empty image, skipped in evaluation',
            files,
            load,
            target=image,
            says=('leaves out no image',),
        ),
        Case(
            'annotation',
            'an image that is not there',
            missing,
            load,
            target=image,
            names='WIDER_train/images',
            says=('e/c.jpg',),
        ),
    ]
