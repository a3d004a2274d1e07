"""Weights and checkpoints, read without running anything that is in them.

MMEngine reads checkpoints by unpickling them, which runs whatever code a stranger put
there. :class:`SafeCheckpointLoader` reads from every place that MMEngine reads
checkpoints from without that; :func:`enable_safe_loading` hands it to MMEngine.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import socket
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import mmengine.hub
import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import (
    CheckpointLoader,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from packaging.version import Version

from .files import check_unpacked_size
from .json_files import read_json

#: Suffix of files that hold tensors and nothing else.
SAFETENSORS = '.safetensors'
#: Seconds that a download waits for a server that says nothing.
SILENCE = 20


def read_checkpoint(
    path: str | os.PathLike[str], map_location: Any = None
) -> dict[str, Any]:
    """Read weights or a checkpoint; nothing in the file is executed.

    Args:
        path (str | Path): A file of ``torch.save``, read with ``weights_only=True``, or
            ``.safetensors`` (needs the package ``safetensors``).
        map_location (Any): As in :func:`torch.load`. Defaults to None.

    Returns:
        dict: What the file holds; the tensors of ``.safetensors`` are under
        ``state_dict``. ``meta['config']`` of old checkpoints is left out: it is Python
        code, and MMEngine's ``Runner.resume`` would run it.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If ``safetensors`` is needed and not installed.
        ValueError: If the file is damaged, holds anything but tensors and plain
            data, unpacks to far more than its size, or is no dictionary.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path, map_location)
    _check_archive(path)
    try:
        with mmengine_globals():
            content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(_explain_refusal(path, error)) from error
    # A damaged pickle can make torch raise nearly anything.
    except Exception as error:
        raise ValueError(
            f'checkpoint {path} is damaged or no checkpoint: {_first_line(error)}'
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(
            f'checkpoint {path} holds a {type(content).__name__}, not a dictionary of '
            'weights'
        )
    return _without_code(path, dict(content))


@contextmanager
def mmengine_globals() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read what MMEngine's runner saves.

    ``Runner.save_checkpoint`` stores the message hub, whose ``HistoryBuffer`` objects
    hold numpy arrays and whose metrics may be numpy scalars. Each buffer also carries
    its statistics methods, which pickle as ``getattr(HistoryBuffer, 'mean')``. Instead
    of the builtin ``getattr``, a function is given that knows those methods alone.
    Object arrays stay refused.

    torch's list of what is allowed is as before when the context is left. torch below
    2.6 has no list of names: there such checkpoints are refused.
    """
    if Version(torch.__version__).release < (2, 6):
        yield
        return
    # numpy 2 renamed the module of its unpickling functions; both names are given, so
    # that checkpoints of either can be read.
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
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([*allowed])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _history_buffer_method(owner: Any, name: str) -> Callable:
    """``getattr`` restricted to the statistics methods of a history buffer."""
    methods = ('min', 'max', 'current', 'mean')
    if owner is not HistoryBuffer or name not in methods:
        raise ValueError(
            f'A checkpoint asks for attribute {name!r} of {owner!r}, but only '
            f'HistoryBuffer.{"/".join(methods)} are loaded. If you trust the file, '
            'load it with torch.load(..., weights_only=False).'
        )
    return getattr(owner, name)


def _check_archive(path: Path) -> None:
    """Refuse archives that unpack to far more than their size."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    # Older files of torch are no archives, and damaged ones are torch's to report.
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    try:
        check_unpacked_size(members, path.stat().st_size)
    except ValueError as error:
        raise ValueError(f'checkpoint {path}: {error}') from error


# What torch's unpickler says of files that ask for more than tensors.
_CODE = ('global', 'class', 'unrecognized', 'Can only')


def _explain_refusal(path: Path, error: Exception) -> str:
    """Tell files that hold code from files that are damaged."""
    reason = str(error).rpartition('WeightsUnpickler error: ')[2].strip()
    reason = (reason.splitlines() or [''])[0][:200]
    if not any(mark in reason for mark in _CODE):
        return f'checkpoint {path} is damaged or no checkpoint: {reason}'
    return (
        f'checkpoint {path} is refused, since it holds more than tensors and plain '
        f'data (torch.load with weights_only=True: {reason}). Loading it would run '
        'code from the file. If you trust it, read it yourself, and save '
        "dict(state_dict=...) anew; checkpoints of MMEngine's runner need torch 2.6 "
        f'(this is {torch.__version__})'
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _without_code(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    meta = content.get('meta')
    if isinstance(meta, Mapping) and 'config' in meta:
        print_log(
            f"meta['config'] of {path} is left out: it is code, which would be run on "
            'resuming',
            logger='current',
            level=logging.WARNING,
        )
        content['meta'] = {key: meta[key] for key in meta if key != 'config'}
    return content


def _read_safetensors(path: Path, map_location: Any) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(
            f'{path} needs safetensors: python -m pip install safetensors'
        ) from error
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f'checkpoint {path} is damaged or no .safetensors: {_first_line(error)}'
        ) from error
    if map_location is not None and not callable(map_location):
        state = {key: value.to(map_location) for key, value in state.items()}
    return dict(state_dict=state)


class SafeCheckpointLoader(CheckpointLoader):
    """MMEngine's loader with this module's functions for MMEngine's own schemes.

    Schemes that others registered with MMEngine's loader are read as they are there.
    """

    _schemes: dict[str, Callable] = {}

    @classmethod
    def _get_checkpoint_loader(cls, path: str) -> Callable:
        loader = super()._get_checkpoint_loader(path)
        if loader is load_from_local and '://' in path:
            return CheckpointLoader._get_checkpoint_loader(path)
        return loader


def enable_safe_loading() -> None:
    """Make MMEngine read checkpoints as :class:`SafeCheckpointLoader` does.

    In this process ``load_from``, ``resume``, ``init_cfg`` and ``load_checkpoint`` then
    refuse files that hold more than tensors and plain data. The tools of this package
    switch it on; importing it does not.
    """
    for prefix, loader in SafeCheckpointLoader._schemes.items():
        CheckpointLoader.register_scheme(prefix, loader, force=True)


# MMEngine's schemes. Loaders are named load_from_<place>: it logs the place.


@SafeCheckpointLoader.register_scheme(prefixes='')
def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Loader of local files for MMEngine; see :func:`read_checkpoint`."""
    return read_checkpoint(filename, map_location)


@SafeCheckpointLoader.register_scheme(prefixes=('http://', 'https://'))
def load_from_http(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Loader of URLs for MMEngine: kept in torch's hub folder, read as any file.

    Raises:
        ConnectionError: If it cannot be fetched, or the server is silent for
            :data:`SILENCE` seconds.
    """
    name = Path(urlparse(filename).path).name
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The first process fetches it; on other machines the first to find it missing.
    if not is_main_process():
        barrier()
    if not path.is_file():
        _download(filename, path)
    if is_main_process():
        barrier()
    return read_checkpoint(path, map_location)


def _download(url: str, path: Path) -> None:
    before = socket.getdefaulttimeout()
    # torch's function has no timeout of its own.
    socket.setdefaulttimeout(SILENCE)
    try:
        # It writes beside the place and renames.
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (OSError, HTTPException) as error:
        raise ConnectionError(f'{url} could not be fetched ({error})') from error
    finally:
        socket.setdefaulttimeout(before)


@SafeCheckpointLoader.register_scheme(prefixes=('modelzoo://', 'torchvision://'))
def load_from_torchvision(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Loader of ``torchvision://NAME`` for MMEngine.

    Names that MMEngine itself lists, such as ``resnet18``, do not need torchvision.
    """
    known = read_json(Path(mmengine.hub.__path__[0], 'torchvision_0.12.json'))
    if filename.partition('://')[2] not in known:
        known = get_torchvision_models()
    return load_from_http(_named(known, filename), map_location)


@SafeCheckpointLoader.register_scheme(prefixes=('open-mmlab://', 'openmmlab://'))
def load_from_openmmlab(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Loader of ``open-mmlab://NAME`` for MMEngine."""
    place = _named(get_external_models(), filename, get_deprecated_model_names())
    if place.startswith(('http://', 'https://')):
        return load_from_http(place, map_location)
    # MMEngine's home, where it looks for files of this scheme.
    home = os.environ.get('MMENGINE_HOME') or Path(
        os.environ.get('XDG_CACHE_HOME', '~/.cache'), 'mmengine'
    )
    return read_checkpoint(Path(home) / place, map_location)


@SafeCheckpointLoader.register_scheme(prefixes='mmcls://')
def load_from_mmcls(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Loader of ``mmcls://NAME`` for MMEngine: the backbone of a classifier."""
    checkpoint = load_from_http(_named(get_mmcls_models(), filename), map_location)
    state = checkpoint.get('state_dict', checkpoint)
    prefix = 'backbone.'
    own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return dict(state_dict=own)


@SafeCheckpointLoader.register_scheme(
    prefixes=['pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://']
)
def load_from_store(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Refuses the object stores, which MMEngine's loaders unpickle from."""
    raise ValueError(
        f'checkpoint {filename}: object stores are not read here; copy the file to '
        'this machine and give its path'
    )


def _named(
    known: Mapping[str, str], filename: str, renamed: Mapping[str, str] | None = None
) -> str:
    """Where the weights of a name are."""
    name = filename.partition('://')[2]
    name = (renamed or {}).get(name, name)
    if name not in known:
        raise ValueError(f'checkpoint {filename}: MMEngine knows no weights {name!r}')
    return known[name]
