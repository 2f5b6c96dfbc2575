# SPDX-License-Identifier: Apache-2.0
"""Stamps of serialised messages, read without deserialising them."""

import struct
from pathlib import Path

import pytest
from recording_samples import T0, image, text, write_bag
from rosbags.rosbag2 import StoragePlugin

from flash_vstream_ros.replay.bag import BagRecording
from flash_vstream_ros.replay.bag_parts import Topic
from flash_vstream_ros.replay.bag_storage import BagStorage, open_storage

SEC, NANOSEC = 1_700_000_000, 123_456_789


@pytest.mark.parametrize(
    ('is_ros1', 'raw'),
    [
        (False, b'\x00\x01\x00\x00' + struct.pack('<iI', SEC, NANOSEC)),
        (False, b'\x00\x00\x00\x00' + struct.pack('>iI', SEC, NANOSEC)),
        (True, struct.pack('<III', 0, SEC, NANOSEC)),
        (True, struct.pack('<III', 999, SEC, NANOSEC)),
    ],
    ids=['cdr little-endian', 'cdr big-endian', 'ros 1', 'ros 1 with sequence number'],
)
def test_the_stamp_is_read_in_its_byte_order(is_ros1: bool, raw: bytes) -> None:
    storage = BagStorage('a bag', is_ros1, [], {})
    assert storage.stamp_ns(raw + bytes(100)) == SEC * 10**9 + NANOSEC


@pytest.mark.parametrize('length', [0, 1, 4, 11])
def test_a_message_too_short_for_a_stamp_has_none(length: int) -> None:
    assert BagStorage('a bag', False, [], {}).stamp_ns(b'\x01' * length) == 0


def test_topics_are_counted_and_read_one_at_a_time(tmp_path: Path) -> None:
    messages = [image(0, T0), text(), image(1, T0 + 1)]
    with open_storage(write_bag(tmp_path / 'bag', messages)) as storage:
        assert storage.topics == {
            '/camera/image': Topic('sensor_msgs/msg/Image', 2),
            '/chatter': Topic('std_msgs/msg/String', 1),
        }
        assert list(storage.messages('/chatter')) == [messages[1].raw]
        assert list(storage.messages('/nothing')) == []


@pytest.mark.parametrize('storage', list(StoragePlugin))
def test_a_folder_of_rosbag2_may_be_named_as_a_bag_of_ros_1(storage, tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'patrol.bag', [image(n, T0 + n) for n in range(8)], storage)
    with open_storage(path) as opened:
        assert not opened.is_ros1
        assert opened.kind.startswith('rosbag2')
    recording = BagRecording(path)
    assert len(list(recording)) == 8
    assert recording.ended_early == ''
