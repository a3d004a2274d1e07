"""The universal patch: its pixels, how they start, and how they are kept."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from PIL import Image, ImageOps
from torch import Tensor, nn

from ...utils.files import write_atomically
from ...utils.npy import parse_npy
from .face_crop import dataset_face
from .manifest import check_against_manifest
from .resampling import resize_area

Size = int | Sequence[int]

# Largest picture that a patch is read from.
MAX_PIXELS = 100_000_000


def parse_size(size: Size) -> tuple[int, int]:
    """Return a patch size as (height, width); an int means a square.

    Raises:
        ValueError: If it is not one or two positive integers.
    """
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(v, int) and v > 0 for v in pair):
        raise ValueError(
            f'patch size {size!r} must be a positive integer or (height, width)'
        )
    return pair[0], pair[1]


def check_pixels(
    pixels: Tensor, source: str = 'patch', size: Size | None = None
) -> Tensor:
    """Return the pixels if they make a patch, else raise.

    Args:
        pixels (Tensor): Should be (3, H, W) floating RGB, finite, in [0, 1].
        source (str): What the error names, such as a file. Defaults to 'patch'.
        size (Size, optional): Expected (height, width), if any. Defaults to None.

    Raises:
        TypeError: If the dtype is not floating.
        ValueError: If shape, size or range is unfit.
    """
    if not pixels.is_floating_point():
        raise TypeError(
            f'{source}: dtype {pixels.dtype}, but a patch is floating RGB in [0, 1]; '
            'divide 8-bit values by 255'
        )
    shape = tuple(pixels.shape)
    if len(shape) != 3 or shape[0] != 3 or 0 in shape:
        raise ValueError(
            f'{source}: shape {shape}, but a patch is (3, H, W); '
            'put the RGB channels first'
        )
    if not pixels.isfinite().all():
        raise ValueError(f'{source}: contains NaN or infinite values')
    low, high = pixels.min().item(), pixels.max().item()
    if low < 0 or high > 1:
        raise ValueError(
            f'{source}: values from {low:g} to {high:g}, but a patch lies in [0, 1]; '
            'rescale or clamp it'
        )
    if size is not None and shape[1:] != parse_size(size):
        raise ValueError(
            f'{source}: size {shape[1:]} (height, width), expected {parse_size(size)}; '
            'resize it or change the configured size'
        )
    return pixels


# --------------------------------------------------------------------------- inits
def noise_pixels(
    size: Size, seed: int = 0, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Uniform noise in [low, high), (3, H, W) float32.

    Drawn on the CPU by a generator of its own: the same seed gives the same
    pixels on every device and leaves the global random state alone.
    """
    if not 0.0 <= low <= high <= 1.0:
        raise ValueError(f'noise from {low} to {high} is not within [0, 1]')
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(3, *parse_size(size), generator=generator)
    return (low + (high - low) * noise).clamp_(low, high)


def constant_pixels(size: Size, value: float | Sequence[float] = 0.5) -> Tensor:
    """One colour, (3, H, W) float32; ``value`` is a grey level or [r, g, b]."""
    colour = value if isinstance(value, Sequence) else [value] * 3
    values = [float(v) for v in colour]
    if len(values) != 3 or not all(0.0 <= v <= 1.0 for v in values):
        raise ValueError(
            f'constant patch value {value!r} must be one number or [r, g, b] in [0, 1]'
        )
    return torch.tensor(values)[:, None, None].repeat(1, *parse_size(size))


def image_pixels(size: Size, path: str | os.PathLike) -> Tensor:
    """An image or ``.npy`` file, cut about its centre to the shape and resized.

    Args:
        size (Size): Height and width of the patch.
        path (str | os.PathLike): File for :func:`load_patch`, of any size.

    Returns:
        Tensor: (3, H, W) float32 RGB in [0, 1].
    """
    return _fit(load_patch(path), size)


