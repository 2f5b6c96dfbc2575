# SPDX-License-Identifier: Apache-2.0
"""Opening of recordings of all kinds."""

from pathlib import Path

import pytest
from recording_samples import (
    SQLITE3,
    T0,
    image,
    storage_file,
    write_bag,
    write_ros1_bag,
    write_video,
)

from flash_vstream_ros.replay.bag import BagRecording
from flash_vstream_ros.replay.recording import open_recording
from flash_vstream_ros.replay.video import VideoRecording


def test_each_kind_is_opened_as_what_it_is(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'mcap', [image(0, T0)])
    other = write_bag(tmp_path / 'sqlite3', [image(0, T0)], SQLITE3)
    ros1 = write_ros1_bag(tmp_path / 'old.bag', [T0])
    for path in (bag, storage_file(bag), other, storage_file(other), ros1):
        recording = open_recording(path)
        assert isinstance(recording, BagRecording), path
        assert [frame.stamp_ns for frame in recording] == [T0], path
    assert isinstance(open_recording(write_video(tmp_path / 'a.avi', 2)), VideoRecording)


def test_a_path_may_be_a_text(tmp_path: Path) -> None:
    assert open_recording(str(write_video(tmp_path / 'a.avi', 2))).frame_count == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nothing\.mp4: no such file or folder'):
        open_recording(tmp_path / 'nothing.mp4')


def test_a_folder_that_is_no_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'notes.txt').write_text('hello')
    with pytest.raises(ValueError, match='expected a rosbag2 folder'):
        open_recording(tmp_path)


@pytest.mark.parametrize('name', ['a.mcap', 'a.db3', 'a.bag'])
def test_a_file_that_is_no_bag_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'something else entirely' * 10)
    with pytest.raises(ValueError, match=f'{name}: expected a rosbag2 folder'):
        open_recording(path)


def test_a_video_has_no_topics(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'a.avi', 2)
    with pytest.raises(ValueError, match="has no topics: leave '/image' out"):
        open_recording(path, '/image')
