"""Weights that come with the package, as ``facepatch://NAME``.

Each has a card, ``NAME.md``, that says what it was trained on, under which
terms, with which command, and what it measures. ``sha256.json`` has the digest of
each file; a file that differs is not loaded.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import CheckpointLoader

from ..utils.files import write_atomically
from ..utils.safe_loading import SafeCheckpointLoader, read_checkpoint

SCHEME = 'facepatch://'
FOLDER = Path(__file__).parent
#: Finished patches, with manifests; :mod:`mmdet_facepatch.experiments.publish`.
PATCHES = FOLDER / 'patches'
DIGESTS = 'sha256.json'
#: What all of the weights detect.
CLASSES = ('face',)


def names() -> list[str]:
    """Names of the weights in the package, sorted."""
    return sorted(path.stem for path in FOLDER.glob('*.pth'))


def checkpoint_path(name: str) -> Path:
    """File of one of the package's weights.

    Args:
        name (str): ``facepatch://NAME``, also with a slash at the end, or NAME alone.

    Returns:
        Path: Its path.

    Raises:
        FileNotFoundError: If the package has no such weights.
    """
    stem = name.removeprefix(SCHEME).removesuffix('/')
    if stem not in names():
        raise FileNotFoundError(
            f'{SCHEME}{stem}: no such weights; the package has '
            f'{", ".join(names()) or "none"}'
        )
    return FOLDER / f'{stem}.pth'


def config_path(name: str) -> Path:
    """Config of the detector that one of the package's weights fits.

    Args:
        name (str): ``facepatch://NAME``, or NAME alone.

    Returns:
        Path: ``configs/NAME.py``, as installed or in a checkout.

    Raises:
        FileNotFoundError: If the package has no such weights, or its configs are
            missing.
    """
    file = Path('configs', f'{checkpoint_path(name).stem}.py')
    package = FOLDER.parent
    for root in (package / '.mim', package.parent):
        if (root / file).is_file():
            return root / file
    raise FileNotFoundError(
        f'{package / ".mim" / file} is missing; install the package again'
    )


def save_checkpoint(
    state_dict: dict[str, torch.Tensor], path: Path, meta: dict[str, Any]
) -> None:
    """Write weights as the package ships them: float16, nothing to unpickle.

    Args:
        state_dict (dict[str, torch.Tensor]): Weights and buffers by name; floats become
            float16, which keeps 11 bits of each.
        path (Path): File to write.
        meta (dict[str, Any]): Strings and numbers about the weights.
    """
    half = {
        key: value.detach().cpu().half()
        if value.is_floating_point()
        else value.detach().cpu()
        for key, value in state_dict.items()
    }
    part = path.with_suffix('.part')
    torch.save(dict(state_dict=half, meta=meta), part)
    part.replace(path)


def _digests() -> dict[str, str]:
    """SHA-256 in hexadecimal of each file of weights, by name."""
    path = FOLDER / DIGESTS
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}


def record_digest(name: str) -> None:
    """Write down the SHA-256 of weights that were put into the package."""
    found = hashlib.sha256(checkpoint_path(name).read_bytes()).hexdigest()
    table = dict(sorted({**_digests(), name: found}.items()))
    text = json.dumps(table, indent=1) + '\n'
    write_atomically(FOLDER / DIGESTS, text.encode())


def _check_digest(path: Path) -> None:
    """Raise ValueError unless a file is the one that was published."""
    expected = _digests().get(path.stem)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(
            f'{path} has the SHA-256 {found}, but {DIGESTS} beside it says '
            f'{expected}: the file is damaged or is not the published one; install '
            'the package again'
        )


# With MMEngine's too: mmdet's init_detector takes it.
@CheckpointLoader.register_scheme(prefixes=SCHEME, force=True)
@SafeCheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_zoo(
    filename: str, map_location: Any = None, **kwargs: Any
) -> dict[str, Any]:
    """Loader of ``facepatch://NAME`` for mmengine, without unpickling code.

    Args:
        filename (str): ``facepatch://NAME``.
        map_location (Any): As in :func:`torch.load`. Defaults to None.

    Returns:
        dict[str, Any]: ``state_dict`` in float32, and ``meta``, with ``dataset_meta``
        as mmdet's inferencers look for it.

    Raises:
        FileNotFoundError: If the package has no such weights.
        ValueError: If the file is not the published one.
    """
    path = checkpoint_path(filename)
    _check_digest(path)
    checkpoint = read_checkpoint(path, map_location)
    checkpoint['state_dict'] = {
        key: value.float() if value.is_floating_point() else value
        for key, value in checkpoint['state_dict'].items()
    }
    # Weights that were published before they had it.
    checkpoint['meta'].setdefault('dataset_meta', dict(classes=CLASSES))
    return checkpoint
