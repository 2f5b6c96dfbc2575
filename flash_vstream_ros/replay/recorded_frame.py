# SPDX-License-Identifier: Apache-2.0
"""What every recording yields, whatever file it lies in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

NS_PER_S = 1_000_000_000
START_NS = 1_700_000_000 * NS_PER_S  # stamp of the first frame of what we record ourselves


def stamp_of(number: int, rate_hz: float) -> int:
    """The stamp in nanoseconds of a frame that we record ourselves, counted from 0."""
    return START_NS + round(number * NS_PER_S / rate_hz)


@dataclass(frozen=True)
class RecordedFrame:
    """One frame of a recording, not yet decoded: a frame that is not due costs next to nothing.

    ``decode()`` gives (H, W, 3) uint8 RGB, or raises ValueError if the frame is corrupt. Call it
    before asking the recording for its next frame.
    """

    stamp_ns: int
    decode: Callable[[], np.ndarray]


class Recording(Protocol):
    """Camera frames in the order they were recorded in. Can be iterated again and again."""

    path: Path
    description: str  # one line: kind, topic, size, length
    start_ns: int  # stamp of the first frame
    duration_ns: int | None  # as the file itself says; None: it does not
    frame_count: int | None  # as the file itself says; None: it does not
    ended_early: str  # after an iteration: what is missing at the end and why; '': nothing

    def __iter__(self) -> Iterator[RecordedFrame]: ...
