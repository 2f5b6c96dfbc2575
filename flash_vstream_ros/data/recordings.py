# SPDX-License-Identifier: Apache-2.0
"""The recordings of a data folder, and their names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from flash_vstream_ros.data.conversations import read_questions
from flash_vstream_ros.replay.bag import BAG_SUFFIXES
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, RecordedFrame

QUESTIONS = 'questions.json'
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm', '.mov', '.m4v', '.flv', '.gif', '.mpg', '.wmv')
# In the order in which they are looked for; '' is a folder: frames or a bag.
_SUFFIXES = ('', *VIDEO_SUFFIXES, *BAG_SUFFIXES, '.json')


class ImageRecording:
    """An image as a recording of one frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.description = 'image'
        self.start_ns = NS_PER_S
        self.duration_ns = 0
        self.frame_count = 1
        self.ended_early = ''

    def __iter__(self) -> Iterator[RecordedFrame]:
        yield RecordedFrame(self.start_ns, partial(_read_image, self.path))


def _read_image(path: Path) -> np.ndarray:
    """:returns: (H, W, 3) uint8 RGB."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f'{path}: no image that can be read')
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def list_recordings(folder: Path, images: bool = False) -> dict[str, Path]:
    """Find the recordings of a data folder: those its questions are about, else all in it.

    :param images: take every image for a recording of its own.
    :returns: path by name; the name is the path below the folder without a media suffix. A path
        that does not exist is that of a missing recording.
    :raises FileNotFoundError: there is no such folder, or nothing in it.
    :raises ValueError: its questions cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder of recordings')
    if images:
        found = [path for path in sorted(folder.rglob('*')) if _is(path, IMAGE_SUFFIXES)]
    elif (folder / QUESTIONS).exists():
        names = dict.fromkeys(e.media for e in read_questions(folder / QUESTIONS, 1))
        return {name: find_recording(folder, name) for name in names}
    else:
        found = list(_walk(folder))
    if not found:
        raise FileNotFoundError(f'{folder}: expected recordings, found none')
    return {str(_name(path).relative_to(folder)): path for path in found}


def find_recording(folder: Path, name: str) -> Path:
    """Find a recording by its name: a folder of frames or a bag, a video, a stream description.

    :returns: its path, or ``folder / name`` where there is none.
    """
    for suffix in _SUFFIXES:
        path = folder / f'{name}{suffix}'
        if path.exists():
            return path
    return folder / name


def _walk(folder: Path) -> Iterator[Path]:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith('.'))
    for path in entries:
        if path.is_dir():
            yield from [path] if _is_recording(path) else _walk(path)
        elif _is(path, (*VIDEO_SUFFIXES, *BAG_SUFFIXES)):
            yield path


def _is_recording(folder: Path) -> bool:
    """Whether a folder is a bag or holds frames."""
    is_bag = (folder / 'metadata.yaml').exists()
    return is_bag or any(_is(path, IMAGE_SUFFIXES) for path in folder.iterdir())


def _is(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith('.')


def _name(path: Path) -> Path:
    return path if path.is_dir() else path.with_suffix('')
