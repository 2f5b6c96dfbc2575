# SPDX-License-Identifier: Apache-2.0
"""A key/value cache that is written in place: a new token copies itself, not what was before."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_BLOCK = 256  # tokens; what a cache grows by at least
_STEP = 64  # tokens; kernels are quickest on whole multiples


class _GrowingLayer(DynamicLayer):
    """Keys and values are views of buffers that are longer than they are."""

    buffers: tuple[Tensor, Tensor]

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values, (1, heads, n, E / heads) each; returns all of them.

        There must be room for them.
        """
        used, new = self.get_seq_length(), key_states.shape[2]
        self.buffers[0][:, :, used : used + new] = key_states
        self.buffers[1][:, :, used : used + new] = value_states
        self.show(used + new)
        return self.keys, self.values

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make empty buffers of the form of what comes."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.buffers = (key_states[:, :, :0].clone(), value_states[:, :, :0].clone())
        self.show(0)
        self.is_initialized = True

    def keep(self, places: Tensor, scratch: Tensor) -> None:
        """Drop all tokens but some; nothing is allocated.

        :param places: int64, sorted, of this device.
        :param scratch: (1, heads, places, E / heads), for the while.
        """
        for buffer in self.buffers:
            torch.index_select(buffer, 2, places, out=scratch)
            buffer[:, :, : len(places)] = scratch
        self.drop(len(places))

    def drop(self, length: int) -> None:
        """Hold so many tokens and no trace of those behind them, which may be NaN."""
        for buffer in self.buffers:  # all of it: a pass may have written behind what is held
            buffer[:, :, length:].zero_()
        self.show(length)

    def new_scratch(self, length: int) -> Tensor:
        """Memory for so many of its keys, or of its values."""
        buffer = self.buffers[0]
        return buffer.new_empty(*buffer.shape[:2], length, buffer.shape[3])

    def show(self, length: int) -> None:
        """Hold so many tokens, of those that the buffers have."""
        self.keys, self.values = (buffer[:, :, :length] for buffer in self.buffers)

    def grow(self, capacity: int) -> None:
        """Make buffers that have room for so many tokens.

        Of zeros: who reads them whole and hides what is not there must find numbers.
        """
        more = capacity - self.buffers[0].shape[2]
        if more > 0:
            self.buffers = tuple(
                torch.cat([buffer, buffer.new_zeros(*buffer.shape[:2], more, buffer.shape[3])], 2)
                for buffer in self.buffers
            )
            self.show(self.get_seq_length())  # else what was outgrown is held as well


class GrowingCache(Cache):
    """A cache of one row.

    On a device that is full ``append``, ``keep`` and ``reserve`` fail before what any layer holds
    has changed: one that is longer than another would spoil the answers of all.

    :param layers: of the language model.
    :param rooms: numbers of tokens, rising; it has room for one of them each as long as that will
        do, and grows in steps behind the last one.
    """

    def __init__(self, layers: int, rooms: Sequence[int] = ()) -> None:
        super().__init__(layers=[_GrowingLayer() for _ in range(layers)])
        self._rooms = rooms

    @property
    def capacity(self) -> int:
        """Tokens that it has room for, those that it holds among them."""
        first, last = self.layers[0], self.layers[-1]  # the last one grows last
        return last.buffers[0].shape[2] if first.is_initialized and last.is_initialized else 0

    @property
    def is_even(self) -> bool:
        """Whether all layers have room for as many; a growth that failed may leave them uneven."""
        return all(keys.shape[2] == self.capacity for keys, _ in self.buffers)

    @property
    def buffers(self) -> list[tuple[Tensor, Tensor]]:
        """All it has room for, keys and values of each layer, (1, heads, capacity, E / heads)."""
        return [layer.buffers for layer in self.layers]

    def has_room(self, tokens: int) -> bool:
        """Whether so many more fit without growing."""
        return self.get_seq_length() + tokens <= self.capacity

    def reserve(self, tokens: int) -> None:
        """Make room for so many more; something must have been appended before."""
        if not self.has_room(tokens):
            length = self.get_seq_length() + tokens
            grown = -(-(length + max(_BLOCK, length // 4)) // _STEP) * _STEP
            capacity = next((room for room in self._rooms if room >= length), grown)
            for layer in self.layers:
                layer.grow(capacity)

    def append(self, layers: tuple[tuple[Tensor, Tensor], ...]) -> None:
        """Append keys and values that were computed elsewhere, a pair per layer."""
        pairs = list(zip(self.layers, layers, strict=True))
        for layer, (keys, values) in pairs:
            if not layer.is_initialized:
                layer.lazy_initialization(keys, values)
        self.reserve(layers[0][0].shape[2])
        for layer, (keys, values) in pairs:
            layer.update(keys, values)

    def advance(self, tokens: int) -> None:
        """Hold so many more, which were written into the buffers."""
        length = self.get_seq_length() + tokens
        for layer in self.layers:
            layer.show(length)

    def keep(self, places: Tensor) -> None:
        """Drop all tokens but some.

        :param places: int64, sorted, of the cache's device.
        """
        scratch = self.layers[0].new_scratch(len(places))
        for layer in self.layers:
            layer.keep(places, scratch)

    def empty(self) -> None:
        """Drop all tokens; the room for them stays."""
        for layer in self.layers:
            layer.drop(0)
