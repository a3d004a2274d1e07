"""Files with the detections of a whole data set.

Two formats are written and read:

- *Text*, the official format of WIDER FACE, by :func:`write_text_predictions`
  and :func:`read_text_predictions`. Any detector's predictions can come in it,
  and the official toolkit reads it. It holds boxes and scores and nothing else:
  margins and patch boxes are lost.
- *npz*, one file that holds everything, by :func:`save_predictions` and
  :func:`load_predictions`.

Pickles are neither written nor read: loading one runs whatever code it holds.

Images are named by their ``img_id``, the path below the folder of images
without suffix: ``0--Parade/0_Parade_marchingband_1_465`` in WIDER FACE, ``139``
where a data set has no sub-folders.

Example:
    >>> import tempfile
    >>> import numpy as np
    >>> found = Detections(
    ...     boxes=np.array([[8., 4, 24, 20]], dtype=np.float32),
    ...     scores=np.array([0.5], dtype=np.float32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text_predictions(f'{folder}/text', {'0--Parade/a': found})
    ...     print(open(f'{folder}/text/0--Parade/a.txt').read())
    ...     back = load_predictions(f'{folder}/text')
    a
    1
    8.0 4.0 16.0 16.0 0.5
    <BLANKLINE>
    >>> back['0--Parade/a'].boxes.tolist()
    [[8.0, 4.0, 24.0, 20.0]]
"""

from __future__ import annotations

import io
import os
import re
import secrets
import shutil
import struct
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import check_unpacked_size, write_atomically
from ..npy import parse_npy

#: Version of the npz written by :func:`save_predictions`; raised with every
#: change that a reader has to know of.
FORMAT_VERSION = 1

# Arrays of the npz: kinds of dtype that may stand there, and number of axes.
_LAYOUT: dict[str, tuple[str, int]] = {
    'format_version': ('iu', 0),
    'img_ids': ('U', 1),
    'counts': ('iu', 1),
    'boxes': ('fiu', 2),
    'scores': ('fiu', 1),
    'margins': ('fiu', 1),
    'patch_counts': ('iu', 1),
    'patch_boxes': ('iu', 2),
}
_OPTIONAL = ('margins',)

# What zipfile raises for bytes that are no zip archive, a damaged one, or one with
# encrypted members (RuntimeError).
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)

_IMAGE_SUFFIX = re.compile(r'(?<=.)\.(jpg|jpeg|png)$', re.IGNORECASE)
_COUNT = re.compile(r'[0-9]{1,18}')

_TURNED = 'has x2 < x1 or y2 < y1'

# Lines of a text file before the first detection.
_HEAD_LINES = 2


@dataclass(frozen=True)
class Detections:
    """Detections of one image.

    Attributes:
        boxes (array): (D, 4) float32 or float64 xyxy boxes in pixels of the
            original image, in any order.
        scores (array): (D,) float32 or float64, raw scores in [0, 1].
        margins (array | None): (D,) float32 or float64 log-odds
            ``s = s_p - s_n``, None where they were not kept.
        patch_boxes (array | None): (P, 4) int64 xyxy squares of the patches
            pasted in this image, in pixels. None says that nothing was pasted
            since the image was not attacked; (0, 4) that it was attacked, but
            had no face to paste on.
    """

    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]
    margins: NDArray[np.floating] | None = None
    patch_boxes: NDArray[np.int64] | None = None


