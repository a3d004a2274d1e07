"""The stack check against fake installations."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import packaging
import pytest
from mmengine.config import Config

from mmdet_facepatch import stack

STACK_FILE = Path(stack.__file__)

# Runs the check in an interpreter that sees the fake packages and nothing else.
PROBE = """
import importlib.util, sys
sys.path.insert(0, {site!r})
spec = importlib.util.spec_from_file_location('stack', {file!r})
stack = importlib.util.module_from_spec(spec)
sys.modules['stack'] = stack
spec.loader.exec_module(stack)
try:
    stack.check_stack()
    print('fits')
    stack.import_parts('torch', 'mmengine', 'mmcv', 'mmcv.ops', 'mmdet')
except ImportError as error:
    print(type(error).__name__)
    print(error)
print('imported', *sorted({{'torch', 'mmcv', 'mmdet', 'mmengine'}} & set(sys.modules)))
"""


class FakeSite:
    """A folder of fake packages with real metadata."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / 'packaging').symlink_to(Path(packaging.__file__).parent)

    def add(
        self,
        name: str,
        *distributions: str,
        init: str = '',
        ops: str = '',
    ) -> FakeSite:
        """Adds a package provided by distributions written as 'name==version'."""
        package = self.folder / name
        (package / 'ops').mkdir(parents=True)
        (package / '__init__.py').write_text(init)
        (package / 'ops' / '__init__.py').write_text(ops)
        for distribution in distributions:
            project, version = distribution.split('==')
            info = self.folder / f'{project.replace("-", "_")}-{version}.dist-info'
            info.mkdir()
            (info / 'METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n'
            )
        return self

    def check(self) -> list[str]:
        """Lines that the check prints on this site."""
        code = PROBE.format(site=str(self.folder), file=str(STACK_FILE))
        env = {k: v for k, v in os.environ.items() if not k.startswith('PYTHON')}
        done = subprocess.run(
            # -S: no site-packages, so that the real stack is out of sight.
            [sys.executable, '-S', '-c', code],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def site(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


def original_stack(
    site: FakeSite, mmcv: str = 'mmcv-lite==2.1.0', **mmdet: str
) -> FakeSite:
    site.add('torch', 'torch==2.13.0+cpu').add('mmengine', 'mmengine==0.10.7')
    return site.add('mmcv', mmcv).add('mmdet', 'mmdet==3.3.0', **mmdet)


def forked_stack(site: FakeSite, **mmcv: str) -> FakeSite:
    site.add('torch', 'torch==2.13.0').add('mmengine', 'onedl-mmengine==0.10.12')
    site.add('mmcv', 'onedl-mmcv==2.3.6', **mmcv)
    return site.add('mmdet', 'onedl-mmdetection==3.5.1')


FIX = 'To fix this, run:'
CANNOT = 'mmdet_facepatch cannot run on what is installed here:'


@pytest.mark.parametrize('build', [original_stack, forked_stack])
def test_both_stacks_fit(site: FakeSite, build: Callable[[FakeSite], FakeSite]) -> None:
    assert build(site).check() == ['fits', 'imported mmcv mmdet mmengine torch']


def test_nothing_installed_names_everything_at_once(site: FakeSite) -> None:
    assert site.check() == [
        'StackError',
        CANNOT,
        '  - torch is not installed.',
        '  - mmengine is not installed.',
        '  - mmcv is not installed.',
        '  - mmdet is not installed.',
        FIX,
        '  python -m pip install torch==2.13.0 onedl-mmengine==0.10.12 '
        'onedl-mmcv==2.3.6 onedl-mmdetection==3.5.1',
        'imported',
    ]


def test_missing_part_is_of_the_family_that_is_there(site: FakeSite) -> None:
    site.add('torch', 'torch==2.1.0').add('mmengine', 'mmengine==0.10.7')
    site.add('mmdet', 'mmdet==3.3.0')
    assert site.check() == [
        'StackError',
        CANNOT,
        '  - mmcv is not installed.',
        FIX,
        '  python -m pip install mmcv-lite==2.1.0',
        'imported',
    ]


def test_version_that_mmdet_refuses(site: FakeSite) -> None:
    """mmdet 3.3 asserts mmcv < 2.2 when it is imported."""
    refusal = "raise AssertionError('MMCV==2.2.0 is used but incompatible.')"
    printed = original_stack(site, 'mmcv==2.2.0', init=refusal).check()
    assert printed == [
        'fits',
        'StackError',
        CANNOT,
        '  - mmdet 3.3.0 is installed, but importing mmdet fails with AssertionError: '
        'MMCV==2.2.0 is used but incompatible.',
        FIX,
        '  python -m pip uninstall -y mmcv',
        '  python -m pip install mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0',
        'imported mmcv mmengine torch',
    ]


@pytest.mark.parametrize(
    ('name', 'distribution', 'needed'),
    [
        ('torch', 'torch==1.13.1', '>=2.0,<3'),
        ('mmengine', 'mmengine==0.7.4', '>=0.10,<1'),
        ('mmcv', 'mmcv==2.0.1', '>=2.1,<3'),
        ('mmdet', 'mmdet==2.28.2', '>=3.3,<4'),
        ('mmdet', 'mmdet==3.2.0', '>=3.3,<4'),
    ],
)
def test_version_that_does_not_fit(
    site: FakeSite, name: str, distribution: str, needed: str
) -> None:
    packages = {
        'torch': 'torch==2.13.0',
        'mmengine': 'mmengine==0.10.7',
        'mmcv': 'mmcv-lite==2.1.0',
        'mmdet': 'mmdet==3.3.0',
        name: distribution,
    }
    for package, installed in packages.items():
        site.add(package, installed)
    label = distribution.replace('==', ' ')
    printed = site.check()
    assert f'  - {label} is installed, but {name} {needed} is needed.' in printed
    assert printed[-1] == 'imported', 'a heavy import came before the verdict'


def test_two_distributions_of_one_module(site: FakeSite) -> None:
    site.add('torch', 'torch==2.13.0')
    site.add('mmengine', 'mmengine==0.10.7', 'onedl-mmengine==0.10.12')
    site.add('mmcv', 'onedl-mmcv==2.3.6').add('mmdet', 'onedl-mmdetection==3.5.1')
    assert site.check() == [
        'StackError',
        CANNOT,
        '  - mmengine and onedl-mmengine are both installed and overwrite each '
        "other's files, since both provide 'mmengine'.",
        FIX,
        '  python -m pip uninstall -y mmengine onedl-mmengine',
        '  python -m pip install onedl-mmengine==0.10.12',
        'imported',
    ]


def test_operators_compiled_for_another_torch(site: FakeSite) -> None:
    broken = "raise ImportError('_ext.so: undefined symbol: _ZN3c106detail')"
    printed = forked_stack(site, ops=broken).check()
    assert (
        '  - onedl-mmcv 2.3.6 is installed, but importing mmcv.ops fails with '
        'ImportError: _ext.so: undefined symbol: _ZN3c106detail'
    ) in printed
    assert printed[-3:-1] == [
        "  python -m pip install 'setuptools<81' wheel ninja numpy",
        '  MMCV_WITH_OPS=1 python -m pip install --no-build-isolation --no-cache-dir '
        '--force-reinstall --no-deps onedl-mmcv==2.3.6',
    ]


@pytest.mark.parametrize(
    ('source', 'command'),
    [
        ('import yaml', '  python -m pip install pyyaml'),
        (
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            '  python -m pip install --force-reinstall opencv-python-headless',
        ),
        (
            "raise AttributeError('np.float')",
            '  python -m pip install onedl-mmcv==2.3.6',
        ),
    ],
)
def test_mmcv_that_does_not_import(site: FakeSite, source: str, command: str) -> None:
    printed = forked_stack(site, init=source).check()
    start = '  - onedl-mmcv 2.3.6 is installed, but importing mmcv fails with'
    assert any(line.startswith(start) for line in printed)
    assert command in printed


def test_the_real_stack_fits() -> None:
    stack.check_stack()
    assert all(stack.find_part(name).found for name in stack.DISTRIBUTIONS)


def test_configs_can_be_inherited_by_package_name(tmp_path: Path) -> None:
    if not (STACK_FILE.parent / '.mim').is_dir():
        pytest.skip('the package is not installed (pip install -e .)')
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'mmdet_facepatch::attack/../sln_r18_widerface.py'\n")
    assert Config.fromfile(config).model.type == 'SLN'


def test_what_importing_prints(tmp_path, monkeypatch, capsys):
    """All of it, but for what onedl-mmdetection prints of its data sets."""
    lines = ['one', 'Could not import OneDL. Skipping OneDL datasets.', 'two']
    (tmp_path / 'chatty_part.py').write_text(
        ''.join(f'print({line!r})\n' for line in lines)
    )
    monkeypatch.syspath_prepend(tmp_path)
    stack.import_parts('chatty_part')
    assert capsys.readouterr().out == 'one\ntwo\n'
