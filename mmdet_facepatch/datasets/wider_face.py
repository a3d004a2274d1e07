"""WIDER FACE read from the official text annotation and folder layout."""

from __future__ import annotations

import os
import os.path as osp
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.fileio import get
from mmengine.utils import is_abs
from PIL import Image

#: Per-face attributes in the order of the annotation text's columns 5 to 10.
WIDER_ATTRIBUTES = (
    'blur',
    'expression',
    'illumination',
    'invalid',
    'occlusion',
    'pose',
)

#: Highest value of each of them; the lowest is 0.
HIGHEST_ATTRIBUTES = (2, 1, 1, 1, 2, 1)

#: Coordinates and sizes of faces are smaller: no image that can be decoded is wider.
COORDINATE_LIMIT = 2**20

_NUM_COLUMNS = 4 + len(WIDER_ATTRIBUTES)
_INVALID = WIDER_ATTRIBUTES.index('invalid')
_IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')
_FILTER_KEYS = ('filter_empty_gt', 'min_size', 'bbox_min_size')
_COUNT = re.compile('[0-9]{1,9}')
# How much of a line an error shows.
_SHOWN = 120
_LAYOUT = '<data_root>/WIDER_<split>/images/<event>/<image>.jpg'


@dataclass(frozen=True)
class WiderImage:
    """The annotation of one WIDER FACE image.

    Attributes:
        path: Path relative to the ``images/`` folder, for example
            ``'0--Parade/0_Parade_Parade_0_1014.jpg'``.
        boxes: Float32 array (n, 4) of ``x, y, w, h`` in pixels, in the order
            of the file, degenerate boxes included. n may be 0.
        attributes: Int64 array (n, 6), columns as ``WIDER_ATTRIBUTES``.
    """

    path: str
    boxes: np.ndarray
    attributes: np.ndarray

    @property
    def img_id(self) -> str:
        """Path without its suffix, as the evaluation files name images."""
        return osp.splitext(self.path)[0]

    @property
    def ignored(self) -> np.ndarray:
        """Bool (n,): face is flagged invalid, or w <= 0, or h <= 0."""
        return (self.attributes[:, _INVALID] != 0) | (self.boxes[:, 2:] <= 0).any(1)


def parse_wider_annotation(
    path: str, backend_args: dict | None = None
) -> dict[str, WiderImage]:
    """Parse ``wider_face_{train,val}_bbx_gt.txt``.

    The file holds, per image, its relative path, the number of faces, and one
    line ``x y w h blur expression illumination invalid occlusion pose`` per
    face. An image without faces is followed by one line of ten zeros in the
    official files; here that line may also be absent. Nothing is dropped: faces of
    no or negative extent, as the official files have some, are kept. Line ends may be
    those of any system, and a byte order mark does no harm.

    Args:
        path: The annotation file.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        Relative image path -> :class:`WiderImage`, in the order of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a line is malformed, a count does not fit the lines that
            follow, an image occurs twice, a path leads out of the image folder, a
            number is NaN, infinite or beyond 2**20, an attribute has a value that
            it cannot have, the file is not UTF-8, or it has no image. The message
            names the file, the line number and the line.
    """
    return _parse_lines(_read_lines(path, backend_args), path)


def _read_lines(path: str, backend_args: dict | None = None) -> list[str]:
    """Lines of a text file in UTF-8, with line ends of any system."""
    data = get(path, backend_args=backend_args)
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise ValueError(
            f'{path}, line {line}: this is not UTF-8 text ({error.reason}); convert '
            'the file'
        ) from error
    # Not splitlines(), which also splits at characters that names may have.
    return text.replace('\r\n', '\n').replace('\r', '\n').split('\n')


def _parse_lines(lines: list[str], source: str) -> dict[str, WiderImage]:
    """Parse the annotation's lines; ``source`` names it in errors."""
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ValueError(f'{source}: the annotation file is empty')

    records = _split_records(lines, source)
    # One conversion for all faces: 160,000 small arrays would take seconds.
    faces = [
        line for _, start, count in records for line in lines[start : start + count]
    ]
    values = _to_numbers(faces)
    if values is None:
        _check_faces(lines, records, source)
        raise ValueError(f'{source}: malformed face lines')  # pragma: no cover

    boxes = values[:, :4].astype(np.float32)
    attributes = values[:, 4:].astype(np.int64)
    images = {}
    begin = 0
    for name, _, count in records:
        end = begin + count
        images[name] = WiderImage(name, boxes[begin:end], attributes[begin:end])
        begin = end
    return images


