# SPDX-License-Identifier: Apache-2.0
"""Floors: operations and bytes that a computation needs, over rates measured in the same run."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig

from benchmarks.measure import Figure, interleave


@dataclass(frozen=True)
class Rates:
    """What this device does at best.

    :param operations: per second, of a large matrix product in the model's dtype.
    :param bytes: per second, read and written by a large copy.
    """

    operations: float
    bytes: float

    @classmethod
    def measured(cls, device: torch.device, dtype: torch.dtype, side: int, size: int) -> 'Rates':
        """Measure them.

        :param side: of the square matrices.
        :param size: bytes of the copy.
        """
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        source = torch.zeros(size, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        contenders: dict[str, Callable[[], object]] = {
            'product': lambda: a @ b,
            'copy': lambda: target.copy_(source),
        }
        seconds = interleave(contenders, rounds=10, device=device)
        return cls(2 * side**3 / seconds['product'].min(), 2 * size / seconds['copy'].min())

    def floor_ms(self, operations: float, moved_bytes: float) -> float:
        """Milliseconds that neither the arithmetic nor the memory can undercut."""
        return 1e3 * max(operations / self.operations, moved_bytes / self.bytes)

    def figures(self) -> list[Figure]:
        """The rates themselves."""
        return [
            Figure('rate of matrix products', self.operations / 1e12, 'TFLOP/s'),
            Figure('rate of copies, read + written', self.bytes / 1e9, 'GB/s'),
        ]


def parameter_bytes(module: nn.Module) -> int:
    """Bytes of a module's weights."""
    return sum(parameter.nbytes for parameter in module.parameters())


def encoder_operations(config: CLIPVisionConfig, layers: int) -> float:
    """Operations of encoding one frame, resizing left out.

    :param layers: those that are run, 23 of the published 24.
    """
    width, inner = config.hidden_size, config.intermediate_size
    patches = (config.image_size // config.patch_size) ** 2
    tokens = patches + 1
    projections = 2 * tokens * (4 * width**2 + 2 * width * inner)
    attention = 4 * tokens**2 * width
    embedding = 2 * patches * 3 * config.patch_size**2 * width
    return embedding + layers * (projections + attention)


def prefill_operations(config: LlamaConfig, tokens: int, past: int = 0) -> float:
    """Operations of reading tokens behind others; logits, wanted for one token, are left out.

    :param past: tokens whose keys and values are there already.
    """
    width, inner = config.hidden_size, config.intermediate_size
    key_width = width * config.num_key_value_heads // config.num_attention_heads
    weights = 2 * width**2 + 2 * width * key_width + 3 * width * inner
    # A token attends to all before it and to itself.
    pairs = tokens * past + tokens * (tokens + 1) / 2
    return config.num_hidden_layers * (2 * tokens * weights + 4 * pairs * width)


def cache_bytes(config: LlamaConfig, tokens: int, dtype: torch.dtype) -> int:
    """Bytes of the keys and values of so many tokens."""
    key_width = config.hidden_size * config.num_key_value_heads // config.num_attention_heads
    return 2 * config.num_hidden_layers * tokens * key_width * dtype.itemsize
