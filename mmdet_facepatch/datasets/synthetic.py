"""A small data set in WIDER FACE layout from real faces and photographs at hand.

A fresh machine has no WIDER FACE. scikit-image ships, inside its wheel, one hundred
real face crops of LFW (25 x 25 pixels, grey) and some photographs. From these,
:func:`build_embedded_dataset` composes images of people, each with a real face, at the
sizes at which WIDER FACE has most of its own, and annotates the faces exactly. The
faces and the photographs for optimising a patch (``train``) and those for reporting
on it (``val``) are disjoint.

The images show that the attack works, and how; they are no benchmark. Numbers measured
on them are not comparable with any measured on WIDER FACE.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmdet.registry import DATASETS

from .wider_face import WiderFaceDataset

#: Raised whenever the same seed would give other images than before.
BUILD_VERSION = 1
MANIFEST = 'manifest.json'
EVENT = '0--Composite'
IMAGE_WIDTH, IMAGE_HEIGHT = 640, 480
NUM_IMAGES = {'train': 48, 'val': 32}
MIN_FACES, MAX_FACES = 6, 14
#: Side of a face, sqrt(w * h), in pixels.
MIN_SIDE, MAX_SIDE = 18.0, 110.0
JPEG_QUALITY = 95

# The visible face, forehead to chin, in a crop of 25 x 25: x1, y1, x2, y2. These are
# the median corners that a face detector whose boxes agree with WIDER FACE's (median
# difference under 4 % of the side on its validation images) gives on the 100 crops.
FACE_IN_CROP = (2.3, 0.4, 20.7, 24.1)
CROP_SIDE = 25

# Faces that may show one person, judged by eye, since LFW's names are not shipped;
# they stay on one side. No two of the hundred are copies: the highest correlation of
# two aligned crops is 0.69.
LOOK_ALIKES = (0, 36, 73)


@dataclass(frozen=True)
class Photograph:
    """A photograph that scikit-image ships.

    Attributes:
        name: Its file in ``skimage/data``.
        region: The part that may be used, x1, y1, x2, y2 in pixels; None is all.
        grey: Whether it has to be tinted to look like a photograph in colour.
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


@dataclass(frozen=True)
class Person:
    """Where a person stands: the face box x1, y1, x2, y2, float pixels."""

    box: tuple[float, float, float, float]

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def head(self) -> tuple[float, float, float, float]:
        """The face and the hair around it, x1, y1, x2, y2."""
        x1, y1, x2, y2 = self.box
        return (
            x1 - 0.2 * self.width,
            y1 - 0.25 * self.height,
            x2 + 0.2 * self.width,
            y2 + 0.05 * self.height,
        )

    @property
    def body(self) -> tuple[float, float, float, float]:
        """Bounds of what is drawn below the chin, x1, y1, x2, y2."""
        x1, _, x2, y2 = self.box
        reach = 0.75 * self.width
        return x1 - reach, y2, x2 + reach, y2 + 6.2 * self.height


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


