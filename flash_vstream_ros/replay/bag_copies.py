# SPDX-License-Identifier: Apache-2.0
"""Files of a bag that cannot be read where they lie, because their recorder never finished them.

They are copied into a temporary folder, as far as they go. The file itself is left as it is.
"""

import shutil
import sqlite3
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_SUFFIX = '.zstd'
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_CHUNK_BYTES = 2**20


def storage_name(path: Path) -> str:
    """The name of a file of a bag before it was compressed."""
    return path.name.removesuffix(ZSTD_SUFFIX)


def has_log(path: Path) -> bool:
    """Whether messages of a bag lie in a write-ahead log of SQLite, beside one of its files."""
    files = path.glob('*.db3') if path.is_dir() else [path]
    return any(_log_of(file) is not None for file in files)


def _log_of(path: Path) -> Path | None:
    log = path.with_name(f'{path.name}-wal')
    return log if log.is_file() and log.stat().st_size else None


def readable(path: Path, stack: ExitStack) -> Path:
    """Where a file can be read with all that belongs to it.

    :param stack: removes the copy, where one is made.
    :raises OSError: there is no room for it.
    :raises sqlite3.Error: a file of SQLite is damaged.
    """
    log = _log_of(path)
    if log is None and path.suffix != ZSTD_SUFFIX:
        return path
    folder = Path(stack.enter_context(TemporaryDirectory(prefix='flash_vstream_bag_')))
    copy = folder / storage_name(path)
    if log is None:
        _decompress(path, copy)
    else:
        shutil.copy(path, copy)
        shutil.copy(log, folder / f'{copy.name}-wal')
        with closing(sqlite3.connect(copy)) as database:
            database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
            database.execute('PRAGMA journal_mode = DELETE')
    return copy


def _decompress(path: Path, to: Path) -> None:
    """Decompress a file, if it is damaged up to there: what is left can still be read."""
    with zstd.open(path) as source, to.open('wb') as target:
        try:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
        except (zstd.ZstdError, EOFError):
            return


def plain(raw: bytes) -> bytes:
    """A serialised message of ROS 2, decompressed where it is compressed.

    :raises zstd.ZstdError: it is damaged.
    """
    # One that is not compressed begins with a zero byte.
    return zstd.decompress(raw) if raw[:4] == ZSTD_MAGIC else raw
