# SPDX-License-Identifier: Apache-2.0
"""The newest memory a question handler has received."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node

from flash_vstream_ros.core.quoting import shorten
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.msg import MemorySnapshot as MemorySnapshotMessage
from flash_vstream_ros.nodes.conversions import check_frame_id, message_to_snapshot
from flash_vstream_ros.nodes.moments import NO_PLACES, Places
from flash_vstream_ros.nodes.qos import LATCHED

INTERVALS = 8  # between memories, by whose median the usual one is told
STALE_INTERVALS = 3.0  # as many without a new memory are no accident


@dataclass(frozen=True)
class ReceivedMemory:
    """A memory and when it came."""

    snapshot: MemorySnapshot
    camera: str  # frame_id of its camera
    arrived: float  # time.monotonic()
    places: Places = NO_PLACES
    interval_s: float = 0.0  # the usual one between memories with something new; 0: not known

    def stale_after(self, least_s: float) -> float:
        """Seconds without a newer one after which it is stale: some of the usual intervals.

        :param least_s: and no less than this.
        """
        return max(least_s, STALE_INTERVALS * self.interval_s)


class MemoryInbox:
    """Subscribes a memory and keeps the newest one that can be used.

    A memory of another encoder is refused, because the language model would read noise.

    :param encoder_id: of the model that will read the memory.
    :param on_arrival: called after each arrival.
    :param topic: of the memory.
    """

    def __init__(
        self,
        node: Node,
        encoder_id: str,
        on_arrival: Callable[[], None],
        topic: str = 'memory',
    ) -> None:
        self.topic = topic
        self._encoder_id = encoder_id
        self._on_arrival = on_arrival
        self._logger = node.get_logger()
        self.newest: ReceivedMemory | None = None
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        # frame_id of the camera, known also while its memory is empty or refused; None: not yet
        self.camera: str | None = None
        self.fault = ''  # why the newest memory cannot be used; empty where it can
        node.create_subscription(MemorySnapshotMessage, topic, self._receive, LATCHED)

    def is_ready_for(self, stamp_ns: int) -> bool:
        """Whether the newest memory holds a frame of this stamp or later, or cannot be used."""
        has_seen = self.newest is not None and self.newest.snapshot.newest_stamp_ns >= stamp_ns
        return has_seen or bool(self.fault)

    def _receive(self, message: MemorySnapshotMessage) -> None:
        try:
            check_frame_id(message.header.frame_id)
            if message.frames_written:
                self.camera = message.header.frame_id
            self._check_encoder(message)
            snapshot, places = message_to_snapshot(message), Places.from_message(message)
        except ValueError as error:
            self._refuse(str(error))
        else:
            arrived = time.monotonic()
            interval_s = self._usual_interval(snapshot, arrived)
            self.newest = ReceivedMemory(
                snapshot, message.header.frame_id, arrived, places, interval_s
            )
            self.fault = ''
        self._on_arrival()

    def _usual_interval(self, snapshot: MemorySnapshot, arrived: float) -> float:
        """Seconds that usually pass until a memory with another frame comes; 0: not known yet."""
        before = self.newest
        if before is not None and not before.snapshot.is_empty:
            is_same = snapshot.memory_id == before.snapshot.memory_id
            if is_same and snapshot.frames_written > before.snapshot.frames_written:
                self._intervals.append(arrived - before.arrived)
        ordered = sorted(self._intervals)  # of two the shorter: a camera that paused is not slow
        return ordered[(len(ordered) - 1) // 2] if ordered else 0.0

    def _refuse(self, fault: str) -> None:
        self.newest = None
        if fault != self.fault:  # each fault is said once
            self._logger.error(f'memory refused: {fault}')
        self.fault = fault

    def _check_encoder(self, message: MemorySnapshotMessage) -> None:
        if message.encoder_id != self._encoder_id:
            raise ValueError(
                f'expected a memory of encoder {self._encoder_id}, got one of '
                f'{shorten(message.encoder_id)}; start both nodes with the same model'
            )
