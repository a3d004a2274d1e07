"""Weights that come with the package, as ``facepatch://NAME``.

Each has a card, ``NAME.md``, that says what it was trained on, under which
terms, with which command, and what it measures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.runner import CheckpointLoader

from ..weights import read_checkpoint

SCHEME = 'facepatch://'
FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the weights in the package, sorted."""
    return sorted(path.stem for path in FOLDER.glob('*.pth'))


def checkpoint_path(name: str) -> Path:
    """File of one of the package's weights.

    Args:
        name: ``facepatch://NAME``, or NAME alone.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: If the package has no such weights.
    """
    stem = name.removeprefix(SCHEME)
    if stem not in names():
        raise FileNotFoundError(
            f'{SCHEME}{stem}: no such weights; the package has '
            f'{", ".join(names()) or "none"}')
    return FOLDER / f'{stem}.pth'


def save_checkpoint(state_dict: dict[str, torch.Tensor], path: Path,
                    meta: dict[str, Any]) -> None:
    """Write weights as the package ships them: float16, nothing to unpickle.

    Args:
        state_dict: Weights and buffers by name; floats become float16, which
            keeps 11 bits of each.
        path: File to write.
        meta: Strings and numbers about the weights.
    """
    half = {key: value.detach().cpu().half() if value.is_floating_point()
            else value.detach().cpu() for key, value in state_dict.items()}
    part = path.with_suffix('.part')
    torch.save(dict(state_dict=half, meta=meta), part)
    part.replace(path)


@CheckpointLoader.register_scheme(prefixes=SCHEME, force=True)
def load_from_zoo(filename: str, map_location: Any = None,
                  **kwargs: Any) -> dict[str, Any]:
    """Loader of ``facepatch://NAME`` for mmengine, without unpickling code.

    Args:
        filename: ``facepatch://NAME``.
        map_location: As in :func:`torch.load`.

    Returns:
        ``state_dict`` in float32, and ``meta``.

    Raises:
        FileNotFoundError: If the package has no such weights.
    """
    checkpoint = read_checkpoint(checkpoint_path(filename), map_location)
    checkpoint['state_dict'] = {
        key: value.float() if value.is_floating_point() else value
        for key, value in checkpoint['state_dict'].items()}
    return checkpoint