def face_pixels(
    size: Size, dataset: Mapping, img_id: str | int, face: int = 0
) -> Tensor:
    """A face of a data set, cut as a square about its box and resized.

    The side of the square is the longer one of the face's box, its centre that of
    the box; beyond the image border the outermost pixels are repeated
    (:func:`~mmdet_facepatch.attack.patch.face_crop.crop_square`). The paper starts from
    three faces of WIDER FACE (Section 3.3, Table 1).

    Args:
        size (Size): Height and width of the patch; if they differ, the square is cut
            about its centre to the shape.
        dataset (Mapping): Config of an mmdet data set; its pipeline does not matter.
        img_id (str | int): Id of the image in the data set.
        face (int): Which of its ``instances``, counted from 0. Defaults to 0.

    Returns:
        Tensor: (3, H, W) float32 RGB in [0, 1].

    Raises:
        ValueError: If the data set has no such image or face.
    """
    return _fit(dataset_face(dataset, img_id, face), size)


def _fit(pixels: Tensor, size: Size) -> Tensor:
    """Cut (3, h, w) pixels about their centre to the shape of ``size``, and resize."""
    height, width = parse_size(size)
    rows, cols = pixels.shape[1:]
    keep_rows = min(rows, max(1, round(cols * height / width)))
    keep_cols = min(cols, max(1, round(rows * width / height)))
    top, left = (rows - keep_rows) // 2, (cols - keep_cols) // 2
    pixels = pixels[:, top : top + keep_rows, left : left + keep_cols]
    return resize_area(pixels, (height, width)).clamp_(0, 1)


_INITS: dict[str, Callable[..., Tensor]] = {
    'noise': noise_pixels,
    'constant': constant_pixels,
    'image': image_pixels,
    'face': face_pixels,
}


def initial_pixels(size: Size, init: dict) -> Tensor:
    """Make the pixels a patch starts from.

    Args:
        size (Size): Height and width, or an int for a square.
        init (dict): One of ``dict(type='noise', seed=0, low=0., high=1.)``,
            ``dict(type='constant', value=0.5)`` (a grey level or [r, g, b]),
            ``dict(type='image', path=...)`` and ``dict(type='face', dataset=...,
            img_id=..., face=0)``, a face of a data set given by its config.

    Returns:
        Tensor: (3, H, W) float32 RGB in [0, 1].

    Raises:
        ValueError: If the type is not known or a value is unfit.
    """
    if not isinstance(init, Mapping):
        raise ValueError(f"patch init {init!r} must be a dict, as dict(type='noise')")
    options = dict(init)
    kind = options.pop('type', None)
    if kind not in _INITS:
        raise ValueError(
            f'unknown patch init type {kind!r}; known: {", ".join(sorted(_INITS))}'
        )
    return check_pixels(_INITS[kind](size, **options), f'patch init {init}')


# --------------------------------------------------------------------------- files
def save_patch(path: str | os.PathLike, pixels: Tensor) -> None:
    """Write a patch, all or nothing.

    The file is written beside its final path and then renamed, so that a reader
    (and a killed run) never meets half a patch. Missing folders are made.

    Args:
        path (str | os.PathLike): ``.png`` (8 bits a channel, rounded to the nearest) or
            ``.npy`` (float32, exact).
        pixels (Tensor): (3, H, W) floating RGB in [0, 1], any device.

    Raises:
        ValueError: If the suffix is neither, or the pixels are no patch.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.png', '.npy'):
        raise ValueError(f'{path}: a patch is saved as .png (8-bit) or .npy (exact)')
    values = check_pixels(pixels.detach(), f'patch for {path}').float().cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == '.npy':
        array = values.numpy()
        write_atomically(path, lambda file: np.save(file, array, allow_pickle=False))
    else:
        eight_bit = (values * 255).round().byte().permute(1, 2, 0)
        picture = Image.fromarray(eight_bit.numpy())
        write_atomically(path, lambda file: picture.save(file, format='PNG'))


def load_patch(path: str | os.PathLike, size: Size | None = None) -> Tensor:
    """Read a patch; nothing in the file is executed.

    Beside a published patch lies its manifest, ``NAME.json``, with the SHA-256 that
    the file must have (see :mod:`mmdet_facepatch.experiments.publish`).

    Args:
        path (str | os.PathLike): ``.npy`` with (3, H, W) floating values in [0, 1], or
            an 8-bit RGB image (divided by 255; a rotation noted in its EXIF data is
            applied).
        size (Size, optional): Expected (height, width), or None for any. Defaults to
            None.

    Returns:
        Tensor: (3, H, W) float32 RGB in [0, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If a ``.npy`` file is not floating.
        ValueError: If the file cannot be read, holds no patch of that size, or is
            not the one that the manifest beside it describes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'patch file {path} does not exist')
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f'patch file {path}: not readable: {error}') from error
    check_against_manifest(path, content)
    read = _read_npy if path.suffix.lower() == '.npy' else _read_image
    return check_pixels(read(path, content), f'patch file {path}', size).float()


