"""Ground truth: WIDER FACE's official ``.mat`` files, its text, and COCO's.

``eval_tools/ground_truth`` of the official toolkit holds one file for each of
the subsets easy, medium and hard. Each lists, by event and image, the boxes of
all annotated faces, their attributes, and the 1-based indices of the faces that
the subset keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...utils.json_files import read_json
from ...utils.wider_annotation import COORDINATE_LIMIT, parse_wider_annotation
from ..functional.faces import ATTRIBUTE_VALUES, OFFICIAL_SUBSETS, ImageFaces
from .mat_files import read_mat, whole_numbers

_KEYS = ('event_list', 'file_list', 'face_bbx_list', 'gt_list')
_LABEL_KEYS = [f'{name}_label_list' for name in ATTRIBUTE_VALUES]


def load_ground_truth(
    gt_dir: str | Path, names: Sequence[str] = OFFICIAL_SUBSETS
) -> dict[str, ImageFaces]:
    """Read the faces of all validation images and what each subset keeps.

    Args:
        gt_dir (str | Path): Folder with ``wider_{name}_val.mat``, as in
            ``eval_tools/ground_truth`` of the official toolkit.
        names (tuple[str]): Subsets to read, at least one. Defaults to OFFICIAL_SUBSETS.

    Returns:
        dict: ``event/name`` of an image -> :class:`ImageFaces`.

    Raises:
        FileNotFoundError: If a file is missing; names it.
        ValueError: If a file cannot be read as such a list, or two of them
            disagree about images or boxes; names file and image.
    """
    paths = [Path(gt_dir) / f'wider_{name}_val.mat' for name in names]
    lists = [_load_list(path, name) for path, name in zip(paths, names, strict=True)]
    for path, images in zip(paths, lists, strict=True):
        _check_agreement(paths[0], lists[0], path, images)
    return {
        img_id: replace(
            faces,
            keep={
                name: mask
                for images in lists
                for name, mask in images[img_id].keep.items()
            },
        )
        for img_id, faces in lists[0].items()
    }


def load_faces(source: str | Path) -> dict[str, ImageFaces]:
    """Read annotated faces from what a user has.

    Args:
        source (str | Path): A folder for :func:`load_ground_truth`, WIDER FACE's
            annotation text (``wider_face_val_bbx_gt.txt``), or a COCO ``.json``.

    Returns:
        dict: Image -> :class:`ImageFaces`. Only the official files have subsets; COCO's
        have no attributes, and its crowds are left out of ``all``. Images of a COCO
        file are named by their id.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is none of these, or damaged; names the file.
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist; it should hold the faces')
    if path.is_dir():
        return load_ground_truth(path)
    if path.suffix == '.txt':
        return _load_text(path)
    if path.suffix == '.json':
        return _load_coco(path)
    raise ValueError(
        f'{path} is no annotation that is known: give the folder of the official '
        ".mat files, WIDER FACE's .txt, or a COCO .json"
    )


def _load_text(path: Path) -> dict[str, ImageFaces]:
    found = {}
    for image in parse_wider_annotation(str(path)).values():
        boxes = image.boxes.astype(np.float64)
        boxes[:, 2:] += boxes[:, :2]
        found[image.img_id] = ImageFaces(boxes, image.attributes)
    return found


def _load_coco(path: Path) -> dict[str, ImageFaces]:
    content = read_json(path)
    try:
        ids = [str(image['id']) for image in content['images']]
        if len(set(ids)) != len(ids):
            twice = Counter(ids).most_common(1)[0][0]
            raise ValueError(f'image {twice} is listed twice')
        boxes: dict[str, list] = {img_id: [] for img_id in ids}
        crowd: dict[str, list[bool]] = {img_id: [] for img_id in ids}
        seen: set = set()
        for index, face in enumerate(content['annotations']):
            img_id = str(face['image_id'])
            if img_id not in boxes:
                raise ValueError(f'annotation {index} is of image {img_id}, not listed')
            if face.get('id') in seen:
                raise ValueError(f'annotation {index}: id {face["id"]} occurs twice')
            if face.get('id') is not None:
                seen.add(face['id'])
            boxes[img_id].append(_coco_corners(index, face['bbox']))
            crowd[img_id].append(bool(face.get('iscrowd', 0)))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is no COCO annotation: {error!r}') from error
    return {
        img_id: ImageFaces(
            boxes=np.array(corners, dtype=np.float64).reshape(-1, 4),
            keep={'all': ~np.array(crowd[img_id], dtype=bool)},
        )
        for img_id, corners in boxes.items()
    }


