# SPDX-License-Identifier: Apache-2.0
"""A file of JSON lines that a kill or a full disk leaves whole up to its last line."""

import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any


class JsonLines:
    """Records that are written as they come, and read again when a run is resumed.

    A last line that a kill cut off is taken away when the file is opened: what it was about is
    done again.

    :param path: the file; made where it is missing.
    :raises OSError: it cannot be read or written.
    :raises ValueError: a line but the last is no JSON object; file and line are named.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        content = path.read_bytes() if path.exists() else b''
        whole = content.rfind(b'\n') + 1
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            self.records.append(_parse(path, number, line))
        self._file = path.open('ab', buffering=0)
        self._size = whole
        if whole < len(content):
            self._file.truncate(whole)

    def append(self, record: dict[str, Any]) -> None:
        """Write a record; it is on its way to the disk when this returns.

        :raises OSError: it cannot be written; the file holds all records before it, whole.
        """
        data = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b'\n'
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError as error:
            with suppress(OSError):  # else it is mended when the file is opened again
                self._file.truncate(self._size)
            raise OSError(
                error.errno,
                f'{os.strerror(error.errno or 0)}: {len(self.records)} results are kept; make '
                f'room and run the same command again to go on',
                str(self.path),
            ) from error
        self._size += len(data)
        self.records.append(record)

    def __enter__(self) -> 'JsonLines':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 alike
        raise ValueError(f'{path}, line {number}: not JSON: {error}') from error
    if not isinstance(record, dict):
        raise ValueError(f'{path}, line {number}: expected an object, got {record!r}')
    return record
