# SPDX-License-Identifier: Apache-2.0
"""Publishes a memory, latched, at a limited rate."""

import time
from collections import Counter
from collections.abc import Callable

from rclpy._rclpy_pybind11 import RCLError
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from flash_vstream_ros.core.snapshot import MemorySnapshot as Snapshot
from flash_vstream_ros.msg import MemorySnapshot
from flash_vstream_ros.nodes.conversions import snapshot_to_message
from flash_vstream_ros.nodes.moments import Places
from flash_vstream_ros.nodes.qos import LATCHED

SHORTEST_TIMER_S = 0.02  # a timer of 1 kHz costs a quarter of a core


class MemoryPublisher:
    """The topic ``memory``.

    :param publish_rate: memories published per second at most.
    :param read: returns the newest snapshot; runs on the worker.
    :param submit: puts work at the end of the worker's queue.
    :param counts: counts what could not be published.
    :param find_places: says which frames show a snapshot, and where. Runs on the worker.
    """

    def __init__(
        self,
        node: Node,
        publish_rate: float,
        read: Callable[[], Snapshot],
        submit: Callable[[Callable[[], None]], object],
        counts: Counter[str],
        find_places: Callable[[Snapshot], Places],
    ) -> None:
        self._node = node
        self._period_s = 1.0 / publish_rate
        self._read = read
        self._submit = submit
        self._counts = counts
        self._find_places = find_places
        self._publisher = node.create_publisher(MemorySnapshot, 'memory', LATCHED)
        self._published = float('-inf')
        self._is_unpublished, self._is_submitted = False, False
        self.frame_id = ''
        self.newest: Snapshot | None = None  # as it was published
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(
            max(self._period_s, SHORTEST_TIMER_S), self._publish_pending, clock=steady
        )

    def note_change(self) -> None:
        """Mark the memory as changed since it was last published. Runs on the worker."""
        self._is_unpublished = True

    def publish_if_due(self) -> None:
        """Publish what changed, unless it is too early. Runs on the worker."""
        if self._is_unpublished and time.monotonic() - self._published >= self._period_s:
            self.publish()

    def publish(self) -> None:
        """Publish at once. Runs on the worker."""
        self.newest = self._read()
        message = snapshot_to_message(self.newest, MemorySnapshot(), self.frame_id)
        self._find_places(self.newest).fill(message)
        try:
            self._publisher.publish(message)
        except RCLError as error:  # a reader too slow for a reliable topic; the timer tries again
            self._counts['publish_failed'] += 1
            self._is_unpublished = True
            self._node.get_logger().error(
                f'memory not published: {error}', throttle_duration_sec=10.0
            )
            return
        self._published = time.monotonic()
        self._is_unpublished = False

    def _publish_pending(self) -> None:
        """Timer: publish what was written faster than the publish rate allows."""
        if self._is_unpublished and not self._is_submitted:
            self._is_submitted = True  # one at a time: publishing may take longer than the period
            self._submit(self._publish_submitted)

    def _publish_submitted(self) -> None:
        self._is_submitted = False
        self.publish_if_due()