def _split_records(lines: Sequence[str], source: str) -> list[tuple[str, int, int]]:
    """Find the images: (path, 0-based index of the first face line, count)."""
    records: list[tuple[str, int, int]] = []
    seen: dict[str, int] = {}

    def fail(index: int, what: str) -> NoReturn:
        # a malformed face before this line is likely the reason
        _check_faces(lines, records, source)
        _fail(source, index, lines[index], what)

    index = 0
    while index < len(lines):
        name = lines[index].strip()
        if not name.lower().endswith(_IMAGE_SUFFIXES):
            hint = 'expected the path of an image'
            if records:
                hint += f'; the count on line {records[-1][1]} may be too small'
            fail(index, hint)
        if not _stays_inside(name):
            fail(
                index,
                "this is no path below the image folder (parts split by '/', none of "
                "them empty, '.' or '..')",
            )
        if name in seen:
            fail(index, f'this image is annotated already on line {seen[name] + 1}')
        seen[name] = index
        if index + 1 >= len(lines):
            fail(index, 'the file ends before its face count')
        count_text = lines[index + 1].strip()
        if not _COUNT.fullmatch(count_text):
            fail(index + 1, 'expected a face count')
        count = int(count_text)
        start = index + 2
        if count > len(lines) - start:
            fail(
                index + 1,
                f'{name} is said to have {count} faces, but only '
                f'{len(lines) - start} lines are left',
            )
        records.append((name, start, count))
        index = start + count
        if count == 0 and index < len(lines) and _is_dummy(lines[index]):
            index += 1
    return records


def _stays_inside(path: str) -> bool:
    """Whether a relative path names a file below the folder it is joined to."""
    parts = path.split('/')
    return (
        path.isprintable()
        and '\\' not in path
        and not any(part in ('', '.', '..') for part in parts)
    )


def _is_dummy(line: str) -> bool:
    """Whether the line is the row of zeros that follows a count of 0."""
    return line.split() == ['0'] * _NUM_COLUMNS


def _to_numbers(faces: Sequence[str]) -> np.ndarray | None:
    """Float64 array (n, 10), or None if any of the n lines is malformed."""
    if any(len(line.split()) != _NUM_COLUMNS for line in faces):
        return None
    joined = ' '.join(faces)
    # Python would read '1_0' and the digits of other scripts.
    if '_' in joined or not joined.isascii():
        return None
    words = joined.split()
    try:
        # Several times as fast as numpy's own reading of strings.
        flat = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError:
        return None
    values = flat.reshape(-1, _NUM_COLUMNS)
    attributes = values[:, 4:]
    unfit = (attributes < 0) | (attributes > HIGHEST_ATTRIBUTES)
    unfit |= attributes != np.round(attributes)
    # Also False for NaN.
    if unfit.any() or not (np.abs(values) < COORDINATE_LIMIT).all():
        return None
    return values


def _check_faces(
    lines: Sequence[str], records: list[tuple[str, int, int]], source: str
) -> None:
    """Raise for the first malformed face line, if any."""
    for name, start, count in records:
        for index in range(start, start + count):
            if _to_numbers([lines[index]]) is None:
                _fail(
                    source,
                    index,
                    lines[index],
                    f'expected a face of {name} as "x y w h '
                    f'{" ".join(WIDER_ATTRIBUTES)}" (finite numbers below '
                    f'{COORDINATE_LIMIT}; attributes are integers up to '
                    f'{" ".join(map(str, HIGHEST_ATTRIBUTES))}); '
                    f'if this is no face, the count {count} on line {start} is '
                    'too large',
                )


def _fail(source: str, index: int, line: str, what: str) -> NoReturn:
    raise ValueError(
        f'{source}, line {index + 1}: {what}; the line is {line[:_SHOWN]!r}'
    )


