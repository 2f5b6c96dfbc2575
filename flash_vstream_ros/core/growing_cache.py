# SPDX-License-Identifier: Apache-2.0
"""A key/value cache that is written in place: a new token copies itself, not what was before."""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_BLOCK = 256  # tokens; what a cache grows by at least


class _GrowingLayer(DynamicLayer):
    """Keys and values are views of buffers that are longer than they are."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values, (1, heads, n, E / heads) each; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used, new = self.get_seq_length(), key_states.shape[2]
        self._reserve(used + new)
        self._buffers[0][:, :, used : used + new] = key_states
        self._buffers[1][:, :, used : used + new] = value_states
        self._show(used + new)
        return self.keys, self.values

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make empty buffers of the form of what comes."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._buffers = (key_states[:, :, :0].clone(), value_states[:, :, :0].clone())
        self._show(0)
        self.is_initialized = True

    def keep(self, places: Tensor) -> None:
        """Drop all tokens but some.

        :param places: int64, sorted, of this device.
        """
        for buffer in self._buffers:
            buffer[:, :, : len(places)] = buffer[:, :, places]
        self._show(len(places))

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)

    def _reserve(self, length: int) -> None:
        more = length - self._buffers[0].shape[2]
        if more > 0:
            more += max(_BLOCK, length // 4)
            self._buffers = tuple(
                torch.cat([buffer, buffer.new_empty(*buffer.shape[:2], more, buffer.shape[3])], 2)
                for buffer in self._buffers
            )


class GrowingCache(Cache):
    """A cache of one row.

    :param layers: of the language model.
    """

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[_GrowingLayer() for _ in range(layers)])

    def append(self, layers: tuple[tuple[Tensor, Tensor], ...]) -> None:
        """Append keys and values that were computed elsewhere, a pair per layer."""
        for layer, (keys, values) in zip(self.layers, layers, strict=True):
            layer.update(keys, values)

    def keep(self, places: Tensor) -> None:
        """Drop all tokens but some; see there."""
        for layer in self.layers:
            layer.keep(places)
