# SPDX-License-Identifier: Apache-2.0
"""The file of a saved memory: safetensors with a version, written atomically, read with checks."""

import contextlib
import hashlib
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from flash_vstream_ros.core.quoting import quote, shorten

FORMAT = 'flash_vstream_ros/star_memory'
VERSION = '2'
_NOTE = 'note: '
_ATTACHED = 'attached: '
_ATTACHED_TYPES = ('F32', 'F64', 'I64', 'U8')
_TYPES = {'F32': torch.float32, 'F64': torch.float64, 'I64': torch.int64}  # of a state
_CHUNK = 2**20  # bytes read at a time


class MemoryFileError(ValueError):
    """A file that holds no memory this reader can use; says which, why, and what was expected."""


def write_memory_file(
    path: Path,
    state: Mapping[str, Tensor],
    about: Mapping[str, str],
    notes: Mapping[str, str] | None = None,
    attached: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a memory's state so that the file is either the old one or the new one, never half.

    :param state: the tensors.
    :param about: what a reader must agree with (encoder fingerprint, geometry).
    :param notes: what a reader may like to know; see :func:`read_notes`.
    :param attached: tensors that belong to it and that a reader can do without; see
        :func:`read_attached`.
    :raises OSError: the file cannot be written; the one before is unharmed.
    """
    named = {**state, **{_ATTACHED + name: value for name, value in (attached or {}).items()}}
    tensors = {name: value.detach().cpu().contiguous() for name, value in named.items()}
    metadata = {'format': FORMAT, 'version': VERSION, 'sha256': _digest(tensors), **about}
    metadata |= {_NOTE + name: value for name, value in (notes or {}).items()}
    write_atomically(path, save(tensors, metadata))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file through a temporary one beside it, flushed to disk before it takes its name."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside a path to write a file under, which is flushed and takes its place."""
    temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.part')
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush(path.parent)


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_memory_file(
    path: Path, expected: Mapping[str, Tensor], about: Mapping[str, str]
) -> dict[str, Tensor]:
    """Read a state back.

    :param expected: a state of the shapes and types the file must have.
    :param about: what the file must agree with.
    :raises OSError: the file cannot be read.
    :raises MemoryFileError: it holds something else; the message names both sides.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
        _check_metadata(path, metadata, about)
        _check_tensors(path, file, expected)
        _read_through(path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if _digest(tensors) != metadata.get('sha256'):
        raise MemoryFileError(f'{path}: damaged: its content is not what was written')
    return {name: tensors[name] for name in expected}


def read_notes(path: Path) -> dict[str, str]:
    """Read what was noted beside a memory.

    :raises OSError: the file cannot be read.
    :raises MemoryFileError: it is no safetensors file.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    return {k.removeprefix(_NOTE): v for k, v in metadata.items() if k.startswith(_NOTE)}


def read_attached(path: Path) -> dict[str, Tensor]:
    """Read the tensors that were attached to a memory. :func:`read_memory_file` checks the digest.

    :raises OSError: the file cannot be read.
    :raises MemoryFileError: it is no safetensors file.
    """
    with _opened(path) as file:
        names = [name for name in file.keys() if name.startswith(_ATTACHED)]  # noqa: SIM118
        return {name.removeprefix(_ATTACHED): file.get_tensor(name) for name in names}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file; what is wrong with it is an OSError or a MemoryFileError that names it."""
    _read_through(path, _CHUNK)
    try:
        with safe_open(path, 'pt') as file:
            yield file
    except SafetensorError as error:
        raise MemoryFileError(f'{path}: expected a saved memory, got {shorten(error)}') from error


def _read_through(path: Path, limit: float = math.inf) -> None:
    """Read a file to its end, or so far: what the disk and the system say against it is heard.

    The reader says of a file that may not be read that there is none; and it maps the file, so
    that a part of it that the disk cannot give back would end the process.
    """
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such file')
    if not path.is_file():  # opening a pipe would wait for somebody who writes to it
        raise OSError(f'{path}: expected a file, got a folder or a device')
    try:
        with path.open('rb', buffering=0) as file:
            while limit > 0 and file.read(_CHUNK):
                limit -= _CHUNK
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # reading names no file


def _check_metadata(path: Path, found: Mapping[str, str], about: Mapping[str, str]) -> None:
    for name, value in {'format': FORMAT, 'version': VERSION, **about}.items():
        if found.get(name) != value:
            raise MemoryFileError(
                f'{path}: {name}: expected {value!r}, got {quote(found.get(name))}; a memory can '
                f'be read only by the model that wrote it'
            )


def _check_tensors(path: Path, file: Any, expected: Mapping[str, Tensor]) -> None:
    """Compare names, types and shapes as the header has them, before anything is allocated."""
    found = {name: _claim(file, name) for name in file.keys()}  # noqa: SIM118, no dictionary
    wanted = {name: f'{t.dtype} of shape {tuple(t.shape)}' for name, t in expected.items()}
    for name in wanted.keys() | found.keys():
        if name.startswith(_ATTACHED):
            _check_attached(path, name, file)
            continue
        one, other = wanted.get(name, 'nothing'), found.get(name, 'nothing')
        if one != other:
            name = name if name in wanted else quote(name)
            raise MemoryFileError(f'{path}: {name}: expected {one}, got {shorten(other)}')


def _check_attached(path: Path, name: str, file: Any) -> None:
    """A type that NumPy does not have would fail whoever reads it."""
    dtype = file.get_slice(name).get_dtype()
    if dtype not in _ATTACHED_TYPES:
        raise MemoryFileError(
            f'{path}: {quote(name)}: expected one of {_ATTACHED_TYPES}, got {dtype}'
        )


def _claim(file: Any, name: str) -> str:
    part = file.get_slice(name)
    dtype = part.get_dtype()
    return f'{_TYPES.get(dtype, dtype)} of shape {tuple(part.get_shape())}'


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        if tensors[name].numel():  # an empty one may have strides that cannot be viewed as bytes
            digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
