# SPDX-License-Identifier: Apache-2.0
"""Reads new memories before anybody asks about them, so that an answer begins sooner."""

import time
from concurrent.futures import Future as Job

import torch
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.nodes.diagnostics import Durations
from flash_vstream_ros.nodes.memories import Memories
from flash_vstream_ros.nodes.question_queue import QuestionQueue

PERIOD_S = 0.02
PAUSE_S = 30.0  # after a failure


class Prefilling:
    """Prefills the prefix of each new memory while no question is pending.

    A question that comes meanwhile waits for it, no longer than it would have to read the memory
    itself. What one costs is followed by a pause, so that ``share`` of the time is not exceeded.

    :param share: of the time, 0 to 1; 0: never.
    :param vstream: the model; it computes on the queue's worker.
    """

    def __init__(
        self,
        node: Node,
        share: float,
        memories: Memories,
        queue: QuestionQueue,
        vstream: FlashVStream,
    ) -> None:
        self._node = node
        self._share = share
        self._memories = memories
        self._queue = queue
        self._vstream = vstream
        self.durations = Durations()
        self.count = 0  # prefixes computed ahead
        self._read: dict[str, tuple] = {}  # by topic: key of the snapshot that was read last
        self._is_busy = False
        self._not_before = float('-inf')
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD_S, self.look, clock=steady)
        self._timer.cancel()  # runs only while there is something to read

    def look(self) -> None:
        """Read a memory if there is a new one and time for it. Among the node's callbacks."""
        new = self._longest_unread() if self._share and self._queue.is_open else None
        if new is None:
            self._timer.cancel()
            return
        if self._timer.is_canceled():
            self._timer.reset()
        is_free = not self._is_busy and not self._queue.pending
        if is_free and time.monotonic() >= self._not_before:
            topic, snapshot = new
            self._is_busy, self._read[topic] = True, snapshot.key
            self._queue.run_idle(self._work, snapshot).add_done_callback(self._note)

    def _longest_unread(self) -> tuple[str, MemorySnapshot] | None:
        """The new memory that has waited longest."""
        new = [
            (inbox.newest.arrived, topic, inbox.newest.snapshot)
            for topic, inbox in self._memories.inboxes.items()
            if inbox.newest is not None
            and not inbox.newest.snapshot.is_empty
            and inbox.newest.snapshot.key != self._read.get(topic)
            and inbox.newest.snapshot.key not in self._vstream.prefixes
        ]
        return min(new, key=lambda entry: entry[0])[1:] if new else None

    def _work(self, snapshot: MemorySnapshot) -> float:
        """Read a memory; returns the seconds it took."""
        began = time.monotonic()
        self._vstream.prepare(snapshot)
        if self._vstream.device.type == 'cuda':  # the work, not its launch, is what it takes
            # Of this stream alone: all may not be waited for while another thread captures.
            torch.cuda.current_stream(self._vstream.device).synchronize()
        return time.monotonic() - began

    def _note(self, job: Job) -> None:
        now = time.monotonic()
        if job.cancelled():
            self._not_before = now
        elif job.exception() is not None:
            self._not_before = now + PAUSE_S
            self._node.get_logger().error(
                f'memory not read ahead, questions read it themselves: {job.exception()!r}',
                throttle_duration_sec=60.0,
            )
        else:
            self.count += 1
            self.durations.add(job.result())
            self._not_before = now + job.result() * (1.0 / self._share - 1.0)
        self._is_busy = False
