# SPDX-License-Identifier: Apache-2.0
"""Attention of many questions behind one memory, without the pairs that see nothing of each other.

A dense mask computes every question against every other one and throws that away; this computes
the prefix against itself and each turn against the prefix and itself.
"""

from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

NAME = 'vstream_turns'  # not 'flash': transformers would look for a kernel of that kind


class TurnPlaces(NamedTuple):
    """Where prefix and turns of a padded batch lie; what pads them points at place 0.

    :param prefix: (B, P) int64; ``prefix_is_real`` likewise, bool.
    :param turns: (B, T, N) int64, N tokens of the longest turn; ``turns_are_real`` likewise, bool.
    """

    prefix: Tensor
    prefix_is_real: Tensor
    turns: Tensor
    turns_are_real: Tensor


def find_places(turns: Tensor) -> TurnPlaces | None:
    """Find prefix and turns.

    :param turns: (B, L) int64: -1 padding, 0 the prefix, 1 and on the turns, each in one piece.
    :returns: None: there is nothing but a prefix.
    """
    if not (turns > 0).any():
        return None
    length = turns.shape[1]
    count = int(turns.max())
    sizes = functional.one_hot(turns.clamp_min(0), count + 1).mul((turns >= 0)[..., None]).sum(1)
    starts = sizes.cumsum(1) - sizes  # (B, 1 + T)
    steps = torch.arange(length, device=turns.device)

    def places(which: slice) -> tuple[Tensor, Tensor]:
        longest = int(sizes[:, which].max())
        real = steps[:longest] < sizes[:, which, None]  # (B, n, longest)
        return torch.where(real, starts[:, which, None] + steps[:longest], 0), real

    prefix, prefix_is_real = places(slice(0, 1))
    return TurnPlaces(prefix[:, 0], prefix_is_real[:, 0], *places(slice(1, None)))


def attend_turns(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    places: TurnPlaces,
    scaling: float | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Attend, as transformers' attention functions do.

    :param query: (B, H, L, d); ``key`` and ``value`` (B, H', L, d), H' a divisor of H.
    :param places: of :func:`find_places`.
    :returns: (B, L, H, d); zero where there is padding.
    """
    del module, attention_mask, unused
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (t.repeat_interleave(groups, 1) for t in (key, value))
    scaling = scaling or 1.0 / sqrt(query.shape[-1])
    query_p, key_p, value_p = (_take(t, places.prefix) for t in (query, key, value))
    out_p = functional.scaled_dot_product_attention(
        query_p, key_p, value_p, is_causal=True, scale=scaling
    )
    query_t, key_t, value_t = (_take(t, places.turns) for t in (query, key, value))
    out_t = _attend_prefix_and_self(
        query_t * scaling, (key_p, value_p), (key_t, value_t), places
    )  # (B, H, T, N, d)
    out = out_p.new_zeros(query.shape[0], query.shape[2], query.shape[1], query.shape[3])
    rows = torch.arange(len(query), device=query.device)[:, None]
    real = places.prefix_is_real
    row = rows.expand_as(real)[real]
    out = out.index_put((row, places.prefix[real]), out_p.transpose(1, 2)[real])
    real = places.turns_are_real
    row = rows[..., None].expand_as(real)[real]
    return out.index_put(
        (row, places.turns[real]), out_t.permute(0, 2, 3, 1, 4)[real].to(out.dtype)
    ), None


def _take(tensor: Tensor, places: Tensor) -> Tensor:
    """Gather along L: (B, H, L, d) -> (B, H, *places.shape[1:], d)."""
    batch, heads, _, width = tensor.shape
    flat = places.flatten(1)[:, None, :, None].expand(batch, heads, -1, width)
    return tensor.gather(2, flat).unflatten(2, places.shape[1:])


def _attend_prefix_and_self(
    query: Tensor,
    prefix: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    places: TurnPlaces,
) -> Tensor:
    """Attend to two groups of keys under one softmax."""
    turns, longest = query.shape[2:4]
    to_prefix = query.flatten(2, 3) @ prefix[0].transpose(-1, -2)  # (B, H, T * N, P)
    hidden = ~places.prefix_is_real[:, None, None]
    to_prefix = to_prefix.masked_fill(hidden, -torch.inf).unflatten(2, (turns, longest))
    to_own = query @ own[0].transpose(-1, -2)  # (B, H, T, N, N)
    later = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1)
    weights = torch.cat([to_prefix, to_own.masked_fill(later, -torch.inf)], -1).softmax(-1)
    # split, not slices: their gradients would be two tensors of this size, mostly zeros
    of_prefix, of_own = weights.split([prefix[1].shape[2], longest], -1)
    seen = of_prefix.flatten(2, 3) @ prefix[1]  # (B, H, T * N, d)
    return seen.unflatten(2, (turns, longest)) + of_own @ own[1]


AttentionInterface.register(NAME, attend_turns)
