"""MATLAB files, checked before scipy parses them.

scipy parses a file while it decompresses it and believes what it finds: a damaged or
crafted file can take the whole process down, or ask for any amount of memory. So the
whole file is walked first, and only what subset lists are made of is let through:
cells, text and real numbers, each with exactly the bytes that its size asks for.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...utils.files import UNPACKED_BASE, UNPACKED_RATIO

_HEADER = 128
# Element types of the format, and bytes of one number of each.
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBER_SIZE = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_TEXT_SIZE = {1: 1, 2: 1, 3: 2, 4: 2, 16: 1, 17: 2}
# Classes of matrices.
_CELL, _CHAR, _NUMBERS = 1, 4, range(6, 16)
_REFUSED = {2: 'a struct', 3: 'an object', 5: 'a sparse matrix', 16: 'a function'}
_COMPLEX = 0x08
_DEEPEST = 8


def read_mat(path: Path, names: Sequence[str]) -> Mapping[str, NDArray]:
    """Read variables of a MATLAB 5 file (``save -v7`` or ``-v6``).

    Returns:
        dict: Name -> array, of those that are there; cells are arrays of objects.

    Raises:
        ValueError: If the file is cut off, damaged, of another version, unpacks to
            far more than its size, or holds anything but cells, text and real
            numbers. Names the file.
    """
    # Imported here so that the protocol works on arrays without scipy.
    from scipy.io import loadmat

    raw = path.read_bytes()
    try:
        _check_file(raw)
        return loadmat(io.BytesIO(raw), variable_names=list(names))
    # scipy raises nearly anything for what it does not expect.
    except Exception as error:
        raise ValueError(f'{path} is not a readable .mat file: {error}') from error


def _check_file(raw: bytes) -> None:
    """Check lengths, checksums and the content of all variables."""
    if len(raw) <= _HEADER:
        raise ValueError('the file is empty or cut off')
    order = {b'IM': '<', b'MI': '>'}.get(raw[126:128])
    if order is None:
        raise ValueError('it has no header of MATLAB 5')
    allowed = UNPACKED_BASE + UNPACKED_RATIO * len(raw)
    position = _HEADER
    while position < len(raw):
        if position + 8 > len(raw):
            raise ValueError('the file is cut off')
        kind, size = struct.unpack_from(f'{order}II', raw, position)
        start, position = position + 8, position + 8 + size
        if position > len(raw):
            raise ValueError('the file is cut off')
        if kind == _COMPRESSED:
            data = _decompress(raw[start:position], allowed)
            allowed -= len(data)
            _Walk(data, order).check_variable()
        elif kind == _MATRIX:
            _Walk(raw[start - 8 : position], order).check_variable()
        else:
            raise ValueError(f'it has an element of unknown type {kind}')


def _decompress(data: bytes, allowed: int) -> bytes:
    """Decompress, to a limit; zlib compares the checksum at the end."""
    stream = zlib.decompressobj()
    content = stream.decompress(data, max(allowed, 1))
    if not stream.eof:
        # What the limit held back, or nothing if the data end early.
        more = stream.decompress(stream.unconsumed_tail, 1)
        if more or stream.unconsumed_tail:
            raise ValueError(
                f'it unpacks to more than {UNPACKED_RATIO} times its size; it is '
                'refused'
            )
    if not stream.eof:
        raise ValueError('a variable is cut off')
    return content


class _Walk:
    """Walks over the elements of one variable; order is '<' or '>', as in struct."""

    def __init__(self, data: bytes, order: str) -> None:
        self.data = data
        self.order = order
        self.position = 0

    def check_variable(self) -> None:
        """Check the only element there is."""
        self._check_matrix(len(self.data), 0)
        if self.position < len(self.data):
            raise ValueError('a variable is longer than it says')

    def _tag(self, end: int) -> tuple[int, int, int]:
        """Type, size and first byte of the next element; moves behind it."""
        if self.position + 8 > end:
            raise ValueError('an element is cut off')
        kind, size = struct.unpack_from(f'{self.order}II', self.data, self.position)
        if kind >> 16:  # a small element: its data are in the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, self.position + 4
            if size > 4:
                raise ValueError(f'a small element has {size} bytes')
            self.position += 8
        else:
            start = self.position + 8
            self.position = start + size + (-size % 8 if kind != _MATRIX else 0)
        if self.position > end:
            raise ValueError('an element is longer than what it lies in')
        return kind, size, start

    def _numbers(self, end: int, kind: int, what: str) -> tuple[int, ...]:
        """The next element, 32-bit integers."""
        found, size, start = self._tag(end)
        if found != kind or size % 4:
            raise ValueError(f'a matrix has no {what}')
        code = 'I' if kind == _UINT32 else 'i'
        return struct.unpack_from(f'{self.order}{size // 4}{code}', self.data, start)

    def _check_matrix(self, end: int, depth: int) -> None:
        kind, size, start = self._tag(end)
        if kind != _MATRIX:
            raise ValueError(f'an element of type {kind} stands for a matrix')
        if size == 0:  # how an empty cell may be written
            return
        if depth > _DEEPEST:
            raise ValueError(f'cells are nested more than {_DEEPEST} deep')
        self.position, inner = start, start + size
        flags = self._numbers(inner, _UINT32, 'flags')
        dims = self._numbers(inner, _INT32, 'dimensions')
        if len(flags) != 2 or not 2 <= len(dims) <= 16 or min(dims) < 0:
            raise ValueError(f'a matrix has dimensions {dims}')
        if self._tag(inner)[0] != _INT8:
            raise ValueError('a matrix has no name')
        self._check_content(flags[0], math.prod(dims), inner, depth)
        if self.position != inner:
            raise ValueError('a matrix is longer than its content')

    def _check_content(self, flags: int, count: int, end: int, depth: int) -> None:
        matrix = flags & 0xFF
        if matrix == _CELL:
            # An empty matrix takes 8 bytes.
            if count * 8 > end - self.position:
                raise ValueError(f'a cell says that it has {count} parts')
            for _ in range(count):
                self._check_matrix(end, depth + 1)
            return
        if matrix != _CHAR and matrix not in _NUMBERS:
            name = _REFUSED.get(matrix, f'a matrix of class {matrix}')
            raise ValueError(f'it holds {name}, which no subset list has')
        if flags >> 8 & _COMPLEX:
            raise ValueError('it holds complex numbers, which no subset list has')
        kind, size, _ = self._tag(end)
        width = (_TEXT_SIZE if matrix == _CHAR else _NUMBER_SIZE).get(kind)
        # UTF-8 may take more than a byte a character.
        longer = matrix == _CHAR and kind == 16 and size > count
        if width is None or (size != count * width and not longer):
            raise ValueError(f'a matrix of {count} values has {size} bytes')


def whole_numbers(values: NDArray) -> NDArray[np.int64]:
    """Values as one row of int64; raises ValueError if one is no whole number."""
    array = np.asarray(values).reshape(-1)
    with np.errstate(invalid='ignore'):
        whole = array.astype(np.int64)
    if array.dtype.kind not in 'biuf' or (whole != array).any():
        raise ValueError('an index or attribute is no whole number')
    return whole
