# SPDX-License-Identifier: Apache-2.0
"""A recording to try things out with: a walk through coloured rooms, drawn with OpenCV."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from flash_vstream_ros.nodes.image_conversions import rgb_to_compressed, rgb_to_image
from flash_vstream_ros.replay.recorded_frame import NS_PER_S
from flash_vstream_ros.replay.synthetic_rooms import ROOM_LENGTH_M, Rooms

KINDS = ('bag', 'mp4')
STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
TOPIC = '/camera/image'
FRAME_ID = 'camera'
START_NS = 1_700_000_000 * NS_PER_S

# What the walker does in each room: share of the time in it, share of the way through it, and the
# direction he looks in (radians, left is positive).
WALK = np.array(
    [(0.0, 0.0, 0.0), (0.25, 0.22, 0.0), (0.4, 0.28, 0.85), (0.5, 0.32, 0.75),
     (0.65, 0.36, -0.85), (0.75, 0.4, -0.75), (0.85, 0.5, 0.0), (1.0, 1.0, 0.0)]
)  # fmt: skip
LAST_ROOM_SHARE = 0.5  # the last room has no door to leave by


def make_recording(
    path: str | os.PathLike,
    kind: str = 'bag',
    seconds: float = 40.0,
    rate_hz: float = 10.0,
    size: tuple[int, int] = (640, 480),
    seed: int = 0,
    *,
    storage: str = 'mcap',
    compressed: bool = True,
) -> Path:
    """Record a walk through four rooms. Equal arguments give equal pictures.

    :param path: the mp4 file, or the folder of the bag; a bag that exists is not overwritten.
    :param kind: one of :data:`KINDS`.
    :param size: width and height in pixels.
    :param seed: decides the colours of the rooms and what stands where.
    :param storage: of a bag: ``mcap`` or ``sqlite3``.
    :param compressed: of a bag: CompressedImage (JPEG), or Image (rgb8).
    :returns: the path.
    :raises FileExistsError: the bag exists.
    :raises ValueError: an argument is out of range.
    """
    path = Path(path)
    if kind not in KINDS:
        raise ValueError(f'kind: expected one of {list(KINDS)}, got {kind!r}')
    if storage not in STORAGES:
        raise ValueError(f'storage: expected one of {list(STORAGES)}, got {storage!r}')
    if not (seconds > 0 and rate_hz > 0 and min(size) >= 16):
        raise ValueError(
            f'expected seconds and rate_hz above 0 and a size from 16 x 16 pixels on, '
            f'got {seconds} s, {rate_hz} Hz, {size}'
        )
    if kind == 'mp4':
        _write_video(path, rate_hz, size, walk(seconds, rate_hz, size, seed))
    else:
        frames = walk(seconds, rate_hz, size, seed)
        _write_bag(path, rate_hz, frames, STORAGES[storage], compressed)
    return path


def walk(seconds: float, rate_hz: float, size: tuple[int, int], seed: int) -> Iterator[np.ndarray]:
    """Draw what the walker sees.

    :returns: (H, W, 3) uint8 RGB each.
    """
    rooms = Rooms(seed)
    frames = max(round(seconds * rate_hz), 1)
    for frame in range(frames):
        eye_x_m, yaw = _pose(frame / frames * rooms.count, rooms.count)
        yield rooms.draw(eye_x_m, yaw, size)


def _pose(progress: float, rooms: int) -> tuple[float, float]:
    """Where the walker is (metres along x) and looks (radians) after ``progress`` rooms."""
    room = int(progress)
    share = progress - room
    after = int(np.searchsorted(WALK[:, 0], share, side='right'))
    (start, *pose), (end, *next_pose) = WALK[after - 1], WALK[after]
    turn = (share - start) / (end - start)
    turn *= turn * (3.0 - 2.0 * turn)  # starts and stops gently
    way, yaw = np.add(np.multiply(pose, 1.0 - turn), np.multiply(next_pose, turn))
    if room == rooms - 1:
        way *= LAST_ROOM_SHARE
    return (room + float(way)) * ROOM_LENGTH_M, float(yaw)


def _write_video(
    path: Path, rate_hz: float, size: tuple[int, int], frames: Iterator[np.ndarray]
) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate_hz, size)
    if not writer.isOpened():
        raise OSError(f'{path}: cannot be written as mp4; the folder must exist and be writable')
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def _write_bag(
    path: Path,
    rate_hz: float,
    frames: Iterator[np.ndarray],
    storage: StoragePlugin,
    compressed: bool,
) -> None:
    if path.exists():
        raise FileExistsError(f'{path}: exists already and is not overwritten')
    store = get_typestore(Stores.ROS2_KILTED)
    message_type = 'sensor_msgs/msg/' + ('CompressedImage' if compressed else 'Image')
    with Writer(path, version=Writer.VERSION_LATEST, storage_plugin=storage) as writer:
        topic = f'{TOPIC}/compressed' if compressed else TOPIC
        connection = writer.add_connection(topic, message_type, typestore=store)
        for number, frame in enumerate(frames):
            stamp_ns = START_NS + round(number * NS_PER_S / rate_hz)
            message = _message(store, frame, stamp_ns, compressed)
            writer.write(connection, stamp_ns, store.serialize_cdr(message, message_type))


def _message(store: Any, frame: np.ndarray, stamp_ns: int, compressed: bool) -> Any:
    """Make an Image or CompressedImage of a frame."""
    types = store.types
    stamp = types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, NS_PER_S))
    header = types['std_msgs/msg/Header'](stamp, FRAME_ID)
    no_data = np.empty(0, np.uint8)
    if compressed:
        message = types['sensor_msgs/msg/CompressedImage'](header, '', no_data)
        rgb_to_compressed(frame, message)
    else:
        message = types['sensor_msgs/msg/Image'](header, 0, 0, '', 0, 0, no_data)
        rgb_to_image(frame, message)
    return message
