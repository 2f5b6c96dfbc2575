# SPDX-License-Identifier: Apache-2.0
"""The folder in which a frame handler's memories are saved: names in, files in that folder out."""

import contextlib
import itertools
import re
import tempfile
import time
from pathlib import Path

from flash_vstream_ros.core.quoting import quote

DEFAULT_NAME = 'memory'
PREVIOUS_NAME = 'previous'  # the stream before, where the stamps jumped back or at a reset
_REFUSED, _UNREAD = 'refused', 'unread'  # in names of files that were set aside
_SUFFIX = '.safetensors'
_SHOWN = 5  # names, of those that there are
_ABANDONED_S = 600.0  # since a part of a file was written last
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}')


def folder_of(value: str) -> Path:
    """The folder that the parameter ``memory_folder`` names, in full.

    :raises ValueError: it begins with the ``~`` of a user without a home.
    """
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:  # that is how pathlib says it
        raise ValueError(
            f'memory_folder: expected a folder, got {quote(value)}: no home of such a user is '
            f'known; write it in full, as /home/robot/memories'
        ) from error


def try_writing(folder: Path) -> None:
    """Write a file in a folder that leaves no trace.

    :raises OSError: it cannot be written; the error names the folder.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b'.')
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


class MemoryStore:
    """Saved memories, in one folder.

    :param folder: made where it is missing, when something is saved; empty: saving is off.
    :raises ValueError: there can be no such folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder_of(folder) if folder else None
        self._is_clean = False
        self._spared = ''  # _REFUSED or _UNREAD: so what lies under the default name was found

    def path(self, name: str) -> Path:
        """The file of a name.

        :param name: empty: the default; that of the file, with its ending, is as good.
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
        path = self._folder / f'{name.removesuffix(_SUFFIX) or DEFAULT_NAME}{_SUFFIX}'
        if path.is_symlink() and not path.resolve().is_relative_to(self._folder.resolve()):
            raise ValueError(f'name: {path} leads out of {self._folder}, to {path.resolve()}')
        return path

    def say_names(self) -> str:
        """Say which memories there are."""
        found = []
        for path in self._folder.glob(f'[!.]*{_SUFFIX}'):
            with contextlib.suppress(OSError):  # it is gone
                found.append((path.stat().st_mtime_ns, path.stem))
        if not found:
            return f'nothing is saved in {self._folder}'
        names = [quote(name) for _, name in sorted(found, reverse=True)]
        more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
        return f'there are, the newest first: {", ".join(names[:_SHOWN])}{more}'

    def check(self) -> None:
        """Make the folder, and try whether it can be written.

        :raises OSError: it cannot.
        """
        self.prepare()
        try_writing(self._folder)

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
        self.make_room()
        with contextlib.suppress(FileNotFoundError):
            self.path('').replace(self.path(PREVIOUS_NAME))

    def spare_unread(self) -> str:
        """Let no save overwrite the memory saved last, which cannot be read at the moment.

        :returns: what becomes of it.
        """
        self._spared = _UNREAD
        return (
            f'the file stays where it is until a save sets it aside as {DEFAULT_NAME}.{_UNREAD}N; '
            f'mend what keeps it from being read, and load_memory goes on from it'
        )

    def refuse(self) -> str:
        """Set aside the memory saved last, which is of no use here.

        :returns: what became of it.
        """
        self._spared = _REFUSED
        try:
            return f'the file is now {self.make_room() or "gone"}'
        except OSError as error:
            return f'the file could not be set aside, and no save overwrites it: {error}'

    def make_room(self) -> Path | None:
        """Rename what is to be spared, before something else takes the default name.

        :returns: its new path; None: there is no such file.
        :raises OSError: it cannot be renamed.
        """
        aside = None
        if self._spared:
            with contextlib.suppress(FileNotFoundError):  # somebody has taken it away
                aside = self.set_aside(self._folder / f'{DEFAULT_NAME}{_SUFFIX}', self._spared)
        self._spared = ''
        return aside

    def set_aside(self, path: Path, why: str = _REFUSED) -> Path:
        """Rename a file that cannot be used, so that saving does not overwrite it.

        :param why: goes into its name.
        :returns: its new path.
        :raises OSError: it cannot be renamed.
        """
        places = (path.with_suffix(f'.{why}{n}{_SUFFIX}') for n in itertools.count(1))
        aside = next(place for place in places if not place.exists())
        path.rename(aside)
        return aside
