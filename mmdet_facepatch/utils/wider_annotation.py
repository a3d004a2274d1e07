"""WIDER FACE's annotation text, and lists of a part of it."""

from __future__ import annotations

import os.path as osp
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

import numpy as np
from mmengine.fileio import get

#: Values of the attributes by name, in the order of the annotation text's columns 5
#: to 10; the place in the tuple is the number in the files.
ATTRIBUTE_VALUES: dict[str, tuple[str, ...]] = {
    'blur': ('clear', 'normal', 'heavy'),
    'expression': ('typical', 'exaggerated'),
    'illumination': ('normal', 'extreme'),
    'invalid': ('no', 'yes'),
    'occlusion': ('none', 'partial', 'heavy'),
    'pose': ('typical', 'atypical'),
}

#: Highest value of each of them; the lowest is 0.
HIGHEST_ATTRIBUTES = tuple(len(values) - 1 for values in ATTRIBUTE_VALUES.values())

#: Coordinates and sizes of faces are smaller: no image that can be decoded is wider.
COORDINATE_LIMIT = 2**20

_NUM_COLUMNS = 4 + len(ATTRIBUTE_VALUES)
_INVALID = list(ATTRIBUTE_VALUES).index('invalid')
_IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
_COUNT = re.compile('[0-9]{1,9}')
# How much of a line an error shows.
_SHOWN = 120


@dataclass(frozen=True)
class WiderImage:
    """The annotation of one WIDER FACE image.

    Attributes:
        path (str): Path relative to the ``images/`` folder, for example
            ``'0--Parade/0_Parade_Parade_0_1014.jpg'``.
        boxes (np.ndarray): Float32 array (n, 4) of ``x, y, w, h`` in pixels, in the
            order of the file, degenerate boxes included. n may be 0.
        attributes (np.ndarray): Int64 array (n, 6), columns as ``ATTRIBUTE_VALUES``.
    """

    path: str
    boxes: np.ndarray
    attributes: np.ndarray

    @property
    def img_id(self) -> str:
        """Path without its suffix, as the evaluation files name images."""
        return osp.splitext(self.path)[0]

    @property
    def ignored(self) -> np.ndarray:
        """Bool (n,): face is flagged invalid, or w <= 0, or h <= 0."""
        return (self.attributes[:, _INVALID] != 0) | (self.boxes[:, 2:] <= 0).any(1)


def parse_wider_annotation(
    path: str, backend_args: dict | None = None
) -> dict[str, WiderImage]:
    """Parse ``wider_face_{train,val}_bbx_gt.txt``.

    The file holds, per image, its relative path, the number of faces, and one
    line ``x y w h blur expression illumination invalid occlusion pose`` per
    face. An image without faces is followed by one line of ten zeros in the
    official files; here that line may also be absent. Nothing is dropped: faces of
    no or negative extent, as the official files have some, are kept. Line ends may be
    those of any system, and a byte order mark does no harm.

    Args:
        path (str): The annotation file.
        backend_args (dict, optional): Arguments of mmengine's file backend. Defaults to
            None.

    Returns:
        dict[str, WiderImage]: By relative path, in the order of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a line is malformed, a count does not fit the lines that
            follow, an image occurs twice, a path leads out of the image folder, a
            number is NaN, infinite or beyond 2**20, an attribute has a value that
            it cannot have, the file is not UTF-8, or it has no image. The message
            names the file, the line number and the line.
    """
    lines = _read_lines(path, backend_args)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ValueError(f'{path}: the annotation file is empty')

    records = _split_records(lines, path)
    # One conversion for all faces: 160,000 small arrays would take seconds.
    faces = [
        line for _, start, count in records for line in lines[start : start + count]
    ]
    values = _to_numbers(faces)
    if values is None:
        _check_faces(lines, records, path)
        raise ValueError(f'{path}: malformed face lines')  # pragma: no cover

    boxes = values[:, :4].astype(np.float32)
    attributes = values[:, 4:].astype(np.int64)
    ends = np.cumsum([count for *_, count in records])[:-1]
    parts = zip(np.split(boxes, ends), np.split(attributes, ends), strict=True)
    return {
        name: WiderImage(name, *part)
        for (name, _, _), part in zip(records, parts, strict=True)
    }


def _read_lines(path: str, backend_args: dict | None = None) -> list[str]:
    """Lines of a text file in UTF-8, with line ends of any system."""
    data = get(path, backend_args=backend_args)
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise ValueError(
            f'{path}, line {line}: this is not UTF-8 text ({error.reason}); convert '
            'the file'
        ) from error
    # Not splitlines(), which also splits at characters that names may have.
    return text.replace('\r\n', '\n').replace('\r', '\n').split('\n')


def _split_records(lines: Sequence[str], source: str) -> list[tuple[str, int, int]]:
    """Find the images: (path, 0-based index of the first face line, count)."""
    records: list[tuple[str, int, int]] = []
    seen: dict[str, int] = {}

    def fail(index: int, what: str) -> NoReturn:
        # a malformed face before this line is likely the reason
        _check_faces(lines, records, source)
        _fail(source, index, lines[index], what)

    index = 0
    while index < len(lines):
        name = lines[index].strip()
        if not name.lower().endswith(_IMAGE_SUFFIXES):
            hint = 'expected the path of an image'
            if records:
                hint += f'; the count on line {records[-1][1]} may be too small'
            fail(index, hint)
        if not _stays_inside(name):
            fail(
                index,
                "this is no path below the image folder (parts split by '/', none of "
                "them empty, '.' or '..')",
            )
        if name in seen:
            fail(index, f'this image is annotated already on line {seen[name] + 1}')
        seen[name] = index
        if index + 1 >= len(lines):
            fail(index, 'the file ends before its face count')
        count_text = lines[index + 1].strip()
        if not _COUNT.fullmatch(count_text):
            fail(index + 1, 'expected a face count')
        count = int(count_text)
        start = index + 2
        if count > len(lines) - start:
            fail(
                index + 1,
                f'{name} is said to have {count} faces, but only '
                f'{len(lines) - start} lines are left',
            )
        records.append((name, start, count))
        index = start + count
        if count == 0 and index < len(lines) and _is_dummy(lines[index]):
            index += 1
    return records


