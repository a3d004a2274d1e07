"""The OpenMMLab stack below this package: is it there, and does it fit?

MMDetection, MMCV and MMEngine exist twice under the same import names: as the
original distributions (``mmdet``, ``mmcv``, ``mmengine``) and as the maintained
forks (``onedl-mmdetection``, ``onedl-mmcv``, ``onedl-mmengine``). Neither can be a
plain requirement of this package, so :func:`check_stack` looks at what is
installed and, where it does not fit, says what is wrong and which commands mend
it. It reads metadata and looks for files first: a missing part is reported in
milliseconds, before anything heavy is imported.

:func:`allow_mmengine_checkpoints` lets ``torch.load(weights_only=True)``, the
default since torch 2.6, read the checkpoints that MMEngine writes.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

__all__ = [
    'Part',
    'StackError',
    'allow_mmengine_checkpoints',
    'check_stack',
    'find_part',
    'mmengine_safe_globals',
    'register_configs',
]

TORCH_PIN = 'torch==2.13.0'

# Every distribution known to provide the import name, the usual one first.
DISTRIBUTIONS = {
    'torch': ('torch',),
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv'),
    'mmdet': ('mmdet', 'onedl-mmdetection'),
}

# What the modules of this package are written for: at least, and less than. The
# installed mmdet may narrow it: see `accepted_versions`.
SUPPORTED = {
    'torch': ('2.0', '3'),
    'mmengine': ('0.10', '1'),
    'mmcv': ('2.1', '3'),
    'mmdet': ('3.3', '4'),
}

# The two sets of distributions that this package is tested with.
PINS = {
    'onedl': {
        'mmengine': 'onedl-mmengine==0.10.12',
        'mmcv': 'onedl-mmcv==2.3.6',
        'mmdet': 'onedl-mmdetection==3.5.1',
    },
    'openmmlab': {
        'mmengine': 'mmengine==0.10.7',
        'mmcv': 'mmcv==2.1.0',
        'mmdet': 'mmdet==3.3.0',
    },
}

# Where the distribution is called otherwise than the module that is missing.
MODULE_SOURCES = {
    'cv2': 'opencv-python-headless',
    'PIL': 'pillow',
    'pkg_resources': "'setuptools<81'",
    'yaml': 'pyyaml',
}

# mmcv and onedl-mmdetection build from source and need torch while they do, which
# pip's isolated build environment hides from them: mmcv then installs itself
# without operators and says nothing.
BUILD_TOOLS = "python -m pip install 'setuptools<81' wheel ninja numpy"


class StackError(ImportError):
    """The stack below the package is missing, unfit or broken.

    Args:
        problems (Iterable[Problem]): What is wrong, at least one.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        commands: list[str] = []
        for problem in self.problems:
            commands += [c for c in problem.commands if c not in commands]
        lines = ['mmdet_facepatch cannot run on what is installed here:']
        lines += [f'  - {problem.message}' for problem in self.problems]
        lines += ['To mend it, run:'] + [f'  {command}' for command in commands]
        super().__init__('\n'.join(lines))


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and the shell commands that mend it, in order."""

    message: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """What is known of one part of the stack without importing it.

    Attributes:
        name (str): The import name.
        folder (Path, optional): The package's folder; None if nothing can be
            imported under this name.
        distributions (tuple[str]): The installed distributions that provide it.
            More than one means that they overwrote each other's files.
        version (str, optional): The version; None where neither metadata nor a
            ``version.py`` tells it.
    """

    name: str
    folder: Path | None = None
    distributions: tuple[str, ...] = ()
    version: str | None = None

    @property
    def label(self) -> str:
        """How messages call it, e.g. ``'onedl-mmcv 2.3.6'``."""
        name = ' and '.join(self.distributions) or self.name
        return f'{name} {self.version}' if self.version else name


def find_part(name: str) -> Part:
    """Looks for one part of the stack without importing it.

    Args:
        name (str): An import name, a key of :data:`DISTRIBUTIONS`.

    Returns:
        Part: What was found.
    """
    spec = find_spec(name)
    # A folder without __init__.py (a data folder of that name, say) has no origin.
    folder = Path(spec.origin).parent if spec and spec.origin else None
    installed, version = [], None
    for distribution in DISTRIBUTIONS[name]:
        try:
            version = distribution_version(distribution)
        except PackageNotFoundError:
            continue
        installed.append(distribution)
    if version is None and folder is not None:
        version = _source_constant(folder / 'version.py', '__version__')
    return Part(name, folder, tuple(installed), version)


def accepted_versions(mmdet: Part) -> dict[str, tuple[str, str]]:
    """The versions accepted of each part, given the installed mmdet.

    The original mmdet refuses at import any mmcv or mmengine outside bounds that its
    ``__init__.py`` states (3.3.0: mmcv < 2.2.0); the fork states none. They are read
    from that file, so that an mmdet with other bounds is judged by its own.

    Args:
        mmdet (Part): The installed mmdet.

    Returns:
        dict[str, tuple[str, str]]: For each import name the lowest version accepted
        and the first one that no longer is.
    """
    accepted = dict(SUPPORTED)
    if mmdet.folder is None:
        return accepted
    source = mmdet.folder / '__init__.py'
    for name in ('mmcv', 'mmengine'):
        lowest, end = accepted[name]
        accepted[name] = (
            max(
                lowest,
                _source_constant(source, f'{name}_minimum_version') or lowest,
                key=Version,
            ),
            min(
                end,
                _source_constant(source, f'{name}_maximum_version') or end,
                key=Version,
            ),
        )
    return accepted


def check_stack() -> None:
    """Checks that torch, MMEngine, MMCV (with operators) and MMDetection fit.

    Raises:
        StackError: If a part is missing, is installed twice under different
            distribution names, has an unfit version, lacks its compiled operators
            or fails to import. All problems that can be seen at once are named
            together, with the commands that mend them.
    """
    parts = {name: find_part(name) for name in DISTRIBUTIONS}
    problems = _metadata_problems(parts)
    if not problems:
        problems = _operator_problems(parts)
    if not problems:
        problems = _import_problems(parts)
    if problems:
        raise StackError(problems)


def _metadata_problems(parts: dict[str, Part]) -> list[Problem]:
    """Problems that can be seen without importing anything."""
    family = _family(parts)
    accepted = accepted_versions(parts['mmdet'])
    problems = []
    for name, part in parts.items():
        if part.folder is None:
            message = f'{name} is not installed.'
        elif len(part.distributions) > 1:
            message = (
                f'{" and ".join(part.distributions)} are both installed and overwrite '
                f"each other's files, since both provide {name!r}."
            )
        elif not _fits(part.version, accepted[name]):
            message = (
                f'{part.label} is installed, but {name} '
                f'{_specifier(accepted[name])} is needed'
            )
            # Bounds narrower than our own were read from the installed mmdet.
            message += (
                '.'
                if accepted[name] == SUPPORTED[name]
                else f' ({parts["mmdet"].label} asks for it).'
            )
        else:
            continue
        problems.append(Problem(message, _install_commands(part, family)))
    return problems


def _operator_problems(parts: dict[str, Part]) -> list[Problem]:
    """Is the library of compiled operators there? Nothing is imported."""
    mmcv = parts['mmcv']
    if PathFinder.find_spec('mmcv._ext', [str(mmcv.folder)]) is not None:
        return []
    message = (
        f'{mmcv.label} is installed without its compiled operators (no '
        f'mmcv._ext in {mmcv.folder}), so mmcv.ops.nms cannot be used.'
    )
    return [Problem(message, _rebuild_commands(mmcv, _family(parts)))]


def _import_problems(parts: dict[str, Part]) -> list[Problem]:
    """Imports the parts in the order in which they build on each other."""
    family = _family(parts)
    for module in ('torch', 'mmengine', 'mmcv', 'mmcv.ops', 'mmdet'):
        part = parts[module.partition('.')[0]]
        try:
            importlib.import_module(module)
        # Foreign code may fail in any way: a library built for another torch raises
        # ImportError, mmdet's own version check AssertionError, an old release on a
        # new numpy AttributeError.
        except Exception as error:
            message = (
                f'{part.label} is installed, but importing {module} fails with '
                f'{type(error).__name__}: {error}'
            )
            if module == 'mmcv.ops':
                message += (
                    ' Its operators were compiled for another torch or Python: '
                    'they have to be compiled anew.'
                )
                return [Problem(message, _rebuild_commands(part, family))]
            return [Problem(message, _repair_commands(part, family, error))]
    return []


def _family(parts: dict[str, Part]) -> str:
    """Which of the two sets of distributions the commands shall complete.

    That of mmcv, the part that takes longest to build, if it is there.
    """
    for name in ('mmcv', 'mmdet', 'mmengine'):
        distributions = parts[name].distributions
        if distributions:
            forked = any(d.startswith('onedl-') for d in distributions)
            return 'onedl' if forked else 'openmmlab'
    return 'onedl'


def _install_commands(part: Part, family: str) -> tuple[str, ...]:
    """Commands that put the tested version of a part in place of what is there."""
    commands = []
    pin = TORCH_PIN if part.name == 'torch' else PINS[family][part.name]
    unwanted = [d for d in part.distributions if d != pin.partition('==')[0]]
    if unwanted or len(part.distributions) > 1:
        commands.append('python -m pip uninstall -y ' + ' '.join(part.distributions))
    if part.name == 'mmcv':
        commands += [BUILD_TOOLS, _mmcv_command(family)]
    elif pin.startswith('onedl-mmdetection'):
        commands += [BUILD_TOOLS, f'python -m pip install --no-build-isolation {pin}']
    else:
        commands.append(f'python -m pip install {pin}')
    return tuple(commands)


def _repair_commands(part: Part, family: str, error: Exception) -> tuple[str, ...]:
    """Commands for a part that is there, but does not import."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = error.name.partition('.')[0]
        if missing not in DISTRIBUTIONS:
            return (f'python -m pip install {MODULE_SOURCES.get(missing, missing)}',)
    if 'libGL' in str(error):
        # The usual OpenCV wheel needs a desktop's libraries.
        return (
            'python -m pip uninstall -y opencv-python',
            'python -m pip install --force-reinstall opencv-python-headless',
        )
    if part.name == 'mmcv':
        return _rebuild_commands(part, family)
    *before, install = _install_commands(part, family)
    return (*before, install.replace(' install ', ' install --force-reinstall ', 1))


