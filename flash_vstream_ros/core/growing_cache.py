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
        self.reserve(key_states, value_states)
        used, new = self.get_seq_length(), key_states.shape[2]
        self._buffers[0][:, :, used : used + new] = key_states
        self._buffers[1][:, :, used : used + new] = value_states
        self._show(used + new)
        return self.keys, self.values

    def reserve(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make room for keys and values that come next."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._grow(self.get_seq_length() + key_states.shape[2])

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make empty buffers of the form of what comes."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._buffers = (key_states[:, :, :0].clone(), value_states[:, :, :0].clone())
        self._show(0)
        self.is_initialized = True

    def keep(self, places: Tensor, scratch: Tensor) -> None:
        """Drop all tokens but some; nothing is allocated.

        :param places: int64, sorted, of this device.
        :param scratch: (1, heads, places, E / heads), for the while.
        """
        for buffer in self._buffers:
            torch.index_select(buffer, 2, places, out=scratch)
            buffer[:, :, : len(places)] = scratch
        self._show(len(places))

    def new_scratch(self, length: int) -> Tensor:
        """Memory for so many of its keys, or of its values."""
        buffer = self._buffers[0]
        return buffer.new_empty(*buffer.shape[:2], length, buffer.shape[3])

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)

    def _grow(self, length: int) -> None:
        more = length - self._buffers[0].shape[2]
        if more > 0:
            more += max(_BLOCK, length // 4)
            self._buffers = tuple(
                torch.cat([buffer, buffer.new_empty(*buffer.shape[:2], more, buffer.shape[3])], 2)
                for buffer in self._buffers
            )
            self._show(self.get_seq_length())  # else what was outgrown is held as well


class GrowingCache(Cache):
    """A cache of one row.

    On a device that is full ``append`` and ``keep`` fail before any layer has changed: one that is
    longer than another would spoil the answers of all.

    :param layers: of the language model.
    """

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[_GrowingLayer() for _ in range(layers)])

    def append(self, layers: tuple[tuple[Tensor, Tensor], ...]) -> None:
        """Append keys and values that were computed elsewhere, a pair per layer."""
        pairs = list(zip(self.layers, layers, strict=True))
        for layer, (keys, values) in pairs:
            layer.reserve(keys, values)
        for layer, (keys, values) in pairs:
            layer.update(keys, values)

    def keep(self, places: Tensor) -> None:
        """Drop all tokens but some.

        :param places: int64, sorted, of the cache's device.
        """
        scratch = self.layers[0].new_scratch(len(places))
        for layer in self.layers:
            layer.keep(places, scratch)
