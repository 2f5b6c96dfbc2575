# SPDX-License-Identifier: Apache-2.0
"""The memory that frames are written to: everything here runs on the frame handler's worker."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rclpy.node import Node
from torch import Tensor

from flash_vstream_ros.core.encoder import whole_picture
from flash_vstream_ros.core.memory_file import read_attached, read_notes
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.core.still_frames import StillFrames
from flash_vstream_ros.nodes.memory_publisher import MemoryPublisher
from flash_vstream_ros.nodes.moments import Places
from flash_vstream_ros.nodes.seen_frames import SeenFrames
from flash_vstream_ros.replay.thumbnails import ThumbnailStore


@dataclass(frozen=True)
class Shown:
    """A memory with all that a person can see of it. Never changes.

    :param frame_id: of the camera.
    """

    snapshot: MemorySnapshot
    places: Places
    thumbnails: ThumbnailStore
    frame_id: str


@dataclass(frozen=True)
class Saved:
    """What lies beside a memory in its file.

    :param notes: by name: ``frame_id`` of the camera.
    :param attached: pictures and poses; see :meth:`SeenFrames.attached`.
    """

    notes: Mapping[str, str] = field(default_factory=dict)
    attached: Mapping[str, Tensor] = field(default_factory=dict)


class LiveMemory:
    """STAR memory of the stream that goes on, published as it changes.

    :param submit: puts work at the end of the worker's line.
    :param on_refusal: called with what is wrong with a frame that only the GPU could refuse.
    :param seen: pictures and poses of its frames.
    :param still: tells the frames that need not be encoded.
    """

    def __init__(
        self,
        node: Node,
        vstream: FlashVStream,
        publish_rate: float,
        submit: Callable[[Callable[[], None]], object],
        counts: Counter[str],
        on_refusal: Callable[[ValueError], None],
        seen: SeenFrames,
        still: StillFrames,
    ) -> None:
        self._vstream = vstream
        self._memory = vstream.new_memory()
        self._empty = self._memory.snapshot()
        self._counts = counts
        self._on_refusal = on_refusal
        self._seen = seen
        self._still = still
        self._feature: Tensor | None = None  # of the frame encoded last
        self._logger = node.get_logger()
        self._publisher = MemoryPublisher(
            node, publish_rate, self.snapshot, submit, counts, seen.places
        )

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
        feature = self._encode(frame)
        try:
            self._memory.write(feature, stamp_ns)
        except ValueError:  # the memory is as it was
            self._still.forget()
            raise
        except Exception:  # it is empty
            self._seen.clear()
            raise
        self._counts['memorised'] += 1
        # A GPU refuses a frame without a word; then its picture is no use.
        whole = whole_picture(feature)
        if whole is None:
            self.snapshot()
            return
        self._seen.add(frame, stamp_ns, frame_id, whole, self.snapshot)
        self._publisher.frame_id = frame_id
        self._publisher.note_change()
        self._publisher.publish_if_due()

    def _encode(self, frame: np.ndarray) -> Tensor:
        if self._still.shows_nothing_new(frame):
            self._counts['still'] += 1
            return self._feature
        try:
            self._feature = self._vstream.encode(frame[None])[0]
        except BaseException:
            self._still.forget()
            raise
        return self._feature

    def snapshot(self) -> MemorySnapshot:
        """Read the memory. A frame that the GPU had to refuse is reported here, once."""
        try:
            return self._memory.snapshot()
        except ValueError as error:
            self._counts['memorised'] -= 1
            self._still.forget()
            self._on_refusal(error)
        return self._memory.snapshot()

    def reset(self) -> None:
        """Begin a new stream; published when it is time."""
        self._memory.reset()
        self._seen.clear()
        self._publisher.note_change()

    def publish(self) -> None:
        """Publish at once."""
        self._publisher.publish()

    def show(self) -> Shown:
        """Read the memory with its pictures."""
        snapshot = self.snapshot()
        thumbnails, frame_id = self._seen.thumbnails.copy(), self._publisher.frame_id
        return Shown(snapshot, self._seen.places(snapshot), thumbnails, frame_id)

    def branch(self) -> tuple[StarMemory, Saved]:
        """Copy the memory as it is, for another thread to save, with what is saved beside it."""
        self.snapshot()  # a refused frame is not to be saved
        notes = {'frame_id': self._publisher.frame_id}
        return copy.deepcopy(self._memory), Saved(notes, self._seen.attached())

    def read(self, path: Path) -> tuple[StarMemory, Saved]:
        """Read a saved memory. Any thread.

        :raises OSError: the file cannot be read.
        :raises MemoryFileError: it holds no memory that this model can use.
        """
        memory = self._vstream.load_memory(path)
        return memory, Saved(read_notes(path), read_attached(path))

    def go_on_from(self, memory: StarMemory, saved: Saved) -> None:
        """Put another memory in place of the present one, and publish it."""
        self._memory = memory
        fault = self._seen.restore(saved.attached)
        if fault:
            self._logger.error(f'the memory is loaded without its pictures: {fault}')
        self._publisher.frame_id = saved.notes.get('frame_id', '')
        self._publisher.publish()
