"""Digests of what a job depends on: contents, files, data, detectors."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope

from ..attack import build_frozen_detector, detector_digest
from ..weights import SafeCheckpointLoader


def content_digest(content: Any) -> str:
    """12 hexadecimal digits of what a job depends on, as canonical JSON."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def build_dataset(dataset: dict) -> Any:
    """A data set without its pipeline, for what is known before images are read.

    Args:
        dataset: mmdet config of the data set.
    """
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build(dict(copy.deepcopy(dict(dataset)), pipeline=[]))


def data_digest(dataset: dict) -> str:
    """SHA-256 of what a data set holds: images by name and size, and faces.

    Args:
        dataset: mmdet config of the data set.

    Returns:
        64 hexadecimal digits. The pipeline does not count; it stands in the
        config.
    """
    built = build_dataset(dataset)
    digest = hashlib.sha256()
    for index in range(len(built)):
        info = built.get_data_info(index)
        faces = [[float(v) for v in face['bbox']] for face in info['instances']]
        size = Path(info['img_path']).stat().st_size
        digest.update(json.dumps([str(info['img_id']), size, faces]).encode())
    return digest.hexdigest()


def detector_file_digest(checkpoint: str) -> str:
    """SHA-256 of a checkpoint, also of one that is named by a scheme or URL."""
    if Path(checkpoint).is_file():
        return file_digest(checkpoint)
    state = SafeCheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    state = state.get('state_dict', state)
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().numpy().tobytes())
    return digest.hexdigest()


def black_box_digest(config: str) -> str:
    """SHA-256 of the weights that a black box brings.

    Args:
        config: Path of its config.

    Raises:
        ImportError: If the package with the weights is not installed.
    """
    return detector_digest(build_frozen_detector(config))


def by_content(value: Any) -> Any:
    """Files, such as patches and photographs, by their digest, not their path."""
    if isinstance(value, dict):
        return {key: file_digest(item) if key == 'path' and Path(item).is_file()
                else by_content(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [by_content(item) for item in value]
    return value