def _rebuild_commands(part: Part, family: str) -> tuple[str, ...]:
    """Commands that compile mmcv's operators, past a wheel cached without them."""
    *before, _ = _install_commands(part, family)
    afresh = '--no-cache-dir --force-reinstall --no-deps '
    return (*before, _mmcv_command(family, afresh))


def _mmcv_command(family: str, options: str = '') -> str:
    return (
        'MMCV_WITH_OPS=1 python -m pip install --no-build-isolation '
        f'{options}{PINS[family]["mmcv"]}'
    )


def _specifier(bounds: tuple[str, str]) -> str:
    return f'>={bounds[0]},<{bounds[1]}'


def _fits(version: str | None, bounds: tuple[str, str]) -> bool:
    """Whether a version fits; an unknown or unreadable one is given the chance."""
    if version is None:
        return True
    accepted = SpecifierSet(_specifier(bounds))
    try:
        return accepted.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def _source_constant(source: Path, name: str) -> str | None:
    """The value of ``name = '...'`` in a Python file that is not to be imported."""
    if not source.is_file():
        return None
    found = re.search(
        rf"^{name}\s*=\s*['\"]([^'\"]+)['\"]",
        source.read_text(encoding='utf-8'),
        re.MULTILINE,
    )
    return found.group(1) if found else None