def check_detections(source: str, detections: Detections) -> Detections:
    """Check the detections of one image and give their arrays one form.

    Args:
        source (str): What the detections came from (an image or a file), to
            begin messages with.
        detections (Detections): Their arrays may be of any real dtype, and of
            shape (0,) where (0, 4) is meant.

    Returns:
        Detections: boxes (D, 4), scores and margins (D,), each float32 or
        float64 as it was (float16 becomes float32, integers and longer floats
        float64), patch_boxes (P, 4) int64. Arrays that had this form are
        not copied.

    Raises:
        ValueError: If shapes or lengths do not fit, something is not a real
            number, boxes, scores or margins are NaN or infinite, a score lies
            outside [0, 1], a box has x2 < x1 or y2 < y1, or patch boxes are
            not whole pixels.
    """
    boxes = _four_columns(source, 'boxes', detections.boxes)
    boxes = _as_floating(source, 'boxes', boxes)
    _refuse(source, 'boxes', boxes, boxes[:, 2:] < boxes[:, :2], _TURNED)
    scores = _one_for_each_box(source, 'scores', detections.scores, len(boxes))
    _refuse(
        source, 'scores', scores, (scores < 0) | (scores > 1), 'lies outside [0, 1]'
    )
    margins = detections.margins
    if margins is not None:
        margins = _one_for_each_box(source, 'margins', margins, len(boxes))
    patch_boxes = detections.patch_boxes
    if patch_boxes is not None:
        patch_boxes = _as_patch_boxes(source, patch_boxes)
    return Detections(boxes, scores, margins, patch_boxes)


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

    The files are written into a folder beside ``folder`` that is then renamed.

    Args:
        folder (str | Path): Folder to write; it must not exist or be empty.
            The one above it must exist.
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
    checked = _check_predictions(predictions)
    for img_id in checked:
        _check_text_id(img_id)
    temporary = _temporary_sibling(target)
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
    of the image of the same path: line 1 names the image (with or without its
    event folder and image suffix), line 2 is the number of detections, then
    comes a line ``x y w h score`` for each, in pixels, split by white space.
    ``a.jpg.txt`` belongs to image ``a`` as ``a.txt`` does. A byte order mark,
    CRLF and blank lines at the end do no harm. Other files, and names that
    start with a dot, are passed over; links to folders are followed.

    Args:
        folder (str | Path): The folder.

    Returns:
        dict: img_id -> :class:`Detections`, sorted by img_id; boxes (D, 4)
        float64 and scores (D,) in the order of the lines, no margins or patch
        boxes. Scores are float64, or float32 if all of them are such numbers to
        the last bit: a detector's 0.9, which is 0.89999998 then, is to be at a
        threshold of 0.9 as it was before it was written.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is a file.
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


def save_predictions(
    path: str | os.PathLike[str], predictions: Mapping[str, Detections]
) -> None:
    """Write predictions as one compressed npz, all or nothing.

    The detections of the I images are laid end to end:

    - ``format_version``: int, see :data:`FORMAT_VERSION`
    - ``img_ids``: (I,) str
    - ``counts``: (I,) int64, detections of each image
    - ``boxes``: (N, 4) and ``scores``: (N,), float32 or float64, see
      :class:`Detections`
    - ``margins``: (N,), only if the detections have margins
    - ``patch_counts``: (I,) int64, patches of each image, -1 where nothing was
      pasted (``patch_boxes`` is None)
    - ``patch_boxes``: (P, 4) int64

    The file is written beside its place and then renamed, so an earlier one
    stays whole if anything fails.

    Args:
        path (str | Path): File to write, ending in ``.npz``; its folder must
            exist.
        predictions (dict): img_id -> :class:`Detections`, at least one. Where
            float32 and float64 meet, the file has float64.

    Raises:
        ValueError: If ``path`` does not end in ``.npz``, there are no
            predictions, only some images with detections have margins, or
            :func:`check_detections` finds something.
    """
    if Path(path).suffix.lower() != '.npz':
        raise ValueError(f'{path} must end in .npz')
    arrays = _to_arrays(_check_predictions(predictions))
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def load_predictions(path: str | os.PathLike[str]) -> dict[str, Detections]:
    """Read predictions of either format.

    Args:
        path (str | Path): A folder for :func:`read_text_predictions`, or a file
            of :func:`save_predictions`.

    Returns:
        dict: img_id -> :class:`Detections`; of an npz in the order and with the
        dtypes in which it was saved. Images without detections have margins of
        shape (0,) where the others have margins, and None where they have none.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is of another format, or does not hold what it
            should; the message names the file and what is wrong.
    """
    source = Path(path)
    if source.is_dir() or not (source.suffix or source.exists()):
        return read_text_predictions(source)
    if source.suffix.lower() == '.npz':
        return _from_arrays(source, _read_npz(source))
    raise ValueError(
        f'{path} is neither a folder of text files (<event>/<name>.txt) nor a .npz '
        'of save_predictions; other formats are not read, pickles least of all, '
        'since they run code'
    )


# Checks of one image


def _as_array(source: str, name: str, values: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f'{source}: {name} are not an array: {error}') from error
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'{source}: {name} must be real numbers, not {array.dtype}')
    return array


def _four_columns(source: str, name: str, values: ArrayLike) -> NDArray[Any]:
    array = _as_array(source, name, values)
    if array.shape == (0,):
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f'{source}: {name} must be (N, 4), got shape {array.shape}')
    return array


