"""Results that are kept with the repository, in ``.results``: JSON and pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..engine.manifest import portable
from ..files import write_atomically

#: Bytes that a picture may have.
PICTURE_LIMIT = 300_000
# Colours of pictures that are too large, and the factor of each step down in size.
_COLOURS = 255
_STEP = 0.8


@dataclass(frozen=True)
class Entry:
    """One result.

    Attributes:
        name: Of its folder, as ``table1_subset``.
        path: Its JSON file.
        content: What is in it.
        pictures: PNG files beside it, sorted.
    """

    name: str
    path: Path
    content: Mapping[str, Any]
    pictures: tuple[Path, ...]

    @property
    def kind(self) -> str:
        """What it is; of files that do not say it, their name."""
        return str(self.content.get('kind', self.path.stem))


def read_entries(folder: str | Path) -> list[Entry]:
    """All results in a folder, one of its folders each.

    Args:
        folder: Such as ``.results`` or ``work_dirs/experiments/tables``.

    Returns:
        In the order of their names; folders without a JSON file are passed over.

    Raises:
        ValueError: If a JSON file is damaged, or a folder has several.
    """
    found = []
    for part in sorted(path for path in Path(folder).glob('*') if path.is_dir()):
        entry = read_entry(part)
        if entry is not None:
            found.append(entry)
    return found


def read_entry(folder: Path) -> Entry | None:
    """The result in a folder, None if there is none.

    Raises:
        ValueError: If its JSON file is damaged, or there are several.
    """
    files = sorted(folder.glob('*.json'))
    if len(files) > 1:
        raise ValueError(f'{folder} has several JSON files, '
                         f'{[path.name for path in files]}; a result has one')
    if not files:
        return None
    try:
        content = json.loads(files[0].read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{files[0]} is not a JSON file: {error}') from error
    if not isinstance(content, dict) or 'title' not in content:
        raise ValueError(f'{files[0]} is no result: it has no title')
    return Entry(folder.name, files[0], content, tuple(sorted(folder.glob('*.png'))))


def collect(sources: Iterable[Entry], target: str | Path, root: str | Path) -> None:
    """Copy results into the folder that is kept.

    What was kept of other results stays. Paths of this machine are taken out, and
    pictures of more than 300 KB reduced.

    Args:
        sources: To copy.
        target: Such as ``.results``.
        root: Folder of the repository.
    """
    for entry in sources:
        folder = Path(target) / entry.name
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {entry.path.name, *(path.name for path in entry.pictures)}
        for old in folder.iterdir():
            if old.name not in wanted:
                old.unlink()
        _write(folder / entry.path.name, _kept_json(entry, root))
        for picture in entry.pictures:
            _write(folder / picture.name, reduced_picture(picture.read_bytes()))


def _kept_json(entry: Entry, root: str | Path) -> bytes:
    clean = portable(entry.content, root)
    if clean == entry.content:
        return entry.path.read_bytes()
    return f'{json.dumps(clean, indent=1)}\n'.encode()


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)


def reduced_picture(content: bytes, limit: int = PICTURE_LIMIT) -> bytes:
    """A PNG of at most so many bytes: as it is, with fewer colours, or smaller.

    Args:
        content: Of a PNG file.
        limit: Bytes, at least 1,000.

    Returns:
        Of a PNG file; the same picture always gives the same bytes.
    """
    if len(content) <= limit:
        return content
    with Image.open(io.BytesIO(content)) as file:
        picture = file.convert('RGB')
    small = picture
    while True:
        encoded = _encoded(small)
        if len(encoded) <= limit or min(small.size) < 16:
            return encoded
        size = (max(1, round(_STEP * small.width)), max(1, round(_STEP * small.height)))
        # From the original each time: resizing again and again would blur.
        small = picture.resize(size, Image.Resampling.LANCZOS)


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    reduced = picture.quantize(_COLOURS, dither=Image.Dither.NONE)
    reduced.save(buffer, format='PNG', optimize=True)
    return buffer.getvalue()
