# SPDX-License-Identifier: Apache-2.0
"""The files of a bag: whole ones through rosbags, and ones whose end is missing as far as they go.

Ends go missing when a robot loses power, a disk fills up or a copy stops half way.
"""

import io
import os
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from rosbags import rosbag1, rosbag2

MCAP_MAGIC = b'\x89MCAP0\r\n'
# What an mcap file without a summary ends with: a footer (opcode 2, 20 bytes, all zero) and magic.
MCAP_END = struct.pack('<BQQQI', 2, 20, 0, 0, 0) + MCAP_MAGIC
# Header, schema, channel, message, chunk, message index, attachment, metadata.
MCAP_DATA_OPCODES = (0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x09, 0x0C)
MCAP_RECORD_HEAD = struct.Struct('<BQ')  # opcode, length of what follows


class BagError(ValueError):
    """A bag, or one of its files, cannot be read, or no further."""


@contextmanager
def reading() -> Iterator[None]:
    """Make one kind of error of all that the readers' parsers and decompressors raise.

    :raises BagError: instead.
    """
    try:
        yield
    except Exception as error:
        raise BagError(f'{type(error).__name__}: {error}') from error


@dataclass(frozen=True)
class Topic:
    """A topic of a bag. ``type`` as pkg/msg/Name; ``count`` messages, None if not known."""

    type: str
    count: int | None


class BagPart(Protocol):
    """One file of a bag, or all of an intact one."""

    def topics(self) -> dict[str, Topic]:
        """Topics by name."""

    def messages(self, topic: str) -> Iterator[bytes]:
        """Serialised messages of a topic in the order they were recorded in."""


class RosbagsPart:
    """An open reader of rosbags.

    :param read: what reads the messages of a list of connections.
    """

    def __init__(self, reader: Any, read: Callable[..., Iterator[tuple]]) -> None:
        self._reader = reader
        self._read = read

    def topics(self) -> dict[str, Topic]:
        """Topics by name."""
        topics: dict[str, Topic] = {}
        for connection in self._reader.connections:
            before = topics.get(connection.topic, Topic(connection.msgtype, 0))
            topics[connection.topic] = Topic(before.type, before.count + connection.msgcount)
        return topics

    def messages(self, topic: str) -> Iterator[bytes]:
        """Serialised messages of a topic in the order they were recorded in."""
        connections = [c for c in self._reader.connections if c.topic == topic]
        if connections:  # rosbags takes an empty list for all topics
            with reading():
                for _, _, raw in self._read(connections):
                    yield raw


class SqliteRows:
    """A damaged .db3 file, row by row. Its index, which rosbags reads by, may be lost."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(f'{path.absolute().as_uri()}?immutable=1', uri=True)
        # Without this, SQLite opens no file that is shorter than its header says.
        self._database.execute('PRAGMA writable_schema = ON')

    def topics(self) -> dict[str, Topic]:
        """Topics by name; nobody knows how many messages are left."""
        with reading():
            rows = self._database.execute('SELECT name, type FROM topics').fetchall()
        return {name: Topic(message_type, None) for name, message_type in rows}

    def messages(self, topic: str) -> Iterator[bytes]:
        """Serialised messages of a topic in the order they were recorded in."""
        query = (
            'SELECT data FROM messages WHERE topic_id IN (SELECT id FROM topics WHERE name = ?) '
            'ORDER BY messages.id'
        )
        with reading():
            for (raw,) in self._database.execute(query, (topic,)):
                yield raw

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class UriPath(type(Path())):
    """A path that is formatted as part of an URI, as rosbags does for SQLite without quoting."""

    def __format__(self, _: str) -> str:
        return quote(str(self))


def is_ros1(path: Path) -> bool:
    """Whether a path is a file of ROS 1; a folder of rosbag2 may be called so too."""
    return path.suffix == '.bag' and not path.is_dir()


def open_whole(path: Path, stack: ExitStack) -> tuple[RosbagsPart, int]:
    """Open an intact bag or file of a bag.

    :param stack: closes it.
    :returns: the bag, and its length in nanoseconds.
    :raises BagError: it is not intact.
    """
    package = rosbag1 if is_ros1(path) else rosbag2
    with reading():
        reader = stack.enter_context(package.Reader(UriPath(path)))
        return RosbagsPart(reader, reader.messages), reader.duration


def open_damaged(path: Path, stack: ExitStack) -> BagPart:
    """Open what is left of an .mcap or .db3 file.

    :raises BagError: nothing of it can be read.
    """
    with reading():
        if path.suffix == '.db3':
            return stack.enter_context(closing(SqliteRows(path)))
        reader = stack.enter_context(rosbag2.Reader(MendedMcap(path)))
        # Without index, messages() insists on the order of log times; the file's order will do.
        return RosbagsPart(reader, reader.storage.messages_scan)


class MendedMcap:
    """A damaged .mcap file, with an end put behind its last whole record. Nothing is copied.

    It looks like a path to rosbags, which reads mcap files from anything that opens like one.
    """

    suffix = '.mcap'

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
        """As of a path."""
        return self._path.exists()

    def is_dir(self) -> bool:
        """As of a path."""
        return False

    def __str__(self) -> str:
        return str(self._path)

    def open(self, mode: str) -> io.BufferedReader:
        """As of a path."""
        file = self._path.open(mode)
        return io.BufferedReader(_WithEnd(file, whole_records_end(file), MCAP_END))


def whole_records_end(file: io.BufferedReader) -> int:
    """Find where the whole data records of an mcap file end, in bytes from its start."""
    size = file.seek(0, os.SEEK_END)
    end = len(MCAP_MAGIC)
    while end + MCAP_RECORD_HEAD.size <= size:
        file.seek(end)
        opcode, length = MCAP_RECORD_HEAD.unpack(file.read(MCAP_RECORD_HEAD.size))
        following = end + MCAP_RECORD_HEAD.size + length
        if opcode not in MCAP_DATA_OPCODES or following > size:
            break
        end = following
    return end


class _WithEnd(io.RawIOBase):
    """The first ``length`` bytes of a file, then other bytes."""

    def __init__(self, file: io.BufferedReader, length: int, end: bytes) -> None:
        self._file, self._length, self._end = file, length, end
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(
            whence, self._length + len(self._end)
        )
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        if self._position < self._length:
            self._file.seek(self._position)
            data = self._file.read(min(wanted, self._length - self._position))
        else:
            start = self._position - self._length
            data = self._end[start : start + wanted]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
