# SPDX-License-Identifier: Apache-2.0
"""MemorySnapshot: all a reader needs of a memory at one moment. It checks itself."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from flash_vstream_ros.core.quoting import quote

PARTS = ('abstract', 'temporal', 'retrieved', 'spatial')  # the order of the tokens
FLOAT16_MAX = torch.finfo(torch.float16).max
_STAMPED = {
    'temporal': (
        'temporal_weights',
        'temporal_first_stamps_ns',
        'temporal_last_stamps_ns',
        'temporal_mean_stamps_ns',
    ),
    'retrieved': ('retrieved_stamps_ns',),
    'spatial': ('spatial_stamps_ns',),
}


@dataclass(frozen=True, eq=False)
class MemorySnapshot:
    """The STAR memory at one moment (what ``msg/MemorySnapshot`` carries). Never changes.

    A slots abstract, K temporal, R retrieved, S spatial; fewer while the memory fills, none while
    it is empty. (memory_id, frames_written) names its content once and for all.
    """

    encoder_id: str  # fingerprint of encoder weights and memory geometry
    memory_id: int  # random for each stream, 1 to 2**64 - 1
    frames_written: int
    oldest_stamp_ns: int
    newest_stamp_ns: int
    abstract: Tensor  # (A, 1, D)
    temporal: Tensor  # (K, P * P, D), in order of mean stamp
    retrieved: Tensor  # (R, Q * Q, D), from the heaviest cluster down
    spatial: Tensor  # (S, Q * Q, D), oldest first
    temporal_weights: np.ndarray  # (K,) int64, frames in each cluster
    temporal_first_stamps_ns: np.ndarray  # (K,) int64
    temporal_last_stamps_ns: np.ndarray  # (K,) int64
    temporal_mean_stamps_ns: np.ndarray  # (K,) int64
    retrieved_stamps_ns: np.ndarray  # (R,) int64
    spatial_stamps_ns: np.ndarray  # (S,) int64

    def __post_init__(self) -> None:
        for part in PARTS:
            self._check_part(part)
        for part, names in _STAMPED.items():
            for name in names:
                self._check_per_slot(name, len(getattr(self, part)))
        if not 0 < self.memory_id < 2**64:
            raise ValueError(f'memory_id: expected 1 to 2**64 - 1, got {self.memory_id}')
        if (self.temporal_weights <= 0).any():
            raise ValueError(
                f'temporal_weights: expected 1 or more each, got {quote(self.temporal_weights)}'
            )
        total = sum(self.temporal_weights.tolist())  # those of a message could overflow int64
        if total != self.frames_written:
            raise ValueError(
                f'temporal_weights: expected their sum to be frames_written = '
                f'{self.frames_written}, got {total}'
            )
        if self.oldest_stamp_ns > self.newest_stamp_ns:
            raise ValueError(
                f'oldest_stamp_ns: expected at most newest_stamp_ns = {self.newest_stamp_ns}, '
                f'got {self.oldest_stamp_ns}'
            )

    def _check_part(self, part: str) -> None:
        tensor = getattr(self, part)
        if tensor.ndim != 3 or tensor.shape[2] != self.feature_width:
            raise ValueError(
                f'{part}: expected (slots, patches, {self.feature_width}), got {_shape(tensor)}'
            )
        if tensor.dtype != self.abstract.dtype or tensor.device != self.abstract.device:
            raise ValueError(
                f'{part}: expected {self.abstract.dtype} on {self.abstract.device} as abstract, '
                f'got {tensor.dtype} on {tensor.device}'
            )
        if bool(len(tensor)) == self.is_empty:
            raise ValueError(
                f'{part}: {len(tensor)} slots do not go with {self.frames_written} frames written'
            )

    def _check_per_slot(self, name: str, slots: int) -> None:
        values = getattr(self, name)
        if values.shape != (slots,) or values.dtype != np.int64:
            raise ValueError(
                f'{name}: expected ({slots},) int64, got {values.shape} {values.dtype}'
            )
        values.flags.writeable = False

    @property
    def feature_width(self) -> int:
        """D, the width of a feature."""
        return self.abstract.shape[-1]

    @property
    def is_empty(self) -> bool:
        """Whether no frame has been written yet."""
        return self.frames_written == 0

    @property
    def key(self) -> tuple[str, int, int, torch.dtype]:
        """Name of the content, rounding included: equal keys, equal tokens."""
        return (self.encoder_id, self.memory_id, self.frames_written, self.abstract.dtype)

    @property
    def token_count(self) -> int:
        """N of :meth:`tokens`."""
        return sum(part.shape[0] * part.shape[1] for part in self._parts())

    def tokens(self) -> Tensor:
        """All parts as the language model reads them: abstract, temporal, retrieved, spatial.

        :returns: (N, D); N is 681 for a full memory of the published size.
        """
        return torch.cat([part.flatten(0, 1) for part in self._parts()])

    def _parts(self) -> list[Tensor]:
        return [getattr(self, part) for part in PARTS]

    def to_float16(self) -> 'MemorySnapshot':
        """Round as the message does, so that replay and robot read equal tokens.

        :raises ValueError: a value does not fit float16.
        """
        rounded = {part: getattr(self, part).half() for part in PARTS}
        for part, tensor in rounded.items():
            if len(tensor) and not fits_float16(tensor):
                largest = getattr(self, part).abs().max().item()
                raise ValueError(
                    f'{part}: expected values within float16 (+-{FLOAT16_MAX:.0f}), got {largest}'
                )
        return replace(self, **rounded)


def fits_float16(tensor: Tensor) -> Tensor:
    """Whether all values are finite and fit float16; a bool scalar on the tensor's device."""
    low, high = tensor.aminmax()  # one pass, no copy; both NaN where any value is
    return (low >= -FLOAT16_MAX) & (high <= FLOAT16_MAX)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
