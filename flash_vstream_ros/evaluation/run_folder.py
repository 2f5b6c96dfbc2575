# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation: its settings, so that only the same run is resumed in it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flash_vstream_ros.core.checkpoint_files import read_json, resolve_folder
from flash_vstream_ros.core.memory_file import write_atomically
from flash_vstream_ros.core.model_config import find_vision_tower

SETTINGS = 'run.json'
ANSWERS = 'answers.jsonl'
JUDGEMENTS = 'judgements.jsonl'
_VERSION = 1


def settle(folder: Path, settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Note the settings of a run, or check that they are those of the run that is resumed.

    Inputs can be added later on; what an input was evaluated with can not be changed.

    :param settings: of all inputs alike.
    :param inputs: by name, what each is and with which model.
    :raises OSError: the folder cannot be written.
    :raises ValueError: another run has left its results here; the setting is named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    before: dict[str, Any] = {'inputs': {}}
    if path.exists():
        before = _read(path)
        _compare(path, before, {'version': _VERSION, **settings})
        for name, about in inputs.items():
            if name in before['inputs']:
                _compare(path, before['inputs'][name], about, f'input {name}: ')
    noted = {'version': _VERSION, **settings, 'inputs': {**before['inputs'], **inputs}}
    write_atomically(path, json.dumps(noted, indent=1).encode() + b'\n')


def read_settings(folder: Path) -> dict[str, Any]:
    """Read what :func:`settle` noted.

    :raises OSError: nothing is noted.
    :raises ValueError: the file is damaged.
    """
    return _read(folder / SETTINGS)


def _read(path: Path) -> dict[str, Any]:
    try:
        noted = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: not the settings of an evaluation: {error}') from error
    if not isinstance(noted, dict) or not isinstance(noted.get('inputs'), dict):
        raise ValueError(f'{path}: not the settings of an evaluation')
    return noted


def _compare(
    path: Path, before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ''
) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            raise ValueError(
                f'{path}: {prefix}{name}: the results here were made with {before.get(name)!r}, '
                f'not {value!r}; choose another --out, or the same settings to go on'
            )


def file_digest(paths: Iterable[Path]) -> str:
    """Name the content of files, 16 hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open('rb') as file:
            digest.update(hashlib.file_digest(file, 'sha256').digest())
    return digest.hexdigest()[:16]


def checkpoint_digest(model: str) -> str:
    """Name all that a checkpoint's answers depend on, 16 hex digits.

    :param model: its folder, or a hub id.
    :raises CheckpointError: there is none.
    """
    folder = resolve_folder(model)
    tower, _ = find_vision_tower(read_json(folder / 'config.json'), folder)
    folders = [folder] if tower is None else [folder, tower]
    patterns = ('config.json', 'tokenizer.model', '*.safetensors', '*.bin')
    return file_digest(p for f in folders for pattern in patterns for p in sorted(f.glob(pattern)))
