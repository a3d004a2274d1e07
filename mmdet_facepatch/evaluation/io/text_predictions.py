"""Detections of a data set as text files, the official format of WIDER FACE.

Any detector's predictions can come in it, and the official toolkit reads it. It holds
boxes and scores and nothing else: margins and patch boxes are lost.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ..functional.detections import (
    Detections,
    check_predictions,
    first_row,
    refuse_first,
)

_IMAGE_SUFFIX = re.compile(r'(?<=.)\.(jpg|jpeg|png)$', re.IGNORECASE)
_COUNT = re.compile(r'[0-9]{1,18}')

# Lines of a text file before the first detection.
_HEAD_LINES = 2


def write_text_predictions(
    folder: str | os.PathLike[str], predictions: Mapping[str, Detections]
) -> None:
    """Write predictions in the official text format, all or nothing.

    The file ``<folder>/<img_id>.txt`` of an image holds its name (without event
    and suffix), the number of its detections, and for each one a line
    ``x y w h score`` in pixels, sorted by score, descending, equal scores in
    the order given. Margins and patch boxes have no place in this format and
    are left out.

    Numbers have as many digits as float64 needs, so that scores, x1 and y1
    read back exactly. So does x2 = x + w of float32 boxes where x1 >= 0; where
    x1 < 0, the same float32 comes back unless abs(x2) < w / 2**27 (a box of
    1000 pixels that ends less than 1e-5 from the image's left edge). y2 is like
    x2. Float64 boxes come back up to the rounding of w and of x1 + w.

    Args:
        folder (str | Path): Folder to write; it must not exist or be empty. The one
            above it must exist.
        predictions (dict): img_id -> :class:`Detections`, at least one.

    Raises:
        FileExistsError: If ``folder`` is a file, or a folder that is not empty.
        ValueError: If there are no predictions, an img_id cannot be a path
            below a folder, or :func:`check_detections` finds something.
    """
    # With links resolved: a folder cannot be renamed to a link's name.
    target = Path(folder).resolve()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(
            f'{folder} exists and is not an empty folder; choose another one or '
            'remove it'
        )
    checked = check_predictions(predictions)
    for img_id in checked:
        _check_text_id(img_id)
    # Not tempfile: what it makes is private to the user, and stays so when renamed.
    temporary = target.with_name(f'.{target.name}.{secrets.token_hex(4)}.tmp')
    temporary.mkdir()
    try:
        for img_id, detections in checked.items():
            _write_text(temporary, img_id, detections)
        os.replace(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_text_predictions(folder: str | os.PathLike[str]) -> dict[str, Detections]:
    """Read predictions in the official text format of WIDER FACE.

    Every ``.txt`` file in ``folder`` and its sub-folders holds the detections
    of the image of the same path, as :func:`write_text_predictions` writes them; the
    image may be named with its event folder and suffix. ``a.jpg.txt`` belongs to image
    ``a`` as ``a.txt`` does. A byte order mark, CRLF and blank lines at the end do no
    harm. Other files, and names that start with a dot, are passed over; links to
    folders are followed.

    Returns:
        dict: img_id -> :class:`Detections`, sorted by img_id; boxes (D, 4) float64 and
        scores (D,) in the order of the lines, no margins or patch boxes. Scores are
        float64, or float32 if all of them are such numbers to the last bit: a
        detector's 0.9, which is 0.89999998 then, is to be at a threshold of 0.9 as it
        was before it was written.

    Raises:
        OSError: If there is no such folder.
        ValueError: If no prediction file is in it, two files belong to one
            image, a link leads in a circle, or a file does not have this
            format: the message names file and line.
    """
    files = _text_files(Path(folder))
    if not files:
        raise ValueError(
            f'{folder} has no prediction file; there should be <event>/<name>.txt '
            'for each image'
        )
    found = {img_id: _read_text(path) for img_id, path in sorted(files.items())}
    return _in_written_precision(found)


def _check_text_id(img_id: str) -> None:
    """An img_id that names a file inside the folder, and is read back the same."""
    parts = img_id.split('/')
    if not img_id.isprintable() or any(
        part.startswith('.') or part != part.strip() or not part for part in parts
    ):
        raise ValueError(
            f'img_id {img_id!r} cannot name a text file; it must be like '
            "'event/name', without parts that are empty, start with a dot, or start "
            'or end with white space'
        )
    if _strip_image_suffix(img_id) != img_id:
        raise ValueError(f'img_id {img_id!r} must not have the suffix of an image file')


def _write_text(folder: Path, img_id: str, detections: Detections) -> None:
    path = folder / f'{img_id}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    order = np.argsort(-detections.scores, kind='stable')
    boxes = detections.boxes[order].astype(np.float64)
    with np.errstate(over='ignore'):
        sizes = boxes[:, 2:] - boxes[:, :2]
    refuse_first(img_id, 'boxes', boxes, np.isinf(sizes), 'is too large')
    scores = detections.scores[order].astype(np.float64)
    table = np.column_stack([boxes[:, :2], sizes, scores])
    lines = [path.name.removesuffix('.txt'), str(len(table))]
    # repr has the fewest digits that give the same float64.
    lines += [' '.join(map(repr, row)) for row in table.tolist()]
    # 'x': two images never share a file.
    with open(path, 'x', encoding='utf-8', newline='\n') as file:
        file.write('\n'.join(lines) + '\n')


def _raise(error: OSError) -> NoReturn:
    raise error


def _in_written_precision(found: dict[str, Detections]) -> dict[str, Detections]:
    """Scores as float32 if that changes none of them."""
    single = {img_id: d.scores.astype(np.float32) for img_id, d in found.items()}
    if any((single[img_id] != d.scores).any() for img_id, d in found.items()):
        return found
    return {img_id: replace(d, scores=single[img_id]) for img_id, d in found.items()}


def _text_files(folder: Path) -> dict[str, Path]:
    """img_id -> file, of all prediction files."""
    files: dict[str, Path] = {}
    # os.walk passes over folders that it cannot read unless told otherwise.
    for here, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in folders:
            _refuse_loop(Path(here, name))
        for name in sorted(names):
            path = Path(here, name)
            if path.suffix.lower() != '.txt' or name.startswith('.'):
                continue
            stem = path.relative_to(folder).with_suffix('').as_posix()
            img_id = _strip_image_suffix(stem)
            if img_id in files:
                raise ValueError(
                    f'{files[img_id]} and {path} both belong to image {img_id}; '
                    'remove one of them'
                )
            files[img_id] = path
    return files


def _refuse_loop(folder: Path) -> None:
    # Followed, it would give each image below it some forty times.
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f'{folder} is a link to a folder that it lies in')


def _strip_image_suffix(name: str) -> str:
    return _IMAGE_SUFFIX.sub('', name)


def _read_text(path: Path) -> Detections:
    try:
        # Also takes off a byte order mark, and turns CRLF into newlines.
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not a UTF-8 text file: {error}') from error
    lines = text.rstrip().split('\n')
    _check_head(path, lines)
    return _to_detections(path, _parse_rows(path, lines[_HEAD_LINES:]))


def _check_head(path: Path, lines: Sequence[str]) -> None:
    """The first two lines: the image's name and the number of detections."""
    image = _strip_image_suffix(path.stem)
    named = _strip_image_suffix(lines[0].strip().rsplit('/', maxsplit=1)[-1])
    if named != image:
        raise ValueError(
            f'{path}, line 1: should name image {image!r}, found {lines[0][:80]!r}'
        )
    count = lines[1].strip() if len(lines) > 1 else ''
    if not _COUNT.fullmatch(count):
        raise ValueError(
            f'{path}, line 2: should be the number of detections, found {count[:80]!r}'
        )
    found = len(lines) - _HEAD_LINES
    if int(count) != found:
        raise ValueError(
            f'{path}, line 2: says {count} detections, but {found} lines follow'
        )


def _parse_rows(path: Path, rows: Sequence[str]) -> NDArray[np.float64]:
    """(D, 5) numbers of the lines below the head."""
    if not rows:
        return np.zeros((0, 5))
    try:
        return _five_columns(rows)
    except ValueError as error:
        raise ValueError(_explain_rows(path, rows, error)) from error


def _five_columns(rows: Sequence[str]) -> NDArray[np.float64]:
    table = np.loadtxt(rows, dtype=np.float64, comments=None, ndmin=2)
    # loadtxt passes over blank lines.
    if table.shape != (len(rows), 5):
        raise ValueError(f'expected five numbers in each of {len(rows)} lines')
    return table


def _explain_rows(path: Path, rows: Sequence[str], error: ValueError) -> str:
    for number, row in enumerate(rows, start=_HEAD_LINES + 1):
        try:
            # loadtxt warns of nothing but blank lines, so these do not reach it.
            fits = bool(row.strip()) and len(_five_columns([row])) == 1
        except ValueError:
            fits = False
        if not fits:
            return (
                f"{path}, line {number}: should be five numbers 'x y w h score', "
                f'found {row[:80]!r}'
            )
    return f'{path}: {error}'


def _to_detections(path: Path, table: NDArray[np.float64]) -> Detections:
    boxes, sizes, scores = table[:, :4].copy(), table[:, 2:4], table[:, 4].copy()
    with np.errstate(over='ignore', invalid='ignore'):
        boxes[:, 2:] += boxes[:, :2]
    problems = {
        'NaN, infinite or too large': ~np.isfinite(np.column_stack([table, boxes])),
        'negative width or height': sizes < 0,
        'score outside [0, 1]': (scores < 0) | (scores > 1),
    }
    for problem, bad in problems.items():
        if bad.any():
            row = first_row(bad)
            raise ValueError(
                f'{path}, line {row + _HEAD_LINES + 1}: {problem} in x y w h score = '
                f'{table[row].tolist()}'
            )
    return Detections(boxes, scores)
