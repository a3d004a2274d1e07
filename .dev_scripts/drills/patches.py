"""Malformed and unusual patch files."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import torch
from PIL import Image

from mmdet_facepatch.attack.patch.universal_patch import load_patch

from .case import Case, Payload, expect
from .images import _png, encode, pixels
from .predictions import _as_npy, npy

KIND = 'patch'


def cases() -> list[Case]:
    """All of them."""
    return [*_pictures(), *_arrays()]


def _is_picture(found: torch.Tensor) -> None:
    expected = torch.from_numpy(pixels()).permute(2, 0, 1) / 255
    expect(found.dtype == torch.float32 and torch.equal(found, expected), 'pixels')


def _case(name: str, data: Any, *says: str, file: str, right: Any = None) -> Case:
    return Case(KIND, name, {file: data}, load_patch, right=right, says=says)


def _pictures() -> list[Case]:
    picture = Image.fromarray(pixels())
    good = encode(kind='PNG')
    second = Image.fromarray(255 - pixels())
    first: dict[str, Any] = dict(save_all=True, append_images=[second])
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257)

    def rotated(found: torch.Tensor) -> None:
        # A picture that somebody drew: it is taken as a viewer shows it.
        expected = torch.from_numpy(np.rot90(pixels(), -1).copy()).permute(2, 0, 1)
        expect(torch.equal(found, expected / 255), 'rotated')

    def picture_case(name: str, data: Any, *says: str, right: Any = None) -> Case:
        return _case(name, data, *says, file='p.png', right=right)

    import cv2

    colour = cv2.imencode('.png', pixels().astype(np.uint16) * 257)[1].tobytes()
    return [
        picture_case('PNG', good, right=_is_picture),
        picture_case('BMP named .png', encode(kind='BMP'), right=_is_picture),
        picture_case('EXIF', encode(kind='PNG', exif=exif.tobytes()), right=rotated),
        *(
            picture_case(f'{mode} PNG', encode(picture.convert(mode), 'PNG'), mode)
            for mode in ('L', 'LA', 'P', 'RGBA', '1')
        ),
        picture_case('CMYK', encode(picture.convert('CMYK'), 'JPEG'), 'CMYK'),
        picture_case('16-bit grey', encode(deep, 'PNG')),
        picture_case('16-bit colour', colour, '16 bits'),
        picture_case('animated', encode(kind='PNG', **first), 'frames'),
        picture_case('cut off', good[: len(good) // 2]),
        picture_case('no bytes', b''),
        picture_case('random bytes', np.random.default_rng(0).bytes(999)),
        picture_case('12,000 x 10,000', _png(12_000, 10_000)),
        picture_case('100,000 x 100,000', _png(100_000, 100_000)),
        picture_case('a pickle named .png', pickle.dumps(Payload())),
    ]


def _arrays() -> list[Case]:
    good = (np.moveaxis(pixels(), 2, 0) / 255).astype(np.float32)
    objects = np.empty(1, dtype=object)
    objects[0] = Payload()

    def array(name: str, data: Any, *says: str, right: Any = None) -> Case:
        content = data if isinstance(data, bytes) else _as_npy(data)
        return _case(name, content, *says, file='p.npy', right=right)

    bad = good.copy()
    bad[0, 0, 0] = np.nan
    shape = good.shape
    return [
        array('float32', good, right=_is_picture),
        array('other byte order', good.astype('>f4'), right=_is_picture),
        array('Fortran order', np.asfortranarray(good), right=_is_picture),
        array('NaN', bad, 'NaN'),
        array('beyond 1', good * 255, 'values from'),
        array('8-bit integers', pixels(), 'dtype'),
        array('channels last', np.moveaxis(good, 0, 2), 'shape'),
        array('no pixels', good[:, :0], 'shape'),
        array('objects', objects, 'unpickled'),
        array('a pickle', pickle.dumps(Payload())),
        array('an npz', b'PK\3\4' + bytes(99)),
        array('complex', good.astype('c8')),
        array('cut off', _as_npy(good)[:-9], 'bytes'),
        array('header of 4 TB', npy((3, 10**6, 10**6), '<f4', bytes(99)), 'bytes'),
        array('header beyond any axis', npy((0, 10**30), '<f4'), 'shape'),
        array('header with a call', b'\x93NUMPY\1\0\x0e\0exit()       \n'),
        array('fields', npy(shape, "[('a', '<f4')]")),
        array('no bytes', b''),
    ]
