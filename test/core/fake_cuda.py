# SPDX-License-Identifier: Apache-2.0
"""What would cross between host and GPU, counted without a GPU.

Fake tensors have shapes and types and no values. Where torch is built without CUDA it lets them
say that they are on ``cuda:0`` only behind a device guard; that of the CPU is put in its place.
That is for good, so that only processes made for it do so: see :func:`install`.
"""

import ctypes
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device('cuda:0')
_SOURCE = '/flash_vstream_ros/'
_REGISTRY = '_ZN3c104impl26device_guard_impl_registryE'
_TYPES = 16  # entries of the registry that are looked at
# Read a value of the device, or make a tensor whose size depends on one.
_WAITING = ('_local_scalar_dense', 'nonzero', 'is_nonzero', 'masked_select', 'unique', 'equal',
            'bincount')  # fmt: skip
# Start nothing on the device, though torch calls them no views.
_IDLE = ('_unsafe_view', '_reshape_alias', 'empty', 'empty_like', 'new_empty', 'lift_fresh',
         'detach')  # fmt: skip


def install() -> str:
    """Let this process have fake tensors of a GPU.

    :returns: why it cannot; empty where it can.
    """
    if torch.cuda.is_available():
        return 'there is a GPU here, which has a guard of its own'
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / 'lib' / 'libc10.so'))
        registry = (ctypes.c_void_p * _TYPES).in_dll(library, _REGISTRY)
    except (OSError, ValueError) as error:
        return f'this torch has no registry of device guards to reach: {error}'
    if registry[1] or not registry[0]:  # CPU, CUDA
        return 'this torch has a guard of CUDA already'
    registry[1] = registry[0]
    FakeTensor.tolist = _tolist
    FakeTensor.pin_memory = _pin_memory
    return ''


def _pin_memory(tensor: Tensor) -> Tensor:
    """Copies of it need not be waited for then."""
    pinned = tensor.clone()
    pinned.is_in_place = True
    return pinned


def _tolist(tensor: Tensor) -> Any:
    """Read all of it at once, as a real tensor does; a fake one is read number by number."""
    value: Any = 0.0 if tensor.is_floating_point() else 0
    if tensor.numel():
        torch.ops.aten._local_scalar_dense(tensor.flatten()[0])
    for size in reversed(tensor.shape):
        value = [value] * size
    return value


class Crossings(TorchDispatchMode):
    """Writes down what makes the host wait for the device, and what the host sends unasked for.

    A read of the device finds 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []  # for a value
        self.uploads: list[str] = []  # copies in which the host waits as well
        self.kernels: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        tensors = [
            each for each in torch.utils._pytree.tree_leaves((args, kwargs))
            if isinstance(each, Tensor)
        ]  # fmt: skip
        is_there = any(each.device.type == 'cuda' for each in tensors)
        if name in _WAITING and is_there:
            self.waits.append(f'{name} {_place()}')
        if name == '_local_scalar_dense':
            return 0.0 if tensors[0].is_floating_point() else 0
        result = func(*args, **kwargs)
        if _is_blocking_copy(name, args, kwargs, tensors):
            is_read = result.device.type == 'cpu'
            (self.waits if is_read else self.uploads).append(f'{name} {_place()}')
        is_idle = func.is_view or name in _IDLE
        if not is_idle and isinstance(result, Tensor) and result.device.type == 'cuda':
            self.kernels[name] += 1
        return result


def _is_blocking_copy(name: str, args: tuple, kwargs: dict[str, Any], tensors: list) -> bool:
    if name == 'copy_':
        asynchronous = kwargs.get('non_blocking', args[2] if len(args) > 2 else False)
        is_apart = len({each.device.type for each in tensors}) > 1
        return is_apart and not (asynchronous and _is_pinned(args[1]))
    if name == '_to_copy':
        device = kwargs.get('device') or tensors[0].device
        is_apart = torch.device(device).type != tensors[0].device.type
        asynchronous = kwargs.get('non_blocking') and _is_pinned(tensors[0])
        return is_apart and bool(tensors[0].numel()) and not asynchronous
    return False


def _is_pinned(tensor: Tensor) -> bool:
    return getattr(tensor, 'is_in_place', False)


def _place() -> str:
    """Where in this package it was."""
    frames = [each for each in traceback.extract_stack() if _SOURCE in each.filename]
    return f'{Path(frames[-1].filename).name}: {frames[-1].line}' if frames else '?'
