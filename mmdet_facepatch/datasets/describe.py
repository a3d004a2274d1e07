"""What a data set holds: its size, its faces, its digest."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope

# Of more events than these, a description gives the number only.
MOST_EVENTS = 4


def build_dataset(dataset: dict) -> Any:
    """A data set without its pipeline, for what is known before images are read.

    Args:
        dataset (dict): mmdet config of the data set.
    """
    with DefaultScope.overwrite_default_scope('mmdet'):
        # Not serialised: mmengine collects garbage for it, which takes a second.
        changes = dict(pipeline=[], serialize_data=False)
        return DATASETS.build({**copy.deepcopy(dict(dataset)), **changes})


def data_digest(dataset: dict) -> str:
    """SHA-256 of what a data set holds: images by name and size, and faces.

    Args:
        dataset (dict): mmdet config of the data set.

    Returns:
        str: 64 hexadecimal digits. The pipeline does not count; it stands in the
        config.
    """
    built = build_dataset(dataset)
    digest = hashlib.sha256()
    for index in range(len(built)):
        info = built.get_data_info(index)
        faces = [[float(v) for v in face['bbox']] for face in info['instances']]
        # An image that no file holds counts by its pixels.
        size: int | str
        if 'img' in info:
            size = hashlib.sha256(info['img'].tobytes()).hexdigest()
        else:
            size = Path(info['img_path']).stat().st_size
        digest.update(json.dumps([str(info['img_id']), size, faces]).encode())
    return digest.hexdigest()


def describe_data(dataset: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a data set holds, in numbers.

    Args:
        dataset (Mapping[str, Any]): mmdet config of the data set; of one that wraps
            another, that.

    Returns:
        dict[str, Any], optional: ``images``, ``faces``, ``events`` (of WIDER FACE;
        their names, or None where there are more than four), ``num_events``, ``type``
        and ``annotation``; None if its files are not on this machine.
    """
    inner = dict(dataset)
    while 'dataset' in inner:
        inner = dict(inner['dataset'])
    try:
        built = build_dataset(inner)
    except FileNotFoundError:
        return None
    infos: Sequence[dict] = [built.get_data_info(i) for i in range(len(built))]
    events = sorted(
        {
            str(info['img_id']).partition('/')[0]
            for info in infos
            if '/' in str(info['img_id'])
        }
    )
    return dict(
        type=inner['type'],
        annotation=Path(inner.get('ann_file', '')).name or None,
        images=len(infos),
        faces=sum(len(info['instances']) for info in infos),
        num_events=len(events),
        events=events if len(events) <= MOST_EVENTS else None,
    )
