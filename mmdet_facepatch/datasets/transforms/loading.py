"""Reading of image files: whole, of sane size, on the pixel grid as stored."""

from __future__ import annotations

import io
import os
import stat
from typing import Any

import mmcv
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS
from mmengine.fileio import get
from mmengine.logging import MMLogger
from PIL import Image, UnidentifiedImageError
from torch.utils.data import get_worker_info

from ...registry import LOADERS

_JPEG_START = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_JPEG_SCAN = 0xDA
_PNG_START = b'\x89PNG\r\n\x1a\n'
_PNG_END = b'IEND\xaeB`\x82'

# What Pillow may take a file for. Its other readers are for documents and rarities,
# and the fewer of them meet a stranger's bytes the better.
_FORMATS = ('JPEG', 'PNG', 'BMP', 'GIF', 'TIFF', 'WEBP', 'PPM', 'JPEG2000')
_IGNORE_ORIENTATION = '_ignore_orientation'
# Data loader workers that count apart, so that none overwrites another's count.
_COUNTERS = 64

#: Largest image that is decoded, in pixels: 0.3 GB of them. WIDER FACE's have 2
#: million, the largest photographs of cameras 60 to 100.
MAX_PIXELS = 100_000_000


def image_is_complete(data: bytes) -> bool:
    """Whether an encoded image reaches its end marker.

    OpenCV decodes some truncated JPEG files without complaint and fills the rest
    with grey, so the decoder does not tell.

    Args:
        data (bytes): Encoded image.

    Returns:
        bool: False if a JPEG or PNG file ends early, True for other formats, about
        which nothing is known.
    """
    if data.startswith(_JPEG_START):
        scan = _find_jpeg_scan(data)
        # in the scan's data 0xff is always escaped, so this is the real marker
        return scan >= 0 and data.find(_JPEG_END, scan) >= 0
    if data.startswith(_PNG_START):
        return data.find(_PNG_END) >= 0
    return True


