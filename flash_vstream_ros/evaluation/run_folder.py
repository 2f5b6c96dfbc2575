# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation: its settings, so that only the same run is resumed in it."""

import fcntl
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from flash_vstream_ros.core.checkpoint_files import read_json, resolve_folder
from flash_vstream_ros.core.memory_file import write_atomically
from flash_vstream_ros.core.model_config import find_vision_tower
from flash_vstream_ros.evaluation.json_lines import JsonLines

logger = logging.getLogger(__name__)

SETTINGS = 'run.json'
LOCK = '.lock'
ANSWERS = 'answers.jsonl'
JUDGEMENTS = 'judgements.jsonl'
_VERSION = 1
_STREAMS = ('features', 'recordings')  # what is noted of each stream
_DECISIVE = ('weights',)  # of an input; its model's path and description may change


class FolderLock:
    """Keeps other evaluations out of a folder while a ``with`` block goes on, or several nested.

    The kernel lets go of it when the process ends, in whatever way.

    :param folder: made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._depth = 0

    def __enter__(self) -> 'FolderLock':
        """Take the lock.

        :raises OSError: the folder cannot be written.
        :raises ValueError: another evaluation holds it.
        """
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = (self._folder / LOCK).open('ab')
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise ValueError(
                    f'{self._folder}: another evaluation writes here; wait for its end, or choose '
                    f'another --out'
                ) from None
            except OSError as error:
                file.close()
                raise OSError(f'{self._folder / LOCK}: cannot be locked: {error}') from error
            self._file = file
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._file.close()
            self._file = None


def check_folder(folder: Path) -> None:
    """Find out before the work that results cannot be kept in a folder; it need not exist.

    :raises NotADirectoryError: a file lies there, or where a folder above it would.
    """
    for place in (folder, *folder.absolute().parents):
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(
                f'{place}: expected a folder for the results, or nothing yet, got a file; choose '
                f'another --out'
            )


def settle(
    folder: Path,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Any],
    features: Mapping[str, str] | None = None,
    recordings: Mapping[str, str] | None = None,
) -> None:
    """Note the settings of a run, or check that they are those of the run that is resumed.

    Inputs and streams can be added later on; what an input was evaluated with, and the features
    or the recording of a stream, can not be changed.

    :param settings: of all inputs alike, ``sets`` among them; None: it is not given.
    :param inputs: by name, what each is and with which model.
    :param features: digests of the streams' feature files, by set and stream; or else
    :param recordings: identities of the recordings.
    :raises OSError: the folder cannot be written.
    :raises ValueError: another run has left its results here; the setting is named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    streams = {'features': features or {}, 'recordings': recordings or {}}
    before: dict[str, Any] = {'inputs': {}, **{kind: {} for kind in _STREAMS}}
    if path.exists():
        before |= _read(path)
        before.setdefault('sets', _answered_sets(folder, settings['sets']))
        _compare(path, before, {'version': _VERSION, **settings})
        for name, about in inputs.items():
            if name in before['inputs']:
                decisive = {key: about[key] for key in _DECISIVE}
                _compare(path, before['inputs'][name], decisive, f'input {name}: ')
        for kind, digests in streams.items():
            _compare_streams(path, kind, before[kind], digests)
    added = {key: {**before[key], **new} for key, new in {'inputs': inputs, **streams}.items()}
    given = {name: value for name, value in settings.items() if value is not None}
    noted = {'version': _VERSION, **given, **added}
    write_atomically(path, json.dumps(noted, indent=1).encode() + b'\n')


def forget_recordings(folder: Path, names: Iterable[str]) -> None:
    """Let the recordings of streams that failed be exchanged for mended ones.

    :param names: of the streams, by set and stream.
    :raises OSError: the folder cannot be written.
    """
    noted = _read(folder / SETTINGS)
    noted['recordings'] = {**noted.get('recordings', {}), **dict.fromkeys(names)}
    write_atomically(folder / SETTINGS, json.dumps(noted, indent=1).encode() + b'\n')


def _compare_streams(
    path: Path, kind: str, before: Mapping[str, str], now: Mapping[str, str]
) -> None:
    known = {name: now[name] for name in now if before.get(name) is not None}
    _compare(path, before, known, f'{kind} of ')
    if now and not before:
        logger.warning('%s does not say of which %s; they are taken to be these', path, kind)


def _answered_sets(folder: Path, sets: list[str]) -> list[str]:
    """The sets of a run of before they were noted: these, or else those of all its answers."""
    with JsonLines(folder / ANSWERS) as answers:
        names = dict.fromkeys(record['set'] for record in answers.records)
    return list(names) if names and not names.keys() & set(sets) else sets


def read_settings(folder: Path) -> dict[str, Any]:
    """Read what :func:`settle` noted.

    :raises OSError: nothing is noted.
    :raises ValueError: the file is damaged.
    """
    return _read(folder / SETTINGS)


def _read(path: Path) -> dict[str, Any]:
    try:
        noted = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: not the settings of an evaluation: {error}') from error
    parts: list[Any] = [None]
    if isinstance(noted, dict):
        parts = [noted.get('inputs'), *(noted.get(kind, {}) for kind in _STREAMS)]
    if not all(isinstance(part, dict) for part in parts):
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
