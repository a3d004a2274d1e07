"""What is there of the official WIDER FACE, and what it takes to complete it."""

from __future__ import annotations

import os.path as osp
from dataclasses import dataclass

from ..utils.digests import file_digest
from ..utils.wider_annotation import (
    WiderImage,
    parse_wider_annotation,
    read_image_list,
    select_images,
)
from .wider_face import explain_layout, find_missing_images
from .widerface_archives import (
    ARCHIVES,
    Log,
    fetch_archive,
    find_archive,
    unpack_archive,
)

#: Split -> images and faces annotated. The train .mat has 159,424 rows, since
#: it holds one row of zeros for each of the four images without faces.
OFFICIAL_COUNTS = {'train': (12880, 159420), 'val': (3226, 39708)}

#: Files of the evaluation -> first digits of their SHA-256.
GROUND_TRUTH_DIGESTS = {
    'wider_face_val.mat': '1dfe6a98',
    'wider_easy_val.mat': 'c2fb672d',
    'wider_medium_val.mat': '4a031970',
    'wider_hard_val.mat': 'bb1af19d',
}


@dataclass(frozen=True)
class Check:
    """One line of the report; ``archive`` is the one that completes it."""

    name: str
    ok: bool
    detail: str
    archive: str


@dataclass(frozen=True)
class Report:
    """Result of :func:`verify`."""

    root: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing and all counts agree."""
        return all(check.ok for check in self.checks)

    @property
    def needed_archives(self) -> list[str]:
        """Archives that hold what is missing or differs."""
        needed = {check.archive for check in self.checks if not check.ok}
        return [name for name in ARCHIVES if name in needed]

    def __str__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = [f'WIDER FACE in {self.root}']
        lines += [
            f'  {"ok    " if check.ok else "NOT OK"}  {check.name:{width}}  '
            f'{check.detail}'
            for check in self.checks
        ]
        if self.ok:
            lines.append('Complete.')
        else:
            lines.append(f'Needed: {", ".join(self.needed_archives)}')
        return '\n'.join(lines)


def verify(root: str, image_lists: dict[str, str] | None = None) -> Report:
    """Compare a folder with the official WIDER FACE.

    Checks, per split, the annotation's counts and that every image is there
    (not its content), and the digests of the evaluation's ``.mat`` files.

    Args:
        root (str): Folder that holds ``WIDER_train/``, ``wider_face_split/``, ...
        image_lists (dict[str, str], optional): Split -> text file with the images that
            are to be there; all annotated images for splits that are not named.
            Defaults to None.

    Raises:
        ValueError: If an image list is malformed, or names an image that is
            not annotated.
        FileNotFoundError: If an image list is missing.
    """
    image_lists = image_lists or {}
    unknown = set(image_lists) - set(OFFICIAL_COUNTS)
    if unknown:
        raise ValueError(
            f'unknown splits {sorted(unknown)}; known: {list(OFFICIAL_COUNTS)}'
        )
    checks: list[Check] = []
    for split in OFFICIAL_COUNTS:
        checks += _check_split(root, split, image_lists.get(split))
    checks += [
        _check_digest(root, name, digest)
        for name, digest in GROUND_TRUTH_DIGESTS.items()
    ]
    return Report(root, tuple(checks))


def _check_split(root: str, split: str, image_list: str | None) -> list[Check]:
    """Check the annotation and the images of a split."""
    ann_file = osp.join(root, 'wider_face_split', f'wider_face_{split}_bbx_gt.txt')
    img_dir = osp.join(root, f'WIDER_{split}', 'images')
    annotation, annotated = _check_annotation(ann_file, split)

    def check(ok: bool, detail: str) -> list[Check]:
        archive = f'WIDER_{split}.zip'
        return [annotation, Check(f'{split} images', ok, detail, archive)]

    if annotated is None:
        # without the list of images only the folder itself can be looked for
        if osp.isdir(img_dir):
            return check(True, 'not counted, since the annotation is not in order')
        return check(False, f'no folder {img_dir}')
    wanted = list(annotated)
    of = 'official'
    if image_list is not None:
        names = read_image_list(image_list)
        chosen = select_images(annotated, names, image_list, ann_file)
        wanted = [image.path for image in chosen]
        of = f'listed in {image_list}'
    missing = find_missing_images(img_dir, wanted)
    detail = f'{len(wanted) - len(missing):,} of {len(wanted):,} {of}'
    problem = explain_layout(img_dir, map(osp.dirname, wanted))
    if problem:
        detail += f'; {problem}'
    elif missing:
        detail += f'; first missing: {missing[0]}'
    return check(not missing, detail)


def _check_annotation(
    ann_file: str, split: str
) -> tuple[Check, dict[str, WiderImage] | None]:
    """Check the number of images and faces; None if they are not as official."""

    def check(ok: bool, detail: str) -> Check:
        return Check(f'{split} annotation', ok, detail, 'wider_face_split.zip')

    if not osp.isfile(ann_file):
        return check(False, f'no file {ann_file}'), None
    try:
        images = parse_wider_annotation(ann_file)
    except ValueError as error:
        return check(False, str(error)), None
    counts = len(images), sum(len(image.boxes) for image in images.values())
    expected = OFFICIAL_COUNTS[split]
    detail = f'{counts[0]:,} images, {counts[1]:,} faces'
    if counts != expected:
        detail += f', expected {expected[0]:,} and {expected[1]:,}'
        return check(False, detail), None
    return check(True, detail), images


def _check_digest(root: str, name: str, digest: str) -> Check:
    """Check one of the evaluation's files."""
    path = osp.join(root, 'eval_tools', 'ground_truth', name)

    def check(ok: bool, detail: str) -> Check:
        return Check(name, ok, detail, 'eval_tools.zip')

    if not osp.isfile(path):
        return check(False, f'no file {path}')
    found = file_digest(path)[: len(digest)]
    if found != digest:
        return check(False, f'sha256 begins with {found}, the official with {digest}')
    return check(True, f'sha256 {found}...')


def prepare(
    root: str,
    archives: str | None = None,
    download: bool = False,
    image_lists: dict[str, str] | None = None,
    log: Log = print,
) -> Report:
    """Unpack, and if asked for download, whatever is missing; then verify.

    Args:
        root (str): Folder of WIDER FACE.
        archives (str, optional): Folder of the archives, ``root`` if None. Defaults to
            None.
        download (bool): Whether to download archives that are needed and not there.
            Defaults to False.
        image_lists (dict[str, str], optional): As for :func:`verify`. Defaults to None.
        log (Log): Receives lines about the progress. Defaults to print.

    Returns:
        Report: The state afterwards.

    Raises:
        FileNotFoundError: If ``archives`` is given and does not exist.
        ValueError, OSError, ImportError: See :func:`unpack_archive` and
            :func:`fetch_archive`.
    """
    if archives is not None and not osp.isdir(archives) and not download:
        raise FileNotFoundError(f'the archive folder {archives} does not exist')
    folder = archives if archives is not None else root
    # The annotation comes first: only with it can the images be counted, so
    # what is needed is looked up again after each archive.
    tried: set[str] = set()
    report = verify(root, image_lists)
    while True:
        todo = [name for name in report.needed_archives if name not in tried]
        if not todo:
            return report
        name = 'wider_face_split.zip' if 'wider_face_split.zip' in todo else todo[0]
        tried.add(name)
        path = find_archive(name, folder)
        if path is None and download:
            path = fetch_archive(name, folder, log)
        if path is None:
            log(f'{name} is needed, and not in {folder}')
            continue
        unpack_archive(path, root, log)
        report = verify(root, image_lists)
