# SPDX-License-Identifier: Apache-2.0
"""Little videos and bags for tests, written without the package's own writers."""

import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rosbags import rosbag1, rosbag2
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore

NS = 1_000_000_000
T0 = 1_700_000_000 * NS + 123_456_789
IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
STORE = get_typestore(Stores.ROS2_KILTED)
MCAP, SQLITE3 = StoragePlugin.MCAP, StoragePlugin.SQLITE3


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """An RGB picture of its own for each number: three patches whose colours tell it."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[:, : width // 2] = (200, 40, (number * 4) % 256)
    frame[: height // 2, width // 2 :] = ((number * 7) % 256, 180, 90)
    return frame


def write_video(
    path: Path, frames: int, rate_hz: float = 10.0, code: str = 'mp4v', size: tuple = (64, 48)
) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate_hz, size)
    assert writer.isOpened(), f'this OpenCV cannot write {path.name}'
    for number in range(frames):
        writer.write(cv2.cvtColor(picture(number, *size), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def rotate_mp4(path: Path, width: int) -> None:
    """Say in the track header that the picture is to be turned by 90 degrees, as phones do."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b'tkhd') + 4 + 40
    turned = (0, 1 << 16, 0, -1 << 16, 0, 0, width << 16, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack('>9i', *turned)
    path.write_bytes(data)


def set_frame_times(path: Path, durations: list[int]) -> int:
    """Give each frame of an mp4 a duration of its own, in ticks.

    :returns: ticks per second.
    """
    data = path.read_bytes()
    entries = struct.pack(f'>{2 * len(durations)}I', *(v for d in durations for v in (1, d)))
    start = data.index(b'stts') - 4
    old = struct.unpack_from('>I', data, start)[0]
    table = struct.pack('>I4sII', 16 + len(entries), b'stts', 0, len(durations)) + entries
    grown = len(table) - old
    data = bytearray(data[:start] + table + data[start + old :])
    # The index lies behind the frames, so only the boxes around the table grow.
    for box in (b'moov', b'trak', b'mdia', b'minf', b'stbl'):
        at = data.index(box) - 4
        struct.pack_into('>I', data, at, struct.unpack_from('>I', data, at)[0] + grown)
    (ticks_per_s,) = struct.unpack_from('>I', data, data.index(b'mdhd') + 16)
    # The edit list holds the length of the whole in milliseconds.
    length_ms = sum(durations) * 1000 // ticks_per_s
    struct.pack_into('>I', data, data.index(b'elst') + 12, length_ms)
    path.write_bytes(data)
    return ticks_per_s


@dataclass(frozen=True)
class Sent:
    """A message of a bag."""

    topic: str
    type: str
    log_ns: int
    raw: bytes


def image(number: int, stamp_ns: int, topic: str = '/camera/image', log_ns: int = 0) -> Sent:
    """An Image of :func:`picture`, logged at another time than it was taken at."""
    frame = picture(number)
    height, width = frame.shape[:2]
    pixels = frame.reshape(-1)
    message = STORE.types[IMAGE](
        _header(STORE, stamp_ns), height, width, 'rgb8', 0, 3 * width, pixels
    )
    return _sent(topic, IMAGE, message, log_ns or stamp_ns)


def compressed(number: int, stamp_ns: int, topic: str = '/camera/image/compressed') -> Sent:
    """A CompressedImage of :func:`picture`, as PNG."""
    png = cv2.imencode('.png', cv2.cvtColor(picture(number), cv2.COLOR_RGB2BGR))[1]
    message = STORE.types[COMPRESSED](_header(STORE, stamp_ns), 'png', png.reshape(-1))
    return _sent(topic, COMPRESSED, message, stamp_ns)


def text(topic: str = '/chatter', log_ns: int = T0) -> Sent:
    message = STORE.types['std_msgs/msg/String']('hello')
    return _sent(topic, 'std_msgs/msg/String', message, log_ns)


def _header(store: object, stamp_ns: int) -> object:
    stamp = store.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, NS))
    return store.types['std_msgs/msg/Header'](stamp, 'camera')


def _sent(topic: str, message_type: str, message: object, log_ns: int) -> Sent:
    return Sent(topic, message_type, log_ns, bytes(STORE.serialize_cdr(message, message_type)))


def write_bag(
    path: Path,
    messages: list[Sent],
    storage: StoragePlugin = MCAP,
    compression: CompressionMode = CompressionMode.NONE,
    empty_topics: tuple[tuple[str, str], ...] = (),
) -> Path:
    """Write a rosbag2 folder.

    :param empty_topics: names and types of topics without messages.
    """
    writer = rosbag2.Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        topics = dict.fromkeys([(sent.topic, sent.type) for sent in messages] + [*empty_topics])
        connections = {key: writer.add_connection(*key, typestore=STORE) for key in topics}
        for sent in messages:
            writer.write(connections[sent.topic, sent.type], sent.log_ns, sent.raw)
    return path


def storage_file(bag: Path) -> Path:
    """The one file of a bag that holds its messages."""
    (file,) = (inner for inner in bag.iterdir() if inner.name != 'metadata.yaml')
    return file


def cut_off(path: Path, share: float) -> None:
    """Keep only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def write_ros1_bag(path: Path, stamps_ns: list[int], topic: str = '/camera/image') -> Path:
    store = get_typestore(Stores.ROS1_NOETIC)
    with rosbag1.Writer(path) as writer:
        connection = writer.add_connection(topic, IMAGE, typestore=store)
        for number, stamp_ns in enumerate(stamps_ns):
            frame = picture(number)
            height, width = frame.shape[:2]
            stamp = store.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, NS))
            header = store.types['std_msgs/msg/Header'](seq=7, stamp=stamp, frame_id='camera')
            message = store.types[IMAGE](
                header, height, width, 'rgb8', 0, 3 * width, frame.reshape(-1)
            )
            raw = store.serialize_ros1(message, IMAGE)
            writer.write(connection, stamp_ns, raw)
    return path
