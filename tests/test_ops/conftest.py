"""mmcv's operators, each from all the libraries that are here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import mmcv.ops  # noqa: F401
import pytest

from mmdet_facepatch.ops import provide_operators
from mmdet_facepatch.ops.backend import find_torchvision
from mmdet_facepatch.ops.extension import OperatorModule


@pytest.fixture
def compiled() -> ModuleType:
    """mmcv's compiled operators, or skip."""
    if provide_operators().name != 'compiled':
        pytest.skip('mmcv has no compiled operators here')
    return sys.modules['mmcv._ext']


@pytest.fixture(params=['torch', 'torchvision'])
def operators(request: pytest.FixtureRequest) -> OperatorModule:
    """Our operators, with and without torchvision's."""
    if request.param == 'torch':
        return OperatorModule('mmcv._ext')
    module, reason = find_torchvision()
    if module is None:
        pytest.skip(reason)
    return OperatorModule('mmcv._ext', module)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], None]:
    """Makes mmcv call the operators of a module."""

    def use(module: ModuleType) -> None:
        for name in (
            'nms',
            'roi_align',
            'deform_conv',
            'modulated_deform_conv',
            'focal_loss',
            'multi_scale_deform_attn',
        ):
            monkeypatch.setattr(sys.modules[f'mmcv.ops.{name}'], 'ext_module', module)

    return use
