# SPDX-License-Identifier: Apache-2.0
"""Output that appears whole or not at all."""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What a full disk, a quota, a limit on the size of files and a broken disk say.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def new_outputs(*paths: Path) -> Iterator[list[Path]]:
    """Give names to write files or folders under, which get their own names in the end.

    If anything goes wrong before that, what was written is removed. What a killed process leaves
    lies in a folder whose name begins with a dot.

    :param paths: what is to be made, all in one folder; what comes first gets its name last.
    :returns: as a context: a name for each, of the same last part, in a folder of their own.
    :raises FileExistsError: something of such a name is there, and is not overwritten.
    :raises FileNotFoundError: their folder does not exist.
    :raises OSError: the disk is full, say.
    """
    check_new(*paths)
    folder = paths[0].absolute().parent
    unfinished = Path(tempfile.mkdtemp(prefix=f'.{paths[0].name}.', dir=folder))
    try:
        outputs = [unfinished / path.name for path in paths]
        with saying_what_failed(paths[0]):
            yield outputs
            check_new(*paths)
            for output, path in reversed(list(zip(outputs, paths, strict=True))):
                output.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_new_folder(path: Path) -> None:
    """Check that there is nothing at a path, or an empty folder.

    :raises FileExistsError: there is something, and it is not overwritten.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f'{path}: exists already and is not overwritten')


def check_new(*paths: Path) -> None:
    """Check that files or folders can be made.

    :raises FileExistsError: one of them exists.
    :raises FileNotFoundError: its folder does not.
    """
    for path in paths:
        _check_parent(path)
        if os.path.lexists(path):
            raise FileExistsError(f'{path}: exists already and is not overwritten')


def check_file(path: Path | None, *inputs: Path | None) -> None:
    """Find out before the work, not after it, that a file of results cannot be written.

    :param path: None: there is to be none. One that exists is overwritten.
    :param inputs: files that are read, and must not be.
    :raises FileNotFoundError: its folder does not exist.
    :raises IsADirectoryError: it is a folder.
    :raises PermissionError: it may not be written.
    :raises FileExistsError: it is one of the inputs.
    """
    if path is None:
        return
    _check_parent(path)
    if path.is_dir():
        raise IsADirectoryError(f'{path}: expected the name of a file, got a folder')
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise PermissionError(f'{path}: cannot be written: read-only, or of another user')
    for given in inputs:
        if given is not None and given.exists() and path.exists() and given.samefile(path):
            raise FileExistsError(f'{path}: is read from, and is not overwritten')


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Have a new or empty folder filled; whatever goes wrong, it is as it was before.

    :raises FileExistsError: there is something, and it is not overwritten.
    """
    check_new_folder(path)
    was_there = path.exists()
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        if was_there:
            path.mkdir(exist_ok=True)
        raise


def _check_parent(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f'{path}: cannot be written, as its folder does not exist')


@contextmanager
def saying_what_failed(path: Path) -> Iterator[None]:
    """Name the output, not a file nobody knows, in the error of a disk that takes no more."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(
            errno.EIO, f'could not be written ({error}), nothing of it is kept', str(path)
        ) from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise OSError(
            error.errno, f'{error.strerror}: nothing of it is kept', str(path)
        ) from error
