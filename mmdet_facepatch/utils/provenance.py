"""What a number's manifest says of software, data and paths."""

from __future__ import annotations

import itertools
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import mmcv
import mmdet
import mmengine
import numpy as np
import torch
from torch import nn

from ..ops import provide_operators
from ..version import __version__


def software_versions() -> dict[str, str]:
    """Version by name of what a result may depend on.

    ``operators`` is where NMS, RoIAlign and the like come from.
    """
    return dict(
        python=platform.python_version(),
        numpy=np.__version__,
        opencv=cv2.__version__,
        torch=torch.__version__,
        mmengine=mmengine.__version__,
        mmcv=mmcv.__version__,
        mmdet=mmdet.__version__,
        mmdet_facepatch=__version__,
        operators=str(provide_operators()),
    )


def device_name(model: nn.Module) -> str:
    """Name of the GPU that a model is on, or ``cpu``."""
    device = next(itertools.chain(model.parameters(), model.buffers())).device
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return device.type


def portable(value: Any, root: str | Path) -> Any:
    """The value without what its paths say of this machine.

    Absolute paths below ``root`` become relative to it; those of installed packages
    begin with the package; of others the last part stays.

    Returns:
        Any: A copy of plain data; tuples become lists, as in JSON.
    """
    if isinstance(value, Mapping):
        return {key: portable(item, root) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(item, root) for item in value]
    if isinstance(value, Path) or isinstance(value, str) and value.startswith('/'):
        return _portable_path(str(value), root)
    return value


def _portable_path(path: str, root: str | Path) -> str:
    whole = os.path.normpath(path)
    if not os.path.isabs(whole):
        return whole
    packages = f'{os.sep}site-packages{os.sep}'
    if packages in whole:
        return whole.rpartition(packages)[2]
    base = os.path.abspath(root)
    if os.path.commonpath([base, whole]) == base:
        return os.path.relpath(whole, base)
    return os.path.basename(whole)
