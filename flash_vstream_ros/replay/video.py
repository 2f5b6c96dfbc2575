# SPDX-License-Identifier: Apache-2.0
"""Video files as recordings, through OpenCV."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from flash_vstream_ros.replay import matroska
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, RecordedFrame

# A video knows no date. Its time zero gets this stamp, as a stamp of zero means "not stamped".
VIDEO_START_NS = 1 * NS_PER_S
# The end of a video without its index promises a time which sound tracks and estimates blur.
MISSING_END_NS = 1 * NS_PER_S
FALLBACK_RATE_HZ = 30.0


class VideoRecording:
    """A video file. Stamps are its presentation times after ``VIDEO_START_NS``.

    The rotation that phones write into their videos is applied.

    :raises ValueError: the file is no video, or not one frame of it can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended_early = ''
        capture = _open(path)
        try:
            rate_hz = capture.get(cv2.CAP_PROP_FPS)
            frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            width = round(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
            height = round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
            if not capture.grab():
                raise ValueError(f'{path}: 0 frames could be read; the video is empty or damaged')
            self.start_ns = _stamp_ns(capture)
        finally:
            capture.release()
        self._period_ns = round(NS_PER_S / (rate_hz if rate_hz > 0 else FALLBACK_RATE_HZ))
        # A file without an index gives a nonsensical count.
        self.frame_count = round(frames) if 0 < frames < 2**40 else None
        self.duration_ns = self.frame_count and self.frame_count * self._period_ns
        self.description = f'video, {width}x{height}, {self._length()}'

    def _length(self) -> str:
        rate = f'{NS_PER_S / self._period_ns:.4g} frames/s'
        if self.frame_count is None:
            return f'{rate}, length unknown'
        return f'{rate}, {self.frame_count} frames, {self.duration_ns / NS_PER_S:.1f} s'

    def __iter__(self) -> Iterator[RecordedFrame]:
        self.ended_early = ''
        capture = _open(self.path)
        frames, stamp_ns = 0, 0

        def decode(number: int) -> np.ndarray:
            if number != frames:
                raise RuntimeError(
                    f'{self.path}: frame {number} is gone; decode a frame before asking for the '
                    f'next one'
                )
            return _retrieve(capture, self.path, number)

        try:
            while capture.grab():
                frames += 1
                # Some containers give no time, or a wrong one for the last frames.
                own_ns = _stamp_ns(capture)
                stamp_ns = own_ns if own_ns > stamp_ns else stamp_ns + self._period_ns
                yield RecordedFrame(stamp_ns, partial(decode, frames))
            self.ended_early = self._missing_end(frames, stamp_ns)
        finally:
            frames = 0
            capture.release()

    def _missing_end(self, frames: int, newest_ns: int) -> str:
        if self.frame_count is None or frames >= self.frame_count:
            return ''
        read_ns = newest_ns + self._period_ns - self.start_ns
        if self.duration_ns - read_ns < MISSING_END_NS:
            return ''
        if self.path.suffix.lower() in matroska.SUFFIXES and not matroska.is_damaged(self.path):
            return ''  # its duration is that of its longest track, and the count a guess from it
        return (
            f'{self.path}: cut off or damaged: {frames} of {self.frame_count} frames could be '
            f'read, {read_ns / NS_PER_S:.1f} of {self.duration_ns / NS_PER_S:.1f} s'
        )


def _open(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ValueError(
            f'{path}: 0 frames could be read; expected a video that OpenCV reads (mp4, avi, mkv, '
            f'...) or a rosbag2 folder. An mp4 whose recording was cut off has lost its index and '
            f'needs a repair tool first'
        )
    return capture


def _stamp_ns(capture: cv2.VideoCapture) -> int:
    return VIDEO_START_NS + round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)


def _retrieve(capture: cv2.VideoCapture, path: Path, number: int) -> np.ndarray:
    """:returns: (H, W, 3) uint8 RGB of the frame grabbed last."""
    is_read, bgr = capture.retrieve()
    if not is_read:
        raise ValueError(f'{path}: frame {number} is damaged and could not be decoded')
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
