"""The stack check against fake installations, and the checkpoint allow-list."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import packaging
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

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
except ImportError as error:
    print(type(error).__name__)
    print(error)
else:
    print('fits')
print('imported', *sorted({{'torch', 'mmcv', 'mmdet', 'mmengine'}} & set(sys.modules)))
"""

MMDET_BOUNDS = """
mmcv_minimum_version = '2.0.0rc4'
mmcv_maximum_version = '2.2.0'
mmengine_minimum_version = '0.7.1'
mmengine_maximum_version = '1.0.0'
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
        files: dict[str, str] | None = None,
    ) -> FakeSite:
        """Adds a package provided by distributions written as 'name==version'."""
        package = self.folder / name
        package.mkdir()
        (package / '__init__.py').write_text(init)
        for path, text in (files or {}).items():
            (package / path).parent.mkdir(exist_ok=True)
            (package / path).write_text(text)
        for distribution in distributions:
            project, version = distribution.split('==')
            info = self.folder / f'{project.replace("-", "_")}-{version}.dist-info'
            info.mkdir()
            (info / 'METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n'
            )
        return self

    def check(self) -> str:
        """What the check prints on this site."""
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
        return done.stdout


OPS = {'_ext.py': '', 'ops/__init__.py': 'def nms(): pass\n'}


@pytest.fixture
def site(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path)


def original_stack(
    site: FakeSite, mmcv: str = 'mmcv==2.1.0', ops: dict[str, str] | None = None
) -> FakeSite:
    site.add('torch', 'torch==2.13.0+cpu').add('mmengine', 'mmengine==0.10.7')
    site.add('mmcv', mmcv, files=OPS if ops is None else ops)
    return site.add('mmdet', 'mmdet==3.3.0', init=MMDET_BOUNDS)


def forked_stack(
    site: FakeSite,
    mmcv: str = 'onedl-mmcv==2.3.6',
    ops: dict[str, str] | None = None,
    mmcv_init: str = '',
) -> FakeSite:
    site.add('torch', 'torch==2.13.0').add('mmengine', 'onedl-mmengine==0.10.12')
    site.add('mmcv', mmcv, init=mmcv_init, files=OPS if ops is None else ops)
    return site.add('mmdet', 'onedl-mmdetection==3.5.1')


@pytest.mark.parametrize('build', [original_stack, forked_stack])
def test_both_stacks_fit(site: FakeSite, build: Callable[[FakeSite], FakeSite]) -> None:
    assert build(site).check() == 'fits\nimported mmcv mmdet mmengine torch\n'


def test_nothing_installed_names_everything_at_once(site: FakeSite) -> None:
    assert site.check().splitlines() == [
        'StackError',
        'mmdet_facepatch cannot run on what is installed here:',
        '  - torch is not installed.',
        '  - mmengine is not installed.',
        '  - mmcv is not installed.',
        '  - mmdet is not installed.',
        'To mend it, run:',
        '  python -m pip install torch==2.13.0',
        '  python -m pip install onedl-mmengine==0.10.12',
        "  python -m pip install 'setuptools<81' wheel ninja numpy",
        '  MMCV_WITH_OPS=1 python -m pip install --no-build-isolation '
        'onedl-mmcv==2.3.6',
        '  python -m pip install --no-build-isolation onedl-mmdetection==3.5.1',
        'imported',
    ]


def test_missing_mmdet_is_taken_from_the_family_of_mmcv(site: FakeSite) -> None:
    site.add('torch', 'torch==2.1.0').add('mmengine', 'mmengine==0.10.7')
    site.add('mmcv', 'mmcv==2.1.0', files=OPS)
    printed = site.check()
    assert '  - mmdet is not installed.\n' in printed
    assert '  python -m pip install mmdet==3.3.0\nimported\n' in printed


def test_newest_mmcv_is_too_new_for_the_original_mmdet(site: FakeSite) -> None:
    printed = original_stack(site, 'mmcv==2.2.0').check()
    assert (
        '  - mmcv 2.2.0 is installed, but mmcv '
        '>=2.1,<2.2.0 is needed (mmdet 3.3.0 asks for it).\n' in printed
    )
    assert '--no-build-isolation mmcv==2.1.0\n' in printed
    assert printed.endswith('imported\n'), 'a heavy import came before the verdict'


def test_bound_of_a_patched_mmdet_is_respected(site: FakeSite) -> None:
    site.add('torch', 'torch==2.3.0').add('mmengine', 'mmengine==0.10.7')
    site.add('mmcv', 'mmcv==2.2.0', files=OPS)
    site.add('mmdet', 'mmdet==3.3.0', init=MMDET_BOUNDS.replace('2.2.0', '2.3.0'))
    assert site.check().startswith('fits\n')


def test_original_mmdet_on_the_fork_of_mmcv(site: FakeSite) -> None:
    site.add('torch', 'torch==2.13.0').add('mmengine', 'onedl-mmengine==0.10.12')
    site.add('mmcv', 'onedl-mmcv==2.3.6', files=OPS)
    site.add('mmdet', 'mmdet==3.3.0', init=MMDET_BOUNDS)
    assert 'onedl-mmcv 2.3.6 is installed, but mmcv ' in site.check()


def test_bounds_are_the_narrower_of_ours_and_those_of_mmdet(tmp_path: Path) -> None:
    (tmp_path / '__init__.py').write_text(MMDET_BOUNDS)
    accepted = stack.accepted_versions(stack.Part('mmdet', tmp_path))
    assert accepted['mmcv'] == ('2.1', '2.2.0')
    assert accepted['mmengine'] == ('0.10', '1')


@pytest.mark.parametrize(
    ('name', 'distribution', 'needed'),
    [
        ('torch', 'torch==1.13.1', '>=2.0,<3'),
        ('mmengine', 'mmengine==0.7.4', '>=0.10,<1'),
        ('mmdet', 'mmdet==2.28.2', '>=3.3,<4'),
        ('mmdet', 'mmdet==3.2.0', '>=3.3,<4'),
    ],
)
def test_unfit_version(
    site: FakeSite, name: str, distribution: str, needed: str
) -> None:
    packages = {
        'torch': 'torch==2.13.0',
        'mmengine': 'mmengine==0.10.7',
        'mmcv': 'mmcv==2.1.0',
        'mmdet': 'mmdet==3.3.0',
        name: distribution,
    }
    for package, installed in packages.items():
        site.add(package, installed, files=OPS if package == 'mmcv' else None)
    label = distribution.replace('==', ' ')
    assert f'  - {label} is installed, but {name} {needed} is needed.\n' in site.check()


def test_source_checkout_without_metadata_is_read(site: FakeSite) -> None:
    site.add('torch', 'torch==2.13.0').add('mmengine', 'mmengine==0.10.7')
    site.add('mmcv', 'mmcv==2.1.0', files=OPS)
    site.add('mmdet', files={'version.py': "__version__ = '3.1.0'\n"})
    assert '  - mmdet 3.1.0 is installed, but mmdet >=3.3,<4 is' in site.check()


def test_two_distributions_of_one_module(site: FakeSite) -> None:
    site.add('torch', 'torch==2.13.0')
    site.add('mmengine', 'mmengine==0.10.7', 'onedl-mmengine==0.10.12')
    site.add('mmcv', 'onedl-mmcv==2.3.6', files=OPS)
    site.add('mmdet', 'onedl-mmdetection==3.5.1')
    printed = site.check()
    assert (
        '  - mmengine and onedl-mmengine are both installed and overwrite each '
        "other's files, since both provide 'mmengine'.\n" in printed
    )
    assert (
        '  python -m pip uninstall -y mmengine onedl-mmengine\n'
        '  python -m pip install onedl-mmengine==0.10.12\n' in printed
    )


def test_mmcv_without_operators(site: FakeSite) -> None:
    printed = forked_stack(site, ops={'ops/__init__.py': ''}).check()
    assert (
        '  - onedl-mmcv 2.3.6 is installed without its compiled operators (no '
        f'mmcv._ext in {site.folder / "mmcv"}), so mmcv.ops.nms cannot be used.\n'
        in printed
    )
    assert (
        '  MMCV_WITH_OPS=1 python -m pip install --no-build-isolation '
        '--no-cache-dir --force-reinstall --no-deps onedl-mmcv==2.3.6\n' in printed
    )
    assert printed.endswith('imported\n')


def test_mmcv_lite_gives_way_to_mmcv(site: FakeSite) -> None:
    printed = original_stack(site, 'mmcv-lite==2.1.0', ops={}).check()
    assert '  - mmcv-lite 2.1.0 is installed without its compiled oper' in printed
    assert '  python -m pip uninstall -y mmcv-lite\n' in printed
    assert '--force-reinstall --no-deps mmcv==2.1.0\n' in printed


def test_operators_of_another_torch(site: FakeSite) -> None:
    broken = "raise ImportError('_ext.so: undefined symbol: _ZN3c106detail')\n"
    printed = forked_stack(site, ops={'_ext.py': '', 'ops/__init__.py': broken}).check()
    assert (
        'importing mmcv.ops fails with ImportError: _ext.so: undefined symbol: '
        '_ZN3c106detail Its operators were compiled for another' in printed
    )
    assert '--no-cache-dir --force-reinstall --no-deps onedl-mmcv==2.3.6\n' in printed


@pytest.mark.parametrize(
    ('source', 'command'),
    [
        ('import yaml', '  python -m pip install pyyaml\n'),
        (
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            '  python -m pip install --force-reinstall opencv-python-headless\n',
        ),
        (
            "raise AttributeError('np.float')",
            '--force-reinstall --no-deps onedl-mmcv==2.3.6\n',
        ),
    ],
)
def test_mmcv_that_does_not_import(site: FakeSite, source: str, command: str) -> None:
    printed = forked_stack(site, mmcv_init=source).check()
    assert '  - onedl-mmcv 2.3.6 is installed, but importing mmcv fails with' in printed
    assert command in printed


def test_the_real_stack_fits() -> None:
    stack.check_stack()
    for name in stack.DISTRIBUTIONS:
        assert stack.find_part(name).folder is not None


# --- checkpoints -----------------------------------------------------------------


@pytest.fixture
def no_safe_globals():
    """torch's own allow-list only; what was allowed before comes back after."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


