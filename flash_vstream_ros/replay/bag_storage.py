# SPDX-License-Identifier: Apache-2.0
"""An open bag: rosbag2 (sqlite3, mcap) or ROS 1; intact, or what can still be read of it."""

import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flash_vstream_ros.replay.bag_copies import (
    ZSTD_SUFFIX,
    has_log,
    plain,
    readable,
    storage_name,
)
from flash_vstream_ros.replay.bag_parts import (
    BagError,
    BagPart,
    Topic,
    is_ros1,
    open_damaged,
    open_whole,
    reading,
)
from flash_vstream_ros.replay.recorded_frame import NS_PER_S

STORAGE_SUFFIXES = ('.mcap', '.db3')
HEADER_BYTES = 12  # up to and including the stamp, in ROS 1 and ROS 2 alike


@dataclass(frozen=True)
class BagStorage:
    """An open bag.

    :param kind: for people, as 'rosbag2 (mcap)'.
    :param damage: what is wrong with it; '': nothing known.
    """

    kind: str
    is_ros1: bool
    parts: list[BagPart]
    topics: dict[str, Topic]
    duration_ns: int | None = None
    damage: str = ''

    def messages(self, topic: str) -> Iterator[bytes]:
        """Serialised messages of a topic, in the order they were recorded in."""
        for part in self.parts:
            for raw in part.messages(topic):
                with reading():
                    message = raw if self.is_ros1 else plain(raw)
                yield message

    def stamp_ns(self, raw: bytes) -> int:
        """Read the header stamp of a serialised message; 0 if it is too short to have one."""
        if len(raw) < HEADER_BYTES:
            return 0
        # CDR: 4 bytes, of which the second says little-endian, then the stamp.
        # ROS 1: a sequence number of 4 bytes, then the stamp.
        order = '<' if self.is_ros1 or raw[1] & 1 else '>'
        seconds, nanoseconds = struct.unpack_from(f'{order}iI', raw, 4)
        return seconds * NS_PER_S + nanoseconds


@contextmanager
def open_storage(path: Path) -> Iterator[BagStorage]:
    """Open a rosbag2 folder, one of its files, or a ROS 1 bag.

    :raises BagError: nothing of it can be read.
    """
    with ExitStack() as stack:
        try:
            storage = _open_closed(path, stack)
        except BagError as error:
            storage = _open_damaged(path, stack, error)
        yield storage


def _open_closed(path: Path, stack: ExitStack) -> BagStorage:
    """Open a bag that its recorder has closed, and that nothing is missing of."""
    if has_log(path):
        raise BagError('its recorder did not close it')
    part, duration_ns = open_whole(path, stack)
    return BagStorage(_kind(path), is_ros1(path), [part], part.topics(), duration_ns)


def _kind(path: Path) -> str:
    if is_ros1(path):
        return 'ROS 1 bag'
    names = [path.name] if path.is_file() else [inner.name for inner in path.iterdir()]
    return 'rosbag2 (mcap)' if any('.mcap' in name for name in names) else 'rosbag2 (sqlite3)'


def _open_damaged(path: Path, stack: ExitStack, reason: BagError) -> BagStorage:
    """Open what is left of a bag whose recorder was killed, or which was not copied whole."""
    is_folder = path.is_dir()
    files = sorted(path.iterdir(), key=_by_number) if is_folder else [path]
    parts: list[BagPart] = []
    topics: dict[str, Topic] = {}
    # A recorder writes metadata.yaml last. If nothing else is missing, then nothing is.
    is_unclosed = has_log(path) or (is_folder and not (path / 'metadata.yaml').exists())
    damage = '' if is_unclosed else str(reason)
    for file in files:
        if _is_part(file):
            part, fault = _open_part(file, stack)
            damage = damage or fault
            if part is not None:
                parts.append(part)
                _add_topics(topics, part.topics())
    if not topics:
        raise BagError(
            f'{path}: expected a rosbag2 folder, one of its .mcap or .db3 files, or an indexed '
            f'ROS 1 .bag, got none that can be read ({reason})'
        ) from reason
    return BagStorage(_kind(path), False, parts, topics, damage=damage)


def _by_number(path: Path) -> tuple[int, str]:
    """Sort key that puts bag_10.mcap behind bag_9.mcap."""
    name = storage_name(path)
    return len(name), name


def _is_part(path: Path) -> bool:
    """Whether a file holds messages. A recorder compresses each part once it is full."""
    plain_path = path.with_name(storage_name(path))
    is_unfinished = path.suffix == ZSTD_SUFFIX and plain_path.exists()
    return plain_path.suffix in STORAGE_SUFFIXES and not is_unfinished


def _add_topics(topics: dict[str, Topic], more: dict[str, Topic]) -> None:
    for name, topic in more.items():
        before = topics.get(name, Topic(topic.type, 0))
        is_known = before.count is not None and topic.count is not None
        topics[name] = Topic(before.type, before.count + topic.count if is_known else None)


def _open_part(path: Path, stack: ExitStack) -> tuple[BagPart | None, str]:
    """Open one file of a bag.

    :returns: the file, None where nothing of it can be read, and what is wrong with it.
    """
    file = path
    try:
        with reading():
            file = readable(path, stack)
        return open_whole(file, stack)[0], ''
    except BagError as error:
        fault = f'{path.name}: {error}'
    try:
        part = open_damaged(file, stack)
        part.topics()
    except BagError:
        return None, fault
    return part, fault
