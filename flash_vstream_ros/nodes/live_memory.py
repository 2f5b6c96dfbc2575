# SPDX-License-Identifier: Apache-2.0
"""The memory that frames are written to: everything here runs on the frame handler's worker."""

import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rclpy.node import Node

from flash_vstream_ros.core.memory_file import read_notes
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.nodes.memory_publisher import MemoryPublisher


class LiveMemory:
    """STAR memory of the stream that goes on, published as it changes.

    :param submit: puts work at the end of the worker's line.
    :param on_refusal: called with what is wrong with a frame that only the GPU could refuse.
    """

    def __init__(
        self,
        node: Node,
        vstream: FlashVStream,
        publish_rate: float,
        submit: Callable[[Callable[[], None]], object],
        counts: Counter[str],
        on_refusal: Callable[[ValueError], None],
    ) -> None:
        self._vstream = vstream
        self._memory = vstream.new_memory()
        self._empty = self._memory.snapshot()
        self._counts = counts
        self._on_refusal = on_refusal
        self._publisher = MemoryPublisher(node, publish_rate, self.snapshot, submit, counts)

    @property
    def memory_id(self) -> int:
        """Which stream; see ``MemorySnapshot``."""
        return self._memory.memory_id

    @property
    def newest(self) -> MemorySnapshot:
        """The memory as it was published last; before that an empty one. Any thread."""
        return self._publisher.newest or self._empty

    @property
    def newest_stamp_ns(self) -> int:
        """Stamp of the newest frame; 0: there is none."""
        return self._memory.newest_stamp_ns

    def write(self, frame: np.ndarray, stamp_ns: int, frame_id: str) -> None:
        """Memorise one frame, (H, W, 3) uint8 RGB, and publish if it is time.

        :raises ValueError: the frame cannot be memorised; the memory is as it was.
        """
        self._vstream.write(self._memory, frame, stamp_ns)
        self._counts['memorised'] += 1
        self._publisher.frame_id = frame_id
        self._publisher.note_change()
        self._publisher.publish_if_due()

    def snapshot(self) -> MemorySnapshot:
        """Read the memory. A frame that the GPU had to refuse is reported here, once."""
        try:
            return self._memory.snapshot()
        except ValueError as error:
            self._counts['memorised'] -= 1
            self._on_refusal(error)
        return self._memory.snapshot()

    def reset(self) -> None:
        """Begin a new stream; published when it is time."""
        self._memory.reset()
        self._publisher.note_change()

    def publish(self) -> None:
        """Publish at once."""
        self._publisher.publish()

    def branch(self) -> tuple[StarMemory, dict[str, str]]:
        """Copy the memory as it is, for another thread to save, with what is noted beside it."""
        self.snapshot()  # a refused frame is not to be saved
        return copy.deepcopy(self._memory), {'frame_id': self._publisher.frame_id}

    def read(self, path: Path) -> tuple[StarMemory, str]:
        """Read a saved memory. Any thread.

        :returns: the memory, and ``frame_id`` of its camera.
        :raises OSError: the file cannot be read.
        :raises MemoryFileError: it holds no memory that this model can use.
        """
        return self._vstream.load_memory(path), read_notes(path).get('frame_id', '')

    def go_on_from(self, memory: StarMemory, frame_id: str) -> None:
        """Put another memory in place of the present one, and publish it."""
        self._memory = memory
        self._publisher.frame_id = frame_id
        self._publisher.publish()
