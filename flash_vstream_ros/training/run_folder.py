# SPDX-License-Identifier: Apache-2.0
"""The folder that is written: found to be of use before the work, and one run's own during it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from flash_vstream_ros.evaluation.run_folder import FolderLock


def check_out_folder(folder: Path, name: str) -> None:
    """Find out before the work, not after it, that nothing can be written into a folder.

    :param folder: may be missing; what it is to be made in is checked then.
    :param name: of the option, for messages.
    :raises OSError: it is no folder, or cannot be written.
    """
    above = (folder, *folder.absolute().parents)
    there = next(path for path in above if os.path.lexists(path))
    if not there.is_dir():
        raise NotADirectoryError(f'{name}: expected a folder, but {there} is none')
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f'{name}: {there}: no file can be written here: {reason}') from error


class RunLock(FolderLock):
    """Keeps other runs out of a folder.

    Processes that read data let go of it: they outlive a run that is killed by some seconds.
    """

    def __enter__(self) -> 'RunLock':
        """Take the lock.

        :raises OSError: the folder cannot be written.
        :raises ValueError: another run holds it.
        """
        try:
            super().__enter__()
        except ValueError:
            raise ValueError(
                f'{self._folder}: another run trains here; wait for its end, or choose another '
                f'folder as out'
            ) from None
        os.register_at_fork(after_in_child=self._let_go)
        return self

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def alone_in(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """Keep other runs out of a folder. The first process does so for all of the run.

    :raises OSError: the folder cannot be written.
    :raises ValueError: another run trains in it.
    """
    with ExitStack() as stack:
        faults: list[Exception | None] = [None]
        if accelerator.is_main_process:
            try:
                check_out_folder(folder, 'out')
                stack.enter_context(RunLock(folder))
            except (OSError, ValueError) as error:
                faults = [error]
        (fault,) = broadcast_object_list(faults)  # or the others would wait for the first one
        if fault is not None:
            raise fault
        yield