def _as_floating(source: str, name: str, array: NDArray[Any]) -> NDArray[np.floating]:
    """Native float32 or float64, finite."""
    short = array.dtype.kind == 'f' and array.dtype.itemsize <= 4
    with np.errstate(over='ignore'):
        values: NDArray[Any] = array.astype(
            np.float32 if short else np.float64, copy=False
        )
    _refuse(source, name, values, ~np.isfinite(values), 'is NaN or infinite')
    return values


def _one_for_each_box(
    source: str, name: str, values: ArrayLike, num_boxes: int
) -> NDArray[np.floating]:
    array = _as_array(source, name, values)
    if array.shape != (num_boxes,):
        raise ValueError(
            f'{source}: {name} must be ({num_boxes},), one for each box, got shape '
            f'{array.shape}'
        )
    return _as_floating(source, name, array)


def _as_patch_boxes(source: str, values: ArrayLike) -> NDArray[np.int64]:
    array = _four_columns(source, 'patch_boxes', values)
    with np.errstate(invalid='ignore'):
        pixels = array.astype(np.int64, copy=False)
    _refuse(source, 'patch_boxes', array, pixels != array, 'is not whole pixels')
    _refuse(source, 'patch_boxes', array, pixels[:, 2:] < pixels[:, :2], _TURNED)
    return pixels


def _refuse(
    source: str, name: str, values: NDArray[Any], bad: NDArray[np.bool_], problem: str
) -> None:
    """Raise for the first entry of which something is bad."""
    if bad.any():
        index = _first_row(bad)
        raise ValueError(f'{source}: {name}[{index}] = {values[index]} {problem}')


def _first_row(bad: NDArray[np.bool_]) -> int:
    return int(np.argwhere(bad)[0, 0])


def _check_predictions(predictions: Mapping[str, Detections]) -> dict[str, Detections]:
    if not predictions:
        raise ValueError('there are no predictions to write')
    for img_id in predictions:
        # numpy's strings end before trailing NULs.
        if not isinstance(img_id, str) or not img_id or '\0' in img_id:
            raise ValueError(f'img_id must be a non-empty str, got {img_id!r}')
    return {
        img_id: check_detections(img_id, detections)
        for img_id, detections in predictions.items()
    }


def _temporary_sibling(path: Path) -> Path:
    # Not tempfile: what it makes is private to the user, and stays so when renamed.
    return path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')


# Text


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
    _refuse(img_id, 'boxes', boxes, np.isinf(sizes), 'is too large')
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
            row = _first_row(bad)
            raise ValueError(
                f'{path}, line {row + _HEAD_LINES + 1}: {problem} in x y w h score = '
                f'{table[row].tolist()}'
            )
    return Detections(boxes, scores)


# npz


def _to_arrays(predictions: Mapping[str, Detections]) -> dict[str, Any]:
    images = list(predictions.values())
    arrays: dict[str, Any] = {
        'format_version': np.array(FORMAT_VERSION, dtype=np.int64),
        'img_ids': np.array(list(predictions), dtype=np.str_),
        'counts': np.array([len(image.scores) for image in images], dtype=np.int64),
        'boxes': _lay_end_to_end([image.boxes for image in images]),
        'scores': _lay_end_to_end([image.scores for image in images]),
    }
    if _have_margins(predictions):
        arrays['margins'] = _lay_end_to_end(
            [image.margins for image in images if image.margins is not None]
        )
    patches = [image.patch_boxes for image in images]
    arrays['patch_counts'] = np.array(
        [-1 if boxes is None else len(boxes) for boxes in patches], dtype=np.int64
    )
    arrays['patch_boxes'] = np.concatenate(
        [np.zeros((0, 4), dtype=np.int64), *(b for b in patches if b is not None)]
    )
    return arrays


