"""Where the operators come from, and what happens to those that are missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import mmcv
import pytest

from mmdet_facepatch import ops
from mmdet_facepatch.ops import backend
from mmdet_facepatch.ops.extension import OperatorModule
from mmdet_facepatch.utils.provenance import software_versions


@pytest.fixture
def unchosen(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As before the package is imported; what was there comes back after."""
    monkeypatch.setattr(backend, '_chosen', None)
    monkeypatch.delitem(sys.modules, 'mmcv._ext', raising=False)
    if hasattr(mmcv, '_ext'):
        monkeypatch.setattr(mmcv, '_ext', mmcv._ext)
    return monkeypatch


def test_missing_operator_says_how_to_get_it():
    module = OperatorModule('mmcv._ext')
    with pytest.raises(ops.MissingOperatorError) as error:
        module.roi_pool_forward(1, a=2)
    text = str(error.value)
    assert 'mmdet_facepatch has no roi_pool_forward' in text
    assert 'MMCV_WITH_OPS=1 python -m pip install --no-build-isolation' in text
    # hasattr() and pickle ask for these.
    with pytest.raises(AttributeError, match='__wrapped__'):
        module.__wrapped__  # noqa: B018


def test_compiled_operators_are_left_alone(unchosen, tmp_path):
    (tmp_path / '_ext.py').write_text('')
    unchosen.setattr(mmcv, '__path__', [str(tmp_path)])
    assert ops.provide_operators().name == 'compiled'
    assert 'mmcv._ext' not in sys.modules


def test_missing_operators_are_provided_once(unchosen, tmp_path):
    unchosen.setattr(mmcv, '__path__', [str(tmp_path)])
    unchosen.setattr(backend, 'find_torchvision', lambda: (None, 'it is not there'))
    found = ops.provide_operators()
    assert found.name == 'torch'
    assert found.reason == (
        f'mmcv {mmcv.__version__} has no compiled operators, it is not there'
    )
    module = sys.modules['mmcv._ext']
    assert isinstance(module, OperatorModule)
    assert importlib.util.find_spec('mmcv._ext') is not None
    assert ops.provide_operators() is found and sys.modules['mmcv._ext'] is module


def test_torchvision_goes_before_torch(unchosen, tmp_path):
    unchosen.setattr(mmcv, '__path__', [str(tmp_path)])
    torchvision = types.ModuleType('torchvision')
    torchvision.__version__ = '0.99'
    unchosen.setitem(sys.modules, 'torchvision', torchvision)
    unchosen.setattr(backend, 'find_torchvision', lambda: (torchvision, ''))
    assert str(ops.provide_operators()) == 'torchvision 0.99'


def test_torchvision_that_does_not_import(monkeypatch, tmp_path):
    package = tmp_path / 'torchvision'
    package.mkdir()
    (package / '__init__.py').write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    for name in [n for n in sys.modules if n.partition('.')[0] == 'torchvision']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert backend.find_torchvision() == (
        None,
        'torchvision does not import (RuntimeError: operator torchvision::nms '
        'does not exist)',
    )


def test_it_is_logged_once(monkeypatch):
    lines = []
    monkeypatch.setattr(backend, '_logged', False)
    monkeypatch.setattr(backend, 'print_log', lambda text, **more: lines.append(text))
    for _ in range(3):
        ops.log_backend()
    assert len(lines) == 1
    assert lines[0].startswith(
        f'Operators (NMS, RoIAlign, ...): {ops.provide_operators()}'
    )


def test_manifests_say_it():
    assert software_versions()['operators'] == str(ops.provide_operators())


@pytest.mark.slow
def test_import_without_operators_finds_all_of_mmdet(tmp_path: Path):
    """With compiled ones out of sight, in a process of its own."""
    code = (
        'import sys, importlib.machinery as m\n'
        'find = m.PathFinder.find_spec\n'
        'm.PathFinder.find_spec = classmethod(lambda cls, name, path=None, target=None:'
        ' None if name in ("mmcv._ext", "torchvision") else find(name, path, target))\n'
        'import mmdet_facepatch\n'
        'from mmdet.utils import register_all_modules\n'
        'register_all_modules()\n'
        'print(mmdet_facepatch.ops.provide_operators().name)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == 'torch'
