# SPDX-License-Identifier: Apache-2.0
"""The recordings of a data folder, and their names."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from flash_vstream_ros.data.conversations import Example, read_questions
from flash_vstream_ros.data.features import VIDEO_SUFFIXES, FeatureFile, find_features
from flash_vstream_ros.replay.bag import BAG_SUFFIXES
from flash_vstream_ros.replay.frames import IMAGE_SUFFIXES
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, RecordedFrame
from flash_vstream_ros.simulator.description import DESCRIPTION_SUFFIX, PatrolDescription

QUESTIONS = 'questions.json'
# In the order in which they are looked for; '' is a folder: frames or a bag.
_SUFFIXES = ('', *VIDEO_SUFFIXES, *BAG_SUFFIXES, DESCRIPTION_SUFFIX)


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
    :returns: path by name; the name is the one in the questions, or else the path below the
        folder. A path that does not exist is that of a missing recording.
    :raises FileNotFoundError: there is no such folder, or nothing in it.
    :raises NotADirectoryError: it is a file.
    :raises ValueError: its questions cannot be read, or name what does not lie in the folder, or
        two recordings have one name but for what kind of file they are.
    """
    if folder.is_file():
        raise NotADirectoryError(f'{folder}: expected the folder of the recordings, got a file')
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder of recordings')
    if images:
        found = [path for path in sorted(folder.rglob('*')) if _is(path, IMAGE_SUFFIXES)]
    else:
        asked = read_questions(folder / QUESTIONS, 1) if (folder / QUESTIONS).exists() else []
        if asked:
            return _checked(dict(_recording_of(folder, example) for example in asked))
        found = list(_walk(folder))
    if not found:
        raise FileNotFoundError(f'{folder}: expected recordings, found none')
    return _checked({str(path.relative_to(folder)): path for path in found})


def _recording_of(folder: Path, example: Example) -> tuple[str, Path]:
    """Name and path of the recording that a question is about."""
    for name in example.names:
        try:
            find_features(Path(), name)
        except ValueError as error:
            raise ValueError(f'{example.source}: {error}') from error
        path = find_recording(folder, name)
        if path.exists():
            return name, path
    return example.media, folder / example.media


def _checked(named: dict[str, Path]) -> dict[str, Path]:
    """Refuse recordings whose features would overwrite each other."""
    files: dict[Path, Path] = {}
    for name, path in named.items():
        if not path.exists():
            continue
        other = files.setdefault(find_features(Path(), name), path)
        if other != path:
            raise ValueError(f'{other}, {path}: two recordings of one name; rename one')
    return named


def identity(path: Path) -> str:
    """What tells a recording from another one under its name.

    :returns: of a stream's description its content, else sizes and times of the files; empty:
        there is none.
    """
    if not path.exists():
        return ''
    if path.suffix == '.json' and path.is_file():
        about = path.read_bytes()
    else:
        files = sorted(p for p in path.rglob('*') if p.is_file()) if path.is_dir() else [path]
        states = [(file.name, file.stat()) for file in files]
        about = repr([(name, s.st_size, s.st_mtime_ns) for name, s in states]).encode()
    return hashlib.sha256(about).hexdigest()[:16]


def find_recording(folder: Path, name: str) -> Path:
    """Find a recording by its name: a folder of frames or a bag, a video, a stream description.

    :returns: its path, or ``folder / name`` where there is none.
    """
    return next(iter(recordings_named(folder, name)), folder / name)


def recordings_named(folder: Path, name: str) -> list[Path]:
    """Find all recordings of a name, the one that :func:`find_recording` takes first."""
    paths = [folder / f'{name}{suffix}' for suffix in _SUFFIXES]
    return [path for path in paths if path.exists()]


def check_made_of(features: FeatureFile, recordings: Iterable[Path]) -> None:
    """Check that features are those of a recording that lies there, as far as both say so.

    :param recordings: all that could be meant; none: there is nothing to compare with.
    :raises ValueError: they are of another one; both are named.
    """
    paths, source = list(recordings), features.about.get('source')
    if not source or not paths:
        return
    found = [identity(path) for path in paths]
    if source not in found:
        raise ValueError(
            f'{features.path}: features of another recording than {paths[0]}: made of {source}, '
            f'expected {found[0]}; extract that one into a folder of its own, or extract it again '
            f'if it has changed or was copied without its time'
        )


def _walk(folder: Path) -> Iterator[Path]:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith('.'))
    for path in entries:
        if path.is_dir():
            yield from [path] if _is_recording(path) else _walk(path)
        elif _is(path, (*VIDEO_SUFFIXES, *BAG_SUFFIXES)) or _is_description(path):
            yield path


def _is_recording(folder: Path) -> bool:
    """Whether a folder is a bag or holds frames."""
    is_bag = (folder / 'metadata.yaml').exists()
    return is_bag or any(_is(path, IMAGE_SUFFIXES) for path in folder.iterdir())


def _is_description(path: Path) -> bool:
    """Whether a file describes a stream of the simulator."""
    if path.suffix != '.json':
        return False
    try:
        PatrolDescription.read(path)
    except (OSError, ValueError):
        return False
    return True


def _is(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith('.')
