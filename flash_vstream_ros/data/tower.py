# SPDX-License-Identifier: Apache-2.0
"""A checkpoint's vision tower as it is stored: to copy it, and to name it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from flash_vstream_ros.core.checkpoint import TOWER, read_tower
from flash_vstream_ros.core.checkpoint_files import read_json, read_tensors, resolve_folder
from flash_vstream_ros.core.fingerprint import TOWER_VALUES
from flash_vstream_ros.core.model_config import find_vision_tower


def tower_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Iterate over the tower's tensors, by their keys in a checkpoint that holds its own tower.

    :param folder: of the checkpoint; the tower's tensors lie in it or where its config says.
    :raises CheckpointError: a file is missing or damaged.
    """
    has_own = False
    for key, tensor, _ in read_tensors(folder):
        if key.startswith(TOWER):
            has_own = True
            yield key, tensor
    if has_own:
        return
    config = read_json(folder / 'config.json')
    beside, _ = find_vision_tower(config, folder)
    for key, tensor, _ in read_tower(beside or resolve_folder(config['mm_vision_tower'])):
        yield key, tensor


def tower_id(folder: Path) -> str:
    """Name all that a feature depends on: the tower and the layer that is read. 16 hex digits.

    Unlike the ``encoder_id`` of a memory it leaves semantic attention and the sizes of the memory
    out, which training changes: features stay good through both stages.

    :param folder: of the checkpoint.
    :raises CheckpointError: a file is missing or damaged.
    """
    config = read_json(folder / 'config.json')
    _, vision = find_vision_tower(config, folder)
    values = {name: getattr(vision, name) for name in TOWER_VALUES}
    parts = [repr((config.get('mm_vision_select_layer', -2), values))]
    for key, tensor in tower_tensors(folder):
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        parts.append(f'{key} {tensor.dtype} {hashlib.sha256(data).hexdigest()}')
    return hashlib.sha256('\n'.join(sorted(parts)).encode()).hexdigest()[:16]
