"""The OpenMMLab stack below this package: is it there, and does it fit?

MMDetection, MMCV and MMEngine exist twice under the same import names: as the
original distributions (``mmdet``, ``mmcv``, ``mmengine``) and as the maintained
forks (``onedl-mmdetection``, ``onedl-mmcv``, ``onedl-mmengine``). Neither can be a
plain requirement of this package, so it looks at what is installed and, where that
does not fit, says what is wrong and which commands fix it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from importlib.util import find_spec

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

__all__ = ['StackError', 'check_stack', 'compile_commands', 'import_parts']

# Every distribution known to provide the import name.
DISTRIBUTIONS = {
    'torch': ('torch',),
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv'),
    'mmdet': ('mmdet', 'onedl-mmdetection'),
}

# What the modules of this package are written for.
SUPPORTED = {
    'torch': '>=2.0,<3',
    'mmengine': '>=0.10,<1',
    'mmcv': '>=2.1,<3',
    'mmdet': '>=3.3,<4',
}

# The two sets of distributions that this package is tested with. All of them install
# without a compiler.
PINS = {
    'onedl': {
        'torch': 'torch==2.13.0',
        'mmengine': 'onedl-mmengine==0.10.12',
        'mmcv': 'onedl-mmcv==2.3.6',
        'mmdet': 'onedl-mmdetection==3.5.1',
    },
    'openmmlab': {
        'torch': 'torch==2.13.0',
        'mmengine': 'mmengine==0.10.7',
        'mmcv': 'mmcv-lite==2.1.0',
        'mmdet': 'mmdet==3.3.0',
    },
}

# What onedl-mmdetection prints of data sets that nobody asked for.
UNWANTED = 'Could not import OneDL'

# Where the distribution is called otherwise than the module that is missing.
MODULE_SOURCES = {
    'cv2': 'opencv-python-headless',
    'PIL': 'pillow',
    'pkg_resources': "'setuptools<81'",
    'yaml': 'pyyaml',
}


class StackError(ImportError):
    """The stack below the package is missing, does not fit or does not import.

    Args:
        problems (list[str]): What is wrong.
        commands (list[str]): Shell commands that fix it, in order.
    """

    def __init__(self, problems: list[str], commands: list[str]) -> None:
        self.problems = tuple(problems)
        self.commands = tuple(commands)
        lines = ['mmdet_facepatch cannot run on what is installed here:']
        lines += [f'  - {problem}' for problem in problems]
        lines += ['To fix this, run:', *(f'  {command}' for command in commands)]
        super().__init__('\n'.join(lines))


@dataclass(frozen=True)
class Part:
    """What is known of one part of the stack without importing it.

    Attributes:
        name (str): The import name, a key of :data:`DISTRIBUTIONS`.
        found (bool): Whether something can be imported under this name.
        distributions (tuple[str]): The installed distributions that provide it.
        version (str, optional): Its version; None if no metadata tells it.
    """

    name: str
    found: bool
    distributions: tuple[str, ...]
    version: str | None

    @property
    def label(self) -> str:
        """How messages call it, e.g. ``'onedl-mmcv 2.3.6'``."""
        name = ' and '.join(self.distributions) or self.name
        return f'{name} {self.version}' if self.version else name

    @property
    def problem(self) -> str | None:
        """What is wrong with it, or None."""
        if not self.found:
            return f'{self.name} is not installed.'
        if len(self.distributions) > 1:
            return (
                f'{" and ".join(self.distributions)} are both installed and overwrite '
                f"each other's files, since both provide {self.name!r}."
            )
        if not self._fits():
            return (
                f'{self.label} is installed, but {self.name} {SUPPORTED[self.name]} is '
                'needed.'
            )
        return None

    def _fits(self) -> bool:
        """An unknown or unreadable version is given the chance."""
        try:
            found = Version(self.version or '')
        except InvalidVersion:
            return True
        return SpecifierSet(SUPPORTED[self.name]).contains(found, prereleases=True)


def find_part(name: str) -> Part:
    """Look for one part of the stack without importing it.

    Args:
        name (str): An import name, a key of :data:`DISTRIBUTIONS`.

    Returns:
        Part: What was found.
    """
    spec = find_spec(name)
    versions = {}
    for distribution in DISTRIBUTIONS[name]:
        try:
            versions[distribution] = distribution_version(distribution)
        except PackageNotFoundError:
            continue
    # A folder without __init__.py (a data folder of that name, say) has no origin.
    found = spec is not None and spec.origin is not None
    return Part(name, found, tuple(versions), next(iter(versions.values()), None))


def _find_parts() -> dict[str, Part]:
    return {name: find_part(name) for name in DISTRIBUTIONS}


def _family(parts: dict[str, Part]) -> str:
    """Which of the two sets of distributions the commands shall complete."""
    for name in ('mmdet', 'mmcv', 'mmengine'):
        for distribution in parts[name].distributions:
            return 'onedl' if distribution.startswith('onedl-') else 'openmmlab'
    return 'onedl'


def _install_commands(parts: list[Part], family: str) -> list[str]:
    """Commands that put the tested versions of parts in place of what is there."""
    unwanted = [
        distribution
        for part in parts
        for distribution in part.distributions
        if len(part.distributions) > 1
        or PINS[family][part.name].partition('==')[0] != distribution
    ]
    pins = ' '.join(PINS[family][part.name] for part in parts)
    removal = f'python -m pip uninstall -y {" ".join(unwanted)}'
    return [removal] * bool(unwanted) + [f'python -m pip install {pins}']


def compile_commands() -> list[str]:
    """Commands that compile mmcv's operators for the torch that is installed.

    Returns:
        list[str]: Shell commands, in order. Without build isolation, where mmcv does
        not see torch and leaves its operators out; past a wheel that pip has kept
        without them.
    """
    parts = _find_parts()
    commands = ["python -m pip install 'setuptools<81' wheel ninja numpy"]
    pin = PINS[_family(parts)]['mmcv'].replace('mmcv-lite', 'mmcv')
    unwanted = [d for d in parts['mmcv'].distributions if d != pin.partition('==')[0]]
    if unwanted:
        commands.append(f'python -m pip uninstall -y {" ".join(unwanted)}')
    # Without a GPU in sight mmcv would leave CUDA out.
    build = getattr(sys.modules.get('torch'), 'version', None)
    cuda = 'FORCE_CUDA=1 ' if getattr(build, 'cuda', None) else ''
    commands.append(
        f'{cuda}MMCV_WITH_OPS=1 python -m pip install --no-build-isolation '
        f'--no-cache-dir --force-reinstall --no-deps {pin}'
    )
    return commands


def check_stack() -> None:
    """Check from metadata that torch, MMEngine, MMCV and MMDetection are there and fit.

    Nothing is imported, so that a missing part is told in milliseconds.

    Raises:
        StackError: If a part is missing, is installed twice under different
            distribution names, or has a version that is not supported. All problems
            are named together.
    """
    parts = _find_parts()
    unfit = [part for part in parts.values() if part.problem]
    if unfit:
        raise StackError(
            [str(part.problem) for part in unfit],
            _install_commands(unfit, _family(parts)),
        )


def import_parts(*modules: str) -> None:
    """Import parts of the stack, or say how to fix the first that fails.

    Args:
        *modules (str): Modules in the order in which they build on each other.

    Raises:
        StackError: If one does not import.
    """
    for module in modules:
        try:
            with _without_lines(UNWANTED):
                importlib.import_module(module)
        # Foreign code may fail in any way: a library built for another torch raises
        # ImportError, mmdet's own version check AssertionError, an old release on a
        # new numpy AttributeError.
        except Exception as error:
            parts = _find_parts()
            part = parts[module.partition('.')[0]]
            message = (
                f'{part.label} is installed, but importing {module} fails with '
                f'{type(error).__name__}: {error}'
            )
            commands = _import_commands(module, parts, error)
            raise StackError([message], commands) from error


@contextlib.contextmanager
def _without_lines(unwanted: str) -> Iterator[None]:
    """Print what is printed meanwhile, but for lines that contain a text."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines(keepends=True)
        sys.stdout.write(''.join(line for line in lines if unwanted not in line))


def _import_commands(
    module: str, parts: dict[str, Part], error: Exception
) -> list[str]:
    """Commands for a part that is there, but does not import."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = error.name.partition('.')[0]
        if missing not in DISTRIBUTIONS:
            return [f'python -m pip install {MODULE_SOURCES.get(missing, missing)}']
    if 'libGL' in str(error):
        # The usual OpenCV wheel needs a desktop's libraries.
        return [
            'python -m pip uninstall -y opencv-python',
            'python -m pip install --force-reinstall opencv-python-headless',
        ]
    if module == 'mmcv.ops':
        # Its operators are there, but were compiled for another torch or Python.
        return compile_commands()
    # mmdet's own check of the versions below it is about mmcv or mmengine.
    of_mmdet = module.partition('.')[0] == 'mmdet'
    below = ['mmengine', 'mmcv', 'mmdet'] if of_mmdet else [module]
    return _install_commands([parts[name] for name in below], _family(parts))