def _lay_end_to_end(parts: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
    # The empty array of an image without detections is float64 as a rule, which
    # should not decide on the others.
    return np.concatenate([part for part in parts if len(part)] or parts)


def _have_margins(predictions: Mapping[str, Detections]) -> bool:
    """Whether margins are kept: those of all detections or of none."""
    example: dict[bool, str] = {}
    for img_id, image in predictions.items():
        if len(image.scores):
            example.setdefault(image.margins is not None, img_id)
    if len(example) == 2:
        raise ValueError(
            f'the detections of {example[True]} have margins, those of '
            f'{example[False]} have none; give margins to all or to none'
        )
    if example:
        return True in example
    return any(image.margins is not None for image in predictions.values())


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The known arrays of an npz; others are passed over."""
    # From bytes, since a damaged archive can make a file seek to where it must not,
    # an OSError like that of a failing disk.
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            check_unpacked_size(archive.infolist(), len(data))
            members = {info.filename: info for info in archive.infolist()}
            return {
                name: _read_member(archive, members[f'{name}.npy'])
                for name in _LAYOUT
                if f'{name}.npy' in members
            }
    except _BROKEN_ZIP as error:
        raise ValueError(f'{path} is not an npz of predictions: {error}') from error


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f'{info.filename} is compressed by method {info.compress_type}'
        )
    data = archive.read(info)
    try:
        return parse_npy(data)
    except ValueError as error:
        raise ValueError(f'{info.filename}: {error}') from error


def _from_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, Detections]:
    try:
        _check_version(arrays)
        _check_layout(arrays)
        img_ids = _img_ids(arrays['img_ids'])
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    ends = np.cumsum(arrays['counts'])[:-1]
    patch_counts = arrays['patch_counts']
    boxes = np.split(arrays['boxes'], ends)
    scores = np.split(arrays['scores'], ends)
    margins = np.split(arrays['margins'], ends) if 'margins' in arrays else None
    patches = np.split(
        arrays['patch_boxes'], np.cumsum(np.maximum(patch_counts, 0))[:-1]
    )
    return {
        img_id: check_detections(
            f'{path}, image {img_id}',
            Detections(
                boxes[i],
                scores[i],
                None if margins is None else margins[i],
                None if patch_counts[i] < 0 else patches[i],
            ),
        )
        for i, img_id in enumerate(img_ids)
    }


def _check_version(arrays: Mapping[str, NDArray[Any]]) -> None:
    # Before anything else: another version may have other arrays.
    if 'format_version' not in arrays:
        raise ValueError('there is no format_version; not a file of save_predictions')
    _check_kind('format_version', arrays['format_version'])
    version = int(arrays['format_version'])
    if version != FORMAT_VERSION:
        raise ValueError(
            f'format_version is {version}, this version of the package reads '
            f'{FORMAT_VERSION}'
        )


def _check_kind(name: str, array: NDArray[Any]) -> None:
    kinds, ndim = _LAYOUT[name]
    if array.dtype.kind not in kinds or array.ndim != ndim:
        raise ValueError(f'{name} has type {array.dtype} and shape {array.shape}')


def _check_layout(arrays: Mapping[str, NDArray[Any]]) -> None:
    missing = [name for name in _LAYOUT if name not in (*arrays, *_OPTIONAL)]
    if missing:
        raise ValueError(f'the arrays {missing} are missing')
    for name, array in arrays.items():
        _check_kind(name, array)
    num_images, num_boxes = len(arrays['img_ids']), len(arrays['boxes'])
    shapes: dict[str, tuple[int, ...]] = {
        'counts': (num_images,),
        'patch_counts': (num_images,),
        'boxes': (num_boxes, 4),
        'scores': (num_boxes,),
        'margins': (num_boxes,),
        'patch_boxes': (len(arrays['patch_boxes']), 4),
    }
    for name, shape in shapes.items():
        if name in arrays and arrays[name].shape != shape:
            raise ValueError(
                f'{name} has shape {arrays[name].shape}, which should be {shape}'
            )
    _check_counts('counts', arrays['counts'], 0, num_boxes)
    _check_counts('patch_counts', arrays['patch_counts'], -1, shapes['patch_boxes'][0])


def _check_counts(name: str, counts: NDArray[Any], lowest: int, total: int) -> None:
    # Python's integers, since a sum of int64 may wrap round to the right number.
    values = counts.tolist()
    if any(value < lowest for value in values):
        raise ValueError(f'{name} has an entry below {lowest}')
    found = sum(max(value, 0) for value in values)
    if found != total:
        raise ValueError(f'{name} sum up to {found}, but there are {total} boxes')


def _img_ids(array: NDArray[np.str_]) -> list[str]:
    if len(array) == 0:
        raise ValueError('there is no image')
    # numpy fails with a SystemError on what is no code point.
    if (
        array.astype(array.dtype.newbyteorder('=')).view(np.uint32) > sys.maxunicode
    ).any():
        raise ValueError('img_ids is not text')
    img_ids: list[str] = array.tolist()
    if '' in img_ids:
        raise ValueError('img_ids has an empty entry')
    if len(set(img_ids)) != len(img_ids):
        repeated = Counter(img_ids).most_common(1)[0][0]
        raise ValueError(f'img_ids has {repeated!r} more than once')
    return img_ids
