# SPDX-License-Identifier: Apache-2.0
"""The frames of a recording that are memorised: sampled, decoded and told when they came."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import numpy as np

from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.replay.recorded_frame import RecordedFrame

_IN_ORDER = (Decision.TAKE, Decision.NEW_STREAM, Decision.NOT_DUE)


@dataclass(frozen=True, eq=False)
class DueFrame:
    """A frame that was due, decoded or known to be damaged."""

    stamp_ns: int
    elapsed_ns: int  # since the first frame; where the stamps jumped back, it goes on counting
    zero_ns: int  # the stamp at which elapsed_ns was, or would have been, 0
    begins_stream: bool  # the stamps jumped back for good
    pixels: np.ndarray | None  # (H, W, 3) uint8 RGB; None: damaged
    fault: str = ''  # why it could not be decoded


class StreamTime:
    """Time since the first frame, by the frames that are in order, due or not."""

    def __init__(self) -> None:
        self.elapsed_ns = 0  # where the stamps jumped back, it goes on counting
        self.zero_ns: int | None = None  # the stamp at which it was, or would have been, 0

    def count(self, stamp_ns: int, decision: Decision) -> bool:
        """Take in a frame; False: it is not in order, and does not count."""
        if decision not in _IN_ORDER:
            return False
        if self.zero_ns is None:
            self.zero_ns = stamp_ns
        if decision is Decision.NEW_STREAM:
            # Just behind all that was before, so that what was asked until then is answered first.
            self.zero_ns = stamp_ns - self.elapsed_ns - 1
        self.elapsed_ns = stamp_ns - self.zero_ns
        return True


class DueFrames:
    """Takes from a recording what the robot would memorise. One pass.

    :param sample_rate: frames per second of stamp time; 0: all.
    """

    def __init__(self, sample_rate: float) -> None:
        self._sampler = FrameSampler(sample_rate)
        self.counts = self._sampler.counts
        self._time = StreamTime()

    @property
    def elapsed_ns(self) -> int:
        """Since the first frame, until the newest one that was in order, due or not."""
        return self._time.elapsed_ns

    def of(self, frames: Iterable[RecordedFrame]) -> Generator[DueFrame, None, None]:
        """The frames that are due, in order; for a damaged one the next is taken as well."""
        for frame in frames:
            decision = self._sampler.decide(frame.stamp_ns)
            if self._time.count(frame.stamp_ns, decision) and decision is not Decision.NOT_DUE:
                yield self._decoded(frame, decision is Decision.NEW_STREAM)

    def _decoded(self, frame: RecordedFrame, begins_stream: bool) -> DueFrame:
        pixels, fault = None, ''
        try:
            pixels = frame.decode()
        except ValueError as error:
            self._sampler.give_back()
            fault = str(error)
        return DueFrame(
            frame.stamp_ns, self.elapsed_ns, self._time.zero_ns, begins_stream, pixels, fault
        )
