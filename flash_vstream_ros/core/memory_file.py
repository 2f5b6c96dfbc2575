# SPDX-License-Identifier: Apache-2.0
"""The file of a saved memory: safetensors with a version, written atomically, read with checks."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FORMAT = 'flash_vstream_ros/star_memory'
VERSION = '2'


class MemoryFileError(ValueError):
    """A file that holds no memory this reader can use; says which, why, and what was expected."""


def write_memory_file(path: Path, state: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a memory's state so that the file is either the old one or the new one, never half.

    :param state: the tensors.
    :param about: what a reader must agree with (encoder fingerprint, geometry).
    :raises OSError: the file cannot be written; the one before is unharmed.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    metadata = {'format': FORMAT, 'version': VERSION, 'sha256': _digest(tensors), **about}
    write_atomically(path, save(tensors, metadata))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file through a temporary one beside it, flushed to disk before it takes its name."""
    temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.part')
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_memory_file(
    path: Path, expected: Mapping[str, Tensor], about: Mapping[str, str]
) -> dict[str, Tensor]:
    """Read a state back.

    :param expected: a state of the shapes and types the file must have.
    :param about: what the file must agree with.
    :raises OSError: the file cannot be read.
    :raises MemoryFileError: it holds something else; the message names both sides.
    """
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such file')
    if path.is_dir():
        raise IsADirectoryError(f'{path}: expected a file, got a folder')
    try:
        with safe_open(path, 'pt') as file:
            _check_metadata(path, file.metadata() or {}, about)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            digest = (file.metadata() or {}).get('sha256')
    except SafetensorError as error:
        raise MemoryFileError(f'{path}: expected a saved memory, got {error}') from error
    for name in expected.keys() | tensors.keys():
        wanted, found = _describe(expected.get(name)), _describe(tensors.get(name))
        if wanted != found:
            raise MemoryFileError(f'{path}: {name}: expected {wanted}, got {found}')
    if _digest(tensors) != digest:
        raise MemoryFileError(f'{path}: damaged: its content is not what was written')
    return tensors


def _check_metadata(path: Path, found: Mapping[str, str], about: Mapping[str, str]) -> None:
    for name, value in {'format': FORMAT, 'version': VERSION, **about}.items():
        if found.get(name) != value:
            raise MemoryFileError(
                f'{path}: {name}: expected {value!r}, got {found.get(name)!r}; a memory can be '
                f'read only by the model that wrote it'
            )


def _describe(tensor: Tensor | None) -> str:
    return 'nothing' if tensor is None else f'{tensor.dtype} of shape {tuple(tensor.shape)}'


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