def read_subset_file(path: str, backend_args: dict | None = None) -> dict[str, int]:
    """Read a subset list: one image path, relative to ``images/``, a line.

    Empty lines and lines that begin with ``#`` are skipped.

    Args:
        path: The text file, in UTF-8.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        Path -> number of its line, in the order of the file.

    Raises:
        ValueError: If no path is left, one occurs twice, or the file is not UTF-8.
    """
    names: dict[str, int] = {}
    for number, line in enumerate(_read_lines(path, backend_args), start=1):
        name = line.strip()
        if not name or name.startswith('#'):
            continue
        if name in names:
            raise ValueError(
                f'{path}, line {number}: the subset list names {name[:_SHOWN]!r} more '
                f'than once, first on line {names[name]}'
            )
        names[name] = number
    if not names:
        raise ValueError(f'{path}: the subset list is empty')
    return names


def select_subset(
    images: Mapping[str, WiderImage],
    names: Mapping[str, int],
    source: str,
    ann_file: str,
) -> list[WiderImage]:
    """Pick the named images, in the order of ``names``.

    Args:
        images: Result of :func:`parse_wider_annotation`.
        names: Result of :func:`read_subset_file`.
        source: File of the names, for the error.
        ann_file: File of the annotation, for the error.

    Raises:
        ValueError: If a name is not annotated.
    """
    unknown = [name for name in names if name not in images]
    if unknown:
        raise ValueError(
            f'{source}, line {names[unknown[0]]}: {len(unknown)} of {len(names)} '
            f'entries are not annotated in {ann_file}: {_first(unknown)}; an entry is '
            "a path relative to 'images/', such as "
            "'0--Parade/0_Parade_Parade_0_1014.jpg'"
        )
    return [images[name] for name in names]