def _find_jpeg_scan(data: bytes) -> int:
    """Offset of the first scan, -1 if the file ends before.

    Walks over the segments: an embedded thumbnail has markers of its own.
    """
    offset = len(_JPEG_START)
    while offset + 4 <= len(data):
        if data[offset] != 0xFF:
            return -1
        marker = data[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker == _JPEG_SCAN:
            return offset
        offset += 2 + int.from_bytes(data[offset + 2 : offset + 4], 'big')
    return -1


def size_in_header(data: bytes) -> tuple[int, int]:
    """Width and height that an encoded image declares, in pixels as stored.

    Nothing is decoded, so a file that declares a huge image costs nothing.

    Raises:
        ValueError: If the bytes are no image of a format that is read, or Pillow
            refuses the size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.size
    except UnidentifiedImageError:
        raise ValueError(f'it is none of {", ".join(_FORMATS)}') from None
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    # Its readers raise nearly anything for a damaged header.
    except Exception as error:
        raise ValueError(f'its header is damaged: {error}') from error


@LOADERS.register_module(name='LoadImageFromFile')
@TRANSFORMS.register_module()
class LoadIntactImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` that refuses damaged files by name.

    A rotation noted in the EXIF data is **not** applied: annotated coordinates are
    those of the pixels as stored, which is what WIDER FACE's own tools and MATLAB's
    ``imread`` see. For data annotated on rotated views set ``color_type='color'``,
    mmcv's default. Of an animation the first frame is taken; an alpha channel is
    dropped; 16 bits become 8 (division by 256); grey becomes three equal channels.

    Also registered as ``facepatch.LoadImageFromFile``, which test pipelines name:
    mmdet's ``DetInferencer`` looks for a step of that name, to replace it by its own.

    Required Keys: ``img_path``. Modified Keys: ``img`` (HWC uint8 BGR, or
    float32), ``img_shape``, ``ori_shape``.

    Args:
        to_float32 (bool): As in mmcv. Defaults to False.
        color_type (str): As in mmcv. Defaults to 'color_ignore_orientation'.
        imdecode_backend (str): As in mmcv. Defaults to 'cv2'.
        unreadable (str): What to do with a file that is missing, damaged or too large.
            'stop' raises. 'skip' logs the file, counts it in :attr:`num_skipped` and
            returns None, upon which mmengine's data sets draw another image in
            training. In evaluation they stop all the same: numbers over the images that
            happen to be readable would be another set's. Defaults to 'stop'.
        max_pixels (int): Images that declare more are not decoded. Defaults to 100
            million; Pillow refuses more than 179 million anyway.
        backend_args (dict, optional): As in mmcv. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If the file is no regular file, empty, no image, cut off, or of
            more than ``max_pixels``. All name the file.
        ValueError: If an argument is unfit.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = f'color{_IGNORE_ORIENTATION}',
        imdecode_backend: str = 'cv2',
        unreadable: str = 'stop',
        max_pixels: int = MAX_PIXELS,
        *,
        backend_args: dict | None = None,
    ) -> None:
        if unreadable not in ('stop', 'skip'):
            raise ValueError(f"unreadable must be 'stop' or 'skip', got {unreadable!r}")
        if max_pixels < 1:
            raise ValueError(f'max_pixels must be at least 1, got {max_pixels}')
        if imdecode_backend not in ('cv2', 'pillow'):
            # The others never rotate, and do not know the flag that says so.
            color_type = color_type.removesuffix(_IGNORE_ORIENTATION)
        super().__init__(
            to_float32, color_type, imdecode_backend, backend_args=backend_args
        )
        self.unreadable = unreadable
        self.max_pixels = max_pixels
        # Shared with data loader workers.
        self._skipped = torch.zeros(_COUNTERS, dtype=torch.int64).share_memory_()

    @property
    def num_skipped(self) -> int:
        """How often an unreadable image was skipped, in all workers."""
        return int(self._skipped.sum())

    def transform(self, results: dict) -> dict | None:
        """Load the image named by ``results['img_path']``.

        Args:
            results (dict): Needs ``img_path``.

        Returns:
            dict: The same dict with image and shapes; None if it is skipped.
        """
        try:
            image = self._read(results['img_path'])
        except OSError as error:
            if self.unreadable == 'stop':
                raise
            self._count(error)
            return None
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        results['ori_shape'] = image.shape[:2]
        return results

    def _count(self, error: OSError) -> None:
        worker = get_worker_info()
        self._skipped[0 if worker is None else 1 + worker.id % (_COUNTERS - 1)] += 1
        MMLogger.get_current_instance().warning(
            f'skipped ({self.num_skipped} so far): {error}'
        )

    def _read(self, path: str) -> np.ndarray:
        """Read, check and decode an image."""
        _check_regular(path)
        try:
            data = get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'the image {path} does not exist') from error
        if not image_is_complete(data):
            raise OSError(
                f'the image {path} is truncated: its end marker is missing after '
                f'{len(data)} bytes; get the file again'
            )
        width, height = self._declared_size(data, path)
        image = self._decode(data, path)
        if sorted(image.shape[:2]) != sorted((height, width)):
            raise OSError(
                f'the image {path} declares {width} x {height} pixels, but '
                f'{self.imdecode_backend} finds {image.shape[1]} x {image.shape[0]}'
            )
        return image

    def _declared_size(self, data: bytes, path: str) -> tuple[int, int]:
        try:
            width, height = size_in_header(data)
        except ValueError as error:
            raise OSError(f'{self._undecodable(data, path)}: {error}') from error
        if width * height > self.max_pixels:
            raise OSError(
                f'the image {path} declares {width} x {height} pixels in '
                f'{len(data)} bytes, more than max_pixels={self.max_pixels}'
            )
        return width, height

    def _decode(self, data: bytes, path: str) -> np.ndarray:
        message = self._undecodable(data, path)
        try:
            image = mmcv.imfrombytes(
                data, flag=self.color_type, backend=self.imdecode_backend
            )
        except Exception as error:  # each backend has its own kind of error
            raise OSError(message) from error
        if image is None:
            raise OSError(message)
        return image

    def _undecodable(self, data: bytes, path: str) -> str:
        return (
            f'the image {path} ({len(data)} bytes) cannot be decoded by '
            f'{self.imdecode_backend}; it is damaged or no image'
        )

    def __repr__(self) -> str:
        return (
            f'{super().__repr__()[:-1]}, unreadable={self.unreadable!r}, '
            f'max_pixels={self.max_pixels})'
        )


def _check_regular(path: str) -> None:
    """Refuse pipes and devices, from which reading may never end."""
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f'the image {path} is no regular file')


def find_image_loaders(dataset: Any) -> list[LoadImageFromFile]:
    """The steps of a data set's pipeline that load images.

    Args:
        dataset (Any): May be wrapped (``RepeatDataset``, ``ConcatDataset`` and alike).

    Returns:
        list[LoadImageFromFile]: In the order of the data sets and their pipelines.
    """
    steps = pipeline_steps(dataset)
    return [step for step in steps if isinstance(step, LoadImageFromFile)]


def pipeline_steps(dataset: Any) -> list[Any]:
    """The steps of a data set's pipeline, one after the other.

    Args:
        dataset (Any): May be wrapped (``RepeatDataset``, ``ConcatDataset`` and alike).

    Returns:
        list[Any]: In the order of the data sets and their pipelines.
    """
    if hasattr(dataset, 'datasets'):
        return [step for part in dataset.datasets for step in pipeline_steps(part)]
    if not hasattr(dataset, 'pipeline') and hasattr(dataset, 'dataset'):
        return pipeline_steps(dataset.dataset)
    return list(getattr(getattr(dataset, 'pipeline', None), 'transforms', []))