def saved_message_hub() -> bytes:
    buffer = HistoryBuffer()
    for value in (4.0, 2.0, 3.0):
        buffer.update(value, 2)
    file = io.BytesIO()
    torch.save(
        {
            'message_hub': {
                'log_scalars': {'train/loss': buffer},
                'best': np.float64(0.25),
                'count': np.int64(3),
            },
            'rng': np.arange(3, dtype=np.uint32),
        },
        file,
    )
    return file.getvalue()


def load(checkpoint: bytes) -> dict:
    return torch.load(io.BytesIO(checkpoint), weights_only=True)


needs_safe_globals = pytest.mark.skipif(
    not hasattr(torch.serialization, 'get_safe_globals')
    or not hasattr(torch.serialization, 'safe_globals'),
    reason='torch < 2.6 has no list of named safe globals',
)


@needs_safe_globals
def test_mmengine_checkpoint_loads_once_allowed(no_safe_globals) -> None:
    checkpoint = saved_message_hub()
    with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
        load(checkpoint)
    stack.allow_mmengine_checkpoints()
    loaded = load(checkpoint)
    buffer = loaded['message_hub']['log_scalars']['train/loss']
    history, counts = buffer.data
    assert history.tolist() == [4.0, 2.0, 3.0]
    assert counts.tolist() == [2, 2, 2]
    assert buffer.statistics('mean') == 1.5
    assert loaded['message_hub']['best'] == 0.25
    assert loaded['message_hub']['count'] == 3
    assert loaded['rng'].dtype == np.uint32
    assert loaded['rng'].tolist() == [0, 1, 2]