def find_missing_images(img_dir: str, names: Iterable[str]) -> list[str]:
    """Which of the images are not on disk.

    Reads each event folder once instead of asking for every file, which on a
    network file system is the difference between 61 and 12,880 round trips.

    Args:
        img_dir: Local ``images/`` folder.
        names: Paths relative to it.

    Returns:
        The missing paths in the order given.
    """
    names = list(names)
    by_folder: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_folder[osp.dirname(name)].append(osp.basename(name))
    missing: set[str] = set()
    for folder, files in by_folder.items():
        try:
            with os.scandir(osp.join(img_dir, folder)) as entries:
                present = {entry.name for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            present = set()
        missing.update(osp.join(folder, f) for f in files if f not in present)
    return [name for name in names if name in missing]


def explain_layout(img_dir: str, events: Iterable[str]) -> str | None:
    """Say what is wrong with the image folder, or None if nothing is.

    Knows the usual accidents: the ``images/`` level left out, in the files or
    in the path, and a level too many (``WIDER_train/WIDER_train/images``).

    Args:
        img_dir: Local folder that should hold the event folders.
        events: Names of the event folders, of which one suffices.
    """
    events = sorted(set(events))
    img_dir = osp.normpath(img_dir)
    if _has_any(img_dir, events):
        return None
    if osp.isdir(img_dir):
        problem = f'the image folder {img_dir} has no event folder ({_first(events)})'
    else:
        problem = f'the image folder {img_dir} does not exist'
    parent = osp.dirname(img_dir)
    split = osp.basename(parent)
    candidates = (
        osp.join(img_dir, 'images'),
        osp.join(parent, 'images'),
        osp.join(parent, split, 'images'),
        osp.join(parent, split),
        parent,
    )
    found = [c for c in candidates if c != img_dir and _has_any(c, events)]
    if found:
        problem += f', but {found[0]} has'
    return f'{problem}; the layout must be {_LAYOUT}'


def _has_any(folder: str, names: Iterable[str]) -> bool:
    """Whether the folder has one of the sub-folders."""
    return any(osp.isdir(osp.join(folder, name)) for name in names)


def _first(names: Sequence[str], limit: int = 3) -> str:
    """The first few names, for an error message."""
    shown = ', '.join(name[:_SHOWN] for name in names[:limit])
    return shown if len(names) <= limit else f'{shown}, ...'


def to_instances(image: WiderImage) -> list[dict]:
    """Convert an image's faces to mmdet's ``instances``, dropping none.

    Returns:
        Per face ``bbox`` = [x1, y1, x2, y2] with x2 = x + w and y2 = y + h in
        pixels of the original image, ``bbox_label`` = 0, ``ignore_flag`` = 1
        if flagged invalid or degenerate, and ``attributes`` by name, a dict that
        faces share and nobody should change.
    """
    corners = image.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    return [
        dict(
            bbox=box,
            bbox_label=0,
            ignore_flag=int(ignored),
            attributes=_named_attributes(*attributes),
        )
        for box, ignored, attributes in zip(
            corners.tolist(),
            image.ignored.tolist(),
            image.attributes.tolist(),
            strict=True,
        )
    ]


@lru_cache(maxsize=4096)
def _named_attributes(*values: int) -> dict[str, int]:
    """Attributes by name; one dict for all faces that are alike.

    There are 159,420 training faces and a few hundred kinds of them: making each
    a dict of its own takes half of the time that the annotation takes.
    """
    return dict(zip(WIDER_ATTRIBUTES, values, strict=True))


@DATASETS.register_module()
class WiderFaceDataset(BaseDetDataset):
    """WIDER FACE in its official form (text annotation, ``images/`` level).

    Not to be confused with mmdet's ``WIDERFaceDataset``, which reads Pascal VOC
    XML files made by a third-party script and loses attributes, flags and
    images without faces.

    Each data info has ``img_path``, ``img_id`` (event/name without suffix) and
    ``instances`` (see :func:`to_instances`), in annotation order and with
    nothing dropped, so that the evaluation's 1-based face indices hold. The
    annotation has no image size, and image files are not opened.

    Args:
        ann_file (str): The text annotation, relative to ``data_root``.
        data_root (str): Root folder.
        data_prefix (dict): ``img``: folder of the event folders, relative to
            ``data_root``. Defaults to ``dict(img='WIDER_train/images/')``.
        subset_file (str, optional): Text file, relative to ``data_root``, that
            names the images to use, one path relative to ``images/`` a line.
            The data set has their order. Defaults to None, all images.
        filter_cfg (dict, optional): Honoured only if ``test_mode`` is False, as
            in mmdet's ``XMLDataset``: ``filter_empty_gt`` (bool) drops images
            in which no face has ``ignore_flag`` 0; ``min_size`` (int) drops
            images whose shorter side is smaller, in pixels, for which the
            header of every image is read; ``bbox_min_size`` (int) sets the
            ``ignore_flag`` of faces with a smaller side. Other keys are an
            error.
        **kwargs: Arguments of mmdet's ``BaseDetDataset``.

    Raises:
        FileNotFoundError: If the root, the annotation, the subset list or a
            selected image is missing, or the folders are laid out differently.
        ValueError: If annotation or subset list are malformed.

    Example:
        >>> dataset = WiderFaceDataset(
        ...     data_root='data/WIDERFace',
        ...     ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
        ...     filter_cfg=dict(filter_empty_gt=True))
        >>> dataset.get_data_info(0)['img_id']
        '0--Parade/0_Parade_marchingband_1_849'
    """

    METAINFO = {'classes': ('face',), 'palette': [(0, 0, 255)]}

    def __init__(
        self,
        *args: Any,
        data_prefix: dict | None = None,
        subset_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        if data_prefix is None:
            data_prefix = dict(img='WIDER_train/images/')
        if 'img' not in data_prefix:
            raise ValueError(
                "data_prefix needs the key 'img' (the folder of the event folders), "
                f'got {dict(data_prefix)}'
            )
        unknown = set(kwargs.get('filter_cfg') or {}) - set(_FILTER_KEYS)
        if unknown:
            raise ValueError(
                f'filter_cfg has unknown keys {sorted(unknown)}; '
                f'known are {list(_FILTER_KEYS)}'
            )
        self.subset_file = subset_file
        super().__init__(*args, data_prefix=dict(data_prefix), **kwargs)

    def _join_prefix(self) -> None:
        """Also resolve ``subset_file`` against ``data_root``."""
        super()._join_prefix()
        if self.subset_file and self.data_root and not is_abs(self.subset_file):
            self.subset_file = osp.join(self.data_root, self.subset_file)

    @property
    def _is_local(self) -> bool:
        """Whether files are read from the local file system."""
        local = not self.backend_args or self.backend_args.get('backend') == 'local'
        return local and '://' not in self.data_prefix['img']

    def load_data_list(self) -> list[dict]:
        """Read annotation and subset list, and check that the images exist.

        Returns:
            One dict per image: ``img_path``, ``img_id``, ``instances``.
        """
        if self._is_local:
            self._check_files()
        annotated = parse_wider_annotation(self.ann_file, self.backend_args)
        if self.subset_file:
            images = select_subset(
                annotated,
                read_subset_file(self.subset_file, self.backend_args),
                self.subset_file,
                self.ann_file,
            )
        else:
            images = list(annotated.values())
        if self._is_local:
            self._check_images(images)
        return [self.parse_data_info(image) for image in images]

    def parse_data_info(self, raw_data_info: WiderImage) -> dict:
        """Convert one image's annotation to the target format.

        Args:
            raw_data_info (WiderImage): The image's annotation.

        Returns:
            dict: ``img_path``, ``img_id`` and ``instances``.
        """
        instances = to_instances(raw_data_info)
        min_side = (self.filter_cfg or {}).get('bbox_min_size') or 0
        if min_side > 0 and not self.test_mode:
            small = (raw_data_info.boxes[:, 2:] < min_side).any(axis=1)
            for index in np.flatnonzero(small):
                instances[index]['ignore_flag'] = 1
        return dict(
            img_path=osp.join(self.data_prefix['img'], raw_data_info.path),
            img_id=raw_data_info.img_id,
            instances=instances,
        )

    def filter_data(self) -> list[dict]:
        """Filter images according to ``filter_cfg``, in training only.

        Returns:
            list[dict]: The data infos that stay.

        Raises:
            ValueError: If none stays.
        """
        if self.test_mode or not self.filter_cfg or not self.data_list:
            return self.data_list
        min_size = self.filter_cfg.get('min_size') or 0
        kept = self.data_list
        if self.filter_cfg.get('filter_empty_gt', False):
            kept = [
                info
                for info in kept
                if any(not face['ignore_flag'] for face in info['instances'])
            ]
        if min_size > 0:
            kept = [i for i in kept if _shorter_side(i['img_path']) >= min_size]
        if not kept:
            raise ValueError(
                f'filter_cfg={dict(self.filter_cfg)} leaves none of the '
                f'{len(self.data_list)} images of {self.ann_file}'
            )
        return kept

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on an image.

        Args:
            idx (int): Index of the image.

        Returns:
            Any: What the pipeline gives; None in training if the image was skipped.

        Raises:
            OSError: If the image was skipped in evaluation.
        """
        data = super().prepare_data(idx)
        if data is None and self.test_mode:
            raise OSError(
                f'the image {self.get_data_info(idx)["img_path"]} cannot be used (see '
                'the log), and an evaluation leaves out no image: its numbers would be '
                'those of other images. Get the file again, or name the images to '
                'evaluate in a subset_file'
            )
        return data

    @property
    def _hint(self) -> str:
        return (
            f'`python tools/prepare_widerface.py --root {self.data_root or "."}` '
            'unpacks or downloads WIDER FACE and says what is missing'
        )

    def _check_files(self) -> None:
        """Raise if data root, annotation or subset list is missing."""
        if self.data_root and not osp.isdir(self.data_root):
            raise FileNotFoundError(
                f'the data root {self.data_root} does not exist; {self._hint}'
            )
        if not self.ann_file:
            raise ValueError('WiderFaceDataset needs ann_file, the text annotation')
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f'the annotation file {self.ann_file} does not exist; {self._hint}'
            )
        if self.subset_file and not osp.isfile(self.subset_file):
            raise FileNotFoundError(
                f'the subset list {self.subset_file} does not exist (subset_file is '
                'relative to data_root)'
            )

    def _check_images(self, images: list[WiderImage]) -> None:
        """Raise if the layout differs or a selected image is not on disk."""
        img_dir = self.data_prefix['img']
        names = [image.path for image in images]
        problem = explain_layout(img_dir, map(osp.dirname, names))
        if problem:
            raise FileNotFoundError(f'{problem}; {self._hint}')
        missing = find_missing_images(img_dir, names)
        if not missing:
            return
        if len(missing) == len(names):
            advice = (
                f'is {self.ann_file} the annotation of this split? Set data_prefix '
                'to the folder of the same split'
            )
        else:
            advice = (
                'if only a part of WIDER FACE is there on purpose, name its images '
                f'in a text file and set `subset_file`; else {self._hint}'
            )
        raise FileNotFoundError(
            f'{len(missing)} of {len(names)} images are not in {img_dir}: '
            f'{_first(missing)}; {advice}'
        )


def _shorter_side(path: str) -> int:
    """Shorter side of an image in pixels, from its header alone."""
    with Image.open(path) as image:
        return min(image.size)
