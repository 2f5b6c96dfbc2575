# SPDX-License-Identifier: Apache-2.0
"""The state of a run on disk, from which it goes on after a kill as if nothing had happened."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError
from torch.distributed.checkpoint import CheckpointException

from flash_vstream_ros.core.checkpoint_files import read_json
from flash_vstream_ros.core.memory_file import flush

# What may differ between the parts of one run, because no weight depends on it
FREE_KEYS = (
    'out',
    'stop_at',
    'save_every',
    'log_every',
    'workers',
    'memory_cache',
    'save_dtype',
)
_ADDED = {'compile': False}  # keys that a run of an earlier version does not name
_ABOUT = 'run.json'
_ORIGINS = 'origins'


class RunState:
    """Folders ``step-N``, each complete or absent; the newest one counts.

    :param folder: of the states.
    :param values: the configuration; a run goes on with the one it began with.
    :param origins: digests of what it learns from, by name; the same holds for these.
    """

    def __init__(
        self, folder: Path, values: Mapping[str, Any], origins: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._values = {k: v for k, v in values.items() if k not in FREE_KEYS}
        # As a file holds it: tuples become lists.
        self._values = json.loads(json.dumps(self._values))
        self._origins = dict(origins or {})

    def newest(self) -> tuple[Path | None, int]:
        """The newest state and its step; None and 0 where there is none.

        :raises ValueError: it is one of another configuration, or learned from something else.
        """
        steps = [int(path.name.split('-')[1]) for path in self._folder.glob('step-*')]
        if not steps:
            return None, 0
        path = self._path(max(steps))
        self._check(path)
        return path, max(steps)

    def _path(self, step: int) -> Path:
        return self._folder / f'step-{step:08d}'

    def _check(self, path: Path) -> None:
        added = {key: value for key, value in _ADDED.items() if key in self._values}
        began = added | read_json(path / _ABOUT)
        noted = began.pop(_ORIGINS, {})  # of an earlier version: nothing is known of them
        for key in began.keys() | self._values.keys():
            if began.get(key) != self._values.get(key):
                raise ValueError(
                    f'{path}: this run began with {key} = {began.get(key)!r}, and cannot go on '
                    f'with {self._values.get(key)!r}; choose another folder as out, or remove '
                    f'{self._folder.parent}'
                )
        for name, digest in self._origins.items():
            if noted.get(name, digest) != digest:
                raise ValueError(
                    f'{name}: changed since the run in {self._folder.parent} began with it; put '
                    f'back what it was, choose another folder as out, or remove '
                    f'{self._folder.parent}'
                )

    def save(self, accelerator: Accelerator, step: int) -> None:
        """Write the state after a step, then remove the older ones.

        :raises OSError: it cannot be written; the states from before are unharmed.
        """
        path = self._path(step)
        part = path.with_name(f'.{path.name}.part')
        if accelerator.is_main_process:
            shutil.rmtree(part, ignore_errors=True)
        accelerator.wait_for_everyone()
        try:
            accelerator.save_state(str(part))
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                about = self._values | {_ORIGINS: self._origins}
                (part / _ABOUT).write_text(json.dumps(about, indent=1))
                _flush(part)
        # RuntimeError: of torch.save. CheckpointException: of FSDP's states, and no Exception.
        except (OSError, RuntimeError, SafetensorError, CheckpointException) as error:
            shutil.rmtree(part, ignore_errors=True)
            if isinstance(error, CheckpointException):  # a traceback of each process
                error, _ = next(iter(error.failures.values()))
            raise OSError(
                f'{path}: the state of the run could not be written: {error}; the one from '
                f'before is unharmed, and the run goes on from it when it is started again'
            ) from error
        if accelerator.is_main_process:
            if path.exists():  # a kill came between the next two lines
                shutil.rmtree(path)
            part.rename(path)
            self._remove_others(path)
        accelerator.wait_for_everyone()

    def _remove_others(self, path: Path) -> None:
        # The hidden ones: parts of states that a kill has left.
        for other in [*self._folder.glob('step-*'), *self._folder.glob('.step-*.part')]:
            if other != path:
                shutil.rmtree(other)


def _flush(folder: Path) -> None:
    """Wait until all of a folder is on the disk: only then may it take its name."""
    for path in [*folder.rglob('*'), folder]:
        flush(path)
