"""Detections of a whole data set in one npz.

Pickles are neither written nor read: loading one runs whatever code it holds.

Images are named by their ``img_id``, the path below the folder of images
without suffix: ``0--Parade/0_Parade_marchingband_1_465`` in WIDER FACE, ``139``
where a data set has no sub-folders.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...utils.files import check_unpacked_size, write_atomically
from ...utils.npy import parse_npy
from ..functional.detections import (
    Detections,
    all_have_margins,
    check_detections,
    check_predictions,
)
from .text_predictions import read_text_predictions

#: Version of the npz written by :func:`save_predictions`; raised with every
#: change that a reader has to know of.
FORMAT_VERSION = 1

# Arrays of the npz: kinds of dtype that may stand there, and their shapes.
_LAYOUT: dict[str, tuple[str, tuple[str | int, ...]]] = {
    'format_version': ('iu', ()),
    'img_ids': ('U', ('images',)),
    'counts': ('iu', ('images',)),
    'boxes': ('fiu', ('boxes', 4)),
    'scores': ('fiu', ('boxes',)),
    'margins': ('fiu', ('boxes',)),
    'patch_counts': ('iu', ('images',)),
    'patch_boxes': ('iu', ('patches', 4)),
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

    Args:
        path (str | Path): File to write, ending in ``.npz``; its folder must exist.
        predictions (dict): img_id -> :class:`Detections`, at least one. Where float32
            and float64 meet, the file has float64.

    Raises:
        ValueError: If ``path`` does not end in ``.npz``, there are no
            predictions, only some images with detections have margins, or
            :func:`check_detections` finds something.
    """
    if Path(path).suffix.lower() != '.npz':
        raise ValueError(f'{path} must end in .npz')
    arrays = _to_arrays(check_predictions(predictions))
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def load_predictions(path: str | os.PathLike[str]) -> dict[str, Detections]:
    """Read predictions of either format.

    Args:
        path (str | Path): A folder for :func:`read_text_predictions`, or a file of
            :func:`save_predictions`.

    Returns:
        dict: img_id -> :class:`Detections`; of an npz in the order and with the dtypes
        in which it was saved.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is of another format, or does not hold what it should.
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


def _to_arrays(predictions: Mapping[str, Detections]) -> dict[str, Any]:
    images = list(predictions.values())
    arrays: dict[str, Any] = {
        'format_version': np.array(FORMAT_VERSION, dtype=np.int64),
        'img_ids': np.array(list(predictions), dtype=np.str_),
        'counts': np.array([len(image.scores) for image in images], dtype=np.int64),
        'boxes': _lay_end_to_end([image.boxes for image in images]),
        'scores': _lay_end_to_end([image.scores for image in images]),
    }
    margins = all_have_margins(
        (img_id, image.margins is not None)
        for img_id, image in predictions.items()
        if len(image.scores)
    )
    if margins is None:
        margins = any(image.margins is not None for image in images)
    if margins:
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
    # The slice of each image, in Python's integers.
    end = patch_end = 0
    found = {}
    for img_id, count, patches in zip(
        img_ids, arrays['counts'].tolist(), arrays['patch_counts'].tolist(), strict=True
    ):
        part = slice(end, end := end + count)
        patch_part = slice(patch_end, patch_end := patch_end + max(patches, 0))
        image = Detections(
            arrays['boxes'][part],
            arrays['scores'][part],
            arrays['margins'][part] if 'margins' in arrays else None,
            arrays['patch_boxes'][patch_part] if patches >= 0 else None,
        )
        found[img_id] = check_detections(f'{path}, image {img_id}', image)
    return found


def _check_version(arrays: Mapping[str, NDArray[Any]]) -> None:
    # Before anything else: another version may have other arrays.
    if 'format_version' not in arrays:
        raise ValueError('there is no format_version; not a file of save_predictions')
    _check_array('format_version', arrays['format_version'], {})
    version = int(arrays['format_version'])
    if version != FORMAT_VERSION:
        raise ValueError(
            f'format_version is {version}, this version of the package reads '
            f'{FORMAT_VERSION}'
        )


def _check_array(name: str, array: NDArray[Any], sizes: dict[str, int]) -> None:
    """Type and shape; ``sizes`` has the lengths of axes met so far."""
    kinds, axes = _LAYOUT[name]
    if array.dtype.kind not in kinds or array.ndim != len(axes):
        raise ValueError(f'{name} has type {array.dtype} and shape {array.shape}')
    shape = tuple(
        axis if isinstance(axis, int) else sizes.setdefault(axis, length)
        for axis, length in zip(axes, array.shape, strict=True)
    )
    if array.shape != shape:
        raise ValueError(f'{name} has shape {array.shape}, which should be {shape}')


def _check_layout(arrays: Mapping[str, NDArray[Any]]) -> None:
    missing = [name for name in _LAYOUT if name not in (*arrays, *_OPTIONAL)]
    if missing:
        raise ValueError(f'the arrays {missing} are missing')
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        _check_array(name, array, sizes)
    _check_counts('counts', arrays['counts'], 0, sizes['boxes'])
    _check_counts('patch_counts', arrays['patch_counts'], -1, sizes['patches'])


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
