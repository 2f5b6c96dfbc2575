# SPDX-License-Identifier: Apache-2.0
"""Opens what a camera recorded: a video file, a rosbag2 folder or file, a ROS 1 bag."""

import os
from pathlib import Path

from flash_vstream_ros.replay.bag import BAG_SUFFIXES, BagRecording
from flash_vstream_ros.replay.recorded_frame import Recording
from flash_vstream_ros.replay.video import VideoRecording


def open_recording(path: str | os.PathLike, topic: str | None = None) -> Recording:
    """Open a recording. Works without ROS.

    :param path: a video file (whatever OpenCV reads: mp4, avi, mkv, ...), a rosbag2 folder
        (sqlite3 or mcap, also compressed), a single .mcap or .db3 file, or a ROS 1 .bag file.
    :param topic: the image topic of a bag; needed where it holds several.
    :raises FileNotFoundError: there is no such file or folder.
    :raises ValueError: it holds no readable frame, no image topic, not this topic, or several
        image topics and it is not said which.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f'{path}: no such file or folder; expected a video file or a rosbag2 folder'
        )
    if path.is_dir() or path.suffix in BAG_SUFFIXES:
        return BagRecording(path, topic)
    if topic is not None:
        raise ValueError(f'{path} is read as a video, which has no topics: leave {topic!r} out')
    return VideoRecording(path)
