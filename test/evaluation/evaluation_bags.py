# SPDX-License-Identifier: Apache-2.0
"""Little bags for the tests of the evaluation."""

from pathlib import Path

import numpy as np
from evaluation_samples import S
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_KILTED)
IMAGE, TEXT = 'sensor_msgs/msg/Image', 'std_msgs/msg/String'
T0 = 1_700_000_000 * S


def write_bag(
    path: Path,
    stamps_ns: list[int],
    topics: tuple[str, ...] = ('/image',),
    last_s: float = 0.0,
) -> Path:
    """A rosbag2 folder of grey images, each logged a second after the one before.

    :param stamps_ns: of the headers.
    :param topics: images of each.
    :param last_s: seconds after the first image, at which a text is logged; 0: none is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic in topics:
            connection = writer.add_connection(topic, IMAGE, typestore=STORE)
            for number, stamp_ns in enumerate(stamps_ns):
                raw = STORE.serialize_cdr(_image(number, stamp_ns), IMAGE)
                writer.write(connection, T0 + number * S, raw)
        if last_s:
            connection = writer.add_connection('/chatter', TEXT, typestore=STORE)
            raw = STORE.serialize_cdr(STORE.types[TEXT]('hello'), TEXT)
            writer.write(connection, T0 + round(last_s * S), raw)
    return path


def _image(number: int, stamp_ns: int) -> object:
    stamp = STORE.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, S))
    header = STORE.types['std_msgs/msg/Header'](stamp, 'camera')
    pixels = np.full(48 * 48, 4 * number % 256, np.uint8)
    return STORE.types[IMAGE](header, 48, 48, 'mono8', 0, 48, pixels)
