"""The official archives of WIDER FACE: fetched, and unpacked without trust."""

from __future__ import annotations

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
from pathlib import PurePosixPath

from ..utils.files import check_unpacked_size

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

Log = Callable[[str], None]


def unpack_archive(archive: str, root: str, log: Log = print) -> int:
    """Unpack one of the official archives.

    Each file is written under a temporary name and then renamed, and a file
    that is there with its full size is left alone. So an interrupted call is
    taken up where it stopped, and a second call writes nothing.

    Args:
        archive (str): Path of an archive with an official name, see ``ARCHIVES``.
        root (str): Folder to unpack to, made if it does not exist.
        log (Log): Receives lines about the progress. Defaults to print.

    Returns:
        int: The number of files written.

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
        name (str): Name of the archive, see ``ARCHIVES``.
        folder (str): Folder to keep it in.
        log (Log): Receives lines about the progress. Defaults to print.

    Returns:
        str: Path of the archive.

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
