"""Checkpoints that hold code, or are damaged."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmdet_facepatch.utils.safe_loading import SafeCheckpointLoader

from .case import Case, Payload, expect

FILE = 'epoch_1.pth'


def saved(content: Any, **options: Any) -> bytes:
    """Bytes of ``torch.save``."""
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def state() -> dict[str, torch.Tensor]:
    """Weights."""
    return dict(w=torch.arange(6.0).view(2, 3))


def _read(path: Path) -> dict[str, Any]:
    return SafeCheckpointLoader.load_checkpoint(str(path), map_location='cpu')


def _is_good(found: dict[str, Any]) -> None:
    weights = found.get('state_dict', found)
    expect(torch.equal(weights['w'], state()['w']), 'weights')


def _right(name: str, content: Any, **options: Any) -> Case:
    data = {FILE: saved(content, **options)}
    return Case('checkpoint', name, data, _read, right=_is_good)


def _wrong(name: str, data: bytes, *says: str) -> Case:
    return Case('checkpoint', name, {FILE: data}, _read, says=says)


class _Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def cases() -> list[Case]:
    """All of them."""
    buffer = HistoryBuffer()
    buffer.update(2.0, 1)
    hub = dict(log_scalars=dict(loss=buffer), best=np.float64(0.5))
    whole = dict(state_dict=state(), message_hub=hub, meta=dict(epoch=1))
    good = saved(whole)
    damaged = bytearray(good)
    damaged[good.index(b'state_dict') + 3] ^= 0x55

    def without_config(found: dict[str, Any]) -> None:
        _is_good(found)
        expect(found['meta'] == dict(epoch=1), 'meta')

    code = dict(whole, meta=dict(epoch=1, config='open("ran", "w")'))
    objects = np.empty(1, dtype=object)
    objects[0] = Payload()
    return [
        _right('weights', state()),
        _right('weights in the format before 1.6', state(), **_LEGACY),
        _right('of the runner', whole),
        Case(
            'checkpoint',
            'with a config as code',
            {FILE: saved(code)},
            _read,
            right=without_config,
        ),
        *_malicious(objects),
        _wrong('cut off', good[: len(good) // 2], 'damaged'),
        _wrong('first bytes', good[:3], 'damaged'),
        _wrong('no bytes', b'', 'damaged'),
        _wrong('random bytes', np.random.default_rng(0).bytes(999), 'damaged'),
        _wrong('zeros', bytes(999), 'damaged'),
        _wrong('a list', saved([1, 2]), 'not a dictionary'),
        _wrong('a tensor', saved(torch.ones(3)), 'not a dictionary'),
        _wrong('300 MB of zeros', _bomb(), 'refused'),
        _wrong('a web page', b'<!DOCTYPE html><html></html>', 'damaged'),
        Case('checkpoint', 'no such file', {'b': b''}, _read, target=FILE),
        Case(
            'checkpoint',
            'of an object store',
            {'b': b''},
            lambda path: SafeCheckpointLoader.load_checkpoint(f's3:/{path}'),
            says=('object stores',),
        ),
    ]


_LEGACY = dict(_use_new_zipfile_serialization=False)


def _malicious(objects: np.ndarray) -> list[Case]:
    inner = dict(state_dict=state(), meta=Payload())
    getter = _Call(getattr, HistoryBuffer, '__init__')
    return [
        _wrong('a payload in meta', saved(inner), 'refused'),
        _wrong('a payload in old format', saved(inner, **_LEGACY), 'refused'),
        _wrong('a payload for weights', saved(dict(w=Payload())), 'refused'),
        _wrong('a payload for everything', saved(Payload()), 'refused'),
        _wrong('a pickle', pickle.dumps(Payload())),
        _wrong('a pickle of protocol 0', pickle.dumps(Payload(), protocol=0)),
        _wrong('a payload in an array', saved(dict(x=objects))),
        _wrong('getattr', saved(dict(x=getter))),
        _wrong('eval', saved(dict(x=_Call(eval, 'open("ran", "w")'))), 'refused'),
        _wrong('a module', saved(dict(x=torch.nn.ReLU())), 'refused'),
        _wrong('a script', _script()),
    ]


def _script() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr('x/constants.pkl', pickle.dumps(Payload(), protocol=2))
        archive.writestr('x/data.pkl', pickle.dumps(Payload(), protocol=2))
        archive.writestr('x/version', '3\n')
    return stream.getvalue()


def _bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('x/data/0', bytes(300 << 20))
    return stream.getvalue()
