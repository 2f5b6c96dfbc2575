# SPDX-License-Identifier: Apache-2.0
"""Where a checkpoint's files are and how they are read: folder or hub, .bin or safetensors."""

import contextlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from torch import Tensor

_WEIGHTS = (
    'model.safetensors.index.json',
    'model.safetensors',
    'pytorch_model.bin.index.json',
    'pytorch_model.bin',
)
_HUB_ID = re.compile(r'[\w.-]+/[\w.-]+(@[\w./-]+)?')


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; names file and key, what was expected and what found."""


def resolve_folder(path: str | Path) -> Path:
    """Find a checkpoint's folder; a hub id is downloaded first, with a progress bar.

    :param path: a folder, or ``owner/name`` or ``owner/name@revision`` on the hub.
    :raises CheckpointError: there is no such folder, and no such model on the hub either.
    """
    if not str(path).strip():
        raise CheckpointError(
            "model: expected a checkpoint's folder or a hub id as IVGSZ/Flash-VStream-7b, got none"
        )
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f'{path}: expected the folder of a checkpoint, got a file')
    if not _HUB_ID.fullmatch(str(path)):
        raise CheckpointError(f'{path}: no such folder (and no hub id: owner/name)')
    name, _, revision = str(path).partition('@')
    try:
        return Path(_download(name, revision or None))
    # Whatever HTTP library the hub's client is built on in this version has errors of its own.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f'{path}: no such folder, and the hub did not give it: {reason}'
        ) from error


def _download(name: str, revision: str | None) -> str:
    """Fetch one form of the weights only: safetensors where there are any.

    Where the hub cannot be reached, what was fetched before is taken.
    """
    try:
        files = [file.rfilename for file in HfApi().model_info(name, revision=revision).siblings]
    except Exception:  # as above; raised again where there is nothing to take
        with contextlib.suppress(LocalEntryNotFoundError):
            return snapshot_download(name, revision=revision, local_files_only=True)
        raise
    weights = '*.safetensors' if any(f.endswith('.safetensors') for f in files) else '*.bin'
    patterns = ['*.json', 'tokenizer.model', weights]
    return snapshot_download(name, revision=revision, allow_patterns=patterns)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    :raises CheckpointError: it is missing or holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(f'{path}: the file is missing') from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f'{path}: expected JSON: {error}') from error
    if not isinstance(value, dict):
        raise CheckpointError(f'{path}: expected a JSON object, got {type(value).__name__}')
    return value


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor, str]]:
    """Iterate over all tensors of a folder, mapped from disk, file by file.

    :returns: key, tensor, and the file it came from.
    :raises CheckpointError: there are no weights, or a file is missing or damaged.
    """
    found = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f'{folder}: expected one of {list(_WEIGHTS)}, found none')
    files = [found]
    if found.suffix == '.json':
        weight_map = read_json(found).get('weight_map')
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f'{found}: weight_map: expected keys with their files, got none')
        unfit = [name for name in weight_map.values() if not isinstance(name, str)]
        if unfit:
            raise CheckpointError(
                f'{found}: weight_map: expected names of files, got {unfit[0]!r}'
            )
        files = [folder / name for name in sorted(set(weight_map.values()))]
    for file in files:
        if not file.is_file():
            raise CheckpointError(f'{file}: the file is missing; {found.name} names it')
        reader = _read_safetensors if file.suffix == '.safetensors' else _read_bin
        yield from ((key, tensor, str(file)) for key, tensor in reader(file))


def _read_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, 'pt') as file:
            for key in file.keys():  # noqa: SIM118, an open file is no dictionary
                yield key, file.get_tensor(key)
    except SafetensorError as error:
        raise CheckpointError(f'{path}: damaged or cut off: {error}') from error


def _read_bin(path: Path) -> Iterator[tuple[str, Tensor]]:
    # The format before torch 1.6 is no zip archive and cannot be mapped.
    is_mappable = zipfile.is_zipfile(path)
    try:
        tensors = torch.load(path, map_location='cpu', mmap=is_mappable, weights_only=True)
    # A cut-off file of the old format raises whatever unpickling stumbled over.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f'{path}: damaged, cut off or no weights: {reason}') from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise CheckpointError(f'{path}: expected tensors by name, got {type(tensors).__name__}')
    yield from tensors.items()
