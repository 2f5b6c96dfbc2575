# SPDX-License-Identifier: Apache-2.0
"""The newest memory of each camera that a question handler answers about."""

from collections.abc import Callable, Sequence

from rclpy.node import Node

from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.nodes.memory_inbox import MemoryInbox, ReceivedMemory


class Memories:
    """One inbox for each memory topic.

    A camera is named by its ``frame_id``, by the topic, or by what the topic has before
    ``/memory``.

    :param topics: of the memories; the first is the one of questions that name no camera.
    :param encoder_id: of the model that will read the memories.
    :param on_arrival: called after each arrival.
    :raises ValueError: no topic, or one twice.
    """

    def __init__(
        self, node: Node, topics: Sequence[str], encoder_id: str, on_arrival: Callable[[], None]
    ) -> None:
        if not topics or len(set(topics)) < len(topics):
            raise ValueError(f'memories: expected different topics, got {list(topics)}')
        self._node = node
        self._on_arrival = on_arrival
        self._said: set[str] = set()
        self.inboxes = {
            topic: MemoryInbox(node, encoder_id, self._arrived, topic) for topic in topics
        }

    def name_of(self, inbox: MemoryInbox) -> str:
        """Name the camera of an inbox and no other: its ``frame_id``, else its topic."""
        name, others = inbox.camera or '', self.inboxes.values()
        if len(others) == 1 or (name and sum(other.camera == name for other in others) == 1):
            return name
        return inbox.topic.removesuffix('/memory') or inbox.topic

    def inbox(self, camera: str) -> MemoryInbox | None:
        """The inbox of a camera; None: no memory that has arrived is of it.

        :param camera: its name; empty: the first topic's.
        """
        if not camera:
            return next(iter(self.inboxes.values()))
        for inbox in self.inboxes.values():
            if inbox.camera == camera:
                return inbox
        return self.inboxes.get(camera) or self.inboxes.get(f'{camera}/memory')

    def newest(self, camera: str) -> ReceivedMemory | None:
        """The newest memory of a camera that can be used."""
        inbox = self.inbox(camera)
        return inbox and inbox.newest

    def is_ready(self, camera: str, stamp_ns: int) -> bool:
        """Whether a camera's memory has seen a stamp, or waiting for it is in vain.

        :param stamp_ns: 0: the memory as it is will do.
        """
        if not stamp_ns:
            return True
        inbox = self.inbox(camera)
        return self.are_all_known if inbox is None else inbox.is_ready_for(stamp_ns)

    def is_in_vain(self, camera: str) -> bool:
        """Whether waiting for a memory of a camera is: there is none such, or it is refused."""
        inbox = self.inbox(camera)
        return self.are_all_known if inbox is None else bool(inbox.fault)

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras that have a memory, or had one before it was reset."""
        return [self.name_of(i) for i in self.inboxes.values() if i.camera is not None]

    @property
    def are_all_known(self) -> bool:
        """Whether every topic's camera is known, or its memory cannot be used."""
        return all(i.camera is not None or i.fault for i in self.inboxes.values())

    def _arrived(self) -> None:
        cameras = [inbox.camera for inbox in self.inboxes.values() if inbox.camera is not None]
        for camera in {c for c in cameras if cameras.count(c) > 1} - self._said:
            self._said.add(camera)
            self._node.get_logger().error(
                f'several memories are of camera {quote(camera)}; give each camera a frame_id of '
                f'its own, or ask for one of {self.cameras}'
            )
        self._on_arrival()
