# SPDX-License-Identifier: Apache-2.0
"""Folders of images as recordings."""

import re
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from flash_vstream_ros.nodes.image_conversions import compressed_to_rgb
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, RecordedFrame, stamp_of

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp', '.bmp')
LATEST_NS = 2**63 - 1
# Names closer to each other than this, on average, count frames: no camera is that quick.
SHORTEST_PERIOD_NS = 1000
# VStream-QA's frames lie in these folders, a folder for each clip: numbered, or by shot and image.
NUMBERED_FOLDERS = ('ego4d_frames', 'movienet_frames')
NUMBERED_RATE_HZ = 1.0
_NUMBERED = re.compile(r'\d+|shot_\d+_img_\d+', re.ASCII)


def images_in(folder: Path) -> list[Path]:
    """The images in a folder, hidden ones left out; in no order."""
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')
    ]


class FramesRecording:
    """A folder of images, each named by its stamp in nanoseconds, as ``1700000000000000000.png``.

    In a folder of :data:`NUMBERED_FOLDERS` they are named ``000001.jpg`` or
    ``shot_0100_img_0.jpg`` instead, and follow each other by a second.

    :raises ValueError: there is no image, or one has another name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended_early = ''
        is_numbered = path.absolute().parent.name in NUMBERED_FOLDERS
        self._images = _by_number(path) if is_numbered else _by_stamp(path)
        stamps_ns = [stamp_ns for stamp_ns, _ in self._images]
        self.start_ns = stamps_ns[0]
        self.duration_ns: int | None = stamps_ns[-1] - stamps_ns[0]
        self.frame_count: int | None = len(stamps_ns)
        length_s = self.duration_ns / NS_PER_S
        self.description = f'folder of {self.frame_count} images, {length_s:.1f} s'

    def __iter__(self) -> Iterator[RecordedFrame]:
        for stamp_ns, path in self._images:
            yield RecordedFrame(stamp_ns, partial(_read_image, path))


def _by_stamp(folder: Path) -> list[tuple[int, Path]]:
    """The images of a folder in order of their stamps."""
    images = sorted((_stamp_of(path), path) for path in images_in(folder))
    if not images:
        raise ValueError(
            f'{folder}: expected images named by their stamps in nanoseconds, as '
            f'1700000000000000000.png, found none'
        )
    for (one_ns, one), (other_ns, other) in pairwise(images):
        if one_ns == other_ns:
            raise ValueError(f'{folder}: {one.name} and {other.name} have the same stamp')
    first, last = images[0], images[-1]
    if last[0] - first[0] < (len(images) - 1) * SHORTEST_PERIOD_NS:
        raise ValueError(
            f'{folder}: expected images named by their stamps in nanoseconds, but '
            f'{first[1].name} to {last[1].name} seem to be numbered'
        )
    return images


def _by_number(folder: Path) -> list[tuple[int, Path]]:
    """The images of a folder in order of the numbers in their names, with stamps of our own."""
    images = sorted((_numbers_of(path), path) for path in images_in(folder))
    if not images:
        raise ValueError(f'{folder}: expected numbered images, as 000001.jpg, found none')
    for (one_numbers, one), (other_numbers, other) in pairwise(images):
        if len(one_numbers) != len(other_numbers) or one_numbers == other_numbers:
            raise ValueError(
                f'{folder}: {one.name} and {other.name}: which comes first cannot be told'
            )
    return [(stamp_of(i, NUMBERED_RATE_HZ), path) for i, (_, path) in enumerate(images)]


def _numbers_of(path: Path) -> tuple[int, ...]:
    if not _NUMBERED.fullmatch(path.stem):
        raise ValueError(
            f'{path}: expected an image named by its number, as 000001.jpg, or by shot and image, '
            f'as shot_0100_img_0.jpg'
        )
    return tuple(map(int, re.findall(r'\d+', path.stem, re.ASCII)))


def _stamp_of(path: Path) -> int:
    stem = path.stem
    # Other digits than these, as ², pass isdigit().
    if not (stem.isascii() and stem.isdigit() and int(stem) <= LATEST_NS):
        raise ValueError(
            f'{path}: expected an image named by its stamp in nanoseconds, as '
            f'1700000000000000000.png'
        )
    return int(stem)


def _read_image(path: Path) -> np.ndarray:
    """:returns: (H, W, 3) uint8 RGB."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        return compressed_to_rgb(SimpleNamespace(format=path.suffix[1:].lower(), data=data))
    except (OSError, ValueError) as error:
        raise ValueError(f'{path}: could not be decoded: {error}') from error