def _read_npy(path: Path, content: bytes) -> Tensor:
    try:
        return torch.from_numpy(_native(parse_npy(content)))
    # Unfit headers, pickled objects, truncated data, dtypes torch does not have.
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(
            f'patch file {path}: not a plain .npy array: {error}'
        ) from error


def _native(values: np.ndarray) -> np.ndarray:
    """Numbers in this machine's byte order."""
    return values.astype(values.dtype.newbyteorder('='), copy=False)


def _read_image(path: Path, content: bytes) -> Tensor:
    try:
        with Image.open(io.BytesIO(content)) as file:
            _check_picture(file)
            image = ImageOps.exif_transpose(file)
            image.load()
    # Pillow's readers raise nearly anything for a damaged file.
    except Exception as error:
        raise ValueError(f'patch file {path}: not a readable image: {error}') from error
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _check_picture(picture: Image.Image) -> None:
    """Raise unless a picture that is not decoded yet can be a patch."""
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(f'{picture.width} x {picture.height} pixels are no patch')
    # Photographs of telephones (MPO) carry previews as further frames.
    if getattr(picture, 'n_frames', 1) > 1 and picture.format != 'MPO':
        raise ValueError('it has several frames; keep one')
    # Pillow reads 16 bits a channel as 8 without a word; only its tiles show it.
    deep = any('16' in str(tile[3]) for tile in getattr(picture, 'tile', []))
    if picture.mode != 'RGB' or deep:
        raise ValueError(
            f'image mode {picture.mode}{" of 16 bits" if deep else ""}, but a patch '
            'has three 8-bit channels; convert it to RGB'
        )


# -------------------------------------------------------------------------- module
@MODELS.register_module()
class UniversalPatch(nn.Module):
    """The one tensor that an attack optimises, shared by all faces.

    Attributes:
        pixels: Parameter (3, H, W) float32 RGB in [0, 1].
        pixel_range: Its range, always (0, 1).

    Args:
        size (Size): Height and width, or an int for a square; 128 in the paper.
            Defaults to (128, 128).
        init (dict, optional): What it starts from; see :func:`initial_pixels`. Defaults
            to None.

    Raises:
        ValueError: If size or init is unfit.
    """

    pixel_range = (0.0, 1.0)

    def __init__(self, size: Size = (128, 128), init: dict | None = None) -> None:
        super().__init__()
        init = dict(type='noise', seed=0) if init is None else init
        self.pixels = nn.Parameter(initial_pixels(size, init))

    def forward(self) -> Tensor:
        """Return the pixels, (3, H, W) in [0, 1], attached to the graph."""
        return self.pixels

    @torch.no_grad()
    def project_(self) -> None:
        """Clamp the pixels into range, in place; call after each step."""
        self.pixels.clamp_(*self.pixel_range)

    def extra_repr(self) -> str:
        """What torch shows of the patch."""
        return f'size={tuple(self.pixels.shape[1:])}'
