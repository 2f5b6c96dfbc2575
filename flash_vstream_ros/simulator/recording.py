# SPDX-License-Identifier: Apache-2.0
"""A simulated patrol as a recording, whose frames are drawn when they are decoded."""

from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from flash_vstream_ros.replay.recorded_frame import (
    NS_PER_S,
    START_NS,
    RecordedFrame,
    stamp_of,
)
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.drawing import draw
from flash_vstream_ros.simulator.world import Patrol


def draw_frame(patrol: Patrol, about: PatrolDescription, number: int) -> np.ndarray:
    """Draw a frame of a patrol, counted from 0.

    :returns: (H, W, 3) uint8 RGB.
    """
    return draw(patrol.view_at(number / about.rate_hz), about.size)


class PatrolRecording:
    """What the camera of a simulated patrol sees, from its description.

    A frame that is not decoded costs nothing, and the whole takes no room on the disk.

    :raises OSError: the file cannot be read.
    :raises ValueError: it is no description of a patrol.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended_early = ''
        self.start_ns = START_NS
        self._about = about = PatrolDescription.read(path)
        self.frame_count: int | None = about.frame_count
        self.duration_ns: int | None = round(about.seconds * NS_PER_S)
        width, height = about.size
        self.description = (
            f'simulated patrol, seed {about.seed}, {width}x{height}, {about.rate_hz:.4g} '
            f'frames/s, {about.frame_count} frames, {about.seconds:.1f} s'
        )

    @cached_property
    def _patrol(self) -> Patrol:
        return Patrol(self._about.seed, self._about.seconds)

    def __iter__(self) -> Iterator[RecordedFrame]:
        for number in range(self._about.frame_count):
            stamp_ns = stamp_of(number, self._about.rate_hz)
            yield RecordedFrame(stamp_ns, partial(self._draw, number))

    def _draw(self, number: int) -> np.ndarray:
        return draw_frame(self._patrol, self._about, number)