def _coco_corners(index: int, bbox: Sequence[float]) -> list[float]:
    """x1, y1, x2, y2 of a box x, y, w, h."""
    x, y, w, h = (float(value) for value in bbox)
    # Comparisons with NaN are false.
    sane = all(abs(value) < COORDINATE_LIMIT for value in (x, y, w, h))
    if not (sane and w >= 0 and h >= 0):
        raise ValueError(
            f'annotation {index} has box {bbox}: x y w h must be finite, below '
            f'{COORDINATE_LIMIT}, and w and h not negative'
        )
    return [x, y, x + w, y + h]


def _load_list(path: Path, subset: str) -> dict[str, ImageFaces]:
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist. The official subset lists come with '
            'eval_tools.zip of WIDER FACE, folder eval_tools/ground_truth; give '
            'that folder, or no folder to evaluate all faces only.'
        )
    content = read_mat(path, [*_KEYS, *_LABEL_KEYS])
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise ValueError(f'{path} lacks {missing}; not an official subset list')
    try:
        images = list(_iterate_images(content))
    except (IndexError, TypeError) as error:
        raise ValueError(
            f'{path} is not laid out as an official subset list: {error}'
        ) from error
    faces = {
        img_id: _to_faces(f'{path}: {img_id}', subset, boxes, indices, labels)
        for img_id, boxes, indices, labels in images
    }
    if len(faces) != len(images):
        raise ValueError(f'{path} lists an image twice')
    return faces


def _iterate_images(
    content: Mapping[str, NDArray],
) -> Iterator[tuple[str, NDArray, NDArray, list[NDArray]]]:
    """Name, boxes, indices kept and attributes of each image (nested cells)."""
    files, boxes, kept = (content[key] for key in _KEYS[1:])
    known = all(key in content for key in _LABEL_KEYS)
    labels = [content[key] for key in _LABEL_KEYS if known]
    for i, event in enumerate(content['event_list'][:, 0]):
        for j, name in enumerate(files[i, 0][:, 0]):
            if not (isinstance(event[0], str) and isinstance(name[0], str)):
                raise TypeError(f'image {j} of event {i} has no name')
            yield (
                f'{event[0]}/{name[0]}',
                boxes[i, 0][j, 0],
                kept[i, 0][j, 0],
                [column[i, 0][j, 0] for column in labels],
            )


def _to_faces(
    place: str,
    subset: str,
    boxes: NDArray,
    indices: NDArray,
    labels: Sequence[NDArray],
) -> ImageFaces:
    try:
        corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        columns = [whole_numbers(column) for column in labels]
        mask = _keep_mask(len(corners), whole_numbers(indices) - 1)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{place}: {error}') from error
    if not np.isfinite(corners).all():
        raise ValueError(f'{place} has a box that is NaN or infinite')
    corners[:, 2:] += corners[:, :2]
    for (name, values), column in zip(ATTRIBUTE_VALUES.items(), columns):
        if len(column) != len(corners):
            raise ValueError(
                f'{place} has {len(corners)} boxes and {len(column)} values of {name}'
            )
        if not ((column >= 0) & (column < len(values))).all():
            raise ValueError(f'{place} has a value of {name} that is not known')
    attributes = np.stack(columns, axis=1) if columns else None
    return ImageFaces(corners, attributes, {subset: mask})


def _keep_mask(num_faces: int, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask from 0-based indices."""
    wrong = index[(index < 0) | (index >= num_faces)]
    if len(wrong):
        raise ValueError(f'gt_list names face {int(wrong[0]) + 1} of {num_faces}')
    mask = np.zeros(num_faces, dtype=bool)
    mask[index] = True
    if mask.sum() != len(index):
        raise ValueError('gt_list names a face twice')
    return mask


def _check_agreement(
    first_path: Path,
    first: Mapping[str, ImageFaces],
    path: Path,
    other: Mapping[str, ImageFaces],
) -> None:
    """The lists of one toolkit hold the same images and boxes."""
    differing = [
        img_id
        for img_id in {**first, **other}
        if img_id not in first
        or img_id not in other
        or not np.array_equal(first[img_id].boxes, other[img_id].boxes)
    ]
    if differing:
        raise ValueError(
            f'{path} and {first_path} disagree about {len(differing)} images, the '
            f'first is {differing[0]}; take both from one copy of eval_tools.zip'
        )
