"""What a detector's config says of it: model, data and classes."""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

# How many configs of nearly the same name an error lists.
_NEAR = 3


def read_detector_config(config: str) -> Config:
    """Read the config of a detector.

    Args:
        config (str): Path, or ``PACKAGE::PATH`` of a config that an installed package
            brings, as ``mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py``.

    Returns:
        Config: With ``model``.

    Raises:
        FileNotFoundError: If there is no such config or package; names those with
            nearly this name.
        ValueError: If it has no model.
    """
    package, separator, inside = config.rpartition('::')
    root = _config_folder(package) if separator else Path(config).parent
    path = root / inside if separator else Path(config)
    if not path.is_file():
        files = root.rglob('*.py') if separator else root.glob('*.py')
        known = [file.relative_to(root).as_posix() for file in files]
        name = path.relative_to(root).as_posix()
        near = difflib.get_close_matches(name, known, _NEAR)
        named = [f'{package}::{x}' if separator else f'{root / x}' for x in near]
        hint = f'did you mean {" or ".join(named)}?'
        raise FileNotFoundError(
            f'detector config {config} does not exist; '
            + (hint if near else 'give the path of an mmdet config, or mmdet::PATH')
        )
    cfg = Config.fromfile(str(path))
    if 'model' not in cfg:
        raise ValueError(f'detector config {config} has no model')
    return cfg


def _config_folder(package: str) -> Path:
    """Folder of the configs that a package brings, as MMEngine finds them."""
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    for location in found.submodule_search_locations or () if found else ():
        folder = Path(location) / '.mim' / 'configs'
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f'there are no configs of a package {package!r}; PACKAGE::PATH names one of an '
        'installed package, as mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
    )


def dataset_leaves(dataset: Any) -> list[Any]:
    """Configs of the data sets inside wrappers, as ``RepeatDataset``.

    Args:
        dataset (dict): Config of a data set; it may be one itself.

    Returns:
        list[dict]: The same objects, so that changes of them change ``dataset``.
    """
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner == [None]:
        return [dataset]
    return [leaf for part in inner for leaf in dataset_leaves(part)]


def configured_classes(cfg: Config) -> tuple[str, ...] | None:
    """Names of the classes of a config's data set, which its detector learns.

    Args:
        cfg (Config): Config of a detector.

    Returns:
        tuple[str, ...], optional: None if neither ``metainfo`` nor the type of the data
        set says them.
    """
    for key in ('train_dataloader', 'test_dataloader', 'val_dataloader'):
        loader = cfg.get(key)
        if not loader:
            continue
        leaf = dataset_leaves(loader.dataset)[0]
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
            kind = DATASETS.get(leaf['type'])
        classes = (leaf.get('metainfo') or {}).get('classes') or (
            getattr(kind, 'METAINFO', {}).get('classes')
        )
        if isinstance(classes, (list, tuple)):
            return tuple(classes)
    return None


def num_classes(detector: nn.Module) -> int:
    """Number of classes of a detector's heads; 1 for a detector without any."""
    heads = [getattr(detector, name, None) for name in ('roi_head', 'bbox_head')]
    found = [
        getattr(module, 'num_classes', 1)
        for head in heads
        if isinstance(head, nn.Module)
        for module in head.modules()
    ]
    return max(found, default=1)


def class_names(detector: nn.Module) -> tuple[str, ...] | None:
    """Names of a detector's classes; None where ``dataset_meta`` does not say them."""
    meta: Any = getattr(detector, 'dataset_meta', None) or {}
    # Checkpoints of mmdet 2 have them in capitals.
    names = meta.get('classes') or meta.get('CLASSES')
    return (names,) if isinstance(names, str) else names and tuple(names)
