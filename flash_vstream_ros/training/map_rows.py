# SPDX-License-Identifier: Apache-2.0
"""The maps of a stream of unknown length, in memory once."""

import mmap

import numpy as np
import torch
from torch import Tensor

_FIRST_BYTES = 1 << 20


class MapRows:
    """Maps of one shape that come one after the other.

    They lie in memory that the kernel lets grow without a copy; what is not used of it takes none.
    """

    def __init__(self) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._memory = mmap.mmap(-1, _FIRST_BYTES, flags=flags)
        self.last: Tensor | None = None

    def append(self, row: Tensor) -> None:
        """Add a map, (N, D) float16 on the CPU."""
        data = row.contiguous().numpy().reshape(-1).view(np.uint8)
        end, size = self._memory.tell() + data.nbytes, len(self._memory)
        if end > size:
            self._memory.resize(max(2 * size, end))
        self._memory.write(data)
        self.last = row

    def together(self) -> Tensor:
        """All of them, at least one, (T, N, D) float16, not copied. The last call to be made."""
        count = self._memory.tell() // self.last.element_size()
        flat = torch.frombuffer(self._memory, dtype=torch.float16, count=count)
        return flat.view(-1, *self.last.shape)
