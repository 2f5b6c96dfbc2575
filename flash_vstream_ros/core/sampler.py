# SPDX-License-Identifier: Apache-2.0
"""Which frames of a camera are memorised: decided by their header stamps alone."""

from collections import Counter
from enum import Enum

NS_PER_S = 1_000_000_000
_LOWEST_RATE_HZ = 1e-6


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


def check_not_too_low(sample_rate: float) -> None:
    """Refuse a rate at which the time between two frames would overflow.

    :param sample_rate: frames per second; 0: every frame.
    """
    if 0.0 < sample_rate < _LOWEST_RATE_HZ:
        raise ValueError(
            f'sample_rate: expected 0 (all frames) or at least {_LOWEST_RATE_HZ:g}, got '
            f'{sample_rate!r}'
        )


class FrameSampler:
    """Takes frames at a rate, by stamp, and tells a faulty stamp from a jump of the clock.

    Frames are due on a grid of the first stamp plus multiples of the period, so that the mean rate
    is the one asked for, whatever the camera's. The frame nearest to a point of the grid is taken:
    one that comes less than half the camera's own interval before it. So a camera of just this
    rate loses none to its jitter. Of the frames taken, shown alone, all are taken again.

    A stamp that goes back, or far ahead, is dropped. If the frames that follow agree with it for
    ``settle_s`` of stamp time and three frames, the clock has jumped: back is a new stream (a
    looped bag), ahead is the same one going on. A jump back within the stream that is no longer
    than a step ahead may be is not followed: the stamps overtake the newest one soon. It may be a
    clock that was set right, or what came before it a single stamp that was wrong. If it happens
    twice, it is a short loop.

    :param sample_rate: frames per second of stamp time; 0 takes every frame.
    :param max_gap_s: a step ahead of more seconds than this must be confirmed; the time between
        frames that are taken comes on top.
    :param settle_s: how long stamps must agree after a jump.
    :param after_ns: newest stamp that is memorised already; 0: none. A first stamp far ahead of it
        must be confirmed like any other: behind a wrong one the right ones would be a jump back.
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
        check_not_too_low(sample_rate)
        self._period_ns = round(NS_PER_S / sample_rate) if sample_rate else 0
        self._interval_frames = 1  # camera's intervals from the frame before to this one
        self._usual_gap_ns = round(max_gap_s * NS_PER_S) + 2 * self._period_ns
        self._settle_ns = round(settle_s * NS_PER_S)
        self.counts: Counter[Decision] = Counter()
        self._begin(after_ns)

    def _begin(self, after_ns: int) -> None:
        self._after_ns = after_ns
        self._newest_ns: int | None = None  # newest stamp that was in order
        self._taken_ns: int | None = None  # newest one that was taken
        self._origin_ns: int | None = None  # the grid's first point
        self._next_slot = 0  # the grid point the next frame is due at
        self._max_gap_ns = self._usual_gap_ns
        self._jump: _Jump | None = None  # not yet confirmed
        self.confirmed_by: tuple[int, ...] = ()  # stamps far ahead, before the one just taken

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
        self.confirmed_by = ()
        decision = self._decide(stamp_ns)
        self.counts[decision] += 1
        return decision

    def give_back(self) -> None:
        """Make the next frame due again: the frame just taken turned out to be unusable."""
        self._next_slot = max(self._next_slot - 1, 0)
        if self._period_ns and self._next_slot == 0:
            self._origin_ns = None  # the grid begins with a frame that can be used

    def _is_far_ahead(self, stamp_ns: int) -> bool:
        # Of the newest taken, not of the newest: it is the same where only those are shown.
        newest_ns = self._taken_ns or self._after_ns
        return newest_ns > 0 and stamp_ns - newest_ns > self._max_gap_ns

    def _decide(self, stamp_ns: int) -> Decision:
        if stamp_ns <= 0:
            return Decision.INVALID
        if self._newest_ns is None and not self._after_ns:
            return self._in_order(stamp_ns)
        step_ns = stamp_ns - (self._newest_ns or self._after_ns)
        if step_ns == 0:
            return Decision.REPEATED
        is_back = step_ns < 0
        if not is_back and not self._is_far_ahead(stamp_ns):
            self._jump = None
            return self._in_order(stamp_ns)
        if self._jump is None or not self._jump.agrees(stamp_ns, is_back):
            may_last = not is_back or self._may_begin_stream(stamp_ns, -step_ns)
            self._jump = _Jump(stamp_ns, is_back, may_last)
        if not self._jump.may_last or not self._jump.lasts(self._settle_ns):
            return Decision.LATE if is_back else Decision.AHEAD
        return self._follow(self._jump, stamp_ns)

    def _may_begin_stream(self, stamp_ns: int, back_ns: int) -> bool:
        """Whether the stamps may go on from here as another stream, if they do not go back again.

        :param back_ns: how far it is behind the newest.
        """
        is_start = self._origin_ns is not None and stamp_ns <= self._origin_ns + self._settle_ns
        is_second = (
            self._jump is not None
            and self._jump.is_back
            and self._jump.lasts(self._settle_ns)
            and stamp_ns <= self._jump.first_ns
        )
        return is_start or is_second or back_ns > self._max_gap_ns

    def _follow(self, jump: '_Jump', stamp_ns: int) -> Decision:
        """The clock has jumped: go on from where it is now."""
        self._jump = None
        if not jump.is_back:
            # A camera that is slower than the gap allows would jump with each frame.
            self._max_gap_ns = max(self._max_gap_ns, 2 * jump.largest_step_ns)
            self.confirmed_by = (jump.first_ns, jump.before_ns)
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
        if self._period_ns:
            early_ns = min(interval_ns, self._period_ns) // 2
            since_ns = stamp_ns - self._origin_ns
            if since_ns + early_ns < self._next_slot * self._period_ns:
                return Decision.NOT_DUE
            # Of the stamp alone: the interval is another one where not every frame is shown.
            nearest = (since_ns + (self._period_ns - 1) // 2) // self._period_ns
            self._next_slot = max(self._next_slot, nearest) + 1
        self._taken_ns = stamp_ns
        return Decision.TAKE


class _Jump:
    """Stamps that left the order all to one side and grow among themselves.

    :param may_last: whether they are followed once they have agreed for long enough.
    """

    SETTLE_FRAMES = 3

    def __init__(self, stamp_ns: int, is_back: bool, may_last: bool) -> None:
        self.is_back = is_back
        self.may_last = may_last
        self.largest_step_ns = 0
        self.first_ns = self.before_ns = self._newest_ns = stamp_ns
        self._frames = 1

    def agrees(self, stamp_ns: int, is_back: bool) -> bool:
        """Take in the next stamp; False where it does not go on from the ones before."""
        step_ns = stamp_ns - self._newest_ns
        if is_back != self.is_back or step_ns < 0:
            return False
        if step_ns > 0:  # a repeated stamp speaks neither for nor against
            self.before_ns, self._newest_ns = self._newest_ns, stamp_ns
            self.largest_step_ns = max(self.largest_step_ns, step_ns)
            self._frames += 1
        return True

    def lasts(self, settle_ns: int) -> bool:
        """Whether the stamps have agreed for long enough."""
        is_long = self._newest_ns - self.first_ns >= settle_ns
        return self._frames >= self.SETTLE_FRAMES and is_long
