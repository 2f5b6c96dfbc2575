# SPDX-License-Identifier: Apache-2.0
"""Names of devices and types -> torch's own."""

import torch
from torch import Tensor

from flash_vstream_ros.core.config import DECODINGS, FLOAT_TYPES


def resolve_device(device: str | torch.device) -> torch.device:
    """Name -> device; ``auto`` is CUDA where there is one.

    :raises ValueError: no such device on this machine.
    """
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'device: expected auto, cpu, cuda or cuda:N, got {device!r}') from error
    devices = torch.cuda.device_count()
    if resolved.type == 'cuda' and (resolved.index or 0) >= devices:
        raise ValueError(f'device: {device} is not there; this machine has {devices} CUDA devices')
    return resolved


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products in bfloat16; others take them apart.

    True where that cannot be told.
    """
    if device.type != 'cpu' or not hasattr(torch.cpu, 'get_capabilities'):
        return True
    found = torch.cpu.get_capabilities()
    known = [has for name, has in found.items() if name.endswith('bf16')]  # AVX-512, AMX, Arm's
    return any(known) or not known


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Name -> dtype; ``auto`` is float16 on CUDA and float32 elsewhere.

    :raises ValueError: not a type that models run in.
    """
    if dtype == 'auto':
        return torch.float16 if device.type == 'cuda' else torch.float32
    dtype = str(dtype).removeprefix('torch.')
    if dtype not in FLOAT_TYPES:
        raise ValueError(f'dtype: expected auto or one of {list(FLOAT_TYPES)}, got {dtype!r}')
    return getattr(torch, dtype)


def send(device: torch.device, *parts: Tensor) -> list[Tensor]:
    """Send tensors of the CPU to a device in one copy, for which the host does not wait on CUDA.

    :param parts: of one type, each of any shape.
    :returns: the same on the device; on the CPU those that were given.
    """
    if device.type == 'cpu':
        return list(parts)
    whole = torch.cat([part.flatten() for part in parts])
    is_apart = device.type == 'cuda'
    if is_apart:
        whole = whole.pin_memory()  # torch keeps it until it has arrived
    sent = whole.to(device, non_blocking=is_apart).split([part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(sent, parts, strict=True)]


def check_decoding(decoding: str, device: torch.device, quantization: str = 'none') -> None:
    """Check that passes can be run this way on a device.

    :param quantization: of the model's layers.
    :raises ValueError: no such way, or not on this device or with such layers.
    """
    if decoding not in DECODINGS:
        raise ValueError(f'decoding: expected one of {list(DECODINGS)}, got {decoding!r}')
    if decoding == 'graph' and device.type != 'cuda':
        raise ValueError(
            f'decoding: graph needs a CUDA device, this is {device}; choose plain or compiled'
        )
    if decoding == 'graph' and quantization == 'int8':
        raise ValueError(
            'decoding: graph cannot capture int8 layers, each of which waits for the device to '
            'look for outliers; choose plain, or quantization nf4'
        )
