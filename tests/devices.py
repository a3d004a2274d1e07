"""The GPU, and a device that is none: its tensors refuse to meet the CPU's.

A GPU is not at hand everywhere, but the commonest fault of code that was written
without one can be found all the same: a tensor made on the CPU meets one on the GPU.
:class:`PretendTensor` wraps a tensor, says that it is on another device, and raises an
error as CUDA does. What is computed is what the CPU computes, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

#: Where the tests marked ``cuda`` run; ``FACEPATCH_CUDA_TESTS=cpu`` tries them.
CUDA = os.environ.get('FACEPATCH_CUDA_TESTS', 'cuda')
needs_cuda = pytest.mark.skipif(
    CUDA == 'cuda' and not torch.cuda.is_available(), reason='there is no CUDA device'
)
CUDA_MARKS = (pytest.mark.cuda, needs_cuda)
#: Set in the process that the pretended device is used in.
PRETENDING = 'FACEPATCH_PRETEND_DEVICE'

NAME = 'pretend'
DEVICE = f'{NAME}:0'
# A backend in Python alone; from torch 2.9 or so on.
_SET_UP = getattr(backend_registration, '_setup_privateuseone_for_python_backend', None)
_done = False
# These read from or write to another device.
_COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)
# CUDA takes indices that are on the CPU.
_INDEXING = (torch.ops.aten.index, torch.ops.aten.index_put_, torch.ops.aten.index_put)


def set_up() -> str | None:
    """Make the device known to torch; returns why it cannot be, or None.

    Before the first backward pass of the process: torch counts its devices then.
    """
    global _done
    if _SET_UP is None:
        return f'torch {torch.__version__} has no backends in Python'
    if not _done:
        module = backend_registration._DummyBackendModule()
        # Asked for by torch.autocast, also where that is switched off.
        module.get_amp_supported_dtype = lambda: [torch.float16]
        _SET_UP(NAME, module)
        _done = True
    try:
        with pretend_device():
            one = torch.ones(1).to(DEVICE).requires_grad_()
            torch.autograd.grad(one * 2, one)
    except RuntimeError:
        return f'torch {torch.__version__} has no gradients of backends in Python'
    return None


class PretendTensor(torch.Tensor):
    """A tensor on the pretended device.

    Args:
        value: The tensor that it is.
    """

    value: torch.Tensor

    @staticmethod
    def __new__(cls, value: torch.Tensor) -> PretendTensor:
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            value.shape,
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            layout=value.layout,
            device=DEVICE,
            requires_grad=False,
        )
        tensor.value = value
        return tensor

    # What torch does below the dispatch to __torch_dispatch__.

    def tolist(self) -> list:
        return self.value.tolist()

    def __getitem__(self, index: Any) -> torch.Tensor:
        whole = index if isinstance(index, tuple) else (index,)
        found = tuple(torch.tensor(i) if isinstance(i, list) else i for i in whole)
        return super().__getitem__(found)

    def new_tensor(self, data: Any, **options: Any) -> torch.Tensor:
        made = torch.tensor(data, dtype=options.pop('dtype', self.dtype), **options)
        return PretendTensor(made)

    def __repr__(self) -> str:
        return f'PretendTensor({self.value})'

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Making(TorchFunctionMode):
    """Numbers and lists become tensors on the CPU first."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get('device')
        if func in (torch.tensor, torch.as_tensor) and device is not None:
            return func(*args, **dict(kwargs, device='cpu')).to(device)
        return func(*args, **kwargs)


@contextmanager
def pretend_device() -> Iterator[None]:
    """In this context tensors can be made on the device, and sent there."""
    with _Making(), _Dispatching():
        yield


class _Dispatching(TorchDispatchMode):
    """All operators go through :func:`_run`."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _as_on_cpu(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == NAME:
        return torch.device('cpu')
    return value.value if isinstance(value, PretendTensor) else value


def _run(func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    tensors = [
        t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)
    ]
    there = [t for t in tensors if isinstance(t, PretendTensor)]
    here = [t for t in tensors if not isinstance(t, PretendTensor) and t.dim()]
    indexing = func.overloadpacket in _INDEXING and isinstance(args[0], PretendTensor)
    if there and here and func not in _COPIES and not indexing:
        raise RuntimeError(
            f'{func}: expected all tensors to be on the same device, but found '
            f'{NAME} and cpu'
        )
    leaves = tree_flatten((args, kwargs))[0]
    target = next(
        (leaf.type for leaf in leaves if isinstance(leaf, torch.device)), None
    )
    inner_args, inner_kwargs = tree_map(_as_on_cpu, (args, kwargs))
    result = func(*inner_args, **inner_kwargs)
    if any(r.alias_info and r.alias_info.is_write for r in func._schema.returns):
        # In place: what was written to is what comes back.
        return args[0]
    if target is None and not there or target not in (None, NAME):
        return result
    return tree_map(
        lambda t: PretendTensor(t) if isinstance(t, torch.Tensor) else t, result
    )
