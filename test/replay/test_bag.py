# SPDX-License-Identifier: Apache-2.0
"""Bags as recordings."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from recording_samples import (
    MCAP,
    NS,
    SQLITE3,
    T0,
    Sent,
    compressed,
    cut_off,
    image,
    picture,
    storage_file,
    text,
    write_bag,
    write_ros1_bag,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from flash_vstream_ros.replay.bag import BagRecording

STORAGES = pytest.mark.parametrize('storage', [MCAP, SQLITE3], ids=['mcap', 'sqlite3'])
STAMPS = [T0 + i * NS // 7 for i in range(20)]
# Much more than the megabyte that one chunk of an mcap file holds.
MANY = [T0 + i * NS // 10 for i in range(300)]


def pictures(recording: BagRecording) -> list[np.ndarray]:
    return [frame.decode() for frame in recording]


def stamps(recording: BagRecording) -> list[int]:
    return [frame.stamp_ns for frame in recording]


@STORAGES
@pytest.mark.parametrize('make', [image, compressed])
@pytest.mark.parametrize(
    'compression', [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE]
)
def test_frames_come_as_they_were_sent(
    tmp_path: Path, storage: StoragePlugin, make: object, compression: CompressionMode
) -> None:
    messages = [make(i, stamp_ns) for i, stamp_ns in enumerate(STAMPS)]
    recording = BagRecording(write_bag(tmp_path / 'bag', messages, storage, compression))
    assert stamps(recording) == STAMPS
    for number, pixels in enumerate(pictures(recording)):
        assert np.array_equal(pixels, picture(number))
    assert (recording.start_ns, recording.frame_count) == (T0, 20)
    assert recording.ended_early == ''


def test_mcap_chunks_may_be_compressed(tmp_path: Path) -> None:
    messages = [image(i, stamp_ns) for i, stamp_ns in enumerate(STAMPS)]
    path = write_bag(tmp_path / 'bag', messages, MCAP, CompressionMode.STORAGE)
    assert stamps(BagRecording(path)) == STAMPS


def test_a_ros1_bag_is_read_too(tmp_path: Path) -> None:
    recording = BagRecording(write_ros1_bag(tmp_path / 'old.bag', STAMPS))
    assert stamps(recording) == STAMPS
    assert np.array_equal(pictures(recording)[3], picture(3))
    assert recording.description.startswith('ROS 1 bag, /camera/image (sensor_msgs/msg/Image)')


def test_stamps_are_the_headers_not_the_recorders(tmp_path: Path) -> None:
    messages = [image(i, stamp_ns, log_ns=T0 + 9 * NS + i) for i, stamp_ns in enumerate(STAMPS)]
    recording = BagRecording(write_bag(tmp_path / 'bag', messages))
    assert stamps(recording) == STAMPS
    assert recording.start_ns == T0


def test_it_says_what_it_is(tmp_path: Path) -> None:
    messages = [compressed(i, T0 + i * NS) for i in range(5)]
    recording = BagRecording(write_bag(tmp_path / 'bag', messages))
    assert recording.description == (
        'rosbag2 (mcap), /camera/image/compressed (sensor_msgs/msg/CompressedImage), '
        '5 images, 4.0 s'
    )


def test_several_image_topics_need_a_choice(tmp_path: Path) -> None:
    messages = [
        image(1, T0, '/left/image'),
        image(2, T0 + 1, '/left/image'),
        compressed(3, T0 + 2, '/right/image'),
        text(),
    ]
    path = write_bag(tmp_path / 'bag', messages)
    with pytest.raises(ValueError, match='2 image topics; choose one with --topic') as error:
        BagRecording(path)
    assert '/left/image (sensor_msgs/msg/Image, 2 messages)' in str(error.value)
    assert '/right/image (sensor_msgs/msg/CompressedImage, 1 messages)' in str(error.value)
    assert '/chatter' not in str(error.value)
    (frame,) = pictures(BagRecording(path, '/right/image'))
    assert np.array_equal(frame, picture(3))
    assert len(pictures(BagRecording(path, 'left/image'))) == 2


def test_a_wrong_topic_names_the_nearest(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', [image(0, T0, '/left/image'), image(0, T0, '/right/image')])
    with pytest.raises(ValueError, match=r'no topic /rigth/image; did you mean /right/image\?'):
        BagRecording(path, '/rigth/image')


def test_a_topic_of_another_type_is_refused(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', [image(0, T0), text()])
    expected = '/chatter holds std_msgs/msg/String, which is no image; image topics are /camera'
    with pytest.raises(ValueError, match=expected):
        BagRecording(path, '/chatter')


def test_a_bag_without_image_topic_is_refused(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', [text()])
    with pytest.raises(ValueError, match=r'no image topic; expected one of .* found /chatter'):
        BagRecording(path)


@STORAGES
def test_an_empty_bag_is_refused(tmp_path: Path, storage: StoragePlugin) -> None:
    empty = write_bag(tmp_path / 'nothing', [], storage)
    with pytest.raises(ValueError, match=r'no image topic; .* found none'):
        BagRecording(empty)
    topic = ('/camera/image', 'sensor_msgs/msg/Image')
    path = write_bag(tmp_path / 'no_images', [text()], storage, empty_topics=(topic,))
    with pytest.raises(ValueError, match='0 images could be read of /camera/image'):
        BagRecording(path)


def test_a_corrupt_message_does_not_hide_the_others(tmp_path: Path) -> None:
    messages = [image(i, stamp_ns) for i, stamp_ns in enumerate(STAMPS)]
    for number, length in ((3, 40), (5, 5)):
        whole = messages[number]
        messages[number] = Sent(whole.topic, whole.type, whole.log_ns, whole.raw[:length])
    frames = list(BagRecording(write_bag(tmp_path / 'bag', messages)))
    assert len(frames) == 20
    assert frames[3].stamp_ns == STAMPS[3]
    assert frames[5].stamp_ns == 0  # too short even for a stamp
    for number in (3, 5):
        with pytest.raises(ValueError, match='not a whole sensor_msgs/msg/Image'):
            frames[number].decode()
    assert np.array_equal(frames[6].decode(), picture(6))


@STORAGES
@pytest.mark.parametrize('metadata', [True, False], ids=['metadata', 'no_metadata'])
def test_a_cut_off_bag_gives_all_before_the_cut(
    tmp_path: Path, storage: StoragePlugin, metadata: bool
) -> None:
    """A robot that loses power leaves a file without its end, and no metadata.yaml."""
    messages = [image(i, stamp_ns) for i, stamp_ns in enumerate(MANY)]
    path = write_bag(tmp_path / 'bag', messages, storage)
    cut_off(storage_file(path), 0.7)
    if not metadata:
        (path / 'metadata.yaml').unlink()
    recording = BagRecording(path)
    frames = list(recording)
    assert 80 < len(frames) < 220
    assert [frame.stamp_ns for frame in frames] == MANY[: len(frames)]
    assert np.array_equal(frames[-1].decode(), picture(len(frames) - 1))
    assert f'cut off or damaged: {len(frames)} images could be read' in recording.ended_early


def test_a_cut_off_mcap_need_not_be_in_the_order_of_its_log_times(tmp_path: Path) -> None:
    """rosbags refuses to read such a file without its index."""
    messages = [image(i, s, log_ns=MANY[i ^ 1]) for i, s in enumerate(MANY)]
    path = write_bag(tmp_path / 'bag', messages)
    cut_off(storage_file(path), 0.7)
    read = stamps(BagRecording(path))
    assert len(read) > 80
    assert read == MANY[: len(read)]


@STORAGES
def test_a_bag_that_only_lacks_its_metadata_is_whole(
    tmp_path: Path, storage: StoragePlugin
) -> None:
    path = write_bag(tmp_path / 'bag', [image(i, s) for i, s in enumerate(STAMPS)], storage)
    (path / 'metadata.yaml').unlink()
    recording = BagRecording(path)
    assert stamps(recording) == STAMPS
    assert recording.frame_count == 20
    assert recording.ended_early == ''


def test_the_files_of_a_split_bag_are_read_in_order_up_to_the_damaged_one(tmp_path: Path) -> None:
    folder = tmp_path / 'split'
    folder.mkdir()
    for number in (0, 1, 2, 10):
        messages = [image(i, T0 + (number * 10 + i) * NS) for i in range(3)]
        part = write_bag(tmp_path / f'part_{number}', messages)
        shutil.copy(storage_file(part), folder / f'split_{number}.mcap')
    (folder / 'split_11.mcap').write_bytes(b'')  # power went before anything was written
    recording = BagRecording(folder)
    seconds = [(stamp_ns - T0) // NS for stamp_ns in stamps(recording)]
    assert seconds == [0, 1, 2, 10, 11, 12, 20, 21, 22, 100, 101, 102]
    assert 'split_11.mcap' in recording.ended_early


def test_damage_in_the_middle_ends_the_reading_and_is_said(tmp_path: Path) -> None:
    messages = [image(i, s) for i, s in enumerate(MANY)]
    path = write_bag(tmp_path / 'bag', messages, MCAP, CompressionMode.STORAGE)
    file = storage_file(path)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100] = b'?' * 100
    file.write_bytes(data)
    recording = BagRecording(path)
    read = stamps(recording)
    assert 80 < len(read) < 300
    assert read == MANY[: len(read)]
    assert f'{len(read)} images could be read' in recording.ended_early


def test_a_bag_cut_off_before_its_first_image_is_refused(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', [image(i, s) for i, s in enumerate(STAMPS)])
    cut_off(storage_file(path), 0.2)
    with pytest.raises(ValueError, match='expected a rosbag2 folder'):
        BagRecording(path)


def test_it_can_be_read_again(tmp_path: Path) -> None:
    recording = BagRecording(write_bag(tmp_path / 'bag', [image(i, T0 + i) for i in range(4)]))
    assert stamps(recording) == stamps(recording)