def build_embedded_dataset(root: str | os.PathLike, seed: int = 0) -> Path:
    """Builds the embedded data set, or recognises the finished one.

    The layout is WIDER FACE's: ``WIDER_{train,val}/images/0--Composite/*.jpg`` and
    ``wider_face_split/wider_face_{train,val}_bbx_gt.txt``. The same seed gives the
    same files with the same releases of numpy and OpenCV. The files appear all at once:
    an interrupted build leaves nothing, and of several builds at a time the first wins.

    Args:
        root (str | PathLike): Folder to build, e.g. ``'data/embedded'``. If it is a
            finished build of this version and seed, it is left as it is; if it is one
            that is damaged or of another version or seed, it is replaced.
        seed (int): Seed of the composition. Defaults to 0.

    Returns:
        Path: The folder.

    Raises:
        ImportError: If scikit-image is missing.
        FileExistsError: If ``root`` exists and was not built by this function.
    """
    root = Path(root)
    if is_built(root, seed):
        return root
    if root.exists() and not _is_own(root):
        raise FileExistsError(
            f'{root} exists, but is no embedded data set (it has no {MANIFEST}): '
            'move it away or choose another data_root'
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
    try:
        _write_dataset(building, seed)
        _move_into_place(building, root, seed)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return root


def is_built(root: str | os.PathLike, seed: int = 0) -> bool:
    """Whether a folder holds the whole data set of this version and seed, undamaged.

    Every file is compared with its digest in the manifest; it takes milliseconds.
    """
    root = Path(root)
    manifest = _read_manifest(root)
    if manifest is None:
        return False
    if (manifest.get('version'), manifest.get('seed')) != (BUILD_VERSION, seed):
        return False
    files = manifest['files']
    return manifest['digest'] == _digest_of(files) and all(
        (root / name).is_file() and _sha256(root / name) == digest
        for name, digest in files.items()
    )


def _is_own(root: Path) -> bool:
    """Whether replacing this folder destroys nothing that a user put there."""
    if not root.is_dir():
        return False
    return (root / MANIFEST).is_file() or not any(root.iterdir())


def _read_manifest(root: Path) -> dict | None:
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    whole = isinstance(manifest, dict) and isinstance(manifest.get('files'), dict)
    return manifest if whole and 'digest' in manifest else None


def _move_into_place(building: Path, root: Path, seed: int) -> None:
    """Renames the finished build to its place."""
    # mkdtemp makes folders that only their maker may enter.
    building.chmod(0o755)
    if root.exists():
        # Renamed before it is deleted, so that what is at `root` is always whole.
        old = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
        try:
            root.replace(old)
        except OSError:
            if not is_built(root, seed):
                raise
        shutil.rmtree(old, ignore_errors=True)
    try:
        building.replace(root)
    except OSError:
        # Another process was faster; its build has the same files.
        if not is_built(root, seed):
            raise


def _write_dataset(folder: Path, seed: int) -> None:
    """Writes images, annotation and, last, the manifest."""
    crops = load_faces()
    indices = split_faces()
    for number, split in enumerate(('train', 'val')):
        photographs = [(p, load_photograph(p)) for p in PHOTOGRAPHS[split]]
        lines = []
        images = folder / f'WIDER_{split}' / 'images' / EVENT
        images.mkdir(parents=True)
        for i in range(NUM_IMAGES[split]):
            rng = np.random.default_rng((seed, number, i))
            photograph, pixels = photographs[i % len(photographs)]
            background = view_photograph(pixels, photograph.grey, rng)
            image, boxes, blur = compose_people(background, crops[indices[split]], rng)
            name = f'0_Composite_Composite_0_{i + 1}.jpg'
            encoded = cv2.imencode(
                '.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            )[1]
            (images / name).write_bytes(encoded.tobytes())
            lines += annotation_lines(f'{EVENT}/{name}', boxes, blur)
        text = folder / 'wider_face_split' / f'wider_face_{split}_bbx_gt.txt'
        text.parent.mkdir(exist_ok=True)
        text.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    paths = sorted(path for path in folder.rglob('*') if path.is_file())
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in paths}
    manifest = dict(
        version=BUILD_VERSION,
        seed=seed,
        digest=_digest_of(files),
        faces={split: indices[split] for split in indices},
        photographs={s: [p.name for p in PHOTOGRAPHS[s]] for s in PHOTOGRAPHS},
        numpy=np.__version__,
        opencv=cv2.__version__,
        files=files,
    )
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding='utf-8')


def annotation_lines(
    path: str, boxes: Sequence[Sequence[int]], blur: Sequence[int]
) -> list[str]:
    """One image's lines in WIDER FACE's text annotation.

    Args:
        path (str): Relative to ``images/``.
        boxes (Sequence): Per face x, y, w, h in whole pixels.
        blur (Sequence[int]): Per face 0 (clear), 1 (normal) or 2 (heavy).
    """
    faces = [
        f'{x} {y} {w} {h} {b} 0 0 0 0 0 '
        for (x, y, w, h), b in zip(boxes, blur, strict=True)
    ]
    return [path, str(len(faces)), *faces]


