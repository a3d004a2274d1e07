"""Malformed and unusual images."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mmdet_facepatch.datasets import LoadIntactImage

from .case import Case, expect

KIND = 'image'
HEIGHT, WIDTH = 45, 60


@lru_cache
def pixels() -> np.ndarray:
    """A smooth picture, (45, 60, 3) uint8 RGB."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT))


def encode(
    picture: Image.Image | None = None, kind: str = 'JPEG', **more: Any
) -> bytes:
    """A picture as a file's bytes; by default :func:`pixels`."""
    stream = io.BytesIO()
    picture = Image.fromarray(pixels()) if picture is None else picture
    picture.save(stream, kind, **more)
    return stream.getvalue()


def read(path: Path) -> np.ndarray:
    """What a pipeline gets, (H, W, 3) uint8 BGR."""
    found = LoadIntactImage()(dict(img_path=str(path)))
    assert found is not None
    return found['img']


def same_as(data: bytes, tolerance: int = 2) -> Callable[[np.ndarray], None]:
    """Compare with what Pillow reads, another decoder, without rotation."""
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(picture.convert('RGB'))[..., ::-1].astype(int)

    def check(found: np.ndarray) -> None:
        expect(found.dtype == np.uint8 and found.shape == expected.shape, 'shape')
        worst = np.abs(found - expected).max()
        expect(worst <= tolerance, f'pixels differ by {worst}')

    return check


def _equals(expected: np.ndarray, tolerance: int = 0) -> Callable[[np.ndarray], None]:
    def check(found: np.ndarray) -> None:
        expect(found.shape == expected.shape, f'shape {found.shape}')
        worst = np.abs(found.astype(int) - expected).max()
        expect(worst <= tolerance, f'pixels differ by {worst}')

    return check


def _right(name: str, data: bytes, file: str = 'a.jpg', tolerance: int = 2) -> Case:
    return Case(KIND, name, {file: data}, read, right=same_as(data, tolerance))


def _wrong(name: str, data: Any, *says: str, file: str = 'a.jpg') -> Case:
    return Case(KIND, name, {file: data}, read, says=says)


def cases() -> list[Case]:
    """All of them."""
    return [
        *_formats(),
        *_modes(),
        *_oriented(),
        *_cut_off(),
        *_no_images(),
        *_huge(),
        *_animated(),
        *_damaged(),
        *_no_files(),
    ]


def _formats() -> list[Case]:
    kinds = ('JPEG', 'PNG', 'BMP', 'GIF', 'TIFF', 'WEBP', 'PPM', 'JPEG2000')
    found = [_right(f'{kind} named .jpg', encode(kind=kind)) for kind in kinds]
    jpeg = encode(quality=90)
    return [
        *found,
        _right('JPEG named .png', jpeg, 'a.png'),
        _right('JPEG without suffix', jpeg, 'a'),
        _right('JPEG named .txt', jpeg, 'a.txt'),
        _right('progressive JPEG', encode(progressive=True)),
        _right('bytes behind the end', jpeg + b'\0' * 100),
        _right('a preview inside', _with_preview(jpeg)),
        _right('one pixel, JPEG', encode(Image.new('RGB', (1, 1), (9, 99, 199)))),
        _right('one pixel, PNG', encode(Image.new('RGB', (1, 1)), 'PNG')),
        _right('one row', encode(Image.new('RGB', (500, 1), (1, 2, 3)), 'PNG')),
        _right('one column', encode(Image.new('RGB', (1, 500), (1, 2, 3)), 'PNG')),
    ]


def _with_preview(jpeg: bytes) -> bytes:
    preview = encode(Image.fromarray(pixels()[:9, :9]))
    segment = b'\xff\xe3' + struct.pack('>H', len(preview) + 2) + preview
    return jpeg[:2] + segment + jpeg[2:]


def _modes() -> list[Case]:
    picture = Image.fromarray(pixels())
    found = [
        _right(f'{mode} in {kind}', encode(picture.convert(mode), kind), 'a.png', 3)
        for mode, kind in (
            ('CMYK', 'JPEG'),
            ('L', 'JPEG'),
            ('L', 'PNG'),
            ('LA', 'PNG'),
            ('RGBA', 'PNG'),
            ('P', 'PNG'),
            ('1', 'PNG'),
            ('P', 'GIF'),
            ('L', 'TIFF'),
            ('L', 'WEBP'),
            ('RGBA', 'WEBP'),
            ('L', 'PPM'),
        )
    ]
    see_through = encode(picture.convert('P'), 'PNG', transparency=3)
    deep = pixels()[..., 0].astype(np.uint16) * 257
    grey = np.repeat(pixels()[..., :1], 3, axis=2)
    colour = cv2.imencode('.png', pixels().astype(np.uint16) * 257)[1].tobytes()
    floating = encode(Image.fromarray(pixels()[..., 0].astype(np.float32)), 'TIFF')
    return [
        *found,
        _right('P with transparency', see_through, 'a.png'),
        Case(
            KIND,
            '16-bit grey PNG',
            {'a.png': encode(Image.fromarray(deep), 'PNG')},
            read,
            right=_equals(grey),
        ),
        Case(
            KIND, '16-bit colour PNG', {'a.png': colour}, read, right=_equals(pixels())
        ),
        _wrong('floating TIFF', floating, 'cannot be decoded', file='a.tif'),
    ]


def _oriented() -> list[Case]:
    """Annotated coordinates are those of the pixels as stored."""
    found = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found.append(
            _right(f'EXIF orientation {orientation}', encode(exif=exif.tobytes()))
        )
    return [*found, _right('damaged EXIF', encode(exif=b'Exif\0\0MM\0*\xff\xff\xff'))]


