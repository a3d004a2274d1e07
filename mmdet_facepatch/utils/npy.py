"""Arrays in numpy's file format, read from bytes without trust."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Longest axis of an array; numpy fails in other ways beyond.
_LONGEST = 2**40


def parse_npy(data: bytes) -> NDArray[Any]:
    """The array of an ``.npy`` file; nothing is unpickled.

    ``numpy.load`` allocates what the header asks for before it looks whether the
    file holds as much.

    Raises:
        ValueError: If the header is damaged, the array is of Python objects, or the
            bytes are fewer or more than it asks for.
    """
    shape, fortran, dtype, start = _read_header(data)
    if dtype.hasobject:
        raise ValueError('an array of objects would have to be unpickled')
    size = math.prod(shape) * dtype.itemsize
    if len(data) - start != size:
        raise ValueError(
            f'an array of shape {shape} and type {dtype} has {size} bytes, there are '
            f'{len(data) - start}'
        )
    if not all(0 <= length <= _LONGEST for length in shape):
        raise ValueError(f'damaged npy header: shape {shape}')
    numbers = np.frombuffer(data[start:], dtype=dtype)
    array = numbers.reshape(shape[::-1]).T if fortran else numbers.reshape(shape)
    # A copy can be written to, the bytes cannot.
    return array.copy(order='C')


def _read_header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran order, dtype, and where the numbers start."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        # Version 3.0 is for names of fields, which no array here has.
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            header = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f'npy version {version} is not read')
    # numpy evaluates the header as a literal of Python, and what a damaged one
    # raises is not limited to ValueError.
    except Exception as error:
        raise ValueError(f'damaged npy header: {error}') from error
    shape, fortran, dtype = header
    return tuple(map(int, shape)), fortran, dtype, stream.tell()