def view_photograph(
    pixels: np.ndarray, grey: bool, rng: np.random.Generator
) -> np.ndarray:
    """A view of a photograph: a random part, mirrored or not, in changed light.

    Args:
        pixels (np.ndarray): Uint8 (h, w, 3), BGR.
        grey (bool): Whether to tint it.
        rng (np.random.Generator): Source of chance.

    Returns:
        np.ndarray: Float32 (480, 640, 3), BGR in [0, 255].
    """
    h, w = pixels.shape[:2]
    largest = min(h / IMAGE_HEIGHT, w / IMAGE_WIDTH)
    part = largest * rng.uniform(0.75, 1.0)
    ph, pw = int(part * IMAGE_HEIGHT), int(part * IMAGE_WIDTH)
    y, x = rng.integers(h - ph + 1), rng.integers(w - pw + 1)
    view = pixels[y : y + ph, x : x + pw]
    if rng.random() < 0.5:
        view = view[:, ::-1]
    view = cv2.resize(
        view.astype(np.float32),
        (IMAGE_WIDTH, IMAGE_HEIGHT),
        interpolation=cv2.INTER_CUBIC,
    )
    light = rng.uniform(0.8, 1.1)
    tint = rng.uniform(0.85, 1.1, 3) if grey else rng.uniform(0.95, 1.05, 3)
    return np.clip(view * light * tint.astype(np.float32), 0, 255).astype(np.float32)


def compose_people(
    background: np.ndarray, crops: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[int, int, int, int]], list[int]]:
    """Puts people with real faces in front of a background.

    Args:
        background (np.ndarray): Float32 (h, w, 3), BGR in [0, 255].
        crops (np.ndarray): Float32 (n, 25, 25), grey faces in [0, 1].
        rng (np.random.Generator): Source of chance.

    Returns:
        tuple: The image, uint8 (h, w, 3) BGR; per face its box x, y, w, h in whole
        pixels; per face its blur (0, 1, 2 by how far its crop was enlarged).
    """
    canvas = background.copy()
    height, width = canvas.shape[:2]
    people = place_people(width, height, rng)
    chosen = rng.permutation(len(crops))[: len(people)]
    boxes, blur = [], []
    # From the farthest to the nearest: the near stand in front.
    for person, index in sorted(
        zip(people, chosen, strict=True), key=lambda pair: pair[0].height
    ):
        _draw_body(canvas, person, rng)
        _draw_head(canvas, person, crops[index], rng)
        x1, y1, x2, y2 = (round(v) for v in person.box)
        boxes.append((x1, y1, x2 - x1, y2 - y1))
        enlarged = person.width / (FACE_IN_CROP[2] - FACE_IN_CROP[0])
        blur.append(0 if enlarged < 1.5 else 1 if enlarged < 3 else 2)
    canvas += rng.normal(0, rng.uniform(1, 3), canvas.shape)
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8), boxes, blur


def place_people(width: int, height: int, rng: np.random.Generator) -> list[Person]:
    """Chooses where people stand, so that nobody hides anybody's face.

    Sizes are drawn log-uniformly, three fifths of them from 24 to 64 pixels. The
    nearer somebody is, the lower in the picture, as it is seen by a camera.

    Returns:
        list[Person]: 6 to 14 people, their faces wholly inside the image, the largest
        face first.
    """
    aspect = (FACE_IN_CROP[2] - FACE_IN_CROP[0]) / (FACE_IN_CROP[3] - FACE_IN_CROP[1])
    count = int(rng.integers(MIN_FACES, MAX_FACES + 1))
    people: list[Person] = []
    while len(people) < MIN_FACES:
        people = []
        sides = sorted((_draw_side(rng) for _ in range(count)), reverse=True)
        for side in sides:
            w, h = side * aspect**0.5, side / aspect**0.5
            for _ in range(80):
                top = (height - h) * rng.beta(1.2, 3.5 - 2.0 * side / MAX_SIDE)
                left = rng.uniform(0, width - w)
                left, top = max(left, 1.0), max(top, 1.0)
                person = Person((left, top, left + w, top + h))
                if all(_sees(other, person) for other in people):
                    people.append(person)
                    break
    return people


