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
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmdet.registry import DATASETS

from ...utils.digests import file_digest
from ...utils.json_files import read_json, write_json
from ..wider_face import WiderFaceDataset
from .people import compose_people
from .sources import PHOTOGRAPHS, load_faces, load_photograph, split_faces

#: Raised whenever the same seed would give other images than before.
BUILD_VERSION = 1
MANIFEST = 'manifest.json'
EVENT = '0--Composite'
IMAGE_WIDTH, IMAGE_HEIGHT = 640, 480
NUM_IMAGES = {'train': 48, 'val': 32}
JPEG_QUALITY = 95


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
        (root / name).is_file() and file_digest(root / name) == digest
        for name, digest in files.items()
    )


def _is_own(root: Path) -> bool:
    """Whether replacing this folder destroys nothing that a user put there."""
    if not root.is_dir():
        return False
    return (root / MANIFEST).is_file() or not any(root.iterdir())


def _read_manifest(root: Path) -> dict | None:
    try:
        manifest = read_json(root / MANIFEST)
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
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}
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
    write_json(folder / MANIFEST, manifest)


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
        split (str): ``'train'``, to optimise on, or ``'val'``, to report on. Defaults
            to 'train'.
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