@needs_safe_globals
def test_checkpoint_written_under_the_other_numpy_loads(no_safe_globals) -> None:
    """numpy 1 and 2 name the module of their unpickling functions differently."""
    new, old = b'cnumpy._core.multiarray\n', b'cnumpy.core.multiarray\n'
    stack.allow_mmengine_checkpoints()
    target = io.BytesIO()
    replaced = 0
    with (
        zipfile.ZipFile(io.BytesIO(saved_message_hub())) as source,
        zipfile.ZipFile(target, 'w') as copy,
    ):
        for name in source.namelist():
            data = source.read(name)
            if name.endswith('data.pkl'):
                swap = (new, old) if new in data else (old, new)
                replaced += data.count(swap[0])
                data = data.replace(*swap)
            copy.writestr(name, data)
    assert replaced >= 1
    assert load(target.getvalue())['rng'].tolist() == [0, 1, 2]


@needs_safe_globals
def test_allowing_survives_a_temporary_list(no_safe_globals) -> None:
    """The fork of MMEngine allows, loads and takes its own list back."""
    stack.allow_mmengine_checkpoints()
    with torch.serialization.safe_globals([HistoryBuffer, np.ndarray, np.dtype]):
        pass
    assert load(saved_message_hub())['rng'].tolist() == [0, 1, 2]


class Reach:
    """Pickles as getattr(owner, name)."""

    def __init__(self, owner: object, name: str) -> None:
        self.call = (getattr, (owner, name))

    def __reduce__(self):
        return self.call


@needs_safe_globals
@pytest.mark.parametrize('name', ['__init__', '__class__', '_statistics_methods'])
def test_getattr_reaches_statistics_only(no_safe_globals, name: str) -> None:
    stack.allow_mmengine_checkpoints()
    file = io.BytesIO()
    torch.save({'x': Reach(HistoryBuffer, name)}, file)
    with pytest.raises((ValueError, pickle.UnpicklingError), match=name):
        load(file.getvalue())


@needs_safe_globals
def test_object_arrays_stay_refused(no_safe_globals) -> None:
    stack.allow_mmengine_checkpoints()
    file = io.BytesIO()
    torch.save({'x': np.array([{}, 1], dtype=object)}, file)
    with pytest.raises(pickle.UnpicklingError, match='ObjectDType'):
        load(file.getvalue())


@needs_safe_globals
def test_allowing_twice_changes_nothing(no_safe_globals) -> None:
    stack.allow_mmengine_checkpoints()
    once = set(map(repr, torch.serialization.get_safe_globals()))
    stack.allow_mmengine_checkpoints()
    assert set(map(repr, torch.serialization.get_safe_globals())) == once


# --- configs ---------------------------------------------------------------------


def test_configs_can_be_inherited_by_package_name(tmp_path: Path) -> None:
    if not (STACK_FILE.parent / '.mim').is_dir():
        pytest.skip('the package is not installed (pip install -e .)')
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'mmdet_facepatch::attack/../sln_r18_widerface.py'\n")
    assert Config.fromfile(config).model.type == 'SLN'
