"""Unpack, fetch and verify the official files of WIDER FACE."""

from __future__ import annotations

import hashlib
import lzma
import os
import os.path as osp
import shutil
import stat
import struct
import urllib.request
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..files import check_unpacked_size
from .wider_annotation import (
    WiderImage,
    parse_wider_annotation,
    read_subset_file,
    select_subset,
)
from .wider_face import explain_layout, find_missing_images

#: Official archive -> the folder it unpacks to.
ARCHIVES = {
    'WIDER_train.zip': 'WIDER_train',
    'WIDER_val.zip': 'WIDER_val',
    'wider_face_split.zip': 'wider_face_split',
    'eval_tools.zip': 'eval_tools',
}

#: Data set on the Hugging Face hub that the authors keep; has all but the
#: evaluation tools.
HUB_REPO = 'CUHK-CSE/wider_face'

#: Where the evaluation tools are.
EVAL_TOOLS_URL = 'http://shuoyang1213.me/WIDERFACE/support/eval_script/eval_tools.zip'

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

Log = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: What was checked.
        ok: Whether it is as it should be.
        detail: What was found.
        archive: The archive that mends it.
    """

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
        """Archives that would mend what is not in order."""
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


def verify(root: str, subsets: dict[str, str] | None = None) -> Report:
    """Compare a folder with the official WIDER FACE.

    Checks, per split, the annotation's counts and that every image is there
    (not its content), and the digests of the evaluation's ``.mat`` files.

    Args:
        root: Folder that holds ``WIDER_train/``, ``wider_face_split/``, ...
        subsets: Split -> text file with the images that are to be there;
            all annotated images for splits that are not named.

    Raises:
        ValueError: If a subset list is malformed, or names an image that is
            not annotated.
        FileNotFoundError: If a subset list is missing.
    """
    subsets = subsets or {}
    unknown = set(subsets) - set(OFFICIAL_COUNTS)
    if unknown:
        raise ValueError(
            f'unknown splits {sorted(unknown)}; known: {list(OFFICIAL_COUNTS)}'
        )
    checks: list[Check] = []
    for split in OFFICIAL_COUNTS:
        checks += _check_split(root, split, subsets.get(split))
    checks += [
        _check_digest(root, name, digest)
        for name, digest in GROUND_TRUTH_DIGESTS.items()
    ]
    return Report(root, tuple(checks))


def _check_split(root: str, split: str, subset_file: str | None) -> list[Check]:
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
    if subset_file is not None:
        names = read_subset_file(subset_file)
        chosen = select_subset(annotated, names, subset_file, ann_file)
        wanted = [image.path for image in chosen]
        of = f'listed in {subset_file}'
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
    found = hashlib.sha256(Path(path).read_bytes()).hexdigest()[: len(digest)]
    if found != digest:
        return check(False, f'sha256 begins with {found}, the official with {digest}')
    return check(True, f'sha256 {found}...')


def unpack_archive(archive: str, root: str, log: Log = print) -> int:
    """Unpack one of the official archives.

    Each file is written under a temporary name and then renamed, and a file
    that is there with its full size is left alone. So an interrupted call is
    taken up where it stopped, and a second call writes nothing.

    Args:
        archive: Path of an archive with an official name, see ``ARCHIVES``.
        root: Folder to unpack to, made if it does not exist.
        log: Receives lines about the progress.

    Returns:
        The number of files written.

    Raises:
        ValueError: If the archive is not one of the official ones, has a member
            that would leave its folder, one twice, or would unpack to far more than
            its size. Nothing is written then.
        OSError: If the archive is damaged or cut off.
    """
    name = osp.basename(archive)
    if name not in ARCHIVES:
        raise ValueError(f'{archive} is not one of {list(ARCHIVES)}')
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _safe_members(opened, archive, ARCHIVES[name])
            return _unpack_members(opened, members, root, log)
    # RuntimeError for encrypted members, NotImplementedError for odd compressions.
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,
        struct.error,
    ) as error:
        raise OSError(
            f'the archive {archive} is damaged or cut off ({error}); get it again'
        ) from error


def _safe_members(
    opened: zipfile.ZipFile, archive: str, folder: str
) -> list[zipfile.ZipInfo]:
    """Files below ``folder`` in the archive, without a desktop's leftovers."""
    try:
        check_unpacked_size(opened.infolist(), osp.getsize(archive))
    except ValueError as error:
        raise ValueError(f'{archive}: {error}') from error
    members = []
    for info in opened.infolist():
        path = PurePosixPath(info.filename.replace('\\', '/'))
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        outside = path.is_absolute() or '..' in path.parts
        drive = any(':' in part for part in path.parts)
        if outside or drive or is_link:
            raise ValueError(
                f'{archive}: the member {info.filename!r} would be written outside '
                'the folder; this is no official archive'
            )
        hidden = path.name.startswith('.') or path.name == 'Thumbs.db'
        if info.is_dir() or hidden or path.parts[:1] != (folder,):
            continue
        members.append(info)
    places = Counter(info.filename.replace('\\', '/') for info in members)
    place, times = max(places.items(), key=lambda item: item[1], default=('', 0))
    if times > 1:
        raise ValueError(
            f'{archive} has the member {place!r} {times} times; this is no official '
            'archive'
        )
    if not members:
        raise ValueError(
            f'{archive} has no folder {folder!r}; this is no official archive'
        )
    return members


