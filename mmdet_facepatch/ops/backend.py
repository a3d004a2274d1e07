"""Which library the operators of mmcv come from."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from types import ModuleType

from mmengine.logging import print_log

from ..stack import compile_commands

#: mmcv's module of compiled operators.
EXTENSION = 'mmcv._ext'


@dataclass(frozen=True)
class Backend:
    """Where the operators come from.

    Attributes:
        name (str): ``compiled``, ``torchvision`` or ``torch``.
        version (str): Version of mmcv, torchvision or torch.
        reason (str): Why it is not one that goes before it; '' for ``compiled``.
    """

    name: str
    version: str
    reason: str = ''

    def __str__(self) -> str:
        label = 'compiled mmcv' if self.name == 'compiled' else self.name
        return f'{label} {self.version}'


class MissingOperatorError(NotImplementedError):
    """An operator of mmcv that needs the compiled mmcv was called.

    Args:
        operator (str): Its name in ``mmcv._ext``.
    """

    def __init__(self, operator: str) -> None:
        super().__init__(
            'mmcv is installed without its compiled operators, and mmdet_facepatch has '
            f'no {operator}. To get them all, run: {" && ".join(compile_commands())}'
        )


_chosen: Backend | None = None
_logged = False


def find_torchvision() -> tuple[ModuleType | None, str]:
    """torchvision, if it and its operators can be imported.

    Returns:
        tuple[ModuleType | None, str]: The module ``torchvision.ops``, or None and why.
    """
    if importlib.util.find_spec('torchvision') is None:
        return None, 'torchvision is not installed'
    try:
        operators = importlib.import_module('torchvision.ops')
        importlib.import_module('torchvision').extension._assert_has_ops()
    # Built for another torch it fails in many ways: missing symbols or libraries,
    # operators that are unknown, a circular import. The reason is logged.
    except Exception as error:
        first = (str(error).strip().splitlines() or [''])[0]
        return None, f'torchvision does not import ({type(error).__name__}: {first})'
    if not _reaches_gpu():
        return None, 'torchvision has no CUDA operators'
    return operators, ''


def _reaches_gpu() -> bool:
    """Whether torchvision's operators run where detectors will."""
    import torch

    return not torch.cuda.is_available() or (
        torch._C._dispatch_has_kernel_for_dispatch_key('torchvision::nms', 'CUDA')
    )


def provide_operators() -> Backend:
    """Let ``mmcv.ops`` import and work without mmcv's compiled operators.

    The operators come from the compiled mmcv if it is there, else from torchvision,
    else from this package. Only where ``mmcv._ext`` is missing a module of this name
    is put in its place; one that is there, but does not import, is left to mmcv's
    own error. A second call changes nothing.

    Returns:
        Backend: Where they come from.
    """
    global _chosen
    if _chosen is not None:
        return _chosen
    import mmcv

    existing = sys.modules.get(EXTENSION)
    if (earlier := getattr(existing, 'backend', None)) is not None:
        # A stand-in from before this module was reloaded.
        _chosen = earlier
        return earlier
    if existing or PathFinder.find_spec(EXTENSION, mmcv.__path__):
        _chosen = Backend('compiled', mmcv.__version__)
        return _chosen
    import torch

    from .extension import OperatorModule

    reason = f'mmcv {mmcv.__version__} has no compiled operators'
    operators, why_not = find_torchvision()
    if operators is None:
        _chosen = Backend('torch', torch.__version__, f'{reason}, {why_not}')
    else:
        version = importlib.import_module('torchvision').__version__
        _chosen = Backend('torchvision', version, reason)
    module = OperatorModule(EXTENSION, operators, _chosen)
    sys.modules[EXTENSION] = mmcv._ext = module
    return _chosen


def log_backend() -> None:
    """Log once in a process where the operators come from."""
    global _logged
    if _logged:
        return
    _logged = True
    backend = provide_operators()
    reason = f' ({backend.reason})' if backend.reason else ''
    print_log(
        f'Operators (NMS, RoIAlign, ...): {backend}{reason}',
        logger='current',
        level=logging.INFO,
    )
    if backend.name == 'compiled' and _lacks_cuda():
        print_log(
            'mmcv was compiled without CUDA: detectors fail on the GPU. Run: '
            f'{" && ".join(compile_commands())}',
            logger='current',
            level=logging.WARNING,
        )


def _lacks_cuda() -> bool:
    """Whether mmcv was compiled without CUDA on a machine that has it."""
    import torch
    from mmcv.ops import get_compiling_cuda_version

    return torch.cuda.is_available() and get_compiling_cuda_version() == 'not available'
