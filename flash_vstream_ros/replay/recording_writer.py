# SPDX-License-Identifier: Apache-2.0
"""Writes recordings: a folder of frames, a rosbag2 or an mp4 video, without ROS."""

import errno
import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from flash_vstream_ros.nodes.image_conversions import rgb_to_compressed, rgb_to_image
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, stamp_of
from flash_vstream_ros.replay.video import VideoRecording

KINDS = ('frames', 'bag', 'mp4')
STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
TOPIC = '/camera/image'
FRAME_ID = 'camera'
JPEG_QUALITY = 90
HIGHEST_RATE_HZ = 1000.0


def write_recording(
    path: str | os.PathLike,
    kind: str,
    frames: Iterable[np.ndarray],
    rate_hz: float,
    *,
    storage: str = 'mcap',
    compressed: bool = True,
) -> Path:
    """Write frames, taken one at a time, stamped as :func:`~.recorded_frame.stamp_of` says.

    If it fails, what is half written stays: see :func:`~.new_output.new_outputs`.

    :param path: the mp4 file, or the folder of a bag or of frames; must not exist.
    :param kind: one of :data:`KINDS`.
    :param frames: (H, W, 3) uint8 RGB each, all of one size, for an mp4 an even one.
    :param storage: of a bag: one of :data:`STORAGES`.
    :param compressed: JPEG; else what loses nothing: Image (rgb8) in a bag, PNG for frames.
    :returns: the path.
    :raises FileExistsError: the path exists.
    :raises OSError: it cannot be written.
    :raises ValueError: an argument is out of range.
    """
    path = Path(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f'{path}: expected at least one frame to write, got none')
    height, width = first.shape[:2]
    check_kind(kind, storage, rate_hz, (width, height))
    frames = chain([first], frames)
    if path.exists():
        raise FileExistsError(f'{path}: exists already and is not overwritten')
    if kind == 'mp4':
        _write_video(path, frames, rate_hz, (width, height))
    elif kind == 'bag':
        _write_bag(path, frames, rate_hz, STORAGES[storage], compressed)
    else:
        _write_frames(path, frames, rate_hz, compressed)
    return path


def check_kind(kind: str, storage: str, rate_hz: float, size: tuple[int, int]) -> None:
    """Check what can be known before the first frame.

    :param size: width and height.
    :raises ValueError: it cannot be written so.
    """
    if kind not in KINDS:
        raise ValueError(f'kind: expected one of {list(KINDS)}, got {kind!r}')
    if storage not in STORAGES:
        raise ValueError(f'storage: expected one of {list(STORAGES)}, got {storage!r}')
    if not 0.0 < rate_hz <= HIGHEST_RATE_HZ:
        raise ValueError(f'rate_hz: expected above 0 and up to {HIGHEST_RATE_HZ}, got {rate_hz}')
    if kind != 'mp4':
        return
    # OpenCV rounds other rates, so that after an hour frames lie seconds beside their stamps, and
    # cuts the last row or column off other sizes.
    if round(rate_hz, 3) != rate_hz:
        raise ValueError(f'rate_hz: an mp4 takes thousandths only, got {rate_hz}')
    if size[0] % 2 or size[1] % 2:
        raise ValueError(f'size: an mp4 takes even sizes only, got {size[0]}x{size[1]}')


def _write_frames(
    path: Path, frames: Iterable[np.ndarray], rate_hz: float, compressed: bool
) -> None:
    path.mkdir()
    suffix, options = '.png', []
    if compressed:
        suffix, options = '.jpg', [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    for number, frame in enumerate(frames):
        _, image = cv2.imencode(suffix, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
        # Not by imwrite, which keeps the reason of a failure to itself.
        (path / f'{stamp_of(number, rate_hz)}{suffix}').write_bytes(image)


def _write_video(
    path: Path, frames: Iterable[np.ndarray], rate_hz: float, size: tuple[int, int]
) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate_hz, size)
    if not writer.isOpened():
        raise OSError(f'{path}: cannot be written as mp4; the folder must exist and be writable')
    count = 0
    for count, frame in enumerate(frames, start=1):  # noqa: B007, counts them
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    _check_video(path, count)


def _check_video(path: Path, count: int) -> None:
    """Find out whether all of it was written, as OpenCV does not say so."""
    try:
        kept = VideoRecording(path).frame_count
    except ValueError:
        kept = 0
    if kept != count:
        raise OSError(
            errno.EIO,
            f'{kept} of {count} frames could be written; the disk may be full',
            str(path),
        )


def _write_bag(
    path: Path,
    frames: Iterable[np.ndarray],
    rate_hz: float,
    storage: StoragePlugin,
    compressed: bool,
) -> None:
    store = get_typestore(Stores.ROS2_KILTED)
    message_type = 'sensor_msgs/msg/' + ('CompressedImage' if compressed else 'Image')
    with Writer(path, version=Writer.VERSION_LATEST, storage_plugin=storage) as writer:
        topic = f'{TOPIC}/compressed' if compressed else TOPIC
        connection = writer.add_connection(topic, message_type, typestore=store)
        for number, frame in enumerate(frames):
            at_ns = stamp_of(number, rate_hz)
            message = _message(store, frame, at_ns, compressed)
            writer.write(connection, at_ns, store.serialize_cdr(message, message_type))


def _message(store: Any, frame: np.ndarray, at_ns: int, compressed: bool) -> Any:
    """Make an Image or CompressedImage of a frame."""
    types = store.types
    stamp = types['builtin_interfaces/msg/Time'](*divmod(at_ns, NS_PER_S))
    header = types['std_msgs/msg/Header'](stamp, FRAME_ID)
    no_data = np.empty(0, np.uint8)
    if compressed:
        message = types['sensor_msgs/msg/CompressedImage'](header, '', no_data)
        rgb_to_compressed(frame, message, JPEG_QUALITY)
    else:
        message = types['sensor_msgs/msg/Image'](header, 0, 0, '', 0, 0, no_data)
        rgb_to_image(frame, message)
    return message