def _draw_side(rng: np.random.Generator) -> float:
    low, high = (24.0, 64.0) if rng.random() < 0.6 else (MIN_SIDE, MAX_SIDE)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _sees(near: Person, far: Person) -> bool:
    """Whether neither head of two people overlaps the other, nor the near body."""
    return not (_overlap(near.head, far.head) or _overlap(near.body, far.head))


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_body(canvas: np.ndarray, person: Person, rng: np.random.Generator) -> None:
    """Draws neck, clothes and legs, plainly: what tells people from balloons."""
    x1, _, x2, chin = person.box
    middle, w, h = (x1 + x2) / 2, person.width, person.height
    # Clothes are rarely of a pure colour: a grey, drawn a little towards one.
    top = rng.uniform(35, 190) * rng.uniform(0.65, 1.1, 3)
    legs = rng.uniform(25, 100) * rng.uniform(0.85, 1.1, 3)
    skin = _skin_tone(rng) * rng.uniform(70, 130)

    def outline(*points: tuple[float, float]) -> np.ndarray:
        """Mirrors half an outline, given in face widths and heights."""
        right = [(middle + dx * w, chin + dy * h) for dx, dy in points]
        left = [(middle - dx * w, chin + dy * h) for dx, dy in reversed(points)]
        return np.array(right + left, dtype=np.float32)

    shapes = (
        (outline((0.62, 2.4), (0.66, 2.6), (0.5, 6.2)), legs),
        (outline((0.27, -0.25), (0.3, 0.4)), skin),
        (
            outline(
                (0.28, 0.12),
                (0.75, 0.28),
                (1.05, 0.5),
                (1.15, 1.1),
                (1.1, 2.5),
                (0.8, 2.7),
            ),
            top,
        ),
    )
    for points, colour in shapes:
        _fill(canvas, points, colour, soft=0.03 * w, rng=rng)


