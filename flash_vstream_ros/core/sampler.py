# SPDX-License-Identifier: Apache-2.0
"""Which frames of a camera are memorised: decided by their header stamps alone."""

from collections import Counter
from enum import Enum

NS_PER_S = 1_000_000_000


class Decision(Enum):
    """What becomes of a frame."""

    TAKE = 'taken'
    NEW_STREAM = 'taken into a new memory: the stamps jumped back and stayed there'
    NOT_DUE = 'not due'
    REPEATED = 'stamp repeated'
    LATE = 'stamp before the newest'
    AHEAD = 'stamp far ahead of the newest'
    INVALID = 'stamp of zero or below'


# Of a stamp that cannot be used, whatever the rate.
FAULTY_STAMPS = (Decision.REPEATED, Decision.LATE, Decision.AHEAD, Decision.INVALID)


class FrameSampler:
    """Takes frames at a rate, by stamp, and tells a faulty stamp from a jump of the clock.

    Frames are due on a grid of the first stamp plus multiples of the period, so that the mean rate
    is the one asked for, whatever the camera's. The frame nearest to a point of the grid is taken:
    one that comes less than half the camera's own interval before it. So a camera of just this
    rate loses none to its jitter.

    A stamp that goes back, or more than ``max_gap_s`` ahead, is dropped. If the frames that follow
    agree with it for ``settle_s`` of stamp time and three frames, the clock has jumped: back is a
    new stream (a looped bag), ahead is the same one going on.

    :param sample_rate: frames per second of stamp time; 0 takes every frame.
    :param max_gap_s: a step ahead of more seconds than this must be confirmed.
    :param settle_s: how long stamps must agree after a jump.
    :param after_ns: newest stamp that is memorised already; 0: none.
    """

    def __init__(
        self,
        sample_rate: float = 1.0,
        max_gap_s: float = 60.0,
        settle_s: float = 1.0,
        after_ns: int = 0,
    ) -> None:
        if not 0.0 <= sample_rate <= 1000.0:
            raise ValueError(f'sample_rate: expected 0 to 1000 Hz, got {sample_rate}')
        self._period_ns = round(NS_PER_S / sample_rate) if sample_rate else 0
        self._interval_frames = 1  # camera's intervals from the frame before to this one
        self._max_gap_ns = round(max_gap_s * NS_PER_S)
        self._settle_ns = round(settle_s * NS_PER_S)
        self.counts: Counter[Decision] = Counter()
        self._begin(after_ns)

    def _begin(self, after_ns: int) -> None:
        self._after_ns = after_ns
        self._newest_ns: int | None = None  # newest stamp that was in order
        self._origin_ns: int | None = None  # the grid's first point
        self._next_slot = 0  # the grid point the next frame is due at
        self._jump: _Jump | None = None  # not yet confirmed

    @property
    def until_due_ns(self) -> int:
        """Stamp time from the newest frame to the next that is due; 0: it may be the next one."""
        if self._newest_ns is None or self._origin_ns is None or self._jump is not None:
            return 0
        return max(self._origin_ns + self._next_slot * self._period_ns - self._newest_ns, 0)

    def decide(self, stamp_ns: int, skipped: int = 0) -> Decision:
        """Decide about the next frame of the camera.

        :param stamp_ns: its header stamp in nanoseconds.
        :param skipped: frames of the camera between the one before and this, not shown to us.
        """
        self._interval_frames = skipped + 1
        decision = self._decide(stamp_ns)
        self.counts[decision] += 1
        return decision

    def give_back(self) -> None:
        """Make the next frame due again: the frame just taken turned out to be unusable."""
        self._next_slot = max(self._next_slot - 1, 0)

    def _decide(self, stamp_ns: int) -> Decision:
        if stamp_ns <= 0:
            return Decision.INVALID
        if self._newest_ns is None and stamp_ns > self._after_ns:
            return self._in_order(stamp_ns)
        step_ns = stamp_ns - (self._newest_ns or self._after_ns)
        if step_ns == 0:
            return Decision.REPEATED
        if 0 < step_ns <= self._max_gap_ns:
            self._jump = None
            return self._in_order(stamp_ns)
        if self._jump is None or not self._jump.agrees(stamp_ns, is_back=step_ns < 0):
            self._jump = _Jump(stamp_ns, is_back=step_ns < 0)
        if not self._jump.lasts(self._settle_ns):
            return Decision.LATE if step_ns < 0 else Decision.AHEAD
        return self._follow(self._jump, stamp_ns)

    def _follow(self, jump: '_Jump', stamp_ns: int) -> Decision:
        """The clock has jumped: go on from where it is now."""
        self._jump = None
        if not jump.is_back:
            # A camera that is slower than the gap allows would jump with each frame.
            self._max_gap_ns = max(self._max_gap_ns, 2 * jump.largest_step_ns)
            return self._in_order(stamp_ns)
        self._begin(0)
        self._in_order(stamp_ns)
        return Decision.NEW_STREAM

    def _in_order(self, stamp_ns: int) -> Decision:
        interval_ns = 0 if self._newest_ns is None else stamp_ns - self._newest_ns
        interval_ns //= self._interval_frames
        self._newest_ns = stamp_ns
        if self._origin_ns is None:
            self._origin_ns = stamp_ns
        if self._period_ns == 0:
            return Decision.TAKE
        early_ns = min(interval_ns, self._period_ns) // 2
        slot = (stamp_ns - self._origin_ns + early_ns) // self._period_ns
        if slot < self._next_slot:
            return Decision.NOT_DUE
        self._next_slot = slot + 1
        return Decision.TAKE


class _Jump:
    """Stamps that left the order all to one side and grow among themselves."""

    SETTLE_FRAMES = 3

    def __init__(self, stamp_ns: int, is_back: bool) -> None:
        self.is_back = is_back
        self.largest_step_ns = 0
        self._first_ns = self._newest_ns = stamp_ns
        self._frames = 1

    def agrees(self, stamp_ns: int, is_back: bool) -> bool:
        """Take in the next stamp; False where it does not go on from the ones before."""
        step_ns = stamp_ns - self._newest_ns
        if is_back != self.is_back or step_ns < 0:
            return False
        if step_ns > 0:  # a repeated stamp speaks neither for nor against
            self._newest_ns = stamp_ns
            self.largest_step_ns = max(self.largest_step_ns, step_ns)
            self._frames += 1
        return True

    def lasts(self, settle_ns: int) -> bool:
        """Whether the stamps have agreed for long enough."""
        is_long = self._newest_ns - self._first_ns >= settle_ns
        return self._frames >= self.SETTLE_FRAMES and is_long
