"""Real faces and photographs that scikit-image ships, and who may use which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

# Faces that may show one person, judged by eye, since LFW's names are not shipped;
# they stay on one side. No two of the hundred are copies: the highest correlation of
# two aligned crops is 0.69.
LOOK_ALIKES = (0, 36, 73)


@dataclass(frozen=True)
class Photograph:
    """A photograph that scikit-image ships.

    Attributes:
        name (str): Its file in ``skimage/data``.
        region (tuple[int, int, int, int], optional): The part that may be used, x1, y1,
            x2, y2 in pixels; None is all.
        grey (bool): Whether it has to be tinted to look like a photograph in colour.
    """

    name: str
    region: tuple[int, int, int, int] | None = None
    grey: bool = False


# No face may be in a picture without being annotated: of the astronaut only what is
# below her chin is used; the photographer, the cat and the coins' heads stay out.
PHOTOGRAPHS = {
    'train': (
        Photograph('coffee.png'),
        Photograph('motorcycle_left.png'),
        Photograph('motorcycle_right.png'),
        Photograph('grass.png', grey=True),
    ),
    'val': (
        Photograph('rocket.jpg'),
        Photograph('astronaut.png', region=(0, 200, 512, 512)),
        Photograph('gravel.png', grey=True),
        Photograph('brick.png', grey=True),
    ),
}


def split_faces() -> dict[str, list[int]]:
    """Indices of the LFW crops of either side.

    Returns:
        dict[str, list[int]]: 50 indices each for ``'train'`` and ``'val'``, disjoint:
        the first and the last fifty, but with look-alikes brought to one side.
    """
    train = set(range(50)) | set(LOOK_ALIKES)
    # As many leave as came, from the end.
    leaving = [i for i in range(49, -1, -1) if i not in LOOK_ALIKES][: len(train) - 50]
    train -= set(leaving)
    return {'train': sorted(train), 'val': sorted(set(range(100)) - train)}


def load_faces() -> np.ndarray:
    """The real face crops of LFW that scikit-image ships.

    Returns:
        np.ndarray: Float32 (100, 25, 25), grey, in [0, 1].

    Raises:
        ImportError: If scikit-image is missing; the message has the command.
        FileNotFoundError: If it comes without these files.
    """
    return np.load(_shipped('lfw_subset.npy'))[:100].astype(np.float32)


def load_photograph(photograph: Photograph) -> np.ndarray:
    """One photograph that scikit-image ships.

    Returns:
        np.ndarray: Uint8 (h, w, 3), BGR, cut to the photograph's region.

    Raises:
        ImportError: If scikit-image is missing.
        FileNotFoundError: If it comes without this file.
    """
    path = _shipped(photograph.name)
    # Colour profiles that libpng complains about do not matter here.
    image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f'{path} cannot be read as an image; reinstall scikit-image')
    if photograph.region is not None:
        x1, y1, x2, y2 = photograph.region
        image = image[y1:y2, x1:x2]
    return image


def _shipped(name: str) -> Path:
    """Path of a file in scikit-image's data folder; nothing is ever downloaded."""
    try:
        import skimage
    except ImportError as error:
        raise ImportError(
            'The embedded data set is made from images that scikit-image ships, and '
            'scikit-image is not installed. Install it with: '
            "python -m pip install 'scikit-image>=0.22'"
        ) from error
    path = Path(skimage.__file__).parent / 'data' / name
    if not path.is_file():
        raise FileNotFoundError(
            f'scikit-image {skimage.__version__} has no {path}. Its wheels ship that '
            'file; install one with: '
            "python -m pip install --force-reinstall 'scikit-image>=0.22'"
        )
    return path