def _fill(
    canvas: np.ndarray,
    points: np.ndarray,
    colour: np.ndarray,
    soft: float,
    rng: np.random.Generator,
) -> None:
    """Fills a polygon with a softly shaded colour, in place."""
    height, width = canvas.shape[:2]
    pad = int(3 * soft) + 2
    x1, y1 = np.maximum(np.floor(points.min(0)).astype(int) - pad, 0)
    x2, y2 = np.ceil(points.max(0)).astype(int) + pad
    x2, y2 = min(x2, width), min(y2, height)
    if x1 >= x2 or y1 >= y2:
        return
    mask = np.zeros((y2 - y1, x2 - x1), np.float32)
    shifted = np.round((points - (x1, y1)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [shifted], 1.0, lineType=cv2.LINE_8, shift=4)
    mask = cv2.GaussianBlur(mask, (0, 0), max(soft, 0.6))
    # Shadows of low frequency, folds of a higher one that run downwards, and cloth.
    size = (x2 - x1, y2 - y1)
    shade = np.ones(size[::-1], np.float32)
    for rows, columns, strength in ((4, 3, 0.25), (6, 14, 0.18), (*size[::-1], 0.04)):
        noise = rng.uniform(-strength, strength, (rows, columns)).astype(np.float32)
        shade += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    paint = shade[..., None] * colour.astype(np.float32)
    _blend(canvas[y1:y2, x1:x2], paint, mask)


def _draw_head(
    canvas: np.ndarray, person: Person, crop: np.ndarray, rng: np.random.Generator
) -> None:
    """Draws hair and, over it, the real face, in place."""
    fx1, fy1, fx2, fy2 = FACE_IN_CROP
    # Pixels of the image per pixel of the crop.
    scale_x = person.width / (fx2 - fx1)
    scale_y = person.height / (fy2 - fy1)
    left = person.box[0] - fx1 * scale_x
    top = person.box[1] - fy1 * scale_y

    # The window that head and hair need, cut at the image's border.
    height, width = canvas.shape[:2]
    margin = 5
    x1 = max(int(np.floor(left - margin * scale_x)), 0)
    y1 = max(int(np.floor(top - margin * scale_y)), 0)
    x2 = min(int(np.ceil(left + (CROP_SIDE + margin) * scale_x)), width)
    y2 = min(int(np.ceil(top + (CROP_SIDE + margin) * scale_y)), height)
    window = canvas[y1:y2, x1:x2]
    ys, xs = np.mgrid[y1:y2, x1:x2].astype(np.float32) + 0.5
    # Coordinates inside the crop of each pixel of the window.
    u, v = (xs - left) / scale_x, (ys - top) / scale_y

    centre = (fx1 + fx2) / 2
    hair = np.hypot((u - centre) / 11.3, (v - 9.6) / 11.9)
    # Strands stand off the outline; below the ears hair is cut off.
    grain = cv2.resize(
        rng.normal(0, 1, (3, 30)).astype(np.float32),
        window.shape[1::-1],
        interpolation=cv2.INTER_CUBIC,
    )
    hair_mask = _soft_below(hair + 0.03 * grain, 1.0, 0.07) * _soft_below(v, 16.0, 3.0)
    colour = np.array([0.75, 0.88, 1.0]) * rng.choice([20, 32, 48, 75, 115])
    shine = (1 + 0.18 * grain) * np.clip(1.3 - 0.03 * (v + 3), 0.6, 1.3)
    _blend(window, shine[..., None] * colour.astype(np.float32), hair_mask)

    face = _resample(crop, u, v, max(scale_x, scale_y))
    oval = np.hypot((u - centre) / 10.4, (v - 12.4) / 12.4)
    mask = _soft_below(oval, 0.97, 0.12)
    skin = _match_light(face, mask, window, rng)[..., None] * _skin_tone(rng)
    _blend(window, skin.astype(np.float32), mask)


def _resample(
    crop: np.ndarray, u: np.ndarray, v: np.ndarray, scale: float
) -> np.ndarray:
    """The crop at fractional positions, blurred before as far as sampling needs it."""
    source = crop
    if scale < 1:
        source = cv2.GaussianBlur(crop, (0, 0), 0.5 / scale)
    elif scale > 1.5:
        # Or else the crop's pixel grid shows.
        source = cv2.GaussianBlur(crop, (0, 0), 0.45)
    face = cv2.remap(
        source,
        u.astype(np.float32) - 0.5,
        v.astype(np.float32) - 0.5,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if scale > 1.5:
        # An enlarged crop is soft: bring the edges back a little.
        face += 0.35 * (face - cv2.GaussianBlur(face, (0, 0), 0.6 * scale))
    return np.clip(face, 0, 1)


def _match_light(
    face: np.ndarray, mask: np.ndarray, window: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Grey levels of the face, 0 to 255, drawn a little towards the light around it."""
    weight = mask / max(float(mask.sum()), 1e-6)
    mean = float((face * weight).sum())
    around = float(window.mean()) / 255
    target = np.clip(0.75 * mean + 0.25 * around, 0.28, 0.68)
    contrast = rng.uniform(0.95, 1.2)
    return np.clip((face - mean) * contrast + target, 0.02, 0.98) * 255


def _skin_tone(rng: np.random.Generator) -> np.ndarray:
    """Gain of B, G and R that tints a grey skin and keeps its luminance."""
    tone = 1 + rng.uniform(0.6, 1.1) * (np.array([0.74, 0.93, 1.25]) - 1)
    return tone / (tone @ np.array([0.114, 0.587, 0.299]))


def _soft_below(values: np.ndarray, limit: float, soft: float) -> np.ndarray:
    """1 below a limit, 0 above it, with a smooth step of half-width `soft`."""
    t = np.clip((limit + soft - values) / (2 * soft), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _blend(window: np.ndarray, paint: np.ndarray, mask: np.ndarray) -> None:
    """Lays paint over a window of the canvas, in place."""
    window += mask[..., None] * (paint - window)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_of(files: dict[str, str]) -> str:
    """One digest of all files: their names and their digests."""
    text = ''.join(f'{name} {files[name]}\n' for name in sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()


@DATASETS.register_module()
class EmbeddedFaceDataset(WiderFaceDataset):
    """The embedded data set, built when it is not there yet.

    Args:
        data_root (str): Where it is, or is to be built. Defaults to
            ``'data/embedded'``.
        split (str): ``'train'``, to optimise on, or ``'val'``, to report on.
        seed (int): Seed of its composition. Defaults to 0.
        **kwargs: Arguments of :class:`WiderFaceDataset`, except ``ann_file`` and
            ``data_prefix``, which follow from ``split``.

    Raises:
        ValueError: If ``split`` is neither of the two.

    Example:
        >>> dataset = EmbeddedFaceDataset(split='val', test_mode=True)
        >>> len(dataset)
        32
    """

    def __init__(
        self,
        data_root: str = 'data/embedded',
        split: str = 'train',
        seed: int = 0,
        **kwargs,
    ) -> None:
        if split not in NUM_IMAGES:
            raise ValueError(
                f"split={split!r}: EmbeddedFaceDataset has the splits 'train' and 'val'"
            )
        build_embedded_dataset(data_root, seed)
        super().__init__(
            data_root=data_root,
            ann_file=f'wider_face_split/wider_face_{split}_bbx_gt.txt',
            data_prefix=dict(img=f'WIDER_{split}/images/'),
            **kwargs,
        )