def mmengine_safe_globals() -> list[tuple[Any, str]]:
    """What MMEngine's checkpoints hold besides tensors and builtin containers.

    ``Runner.save_checkpoint`` stores the message hub, whose ``HistoryBuffer`` objects
    hold numpy arrays and whose metrics may be numpy scalars. Each buffer also carries
    its statistics methods, which pickle as ``getattr(HistoryBuffer, 'mean')``. Instead
    of the builtin ``getattr``, a function is given that knows those methods alone.

    numpy 2 renamed the module of its unpickling functions; both names are given, so
    that checkpoints of either can be read. Object arrays are not allowed.

    Returns:
        list[tuple[object, str]]: Pairs (object, name under which a pickle calls it),
        as taken by ``torch.serialization.add_safe_globals`` and ``safe_globals``.
    """
    import numpy as np
    from mmengine.logging import HistoryBuffer

    core = importlib.import_module(
        'numpy._core.multiarray' if hasattr(np, '_core') else 'numpy.core.multiarray'
    )
    allowed: list[tuple[Any, str]] = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_history_buffer_method, 'builtins.getattr'),
        (np.ndarray, 'numpy.ndarray'),
        (np.dtype, 'numpy.dtype'),
    ]
    for module in ('numpy._core.multiarray', 'numpy.core.multiarray'):
        allowed.append((core._reconstruct, f'{module}._reconstruct'))
        allowed.append((core.scalar, f'{module}.scalar'))
    # An unpickled dtype object is of a class of its own, e.g. numpy.dtypes.Int64DType.
    for code in '?bBhHiIlLqQefdg':
        kind = type(np.dtype(code))
        allowed.append((kind, f'{kind.__module__}.{kind.__qualname__}'))
    return allowed


def _history_buffer_method(owner: Any, name: str) -> Callable:
    """``getattr`` restricted to the statistics methods of a history buffer."""
    from mmengine.logging import HistoryBuffer

    methods = ('min', 'max', 'current', 'mean')
    if owner is not HistoryBuffer or name not in methods:
        raise ValueError(
            f'A checkpoint asks for attribute {name!r} of {owner!r}, but only '
            f'HistoryBuffer.{"/".join(methods)} are loaded. If you trust the file, '
            'load it with torch.load(..., weights_only=False).'
        )
    return getattr(owner, name)


def allow_mmengine_checkpoints() -> None:
    """Lets ``torch.load(weights_only=True)`` read what MMEngine's runner saves.

    Since torch 2.6 that is the default, and MMEngine up to 0.10.7 then fails to resume
    from its own checkpoints (``Unsupported global: HistoryBuffer``). Only the globals
    of :func:`mmengine_safe_globals` are allowed, through torch's own list; nothing
    is patched and ``weights_only`` stays as it is. Calling it again changes nothing.
    torch below 2.6 loads such checkpoints as ever and has no list of named globals.
    """
    import torch

    release = Version(torch.__version__).release
    if release >= (2, 6):
        torch.serialization.add_safe_globals([*mmengine_safe_globals()])


def register_configs() -> None:
    """Lets configs inherit from this package's, wherever it is installed.

    ``_base_ = 'mmdet_facepatch::attack/patch_iou.py'`` then works as ``mmdet::`` does.
    MMEngine only resolves packages of its own list, hence the entry. As it wants a
    folder in the path, a config at the top is ``mmdet_facepatch::attack/../NAME.py``.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE.setdefault('mmdet_facepatch', 'mmdet_facepatch')
