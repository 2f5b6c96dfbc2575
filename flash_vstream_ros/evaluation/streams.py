# SPDX-License-Identifier: Apache-2.0
"""Streams of features: stored ones, or a recording that is encoded as the robot does it."""

import logging
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.data.features import (
    VIDEO_SUFFIXES,
    FeatureFile,
    find_features,
    open_features,
)
from flash_vstream_ros.data.recordings import find_recording, recordings_named
from flash_vstream_ros.evaluation.dataset import StreamQuestion
from flash_vstream_ros.replay.due_frames import DueFrames
from flash_vstream_ros.replay.recorded_frame import NS_PER_S
from flash_vstream_ros.replay.recording import open_recording

logger = logging.getLogger(__name__)

# Where recordings and features of a data folder may lie; the others are VStream-QA's.
RECORDING_FOLDERS = ('', 'ego4d_videos', 'ego4d_frames', 'movienet_videos', 'movienet_frames')
FEATURE_FOLDERS = ('', 'ego4d_video_features', 'movienet_video_features')
_ROWS = 256  # of a feature file read at once


class Stream(Protocol):
    """The features of one stream."""

    side: int  # P of its maps
    start_ns: int  # stamp of the recording's first frame, from which questions count
    end_s: float | None  # the last second at which a question can be asked; None: not known yet
    frame_count: int | None

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """Stamps in nanoseconds and (P, P, D) features, in order of time."""

    def second_of(self, share: float) -> float:
        """The second at which this share of the frames has been seen."""


class StoredStream:
    """Features that were computed before.

    :param path: of the file.
    :raises OSError: it is missing.
    :raises ValueError: it holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.file: FeatureFile = open_features(path)
        self.side = self.file.side
        self.start_ns = self.file.start_ns
        self.end_s: float | None = self.file.end_s
        self.frame_count: int | None = len(self.file.stamps_ns)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        stamps_ns = self.file.stamps_ns.tolist()
        for begin in range(0, len(stamps_ns), _ROWS):
            end = min(begin + _ROWS, len(stamps_ns))
            maps = self.file.read(end, begin).float()  # in which memories compute
            yield from zip(stamps_ns[begin:end], maps, strict=True)

    def second_of(self, share: float) -> float:
        """The second at which this share of the frames has been seen."""
        stamps_ns = self.file.stamps_ns
        row = max(round(share * len(stamps_ns)) - 1, 0)
        return (int(stamps_ns[row]) - self.start_ns) / NS_PER_S


class RecordedLength:
    """When questions to a recording can be asked, as far as it says so before it is read.

    :param sample_rate: frames per second of stamp time; 0: all.
    :param topic: of a bag's images; None: its only one.
    :raises OSError: it is missing.
    :raises ValueError: it cannot be read.
    """

    def __init__(self, path: Path, sample_rate: float, topic: str | None = None) -> None:
        self.path = path
        self._recording = open_recording(path, topic)
        self._sample_rate = sample_rate
        self.start_ns = self._recording.start_ns
        self.frame_count = self._recording.frame_count
        self.end_s: float | None = None
        if self._recording.duration_ns is not None:
            self.end_s = self._recording.duration_ns / NS_PER_S + self._period_s()

    def _period_s(self) -> float:
        """How long the last frame stands for."""
        return 1.0 / self._sample_rate if self._sample_rate else 1.0

    def second_of(self, share: float) -> float:
        """The second at which this share of the frames has been seen."""
        if self._recording.duration_ns is None:
            raise ValueError(
                f'{self.path}: its length is not known, and questions to it are asked at a shot; '
                f'extract its features first'
            )
        return share * self._recording.duration_ns / NS_PER_S


class RecordedStream(RecordedLength):
    """A recording, sampled and encoded frame by frame as the frame handler does it.

    Parameters and errors as of :class:`RecordedLength`.
    """

    def __init__(
        self, path: Path, vstream: FlashVStream, sample_rate: float, topic: str | None = None
    ) -> None:
        super().__init__(path, sample_rate, topic)
        self._vstream = vstream
        self.side = vstream.geometry.feature_side

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        reached_ns = 0
        for frame in DueFrames(self._sample_rate).of(self._recording):
            if frame.begins_stream:
                raise ValueError(
                    f'{self.path}: the stamps jump back to {frame.stamp_ns} ns: expected one '
                    f'stream; cut the recording there'
                )
            self.start_ns = frame.zero_ns  # the first stamps of all may be of no use
            if frame.pixels is None:
                logger.warning(
                    '%s: the frame stamped %d ns is left out: %s',
                    self.path,
                    frame.stamp_ns,
                    frame.fault,
                )
                continue
            reached_ns = frame.elapsed_ns
            yield frame.stamp_ns, self._vstream.encode(frame.pixels[None])[0]
        if self._recording.ended_early:
            logger.warning('%s', self._recording.ended_early)
        elif self._recording.duration_ns is not None:
            reached_ns = max(reached_ns, self._recording.duration_ns)
        self.end_s = reached_ns / NS_PER_S + self._period_s()


def find_stream_recording(question: StreamQuestion) -> Path:
    """Find the recording that a question is about, beside its file.

    :raises FileNotFoundError: there is none; the question's file and line are named.
    :raises ValueError: there is only that of which its clip is yet to be cut.
    """
    folder = question.file.parent
    for name in dict.fromkeys((question.video, question.video_name)):
        for place in RECORDING_FOLDERS:
            path = find_recording(folder / place, name)
            if path.exists():
                _check_cut(question, name, path)
                return path
    raise FileNotFoundError(
        f'{question.source}: the recording {question.video!r} is missing: expected a folder of '
        f'that name or a video, bag or description {question.video}.* in {folder} or, in it, '
        f'{", ".join(RECORDING_FOLDERS[1:])}'
    )


def find_feature_file(folder: Path, question: StreamQuestion) -> Path:
    """Find the stored features of the stream that a question is about.

    :param folder: where features lie.
    :raises FileNotFoundError: there are none; the question's file and line are named.
    :raises ValueError: there are only those of what its clip is cut from.
    """
    for name in dict.fromkeys((question.video, question.video_name)):
        for place in FEATURE_FOLDERS:
            path = find_features(folder / place, name)
            if path.is_file():
                _check_cut(question, name, path, '; then extract its features')
                return path
    raise FileNotFoundError(
        f'{question.source}: the features of {question.video!r} are missing: expected '
        f'{find_features(folder, question.video)}; extract makes them'
    )


def recordings_beside(question: StreamQuestion, features: Path) -> list[Path]:
    """Find the recordings beside a question's file that have the name of a file of features."""
    names = dict.fromkeys((question.video, question.video_name))
    return [
        path
        for name in names
        if find_features(Path(), name).name == features.name
        for place in RECORDING_FOLDERS
        for path in recordings_named(question.file.parent / place, name)
    ]


