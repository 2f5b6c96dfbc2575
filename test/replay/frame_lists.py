# SPDX-License-Identifier: Apache-2.0
"""Recordings in memory, for tests of replay."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flash_vstream_ros.replay.recorded_frame import RecordedFrame

NS = 1_000_000_000
T0 = 1_700_000_000 * NS
TIMES = ('time_to_first_token', 'total_time')


class FrameList:
    """A recording in memory that counts what is decoded. None for a frame: it is corrupt."""

    path = Path('frames')
    description = 'a list'
    start_ns = T0
    duration_ns: int | None = None
    frame_count: int | None = None

    def __init__(self, frames: list[tuple[int, np.ndarray | None]], ended_early: str = '') -> None:
        self._frames = frames
        self.ended_early = ended_early
        self.decoded: list[int] = []

    def __iter__(self) -> Iterator[RecordedFrame]:
        for stamp_ns, pixels in self._frames:
            yield RecordedFrame(stamp_ns, lambda s=stamp_ns, p=pixels: self._decode(s, p))

    def _decode(self, stamp_ns: int, pixels: np.ndarray | None) -> np.ndarray:
        self.decoded.append(stamp_ns)
        if pixels is None:
            raise ValueError('this frame is corrupt')
        return pixels


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)


def camera(count: int, period_ns: int = NS, start_ns: int = T0, first: int = 0) -> list:
    return [(start_ns + i * period_ns, pixels(first + i)) for i in range(count)]


def without_times(result: dict) -> dict:
    return {key: value for key, value in result.items() if key not in TIMES}
