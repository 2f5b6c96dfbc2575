# SPDX-License-Identifier: Apache-2.0
"""Abstract memory: semantic attention over blocks of frames."""

from math import sqrt

import torch
from torch import Tensor, nn


class SemanticAttention(nn.Module):
    """The checkpoint's ``attention_model``. The memory uses its query and key projection only.

    :param width: D, the width of a feature.
    :param hidden: h, the width of queries and keys.
    """

    def __init__(self, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, hidden)
        self.k_proj = nn.Linear(width, hidden)
        self.v_proj = nn.Linear(width, hidden)
        self.out_proj = nn.Linear(hidden, width)
        self.out_ln = nn.LayerNorm(width)

    def forward(self, memory: Tensor, features: Tensor, update_ratio: float) -> Tensor:
        """One update of the memory by a block of frames (paper section 3.2, equation 4).

        Pure and differentiable; streaming and training both call it.

        :param memory: (..., N, D).
        :param features: (..., n, D), n >= 1.
        :param update_ratio: the share of a slot that one block replaces.
        :returns: the new memory, (..., N, D).
        """
        query, key = self.q_proj(memory), self.k_proj(features)
        scores = query @ key.transpose(-1, -2) / sqrt(self.q_proj.out_features)  # (..., N, n)
        weights = update_ratio * scores.softmax(-1)
        return memory * (1.0 - weights.sum(-1, keepdim=True)) + weights @ features


def attend_video(
    features: Tensor, attention: SemanticAttention, slots: int, update_ratio: float
) -> Tensor:
    """Abstract memory of a whole video at once, as the model was trained.

    :param features: (T, D) pooled features of all frames, oldest first.
    :param slots: N; the first N frames fill the memory, then blocks of N frames update it.
    :returns: (min(T, N), D).
    """
    memory, *blocks = features.split(slots)
    for block in blocks:
        memory = attention(memory, block, update_ratio)
    return memory


class AbstractMemory(nn.Module):
    """The same, frame by frame: a block is committed whole, an unfinished one is kept pending.

    Fed one frame at a time the softmax would run over one element and make all slots equal, so the
    network must see what it was trained on: blocks of N frames. A read applies the pending block
    without committing it; the state read after T frames equals :func:`attend_video` over them.

    :param slots: N.
    :param width: D.
    """

    def __init__(
        self, slots: int, width: int, update_ratio: float, device: torch.device | str = 'cpu'
    ) -> None:
        super().__init__()
        self.slots = slots
        self.update_ratio = update_ratio
        self.register_buffer('memory', torch.zeros(slots, width, device=device))
        self.register_buffer('pending', torch.zeros(slots, width, device=device))

    @torch.no_grad()
    def write(
        self, feature: Tensor, frames: Tensor, accepted: Tensor, attention: SemanticAttention
    ) -> None:
        """Add one frame, without a host synchronisation.

        :param feature: (D,) float32.
        :param frames: int64 scalar, the frames written before this one.
        :param accepted: bool scalar; False leaves the state as it was.
        """
        place = (frames % self.slots).view(1)
        old = self.pending[place]
        self.pending.index_copy_(0, place, torch.where(accepted, feature[None], old))
        # Whether the block is full is known to the device only (a refused frame does not count),
        # so the update is computed always and taken when due.
        block_is_full = accepted & (place == self.slots - 1)
        updated = attention(self.memory, self.pending, self.update_ratio)
        updated = torch.where(frames < self.slots, self.pending, updated)
        self.memory.copy_(torch.where(block_is_full, updated, self.memory))

    @torch.no_grad()
    def read(self, frames: int, attention: SemanticAttention) -> Tensor:
        """Return the memory with the pending block applied.

        :param frames: frames written.
        :returns: (min(frames, N), D), a new tensor.
        """
        pending = self.pending[: frames % self.slots]
        if frames < self.slots:
            return pending.clone()
        if len(pending) == 0:
            return self.memory.clone()
        return attention(self.memory, pending, self.update_ratio)
