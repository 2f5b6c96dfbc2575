# SPDX-License-Identifier: Apache-2.0
"""Which frames ended in which cluster of a temporal memory: what it kept of an event."""

from dataclasses import dataclass

import numpy as np

from flash_vstream_ros.core.temporal_memory import TemporalMemory


@dataclass(frozen=True)
class Move:
    """What one write did to the slots.

    :param newcomer: the slot that the new frame is in now.
    :param emptied_into: the slot that took what ``newcomer`` held before; None: nothing moved.
    """

    newcomer: int
    emptied_into: int | None


@dataclass(frozen=True)
class Kept:
    """How well a stretch of the stream is kept.

    :param frames: frames of the stretch that were written.
    :param share: of them in the one cluster that holds most of them, 0 to 1.
    :param purity: share of that cluster's frames that are of the stretch, 0 to 1.
    :param own_share: of the stretch's frames in clusters of which it makes up at least half: a
        memory that is not full yet keeps an event well, in a cluster for each of its frames.
    """

    frames: int
    share: float
    purity: float
    own_share: float


class ClusterTracker:
    """Follows the frames of a stream through the slots of a temporal memory.

    A write merges two of N + 1 clusters and the newcomer takes what became free, so that weights
    and stamps before and after tell which two they were. Memories that put frames into other
    clusters later on (Algorithm 1) cannot be followed.

    :param memory: an empty one; call :meth:`observe` after each of its writes.
    """

    def __init__(self, memory: TemporalMemory) -> None:
        self._memory = memory
        self._weights = np.zeros(memory.slots, np.int64)
        self._slots = np.empty(64, np.int32)  # by frame
        self._stamps_ns = np.empty(64, np.int64)
        self._frames = 0

    @property
    def slots(self) -> np.ndarray:
        """The slot of each frame written so far, (T,) int32."""
        return self._slots[: self._frames]

    def observe(self, stamp_ns: int) -> Move:
        """Take in the write that just happened.

        :param stamp_ns: stamp of its frame.
        :raises ValueError: the memory holds no such frame, or a write was missed.
        """
        rows = self._memory.slots
        weights = self._memory.weights[:rows].cpu().numpy().copy()
        found = (self._memory.last_ns[:rows].cpu().numpy() == stamp_ns) & (weights > 0)
        if found.sum() != 1 or weights.sum() != self._weights.sum() + 1:
            raise ValueError(
                f'stamp_ns: expected that of the one frame written since the last call, got '
                f'{stamp_ns}; the memory holds {weights.sum()} frames, of which '
                f'{self._weights.sum()} were observed'
            )
        newcomer = int(found.argmax())
        changed = weights != self._weights
        changed[newcomer] = False
        move = Move(newcomer, int(changed.argmax()) if changed.any() else None)
        self._follow(move, stamp_ns)
        self._weights = weights
        return move

    def _follow(self, move: Move, stamp_ns: int) -> None:
        if self._frames == len(self._slots):
            self._slots = np.concatenate([self._slots, np.empty_like(self._slots)])
            self._stamps_ns = np.concatenate([self._stamps_ns, np.empty_like(self._stamps_ns)])
        if move.emptied_into is not None:
            self.slots[self.slots == move.newcomer] = move.emptied_into
        self._slots[self._frames] = move.newcomer
        self._stamps_ns[self._frames] = stamp_ns
        self._frames += 1

    def kept(self, first_ns: int, last_ns: int) -> Kept | None:
        """Say what became of the frames of a stretch, both ends included; None: it has none."""
        stamps_ns = self._stamps_ns[: self._frames]
        inside = self.slots[(stamps_ns >= first_ns) & (stamps_ns <= last_ns)]
        if len(inside) == 0:
            return None
        counts = np.bincount(inside, minlength=self._memory.slots)
        # Of equal ones the cluster that holds least besides.
        best = min(range(len(counts)), key=lambda slot: (-counts[slot], self._weights[slot]))
        share, purity = counts[best] / len(inside), counts[best] / self._weights[best]
        own = counts[2 * counts >= self._weights].sum() / len(inside)
        return Kept(len(inside), float(share), float(purity), float(own))
