# SPDX-License-Identifier: Apache-2.0
"""The folder in which a frame handler's memories are saved: names in, files in that folder out."""

import contextlib
import itertools
import re
import time
from pathlib import Path

from flash_vstream_ros.core.quoting import quote

DEFAULT_NAME = 'memory'
PREVIOUS_NAME = 'previous'  # the stream before, where the stamps jumped back or at a reset
_ABANDONED_S = 600.0  # since a part of a file was written last
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}')


class MemoryStore:
    """Saved memories, in one folder.

    :param folder: made where it is missing, when something is saved; empty: saving is off.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).expanduser() if folder else None
        self._is_clean = False

    def path(self, name: str) -> Path:
        """The file of a name.

        :param name: empty: the default.
        :raises ValueError: saving is off, or the name could lead out of the folder.
        """
        if self._folder is None:
            raise ValueError(
                'memory_folder: expected a folder for saved memories, got nothing; set the '
                'parameter memory_folder'
            )
        if name and not _NAME.fullmatch(name):
            raise ValueError(
                f'name: expected up to 100 letters, digits, . _ or - and no folder, because '
                f'memories lie in {self._folder} only, got {quote(name)}'
            )
        path = self._folder / f'{name or DEFAULT_NAME}.safetensors'
        if path.is_symlink() and not path.resolve().is_relative_to(self._folder.resolve()):
            raise ValueError(f'name: {path} leads out of {self._folder}, to {path.resolve()}')
        return path

    def prepare(self) -> None:
        """Make the folder; the first time, clear away what kills in the middle of a save left.

        :raises OSError: it cannot be made.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._is_clean:
            self._is_clean = True
            before = time.time() - _ABANDONED_S
            for path in self._folder.glob('.*.safetensors.*.part'):
                with contextlib.suppress(OSError):  # it is another's, or gone
                    if path.stat().st_mtime < before:  # else another process may be writing it
                        path.unlink()

    def make_previous(self) -> None:
        """Rename the memory saved last: its stream is over, and is not to be restored.

        :raises OSError: it cannot be renamed.
        :raises ValueError: one of the two leads out of the folder.
        """
        with contextlib.suppress(FileNotFoundError):
            self.path('').replace(self.path(PREVIOUS_NAME))

    def set_aside(self, path: Path) -> Path:
        """Rename a file that cannot be used, so that saving does not overwrite it.

        :returns: its new path.
        :raises OSError: it cannot be renamed.
        """
        places = (path.with_suffix(f'.refused{n}.safetensors') for n in itertools.count(1))
        aside = next(place for place in places if not place.exists())
        path.rename(aside)
        return aside
