# SPDX-License-Identifier: Apache-2.0
"""Writes what was trained as a checkpoint in the published layout."""

import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flash_vstream_ros.core.checkpoint import TOWER
from flash_vstream_ros.core.checkpoint_files import CheckpointError, read_json, read_tensors
from flash_vstream_ros.core.checkpoint_saving import (
    TOWER_FOLDER,
    write_description,
    write_tensors,
)
from flash_vstream_ros.core.model_config import KNOWN_TOWERS, find_vision_tower
from flash_vstream_ros.data.tower import tower_tensors
from flash_vstream_ros.training.model import published_tensors


def save_checkpoint(
    folder: Path, source: Path, state: dict[str, Tensor], dtype: torch.dtype
) -> None:
    """Write a trained checkpoint; one that lies there is replaced in one step, or left as it is.

    :param folder: made where it does not exist.
    :param source: checkpoint that the training began with: config, tokenizer and vision tower,
        which is copied bit by bit, are taken from it.
    :param state: of the :class:`~flash_vstream_ros.training.model.TrainedModel`, whole.
    :param dtype: of the weights in the file, the tower's excepted.
    :raises FileExistsError: another model lies in the folder.
    :raises OSError: it cannot be written; the checkpoint from before is unharmed.
    """
    config, tower = saved_config(source)
    check_same_model(folder, config)
    if not (folder / 'config.json').exists():
        write_description(folder, config, tower, (source / 'tokenizer.model').read_bytes())
    write_tensors(folder, chain(published_tensors(state, dtype), tower_tensors(source)))


def is_saved(folder: Path, dtype: torch.dtype) -> bool:
    """Whether all files of a checkpoint lie in a folder, its weights in one type.

    :param dtype: of the weights, the tower's excepted.
    """
    if not all((folder / name).is_file() for name in ('config.json', 'tokenizer.model')):
        return False
    try:
        tensors = read_tensors(folder)
        found = next((t.dtype for key, t, _ in tensors if not key.startswith(TOWER)), None)
    except CheckpointError:
        return False
    return found == dtype


def saved_config(source: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What describes a checkpoint that was trained from another one.

    :param source: the one that the training began with.
    :returns: its ``config.json``, and that of its vision tower; None: a published one, by name.
    """
    config = read_json(source / 'config.json')
    if config['mm_vision_tower'] in KNOWN_TOWERS:
        return config, None
    _, vision = find_vision_tower(config, source)
    tower = json.loads(vision.to_json_string(use_diff=False))
    return config | {'mm_vision_tower': TOWER_FOLDER}, tower  # a path would lead nowhere from here


def check_same_model(folder: Path, config: Mapping[str, Any]) -> None:
    """Check that a folder of a checkpoint holds no other model.

    :param config: its ``config.json``.
    :raises FileExistsError: it does.
    """
    path = folder / 'config.json'
    if path.exists() and read_json(path) != config:
        raise FileExistsError(
            f'{folder}: another model lies here, or a part of one that was interrupted; it is '
            f'not overwritten; choose another folder as out, or remove {folder.parent}'
        )
