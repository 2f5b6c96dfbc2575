# SPDX-License-Identifier: Apache-2.0
"""InputSnapshot: what the language model reads of a stream at one moment, whatever chose it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from flash_vstream_ros.core.snapshot import FLOAT16_MAX, PARTS, MemorySnapshot, fits_float16


@dataclass(frozen=True, eq=False)
class InputSnapshot:
    """Memory tokens of any origin. ``FlashVStream.answer`` takes it as a ``MemorySnapshot``.

    :param name: of the input, as ``star``.
    :param encoder_id: of the model that made the features.
    :param memory_id: random for each stream and input.
    :param frames_written: frames of the stream so far, however few of them are in it.
    :param newest_stamp_ns: stamp of the newest of them; 0: none.
    :param parts: (n, D) each, in the order the language model reads them; n may be 0.
    """

    name: str
    encoder_id: str
    memory_id: int
    frames_written: int
    newest_stamp_ns: int
    parts: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError('parts: expected at least one (n, D), which may be empty, got none')
        widths = {tuple(part.shape[1:]) for part in self.parts.values()}
        kinds = {(part.dtype, part.device) for part in self.parts.values()}
        if len(widths) != 1 or len(next(iter(widths))) != 1 or len(kinds) != 1:
            shapes = {name: (tuple(part.shape), part.dtype) for name, part in self.parts.items()}
            raise ValueError(f'parts: expected (n, D) each of one D and dtype, got {shapes}')
        object.__setattr__(self, 'parts', MappingProxyType(dict(self.parts)))

    @classmethod
    def of_memory(cls, name: str, snapshot: MemorySnapshot) -> 'InputSnapshot':
        """Take over the four parts of a STAR memory."""
        return cls(
            name,
            snapshot.encoder_id,
            snapshot.memory_id,
            snapshot.frames_written,
            snapshot.newest_stamp_ns,
            # (slots, P * P, D) -> (slots * P * P, D)
            {part: getattr(snapshot, part).flatten(0, 1) for part in PARTS},
        )

    @property
    def is_empty(self) -> bool:
        """Whether no frame of the stream has been seen yet."""
        return self.frames_written == 0

    @property
    def key(self) -> tuple[str, int, int, torch.dtype]:
        """Name of the content, rounding included: equal keys, equal tokens."""
        dtype = next(iter(self.parts.values())).dtype
        return (self.encoder_id, self.memory_id, self.frames_written, dtype)

    @property
    def token_count(self) -> int:
        """N of :meth:`tokens`."""
        return sum(len(part) for part in self.parts.values())

    def tokens(self) -> Tensor:
        """All parts in reading order, (N, D)."""
        return torch.cat(list(self.parts.values()))

    def to_float16(self) -> 'InputSnapshot':
        """Round as the message between the two nodes does.

        :raises ValueError: a value does not fit float16.
        """
        rounded = {name: part.half() for name, part in self.parts.items()}
        for name, part in rounded.items():
            if len(part) and not fits_float16(part):
                largest = self.parts[name].abs().max().item()
                raise ValueError(
                    f'{name}: expected values within float16 (+-{FLOAT16_MAX:.0f}), got {largest}'
                )
        return replace(self, parts=rounded)