def _stays_inside(path: str) -> bool:
    """Whether a relative path names a file below the folder it is joined to."""
    parts = path.split('/')
    return (
        path.isprintable()
        and '\\' not in path
        and not any(part in ('', '.', '..') for part in parts)
    )


def _is_dummy(line: str) -> bool:
    """Whether the line is the row of zeros that follows a count of 0."""
    return line.split() == ['0'] * _NUM_COLUMNS


def _to_numbers(faces: Sequence[str]) -> np.ndarray | None:
    """Float64 array (n, 10), or None if any of the n lines is malformed."""
    if any(len(line.split()) != _NUM_COLUMNS for line in faces):
        return None
    joined = ' '.join(faces)
    # Python would read '1_0' and the digits of other scripts.
    if '_' in joined or not joined.isascii():
        return None
    words = joined.split()
    try:
        # Several times as fast as numpy's own reading of strings.
        flat = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError:
        return None
    values = flat.reshape(-1, _NUM_COLUMNS)
    attributes = values[:, 4:]
    unfit = (attributes < 0) | (attributes > HIGHEST_ATTRIBUTES)
    unfit |= attributes != np.round(attributes)
    # Also False for NaN.
    if unfit.any() or not (np.abs(values) < COORDINATE_LIMIT).all():
        return None
    return values


def _check_faces(
    lines: Sequence[str], records: list[tuple[str, int, int]], source: str
) -> None:
    """Raise for the first malformed face line, if any."""
    for name, start, count in records:
        for index in range(start, start + count):
            if _to_numbers([lines[index]]) is None:
                _fail(
                    source,
                    index,
                    lines[index],
                    f'expected a face of {name} as "x y w h '
                    f'{" ".join(ATTRIBUTE_VALUES)}" (finite numbers below '
                    f'{COORDINATE_LIMIT}; attributes are integers up to '
                    f'{" ".join(map(str, HIGHEST_ATTRIBUTES))}); '
                    f'if this is no face, the count {count} on line {start} is '
                    'too large',
                )


def _fail(source: str, index: int, line: str, what: str) -> NoReturn:
    raise ValueError(
        f'{source}, line {index + 1}: {what}; the line is {line[:_SHOWN]!r}'
    )


def read_image_list(path: str, backend_args: dict | None = None) -> dict[str, int]:
    """Read an image list: one image path, relative to ``images/``, a line.

    Empty lines and lines that begin with ``#`` are skipped.

    Returns:
        dict[str, int]: Path -> number of its line, in the order of the file.

    Raises:
        ValueError: If no path is left, one occurs twice, or the file is not UTF-8.
    """
    names: dict[str, int] = {}
    for number, line in enumerate(_read_lines(path, backend_args), start=1):
        name = line.strip()
        if not name or name.startswith('#'):
            continue
        if name in names:
            raise ValueError(
                f'{path}, line {number}: the image list names {name[:_SHOWN]!r} more '
                f'than once, first on line {names[name]}'
            )
        names[name] = number
    if not names:
        raise ValueError(f'{path}: the image list is empty')
    return names


def select_images(
    images: Mapping[str, WiderImage],
    names: Mapping[str, int],
    source: str,
    ann_file: str,
) -> list[WiderImage]:
    """Pick the images that :func:`read_image_list` found, in their order.

    Raises:
        ValueError: If a name is not annotated; names the files ``source`` of the list
            and ``ann_file``.
    """
    unknown = [name for name in names if name not in images]
    if unknown:
        raise ValueError(
            f'{source}, line {names[unknown[0]]}: {len(unknown)} of {len(names)} '
            f'entries are not annotated in {ann_file}: {first_names(unknown)}; an '
            "entry is a path relative to 'images/', such as "
            "'0--Parade/0_Parade_Parade_0_1014.jpg'"
        )
    return [images[name] for name in names]


def first_names(names: Sequence[str], limit: int = 3) -> str:
    """The first few names, for an error message."""
    shown = ', '.join(name[:_SHOWN] for name in names[:limit])
    return shown if len(names) <= limit else f'{shown}, ...'


def to_instances(image: WiderImage) -> list[dict]:
    """Convert an image's faces to mmdet's ``instances``, dropping none.

    Returns:
        list[dict]: Per face ``bbox`` = [x1, y1, x2, y2] with x2 = x + w and y2 = y + h
        in pixels of the original image, ``bbox_label`` = 0, ``ignore_flag`` = 1 if
        flagged invalid or degenerate, and ``attributes`` by name, a dict that faces
        share and nobody should change.
    """
    corners = image.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    return [
        dict(
            bbox=box,
            bbox_label=0,
            ignore_flag=int(ignored),
            attributes=_named_attributes(*attributes),
        )
        for box, ignored, attributes in zip(
            corners.tolist(),
            image.ignored.tolist(),
            image.attributes.tolist(),
            strict=True,
        )
    ]


@lru_cache(maxsize=4096)
def _named_attributes(*values: int) -> dict[str, int]:
    """Attributes by name; one dict for all faces that are alike.

    There are 159,420 training faces and a few hundred kinds of them: making each
    a dict of its own takes half of the time that the annotation takes.
    """
    return dict(zip(ATTRIBUTE_VALUES, values, strict=True))
