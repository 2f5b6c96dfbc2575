# SPDX-License-Identifier: Apache-2.0
"""Writes checkpoints in the published layout: the old one or the new one, never half of either."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from flash_vstream_ros.core.checkpoint_files import read_json
from flash_vstream_ros.core.memory_file import write_atomically

TOWER_FOLDER = 'vision_tower'
_SHARD_BYTES = 2_000_000_000


def write_description(
    folder: Path, config: Mapping[str, Any], vision: Mapping[str, Any] | None, tokenizer: bytes
) -> None:
    """Write all of a checkpoint but its weights. The folder is made where it does not exist.

    :param config: ``config.json``; its ``mm_vision_tower`` names the tower's folder.
    :param vision: ``config.json`` of the vision tower; None: it is one that is built in.
    :param tokenizer: ``tokenizer.model``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if vision is not None:
        tower = folder / config['mm_vision_tower']
        tower.mkdir(parents=True, exist_ok=True)
        write_atomically(tower / 'config.json', json.dumps(vision, indent=2).encode())
    write_atomically(folder / 'tokenizer.model', tokenizer)
    # The last one: what has a config has all of its description.
    write_atomically(folder / 'config.json', json.dumps(config, indent=2).encode())


def write_tensors(
    folder: Path, tensors: Iterable[tuple[str, Tensor]], safetensors: bool = True
) -> None:
    """Write shards of bounded size, then, in one step, the index that makes them the weights.

    Weights that lie there already stay as they are until then, and are removed afterwards.

    :param tensors: by the keys of the published layout; taken one at a time.
    :param safetensors: safetensors, or the published ``.bin`` shards.
    :raises OSError: the disk is full, say; the weights from before are unharmed.
    """
    suffix, stem = ('.safetensors', 'model') if safetensors else ('.bin', 'pytorch_model')
    index = folder / f'{stem}{suffix}.index.json'
    old = _shards_of(index)
    # Two names take turns, so that no shard is overwritten while an index names it.
    turn = stem if f'{stem}-00001{suffix}' not in old else f'{stem}-b'
    written: dict[str, list[str]] = {}
    total = 0
    try:
        for shard in _shards(tensors):
            name = f'{turn}-{len(written) + 1:05d}{suffix}'
            written[name] = list(shard)
            _write_shard(folder / name, shard, safetensors)
            total += sum(tensor.nbytes for tensor in shard.values())
        weight_map = {key: name for name, keys in written.items() for key in keys}
        content = {'metadata': {'total_size': total}, 'weight_map': weight_map}
        write_atomically(index, json.dumps(content, indent=1).encode())
    except (OSError, SafetensorError, RuntimeError) as error:  # RuntimeError: of torch.save
        _remove(folder, written)
        raise OSError(
            f'{folder}: the weights could not be written: {error}; what was there before is '
            f'unharmed'
        ) from error
    except BaseException:  # of where the tensors come from
        _remove(folder, written)
        raise
    # Of an interrupted write too; the last ones are of safetensors
    patterns = (f'{stem}-*{suffix}', f'.{index.name}.*.part', '.tmp??????')
    found = {path.name for pattern in patterns for path in folder.glob(pattern)}
    _remove(folder, found - written.keys())


def _shards_of(index: Path) -> set[str]:
    return set(read_json(index)['weight_map'].values()) if index.exists() else set()


def _shards(tensors: Iterable[tuple[str, Tensor]]) -> Iterable[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    for key, tensor in tensors:
        shard[key] = tensor
        if sum(value.nbytes for value in shard.values()) >= _SHARD_BYTES:
            yield shard
            shard = {}
    if shard:
        yield shard


def _write_shard(path: Path, shard: dict[str, Tensor], safetensors: bool) -> None:
    path.touch()
    mode = path.stat().st_mode
    if safetensors:
        save_file(shard, path, {'format': 'pt'})
    else:
        torch.save(shard, path)
    path.chmod(mode)  # safetensors makes files that nobody else may read
    with path.open('rb') as file:
        os.fsync(file.fileno())


def _remove(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