def _cut_off() -> list[Case]:
    found = []
    for kind in ('JPEG', 'PNG', 'BMP', 'GIF', 'TIFF', 'WEBP'):
        data = encode(kind=kind)
        for share in (0.03, 0.5, 0.95):
            name = f'{kind} cut off at {share:.0%}'
            found.append(_wrong(name, data[: int(len(data) * share)]))
    progressive = encode(progressive=True)
    return [
        *found,
        _wrong('progressive JPEG cut off', progressive[: len(progressive) * 2 // 3]),
        _wrong('JPEG without its end marker', encode()[:-2], 'truncated'),
    ]


def _no_images() -> list[Case]:
    noise = np.random.default_rng(1).bytes(5000)
    page = b'<!DOCTYPE html><html><body>404 Not Found</body></html>'
    return [
        _wrong('no bytes, .jpg', b'', 'cannot be decoded'),
        _wrong('no bytes, .png', b'', 'cannot be decoded', file='a.png'),
        _wrong('a web page', page, 'cannot be decoded'),
        _wrong('random bytes', noise, 'cannot be decoded'),
        _wrong('zeros', bytes(5000), 'cannot be decoded'),
        _wrong('a PDF', b'%PDF-1.4\n' + noise, 'cannot be decoded'),
        _wrong('a zip', b'PK\3\4' + noise, 'cannot be decoded'),
        _wrong('PostScript', b'%!PS-Adobe-3.0 EPSF-3.0\n' + page, 'cannot be decoded'),
        _wrong('the start of a JPEG', b'\xff\xd8\xff\xe0'),
        _wrong('the signature of a PNG', b'\x89PNG\r\n\x1a\n'),
    ]


def _chunk(name: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(name + data)
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', crc)


def _png(width: int, height: int, rows: bytes = b'') -> bytes:
    """A PNG that declares a size."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = (b'IHDR', header), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(_chunk(*part) for part in parts)


def _huge() -> list[Case]:
    jpeg = bytearray(encode())
    frame = jpeg.index(b'\xff\xc0')
    jpeg[frame + 5 : frame + 9] = struct.pack('>HH', 65500, 65500)
    gif = bytearray(encode(kind='GIF'))
    gif[6:10] = struct.pack('<HH', 65535, 65535)
    bmp = bytearray(encode(kind='BMP'))
    bmp[18:26] = struct.pack('<ii', 200_000, 200_000)
    lying = bytearray(encode(kind='BMP'))
    lying[18:26] = struct.pack('<ii', 5000, 5000)
    return [
        _wrong('PNG of 100,000 x 100,000', _png(100_000, 100_000)),
        _wrong('PNG of 12,000 x 10,000', _png(12_000, 10_000), 'max_pixels'),
        _wrong('PNG of 2**31 - 1 columns', _png(2**31 - 1, 1)),
        _wrong('PNG of 9,000 x 9,000 without pixels', _png(9000, 9000)),
        _wrong('PNG of zeros, 1 to 1000', _png(12_000, 12_000, bytes(36_001 * 1000))),
        _wrong('PNG of no columns', _png(0, 10)),
        _wrong('JPEG of 65,500 x 65,500', bytes(jpeg)),
        _wrong('GIF of 65,535 x 65,535', bytes(gif)),
        _wrong('BMP of 200,000 x 200,000', bytes(bmp)),
        _wrong('BMP of 5000 x 5000 without pixels', bytes(lying)),
        _wrong('PPM of 10**9 columns', b'P6 1000000000 1000000000 255\n' + bytes(99)),
    ]


def _animated() -> list[Case]:
    first = Image.fromarray(pixels())
    rest = [Image.fromarray(255 - pixels()), Image.fromarray(pixels()[::-1].copy())]
    options: dict[str, Any] = dict(save_all=True, append_images=rest, duration=50)
    return [
        _right('animated GIF', encode(first.quantize(), 'GIF', **options), 'a.gif', 4),
        _right('animated PNG', encode(first, 'PNG', **options), 'a.png'),
        _right(
            'animated WebP',
            encode(first, 'WEBP', lossless=True, **options),
            'a.webp',
        ),
        _right('TIFF of three pages', encode(first, 'TIFF', **options), 'a.tif'),
        _right('pictures in a picture', encode(first, 'MPO', **options)),
    ]


def _damaged() -> list[Case]:
    rng = np.random.default_rng(2)
    found = []
    for kind in ('PNG', 'JPEG', 'WEBP'):
        data = encode(kind=kind)
        for number in range(4):
            changed = bytearray(data)
            offset = int(rng.integers(len(data) // 2, len(data) - 20))
            changed[offset] ^= 0x55
            # Of these only PNG has checksums: other damage gives other pixels.
            sees = kind == 'PNG'
            found.append(
                Case(
                    KIND,
                    f'{kind} with a changed byte ({number + 1})',
                    {'a.jpg': bytes(changed)},
                    read,
                    right=None if sees else _has_shape,
                    either=not sees,
                )
            )
    return found


def _has_shape(found: np.ndarray) -> None:
    expect(found.shape == (HEIGHT, WIDTH, 3))


def _no_files() -> list[Case]:
    return [
        _wrong('a folder', Path.mkdir, 'no regular file'),
        _wrong('a pipe', os.mkfifo, 'no regular file'),
        _wrong(
            'a link to an endless device',
            lambda path: path.symlink_to('/dev/zero'),
            'no regular file',
        ),
        _wrong('a link to itself', lambda path: path.symlink_to(path)),
        _wrong('a link to nothing', lambda path: path.symlink_to('b'), 'not exist'),
        Case(
            KIND, 'no such file', {'b': b''}, read, target='a.jpg', says=('not exist',)
        ),
    ]
