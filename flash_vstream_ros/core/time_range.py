# SPDX-License-Identifier: Apache-2.0
"""A memory limited to a stretch of time, for questions about "this morning"."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flash_vstream_ros.core.snapshot import MemorySnapshot


@dataclass(frozen=True, eq=False)
class LimitedSnapshot:
    """What a memory holds of a stretch of its stream; the language model reads it as a snapshot.

    Temporal clusters with no frame inside are left out, and retrieved and spatial frames outside.
    What stays is coarse: a cluster that reaches into the stretch comes whole, with what it holds
    of other times, and abstract memory, which has no stamps, comes whole as well. The model was
    trained on whole memories.

    :param from_ns: first stamp of the stretch, nanoseconds.
    :param to_ns: last stamp of the stretch, nanoseconds.
    :raises ValueError: the stretch ends before it begins.
    """

    whole: MemorySnapshot
    from_ns: int
    to_ns: int

    def __post_init__(self) -> None:
        if self.to_ns < self.from_ns:
            raise ValueError(
                f'to_stamp: expected at least from_stamp = {self.from_ns} ns, got {self.to_ns} ns'
            )

    @classmethod
    def between(cls, whole: MemorySnapshot, from_ns: int, to_ns: int) -> 'LimitedSnapshot':
        """Limit a memory as a request does.

        :param to_ns: 0: no end.
        """
        return cls(whole, from_ns, to_ns or max(whole.newest_stamp_ns, from_ns))

    @property
    def encoder_id(self) -> str:
        """Fingerprint of encoder weights and memory geometry."""
        return self.whole.encoder_id

    @property
    def key(self) -> tuple[object, ...]:
        """Name of the content: equal keys, equal tokens."""
        kept = (self.clusters, self.inside('retrieved'), self.inside('spatial'))
        return (*self.whole.key, *(mask.tobytes() for mask in kept))

    @property
    def is_empty(self) -> bool:
        """Whether the memory holds nothing of the stretch."""
        return not self.clusters.any()

    @property
    def token_count(self) -> int:
        """N of :meth:`tokens`."""
        return sum(part.shape[0] * part.shape[1] for part in self._parts())

    @property
    def key_stamps_ns(self) -> np.ndarray:
        """Stamps of the retrieved frames inside, (R,) int64."""
        return self.whole.retrieved_stamps_ns[self.inside('retrieved')]

    def tokens(self) -> Tensor:
        """What is left, in the order of :meth:`MemorySnapshot.tokens`, (N, D)."""
        return torch.cat([part.flatten(0, 1) for part in self._parts()])

    def _parts(self) -> list[Tensor]:
        kept = {
            'temporal': self.clusters,
            'retrieved': self.inside('retrieved'),
            'spatial': self.inside('spatial'),
        }
        limited = [getattr(self.whole, part)[torch.from_numpy(kept[part])] for part in kept]
        return [self.whole.abstract, *limited]

    @property
    def clusters(self) -> np.ndarray:
        """Which clusters may have a frame inside, by their first and last stamps: (K,) bool."""
        begins_before = self.whole.temporal_first_stamps_ns <= self.to_ns
        return begins_before & (self.whole.temporal_last_stamps_ns >= self.from_ns)

    def inside(self, part: str) -> np.ndarray:
        """Which frames of a part, ``retrieved`` or ``spatial``, lie inside: (slots,) bool."""
        stamps_ns = getattr(self.whole, f'{part}_stamps_ns')
        return (stamps_ns >= self.from_ns) & (stamps_ns <= self.to_ns)