def _unpack_members(
    opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], root: str, log: Log
) -> int:
    """Write the members that are not there yet."""

    def target(info: zipfile.ZipInfo) -> str:
        return osp.join(root, *info.filename.replace('\\', '/').split('/'))

    todo = [info for info in members if not _has_size(target(info), info.file_size)]
    log(
        f'{osp.basename(str(opened.filename))}: {len(todo):,} of {len(members):,} '
        f'files to unpack to {root}'
    )
    for done, info in enumerate(todo, 1):
        _write_member(opened, info, target(info))
        if done % 2000 == 0:
            log(f'  {done:,} of {len(todo):,}')
    return len(todo)


def _has_size(path: str, size: int) -> bool:
    return osp.isfile(path) and osp.getsize(path) == size


def _write_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> None:
    """Write one file so that its name appears only with its whole content."""
    os.makedirs(osp.dirname(path), exist_ok=True)
    part = path + '.part'
    try:
        with opened.open(info) as source, open(part, 'wb') as sink:
            shutil.copyfileobj(source, sink)
        if not _has_size(part, info.file_size):
            raise zipfile.BadZipFile(f'{info.filename} is of another size than listed')
        os.replace(part, path)
    finally:
        if osp.exists(part):
            os.remove(part)


def fetch_archive(name: str, folder: str, log: Log = print) -> str:
    """Download one of the official archives.

    The evaluation tools come from the authors' site, everything else from the
    Hugging Face hub (``huggingface_hub``, an optional dependency).

    Args:
        name: Name of the archive, see ``ARCHIVES``.
        folder: Folder to keep it in.
        log: Receives lines about the progress.

    Returns:
        Path of the archive.

    Raises:
        ImportError: If ``huggingface_hub`` is needed and not installed.
        OSError: If the download fails.
    """
    if name not in ARCHIVES:
        raise ValueError(f'{name} is not one of {list(ARCHIVES)}')
    log(f'downloading {name}')
    if name == 'eval_tools.zip':
        return _fetch_url(EVAL_TOOLS_URL, osp.join(folder, name))
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(
            f'downloading {name} needs huggingface_hub: `pip install '
            f'huggingface_hub`, or get it by hand from {_hub_url(name)} and give '
            'its folder with --archives'
        ) from error
    try:
        return hf_hub_download(
            repo_id=HUB_REPO,
            repo_type='dataset',
            filename=f'data/{name}',
            local_dir=folder,
        )
    except Exception as error:  # the client's errors have no common base
        raise OSError(
            f'the download of {name} from {HUB_REPO} failed ({error}); get it by '
            f'hand from {_hub_url(name)} and give its folder with --archives'
        ) from error


def _hub_url(name: str) -> str:
    return f'https://huggingface.co/datasets/{HUB_REPO}/resolve/main/data/{name}'


def _fetch_url(url: str, path: str) -> str:
    """Download a small file; its name appears only when it is complete."""
    os.makedirs(osp.dirname(path) or '.', exist_ok=True)
    part = path + '.part'
    try:
        with (
            urllib.request.urlopen(url, timeout=60) as source,
            open(part, 'wb') as sink,
        ):
            shutil.copyfileobj(source, sink)
        if not zipfile.is_zipfile(part):
            raise OSError('what arrived is not a whole zip file')
        os.replace(part, path)
    except OSError as error:
        raise OSError(
            f'the download of {url} failed ({error}); get it by hand and give its '
            'folder with --archives'
        ) from error
    finally:
        if osp.exists(part):
            os.remove(part)
    return path


def find_archive(name: str, folder: str) -> str | None:
    """Path of an archive in a folder or its ``data/`` (the hub's layout)."""
    for candidate in (osp.join(folder, name), osp.join(folder, 'data', name)):
        if osp.isfile(candidate):
            return candidate
    return None


def prepare(
    root: str,
    archives: str | None = None,
    download: bool = False,
    subsets: dict[str, str] | None = None,
    log: Log = print,
) -> Report:
    """Unpack, and if asked for download, whatever is missing; then verify.

    Args:
        root: Folder of WIDER FACE.
        archives: Folder of the archives, ``root`` if None.
        download: Whether to download archives that are needed and not there.
        subsets: As for :func:`verify`.
        log: Receives lines about the progress.

    Returns:
        The state afterwards.

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
    report = verify(root, subsets)
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
        report = verify(root, subsets)
