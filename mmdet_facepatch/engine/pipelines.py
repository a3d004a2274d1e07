"""How an evaluation shows images to a detector: as deployed, or at several scales."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from ..attack.detector_config import dataset_leaves, read_detector_config

# What evaluation and pictures need of an image, beside what detectors do.
META_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'instances',
    'patch_boxes',
)
# mmdet's of an image that is not packed for evaluation.
_PACKED = (*META_KEYS, 'flip', 'flip_direction')
_LOADERS = ('LoadImageFromFile', 'LoadImageFromNDArray', 'LoadIntactImage')
# Merges the detections of all scales.
MERGE = dict(nms=dict(type='nms', iou_threshold=0.3))


def _name(step: Mapping[str, Any]) -> str:
    """Type of a step without its scope."""
    return str(step['type']).rsplit('.', maxsplit=1)[-1]


def deployed_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """A detector's own test pipeline, with the patch pasted on what it loads.

    Args:
        cfg (Config): Config of the detector.

    Returns:
        list[dict[str, Any]]: Its steps; annotations are not loaded, as evaluation reads
        them from the data set.

    Raises:
        ValueError: If the config has no test pipeline, or it loads no image or packs
            nothing.
    """
    steps = None
    for key in ('test_dataloader', 'val_dataloader'):
        if cfg.get(key):
            steps = dataset_leaves(cfg[key].dataset)[0].get('pipeline')
            break
    steps = steps or cfg.get('test_pipeline')
    if not steps:
        raise ValueError(
            f'{cfg.filename} has no test_dataloader.dataset.pipeline: give the '
            'detector its test pipeline there, or ask for a pyramid, as --pyramid 1'
        )
    found = [
        dict(copy.deepcopy(step)) for step in steps if _name(step) != 'LoadAnnotations'
    ]
    if _name(found[0]) not in _LOADERS or _name(found[-1]) != 'PackDetInputs':
        raise ValueError(
            f'{cfg.filename}: the test pipeline must begin with LoadImageFromFile and '
            f'end with PackDetInputs, but begins with {found[0]["type"]} and ends with '
            f'{found[-1]["type"]}'
        )
    # The same pixels, and an error for a file that breaks off.
    found[0]['type'] = 'LoadIntactImage'
    own = found[-1].get('meta_keys') or ()
    found[-1]['meta_keys'] = tuple(dict.fromkeys((*own, *_PACKED)))
    return [found[0], dict(type='PastePatch'), *found[1:]]


def pyramid_pipeline(scales: Sequence[float]) -> list[dict[str, Any]]:
    """Each image at several scales, with the patch pasted before.

    Args:
        scales (Sequence[float]): Factors on width and height.
    """
    resizes = [
        dict(type='Resize', scale_factor=float(scale), keep_ratio=True)
        for scale in scales
    ]
    pack = [dict(type='PackDetInputs', meta_keys=META_KEYS)]
    return [
        dict(type='LoadIntactImage'),
        dict(type='PastePatch'),
        dict(type='TestTimeAug', transforms=[resizes, pack]),
    ]


def complete_pipelines(cfg: Config, detector: Config | None = None) -> None:
    """Give the evaluation data sets of an attack the pipelines that they lack.

    That is the test pipeline of the detector, so that it is measured as it is deployed.
    Where the config has ``pyramid``, scales or ``dict(scales=..., nms=...)``, it is an
    image pyramid, whose detections NMS merges (:class:`PyramidTTA`); validation takes
    scale 1 then, and the key is removed: the config that is left can be run as it
    is. A data set that has a pipeline keeps it.

    Args:
        cfg (Config): Of an attack, with ``model.detector``; changed in place.
        detector (Config, optional): Config of the (first) detector. Defaults to None,
            that of ``model.detector``.

    Raises:
        ValueError: If the detector has no test pipeline that can be used, or
            ``pyramid`` is no list of scales, or a data set with a pipeline is asked for
            a pyramid.
    """
    pyramid = _read_pyramid(cfg)
    if pyramid is not None:
        cfg.model.tta_model = dict(type='PyramidTTA', tta_cfg=dict(nms=pyramid['nms']))
    for key in ('val_dataloader', 'test_dataloader'):
        for leaf in dataset_leaves(cfg[key].dataset) if cfg.get(key) else ():
            if leaf.get('pipeline'):
                if pyramid is not None:
                    raise ValueError(
                        f'pyramid: {key}.dataset has a pipeline of its own; leave one '
                        'of the two out'
                    )
            elif pyramid is not None:
                scales = pyramid['scales'] if key == 'test_dataloader' else (1.0,)
                leaf['pipeline'] = pyramid_pipeline(scales)
            else:
                leaf['pipeline'] = deployed_pipeline(detector or _detector_config(cfg))
    cfg.pop('pyramid', None)


def _read_pyramid(cfg: Config) -> dict[str, Any] | None:
    given = cfg.get('pyramid')
    if given is None:
        return None
    options = dict(given) if isinstance(given, Mapping) else dict(scales=given)
    scales = options.get('scales')
    if (
        set(options) - {'scales', 'nms'}
        or not isinstance(scales, (list, tuple))
        or not scales
        or not all(isinstance(scale, (int, float)) and scale > 0 for scale in scales)
    ):
        raise ValueError(
            f'pyramid is {given!r}, but must be positive scales as (0.5, 1, 2), or '
            'dict(scales=..., nms=dict(type=..., iou_threshold=...))'
        )
    return dict(scales=scales, nms=dict(options.get('nms') or MERGE['nms']))


def _detector_config(cfg: Config) -> Config:
    """Config of the first detector of an attack."""
    found = cfg.model.detector
    first = found[0] if isinstance(found, (list, tuple)) else found
    return read_detector_config(first['config'])
