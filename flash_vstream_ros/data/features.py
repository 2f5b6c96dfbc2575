# SPDX-License-Identifier: Apache-2.0
"""Feature files: the encoder's maps of one stream, computed once (the published layout)."""

import hashlib
from dataclasses import dataclass
from math import isqrt
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from flash_vstream_ros.core.memory_file import replacing
from flash_vstream_ros.replay.bag import BAG_SUFFIXES
from flash_vstream_ros.replay.frames import IMAGE_SUFFIXES
from flash_vstream_ros.simulator.description import DESCRIPTION_SUFFIX

NS_PER_S = 1_000_000_000
SUFFIX = '.safetensors'
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm', '.mov', '.m4v', '.flv', '.gif', '.mpg', '.wmv')
_MEDIA_SUFFIXES = {*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, *BAG_SUFFIXES, DESCRIPTION_SUFFIX}


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """What is known of a feature file before its features are read.

    :param path: the file: ``feature`` (T, N, D), or (N, D) of an image, N = side * side, and,
        where we wrote it, ``stamps_ns`` (T,) int64. Without stamps row i is of second
        i / sample_rate.
    :param stamps_ns: (T,) int64, growing, above 0.
    :param start_ns: stamp of the recording's first frame, from which questions count seconds.
    :param end_s: the last second at which a question can be asked.
    :param side: patches along a side of a map.
    :param width: D.
    :param about: the file's metadata.
    """

    path: Path
    stamps_ns: np.ndarray
    start_ns: int
    end_s: float
    side: int
    width: int
    about: dict[str, str]

    @property
    def encoder_id(self) -> str:
        """Of the tower that made it, see ``tower_id``; '' where the file does not say."""
        return self.about.get('encoder_id', '')

    @property
    def sample_rate(self) -> float:
        """Frames per second of stamp time that were taken; 0: all of them."""
        return float(self.about.get('sample_rate', 1.0))

    @property
    def digest(self) -> str:
        """Tells it from other files, 16 hex digits.

        Without its features, which would take minutes to read, but with all that is known of
        their origin.
        """
        about = repr((self.side, self.width, len(self.stamps_ns), sorted(self.about.items())))
        return hashlib.sha256(about.encode() + self.stamps_ns.tobytes()).hexdigest()[:16]

    def frames_until(self, at_s: float | None) -> int:
        """Count the frames that a question may see.

        :param at_s: seconds after the recording's first frame; None: all frames.
        :raises ValueError: the stream has not begun by then, or has ended before.
        """
        if at_s is None:
            return len(self.stamps_ns)
        if not 0.0 <= at_s <= self.end_s:
            raise ValueError(
                f'asked at {at_s:g} s, expected 0 to {self.end_s:g} s, the length of the stream '
                f'in {self.path}'
            )
        until_ns = self.start_ns + round(at_s * NS_PER_S)
        frames = int(np.searchsorted(self.stamps_ns, until_ns, side='right'))
        if frames == 0:
            raise ValueError(f'asked at {at_s:g} s, before the first frame in {self.path}')
        return frames

    def read(self, end: int, begin: int = 0) -> Tensor:
        """Read the features of frames.

        :param end: the first frame that is not read.
        :param begin: the first one that is.
        :returns: (end - begin, P, P, D) in the type of the file.
        :raises ValueError: the file has been damaged since it was opened.
        """
        try:
            with safe_open(self.path, 'pt') as file:
                rows = feature_rows(file)[begin:end]
        except SafetensorError as error:
            raise ValueError(f'{self.path}: no file of features, or cut off: {error}') from error
        return rows.unflatten(1, (self.side, self.side))


def feature_rows(file: Any) -> Any:
    """What an open file of features holds, to be sliced by frames: (T, N, D).

    Of the published data's images, (N, D) in the file, it is one frame.
    """
    rows = file.get_slice('feature')
    return rows if len(rows.get_shape()) == 3 else rows[:][None]


