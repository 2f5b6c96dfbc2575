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
from torch import Tensor, nn

from flash_vstream_ros.core.quoting import quote, shorten

_WEIGHTS = (
    'model.safetensors.index.json',
    'model.safetensors',
    'pytorch_model.bin.index.json',
    'pytorch_model.bin',
)
_LONGEST_NAME = 255  # of a file, as file systems have it
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
    folder = _expanded(path)
    try:
        if folder.is_dir():
            return folder
        is_there = folder.exists()
    except OSError as error:  # a name too long for the system
        raise CheckpointError(f'{shorten(path)}: no such folder: {shorten(error)}') from error
    if is_there:
        raise CheckpointError(f'{path}: expected the folder of a checkpoint, got a file')
    if not _HUB_ID.fullmatch(str(path)):
        raise CheckpointError(f'{shorten(path)}: no such folder (and no hub id: owner/name)')
    name, _, revision = str(path).partition('@')
    try:
        return Path(_download(name, revision or None))
    # Whatever HTTP library the hub's client is built on in this version has errors of its own.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f'{path}: no such folder, and the hub did not give it: {reason}'
        ) from error


def folder_beside(folder: Path, name: str) -> Path | None:
    """Find the folder that a checkpoint's config names, where it lies beside the checkpoint."""
    try:
        beside = (folder / name).resolve()
        return beside if beside.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a character 0
        return None


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
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f'{path}: expected JSON: {shorten(error)}') from error
    if not isinstance(value, dict):
        raise CheckpointError(f'{path}: expected a JSON object, got {type(value).__name__}')
    return value


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor, str]]:
    """Iterate over all tensors of a folder, mapped from disk, file by file.

    :returns: key, tensor, and the file it came from.
    :raises CheckpointError: there are no weights, or a file is missing or damaged.
    """
    for file in weight_files(folder):
        reader = _read_safetensors if file.suffix == '.safetensors' else _read_bin
        yield from ((key, tensor, str(file)) for key, tensor in reader(file))


def weight_files(folder: Path) -> list[Path]:
    """List the files that hold a folder's weights.

    :raises CheckpointError: there are none, or one is missing.
    """
    found = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f'{folder}: expected one of {list(_WEIGHTS)}, found none')
    if found.suffix != '.json':
        return [found]
    weight_map = read_json(found).get('weight_map')
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f'{found}: weight_map: expected keys with their files, got none')
    unfit = [n for n in weight_map.values() if not isinstance(n, str) or len(n) > _LONGEST_NAME]
    if unfit:
        raise CheckpointError(
            f'{found}: weight_map: expected names of files, got {quote(unfit[0])}'
        )
    files = [folder / name for name in sorted(set(weight_map.values()))]
    for file in files:
        if not file.is_file():
            raise CheckpointError(f'{file}: the file is missing; {found.name} names it')
    return files


def _expanded(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~ of a user who does not exist
        raise CheckpointError(f'{shorten(path)}: no such folder: {shorten(error)}') from error


def check_vocabulary(pieces: int, words: int, folder: Path) -> None:
    """Check that a language model knows all pieces of a tokenizer.

    :param pieces: of the tokenizer.
    :param words: the ``vocab_size`` of the language model.
    :raises CheckpointError: it has fewer.
    """
    if pieces > words:
        raise CheckpointError(
            f'{folder}/tokenizer.model: its {pieces} pieces do not fit the vocab_size of {words} '
            f'in config.json'
        )


def check_files(path: str | Path) -> None:
    """Check that a checkpoint's files are there and whole. Reads no weights, downloads nothing.

    :param path: a folder, or a hub id, of which the copy on this machine is checked.
    :raises CheckpointError: a file is missing, not to be read, or cut off.
    """
    folder = _expanded(path)
    if not folder.is_dir() and _HUB_ID.fullmatch(str(path)):
        name, _, revision = str(path).partition('@')
        try:
            folder = Path(
                snapshot_download(name, revision=revision or None, local_files_only=True)
            )
        except LocalEntryNotFoundError as error:
            raise CheckpointError(f'{path}: no such folder, and not downloaded yet') from error
    folder = resolve_folder(folder)
    tower = read_json(folder / 'config.json').get('mm_vision_tower')
    if not (folder / 'tokenizer.model').is_file():
        raise CheckpointError(f'{folder / "tokenizer.model"}: the tokenizer is missing')
    files = weight_files(folder)
    beside = folder_beside(folder, tower) if isinstance(tower, str) else None
    # Else they lie in the checkpoint.
    if beside is not None and any((beside / name).is_file() for name in _WEIGHTS):
        files += weight_files(beside)
    for file in files:
        _check_whole(file)


def _check_whole(file: Path) -> None:
    """Read the head of a file of weights, which says how long it must be."""
    if file.suffix == '.safetensors':
        with contextlib.suppress(StopIteration):
            next(_read_safetensors(file))
        return
    try:
        with file.open('rb') as opened:
            begins_as_archive = opened.read(2) == b'PK'
    except OSError as error:
        raise CheckpointError(f'{file}: cannot be read: {error}') from error
    # The format before torch 1.6 is no zip archive, and does not say how long it is.
    if file.stat().st_size == 0 or (begins_as_archive and not zipfile.is_zipfile(file)):
        raise CheckpointError(f'{file}: damaged or cut off')


def _read_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, 'pt') as file:
            for key in file.keys():  # noqa: SIM118, an open file is no dictionary
                yield key, _tensor(file, key)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f'{path}: damaged, cut off or not to be read: {shorten(error)}'
        ) from error


def _tensor(file: Any, key: str) -> Tensor:
    try:
        return file.get_tensor(key)
    except TypeError as error:  # a size beyond int64, of a tensor that another 0 makes empty
        raise SafetensorError(f'{quote(key)}: {error}') from error


def _read_bin(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        # The format before torch 1.6 is no zip archive and cannot be mapped.
        is_mappable = zipfile.is_zipfile(path)
        tensors = torch.load(path, map_location='cpu', mmap=is_mappable, weights_only=True)
    # A cut-off file of the old format raises whatever unpickling stumbled over.
    except Exception as error:
        reason = shorten(error) or type(error).__name__
        raise CheckpointError(f'{path}: damaged, cut off or no weights: {reason}') from error
    if not isinstance(tensors, dict):
        raise CheckpointError(f'{path}: expected tensors by name, got {type(tensors).__name__}')
    for key, tensor in tensors.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f'{path}: expected tensors by name, got {quote(key)}: {type(tensor).__name__}'
            )
        if not _is_plain(tensor):
            raise CheckpointError(
                f'{path}: {shorten(key)}: expected a plain block of real numbers, got '
                f'{tensor.dtype}, {tensor.layout}, on {tensor.device}, {tuple(tensor.shape)}'
            )
        yield key, tensor


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is the block of numbers that a checkpoint holds."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.device.type == 'cpu'
        and tensor.layout == torch.strided
        and not tensor.is_quantized
        and not tensor.is_nested
        and not tensor.is_complex()
        and tensor.nbytes <= tensor.untyped_storage().nbytes()
    )
