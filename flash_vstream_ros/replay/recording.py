# SPDX-License-Identifier: Apache-2.0
"""Opens what a camera recorded: a video, a bag, a folder of frames; or what it would see."""

import os
from pathlib import Path

from flash_vstream_ros.replay.bag import BAG_SUFFIXES, BagRecording
from flash_vstream_ros.replay.frames import FramesRecording, images_in
from flash_vstream_ros.replay.recorded_frame import Recording
from flash_vstream_ros.replay.video import VideoRecording
from flash_vstream_ros.simulator.description import DESCRIPTION_SUFFIX
from flash_vstream_ros.simulator.recording import PatrolRecording


def open_recording(path: str | os.PathLike, topic: str | None = None) -> Recording:
    """Open a recording. Works without ROS.

    :param path: a video file (whatever OpenCV reads: mp4, avi, mkv, ...), a rosbag2 folder
        (sqlite3 or mcap, also compressed), a single .mcap or .db3 file, a ROS 1 .bag file, a
        folder of images named by their stamps in nanoseconds, or the .json description of a
        simulated patrol, which is drawn while it is read.
    :param topic: the image topic of a bag; needed where it holds several.
    :raises FileNotFoundError: there is no such file or folder.
    :raises ValueError: it holds no readable frame, no image topic, not this topic, or several
        image topics and it is not said which.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f'{path}: no such file or folder; expected a video file, a rosbag2 folder, or a '
            f'folder of frames'
        )
    is_frames = path.is_dir() and not _is_bag(path) and bool(images_in(path))
    if path.suffix in BAG_SUFFIXES or (path.is_dir() and not is_frames):
        return BagRecording(path, topic)
    if topic is not None:
        raise ValueError(f'{path} is no bag and has no topics: leave {topic!r} out')
    if is_frames:
        return FramesRecording(path)
    return PatrolRecording(path) if path.suffix == DESCRIPTION_SUFFIX else VideoRecording(path)


def _is_bag(folder: Path) -> bool:
    """Whether a folder is a bag, be it a damaged one."""
    return any(
        path.name == 'metadata.yaml' or '.mcap' in path.suffixes or '.db3' in path.suffixes
        for path in folder.iterdir()
    )