def find_features(folder: Path, media: str) -> Path:
    """Where the features of a recording lie: its name, of which a media suffix falls away.

    :param media: name of a video, bag or image, relative to its data folder.
    :raises ValueError: the name leads out of the folder.
    """
    name = PurePosixPath(media)
    if name.is_absolute() or '..' in name.parts:
        raise ValueError(f'{media!r}: expected a name below the data folder, no / first and no ..')
    if name.suffix.lower() in _MEDIA_SUFFIXES:
        name = name.with_suffix('')
    return folder / f'{name}{SUFFIX}'


def open_features(path: Path) -> FeatureFile:
    """Read what a feature file says of itself, not its features.

    :raises FileNotFoundError: there is none.
    :raises ValueError: it is damaged or holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file of features; extract makes them')
    try:
        with safe_open(path, 'pt') as file:
            shape = file.get_slice('feature').get_shape()
            about = file.metadata() or {}
            has_stamps = 'stamps_ns' in file.keys()  # noqa: SIM118, an open file is no dictionary
            stamps_ns = file.get_tensor('stamps_ns').numpy() if has_stamps else None
    except SafetensorError as error:
        raise ValueError(f'{path}: no file of features, or cut off: {error}') from error
    shape = [1, *shape] if len(shape) == 2 else shape  # an image of the published data
    side = isqrt(shape[1]) if len(shape) == 3 else 0
    if 0 in shape or side == 0 or side**2 != shape[1]:
        raise ValueError(f'{path}: feature: expected (T, side * side, D), got {shape}')
    return _describe(path, shape, side, stamps_ns, about)


def _describe(
    path: Path, shape: list[int], side: int, stamps_ns: np.ndarray | None, about: dict[str, str]
) -> FeatureFile:
    try:
        rate_hz = float(about.get('sample_rate', 1.0)) or 1.0  # 0: all frames, at their own rate
        if stamps_ns is None:
            stamps_ns = NS_PER_S + np.round(np.arange(shape[0]) * (NS_PER_S / rate_hz)).astype(int)
        start_ns = int(about.get('start_ns', stamps_ns[0]))
        sampled_s = (int(stamps_ns[-1]) - start_ns) / NS_PER_S + 1.0 / rate_hz
        end_s = max(sampled_s, float(about.get('duration', 0.0)))
    except ValueError as error:
        raise ValueError(f'{path}: its metadata cannot be read: {error}') from error
    if stamps_ns.shape != (shape[0],) or (np.diff(stamps_ns) <= 0).any() or stamps_ns[0] <= 0:
        raise ValueError(f'{path}: stamps_ns: expected {shape[0]} growing stamps above 0')
    return FeatureFile(path, stamps_ns, start_ns, end_s, side, shape[2], about)


def write_features(
    path: Path, feature: Tensor, stamps_ns: list[int], about: dict[str, str]
) -> None:
    """Write a feature file, whole or not at all.

    :param feature: (T, N, D), stored as float16.
    :param about: its metadata.
    :raises OSError: it cannot be written.
    """
    tensors = {
        'feature': feature.half().cpu().contiguous(),
        'stamps_ns': torch.tensor(stamps_ns, dtype=torch.int64),
    }
    write_tensor_file(path, tensors, about)


def write_tensor_file(
    path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all, and its folder where there is none.

    :raises OSError: it cannot be written; the message names it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _save_atomically(path, tensors, about)
    except (OSError, SafetensorError) as error:  # of a full disk, without a name
        reason = getattr(error, 'strerror', None) or str(error).rpartition('I/O error: ')[2]
        raise OSError(f'{path}: could not be written: {reason}') from error


def _save_atomically(path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None) -> None:
    """As ``write_atomically``, but without a copy of the tensors as bytes."""
    with replacing(path) as temporary:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, about)
        temporary.chmod(mode)  # safetensors makes files that nobody else may read