def _check_cut(question: StreamQuestion, name: str, path: Path, then: str = '') -> None:
    """Check that what is found is a question's clip, not all that the clip was cut from.

    A question counts from the start of its clip: of the whole it would see another stretch.

    :param name: by which ``path`` was found.
    :param then: what else is to be done once the clip is cut.
    """
    clip = question.clip
    if clip is None or name == question.video:
        return
    if clip.start.is_shot:
        how = (
            f'copy the key frames from {clip.start} to {clip.end} into a folder '
            f'movienet_frames/{question.video}'
        )
    else:
        is_video = path.suffix.lower() in VIDEO_SUFFIXES  # or else features, or a folder of frames
        source = path if is_video else Path(f'{question.video_name}.mp4')
        cut = source.with_name(f'{question.video}.mp4')
        times = f'-ss {clip.start.value:.10g} -to {clip.end.value:.10g}'
        how = f'cut it with: ffmpeg {times} -i {shlex.quote(str(source))} {shlex.quote(str(cut))}'
    raise ValueError(
        f'{question.source}: the clip {question.video!r} is missing, and {path} is of all that it '
        f'is cut from; {how}{then}'
    )


def ask_times(stream: Stream | RecordedLength, questions: Sequence[StreamQuestion]) -> list[int]:
    """When questions are asked, in nanoseconds since the recording's first frame.

    :raises ValueError: beyond the stream's end, as far as that is known; file and line are named.
    """
    times = []
    for question in questions:
        at_s = question.at_s
        if at_s is None:
            at_s = stream.second_of(question.at_share)
        check_within(stream, question, at_s)
        times.append(round(at_s * NS_PER_S))
    return times


def is_beyond(stream: Stream | RecordedLength, at_s: float) -> bool:
    """Whether a second lies beyond the stream's end, as far as that is known."""
    return stream.end_s is not None and at_s > stream.end_s


def check_within(stream: Stream | RecordedLength, question: StreamQuestion, at_s: float) -> None:
    """Check that the stream goes on until a question is asked.

    :raises ValueError: it does not; the question's file and line are named.
    """
    if is_beyond(stream, at_s):
        raise ValueError(
            f'{question.source}: asked at {at_s:g} s, which lies beyond the stream: '
            f'{question.video!r} ends at {stream.end_s:g} s'
        )
