# SPDX-License-Identifier: Apache-2.0
"""With what the doctor watches images, memories, answers and the clock for a while."""

import time
from collections.abc import Callable, Mapping

from rclpy.client import Client
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from flash_vstream_ros.msg import MemorySnapshot
from flash_vstream_ros.nodes.ask_errors import status_name
from flash_vstream_ros.nodes.doctor_facts import (
    AskFacts,
    ClockFacts,
    ImageFacts,
    MemoryFacts,
    PublisherFacts,
)
from flash_vstream_ros.nodes.image_conversions import compressed_to_rgb, image_to_rgb
from flash_vstream_ros.nodes.mixed_cameras import FrameIds
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.times import NS_PER_S, seconds_to_duration, time_to_ns
from flash_vstream_ros.nodes.topic_advice import COMPRESSED
from flash_vstream_ros.srv import Ask

QUESTION = 'What do you see?'
DEPTH = 10  # messages that wait for us
STAMPS = 10_000  # are remembered


class ClockWatch:
    """What is published on ``/clock``."""

    def __init__(self, node: Node) -> None:
        self.first_ns: int | None = None
        self.newest_ns: int | None = None
        self._received = 0
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(Clock, '/clock', self._receive, qos)

    def _receive(self, message: Clock) -> None:
        self._received += 1
        self.newest_ns = time_to_ns(message.clock)
        if self.first_ns is None:
            self.first_ns = self.newest_ns

    def facts(self, publishers: int) -> ClockFacts:
        """What was seen so far."""
        advanced_ns = self.newest_ns - self.first_ns if self._received else 0
        return ClockFacts(publishers, self._received, advanced_ns / NS_PER_S)


class ImageWatch:
    """What comes on an image topic.

    :param kind: type of its messages.
    :param is_reliable: whether all its publishers offer that.
    :param now_ns: the robot's clock; None where it has none.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        kind: str,
        is_reliable: bool,
        now_ns: Callable[[], int | None],
    ) -> None:
        self._topic, self._kind, self._now_ns = topic, kind, now_ns
        self._newest: Image | CompressedImage | None = None
        self._stamps: list[int] = []
        self._arrivals: list[float] = []
        self._frame_ids = FrameIds()
        self._offset_ns: int | None = None
        self._lost = 0
        reliability = ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT
        self._subscription = node.create_subscription(
            CompressedImage if kind == COMPRESSED else Image,
            topic,
            self._receive,
            QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=DEPTH, reliability=reliability),
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=self._count_lost, use_default_callbacks=False
            ),
        )

    def _receive(self, message: Image | CompressedImage) -> None:
        if len(self._stamps) < STAMPS:
            self._stamps.append(time_to_ns(message.header.stamp))
            self._arrivals.append(time.monotonic())
            self._frame_ids.note(message.header.frame_id, self._arrivals[-1])
            now_ns = self._now_ns()
            self._offset_ns = None if now_ns is None else self._stamps[-1] - now_ns
        self._newest = message

    def _count_lost(self, event: object) -> None:
        self._lost += event.total_count_change

    def facts(
        self,
        reader: str,
        publishers: tuple[PublisherFacts, ...],
        nearest: tuple[tuple[str, str], ...],
    ) -> ImageFacts:
        """What was seen so far.

        :param reader: node that reads the topic, in full; empty where none does.
        :param nearest: name and type of topics with images, the nearest first.
        """
        message, received = self._newest, len(self._stamps)
        passed_s = self._arrivals[-1] - self._arrivals[0] if received > 1 else 0.0
        is_raw = isinstance(message, Image)
        return ImageFacts(
            topic=self._topic,
            kind=self._kind,
            reader=reader,
            publishers=publishers,
            nearest=nearest,
            received=received,
            lost=self._lost,
            rate_hz=(received - 1) / passed_s if passed_s else 0.0,
            width=message.width if is_raw else 0,
            height=message.height if is_raw else 0,
            encoding='' if message is None else message.encoding if is_raw else message.format,
            size_bytes=0 if message is None else len(message.data),
            fault='' if message is None else _fault(message),
            stamps_ns=tuple(self._stamps),
            frame_ids=tuple(self._frame_ids.alternating(time.monotonic())),
            offset_s=None if self._offset_ns is None else self._offset_ns / NS_PER_S,
        )


def _fault(message: Image | CompressedImage) -> str:
    """Why an image is no picture, by the frame handler's own conversion."""
    try:
        (image_to_rgb if isinstance(message, Image) else compressed_to_rgb)(message)
    except ValueError as error:
        return str(error)
    return ''


class MemoryWatch:
    """What comes on a memory topic, the latched one first."""

    def __init__(self, node: Node, topic: str) -> None:
        self._topic = topic
        self._first: MemorySnapshot | None = None
        self._newest: MemorySnapshot | None = None
        self._received = 0
        node.create_subscription(MemorySnapshot, topic, self._receive, LATCHED)

    def _receive(self, message: MemorySnapshot) -> None:
        self._received += 1
        if self._first is None or message.memory_id != self._newest.memory_id:
            self._first = message
        self._newest = message

    def facts(
        self, publishers: tuple[PublisherFacts, ...], type_hashes: frozenset[str]
    ) -> MemoryFacts:
        """What was seen so far."""
        if self._newest is None:
            return MemoryFacts(self._topic, publishers, type_hashes)
        return MemoryFacts(
            topic=self._topic,
            publishers=publishers,
            type_hashes=type_hashes,
            received=self._received,
            encoder_id=self._newest.encoder_id,
            frames_first=self._first.frames_written,
            frames_last=self._newest.frames_written,
            newest_stamp_ns=time_to_ns(self._newest.header.stamp),
        )


class AskWatch:
    """A trivial question about each memory.

    :param client: of the service, which is there.
    :param cameras: memory topic -> how a question names it.
    :param timeout_s: for each answer.
    """

    def __init__(self, client: Client, cameras: Mapping[str, str], timeout_s: float) -> None:
        self._began = time.monotonic()
        self._topics = tuple(cameras)
        self._answered: dict[str, AskFacts] = {}
        timeout = seconds_to_duration(timeout_s)
        for topic, camera in cameras.items():
            request = Ask.Request(
                question=QUESTION, camera=camera, max_new_tokens=1, timeout=timeout
            )
            future = client.call_async(request)
            future.add_done_callback(lambda done, topic=topic: self._note(topic, done))

    def _note(self, topic: str, done: Future) -> None:
        answer = done.result().answer
        seconds = time.monotonic() - self._began
        self._answered[topic] = AskFacts(
            topic, status_name(answer.status), answer.message, seconds
        )

    @property
    def is_done(self) -> bool:
        """Whether all have been answered."""
        return len(self._answered) == len(self._topics)

    def facts(self) -> tuple[AskFacts, ...]:
        """What was answered so far."""
        seconds = time.monotonic() - self._began
        return tuple(
            self._answered.get(topic, AskFacts(topic, seconds=seconds)) for topic in self._topics
        )
