# SPDX-License-Identifier: Apache-2.0
"""Images that cannot be due are left where they are: each one taken costs a copy of its size."""

from collections import deque

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from flash_vstream_ros.core.sampler import NS_PER_S

LONGEST_S = 0.5
FASTEST = 1.5  # stamps that run faster than the clock: a recording is played, not to be missed
KNOWN_FROM = 8  # images


class Pace:
    """How the images of one camera come: how often, and how their stamps run against the clock."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque(maxlen=KNOWN_FROM)

    def note(self, clock_s: float, stamp_ns: int, number: int) -> None:
        """Take in an image.

        :param clock_s: when it came, by a steady clock.
        :param number: its place among all images of the camera, those not looked at as well.
        """
        if self._seen and (stamp_ns <= self._seen[-1][1] or number <= self._seen[-1][2]):
            self._seen.clear()  # the camera began anew, or its clock has jumped
        self._seen.append((clock_s, stamp_ns, number))

    def rest_s(self, until_due_ns: int, longest_s: float = LONGEST_S) -> float:
        """Seconds for which no image need be looked at; 0 where that is not known for sure.

        Half of the time until the next frame is due, so that one whose stamps begin to run faster
        is not missed; the images around that moment are all looked at, because the nearest one
        is taken.

        :param until_due_ns: stamp time from the newest image to the next that is due.
        :param longest_s: no longer than this, or a rest would be taken for silence.
        """
        if len(self._seen) < KNOWN_FROM:
            return 0.0
        clock_s, stamp_ns, number = self._seen[-1]
        elapsed_s = clock_s - self._seen[0][0]
        interval_s = elapsed_s / (number - self._seen[0][2])
        for began_s, began_ns, _ in (self._seen[0], self._seen[-2]):
            if stamp_ns - began_ns > FASTEST * (clock_s - began_s) * NS_PER_S:
                return 0.0
        rest_s = (until_due_ns / NS_PER_S - 2.0 * interval_s) / 2.0
        return min(rest_s, longest_s) if rest_s > interval_s else 0.0


class DozingGroup(MutuallyExclusiveCallbackGroup):
    """A callback group whose messages are left in the middleware while it dozes.

    A reader whose queue is one deep keeps the newest; those before it are replaced there, at no
    cost to Python. The group wakes by itself.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        self._is_awake = True
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(LONGEST_S, self._wake_by_timer, clock=steady)
        self._timer.cancel()

    def doze(self, seconds: float) -> None:
        """Take nothing for a while. Only in a callback of the node."""
        self._timer.timer_period_ns = round(seconds * NS_PER_S)
        self._timer.reset()
        self._is_awake = False

    def wake(self) -> None:
        """Take messages again at once. Any thread."""
        self._is_awake = True
        if self._node.executor is not None:
            self._node.executor.wake()  # what it waits for has been chosen already

    def close(self) -> None:
        """Wake no more."""
        self._node.destroy_timer(self._timer)

    def can_execute(self, entity: object) -> bool:
        """Whether an executor may take what has come."""
        return self._is_awake and super().can_execute(entity)

    def _wake_by_timer(self) -> None:
        self._timer.cancel()
        self._is_awake = True
