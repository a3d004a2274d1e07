"""History of an attack over its epochs: ``history.json`` in its work dir.

It holds ``seed``, ``batch_size`` and ``processes``, ``device``, ``versions`` of the
software, ``held_out_clean`` (numbers of the clean held-out images, if there are any),
and ``epochs``, each with ``epoch`` (from 1), ``objective`` (the mean over its steps
with samples of what the attack maximises, None if there were none), ``steps``,
``empty_steps``, ``seconds`` of its steps, and ``held_out`` (numbers of the held-out
images under the patch at its end, None if it was not validated then).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils.json_files import read_json

HISTORY = 'history.json'
# Of the held-out images. No choice is made by them; they show convergence. The
# calibrated delta of so few images is extreme: recall at 0.5 shows more.
HELD_OUT_RECALL = 'all/recall@0.5'
HELD_OUT_NUMBERS = (
    HELD_OUT_RECALL,
    'all/precision@0.99',
    'all/recall@0.99',
    'all/on_patch@0.99',
    'all/precision@calibrated',
    'all/recall@calibrated',
    'all/on_patch@calibrated',
    'all/AP',
    'all/AF0.5',
    'calibrated_delta',
    'num_images',
)


def load_attack_history(folder: str | Path) -> dict[str, Any]:
    """Read the history of an attack.

    Args:
        folder (str | Path): Its work dir.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged.
    """
    path = Path(folder) / HISTORY
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist: the attack was made without AttackHistoryHook '
            'among its custom_hooks'
        )
    try:
        history = read_json(path)
        history['epochs'][0]['objective']
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f'{path} is no history of an attack: {error}') from error
    return history


def summarise_history(history: Mapping[str, Any]) -> dict[str, Any]:
    """Budget and software of an attack, for manifests.

    Args:
        history (Mapping[str, Any]): Of :func:`load_attack_history`.

    Returns:
        dict[str, Any]: ``seed``, ``epochs``, ``steps``, ``empty_steps``,
        ``batch_size``, ``processes``, ``seconds``, ``device`` and ``versions``.
    """
    epochs = history['epochs']
    return dict(
        seed=history['seed'],
        epochs=len(epochs),
        steps=sum(epoch['steps'] for epoch in epochs),
        empty_steps=sum(epoch['empty_steps'] for epoch in epochs),
        batch_size=history['batch_size'],
        processes=history['processes'],
        seconds=round(sum(epoch['seconds'] for epoch in epochs), 1),
        device=history['device'],
        versions=history['versions'],
    )
