# SPDX-License-Identifier: Apache-2.0
"""Attention of many questions behind one memory, without the pairs that see nothing of each other.

A dense mask computes every question against every other one and throws that away; this computes
the prefix against itself and each turn against the prefix and itself.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

NAME = 'vstream_turns'  # not 'flash': transformers would look for a kernel of that kind


class TurnPlaces(NamedTuple):
    """Where prefix and turns of a padded batch lie.

    :param prefix: P, tokens of the longest prefix.
    :param hidden: (B, 1, 1, P) bool, what lies beyond a shorter prefix; None: all are P long.
    :param turns: (B, T, N) int64, N tokens of the longest turn, as rows of (B * L); what pads a
        turn points at row 0.
    :param results: (B, L) int64, where the result of each token lies: among the rows of the
        prefixes (B * P), behind them of the turns (B * T * N), behind them one of zeros.
    """

    prefix: int
    hidden: Tensor | None
    turns: Tensor
    results: Tensor


def find_places(turns: Tensor) -> TurnPlaces | None:
    """Find prefix and turns.

    :param turns: (B, L) int64: -1 padding, 0 the prefix, 1 and on the turns, each in one piece.
    :returns: None: there is nothing but a prefix.
    """
    if not (turns > 0).any():
        return None
    batch, length = turns.shape
    count = int(turns.max())
    sizes = functional.one_hot(turns.clamp_min(0), count + 1).mul((turns >= 0)[..., None]).sum(1)
    starts = sizes.cumsum(1) - sizes  # (B, 1 + T)
    prefix, longest = int(sizes[:, 0].max()), int(sizes[:, 1:].max())
    steps = torch.arange(length, device=turns.device)
    rows = torch.arange(batch, device=turns.device)[:, None]  # (B, 1)
    is_prefix = steps[:prefix] < sizes[:, :1]  # (B, P)
    is_turn = steps[:longest] < sizes[:, 1:, None]  # (B, T, N)
    found = (rows * length + starts[:, 1:])[..., None] + steps[:longest]
    # Where a token lies within its turn, and the turn's place among all of them.
    within = steps - starts.gather(1, turns.clamp_min(0))
    turn = rows * count + turns - 1
    results = torch.where(turns > 0, (batch * prefix) + turn * longest + within, -1)
    results = torch.where(turns == 0, rows * prefix + steps, results)
    nothing = batch * prefix + batch * count * longest
    return TurnPlaces(
        prefix,
        None if is_prefix.all() else ~is_prefix[:, None, None],
        torch.where(is_turn, found, 0),
        torch.where(turns < 0, nothing, results),
    )


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
    query = query * (scaling or 1.0 / sqrt(query.shape[-1]))
    prefix = [t[:, :, : places.prefix] for t in (query, key, value)]  # (B, H, P, d) each
    own = _take_rows((query, key, value), places.turns)  # (B, H, T, N, d) each
    of_prefix = _attend_prefix(*prefix)
    of_turns = _attend_prefix_and_self(own[0], prefix[1:], own[1:], places.hidden)
    heads = query.shape[1], query.shape[3]
    results = [of_prefix.transpose(1, 2).reshape(-1, *heads)]
    results += [of_turns.permute(0, 2, 3, 1, 4).reshape(-1, *heads), query.new_zeros(1, *heads)]
    out = torch.cat(results).index_select(0, places.results.flatten())
    return out.unflatten(0, places.results.shape), None


def _take_rows(tensors: Sequence[Tensor], rows: Tensor) -> Sequence[Tensor]:
    """Take tokens of several tensors at once: (B, H, L, d) -> (B, H, T, N, d) each."""
    heads = tensors[0].shape[1]
    flat = torch.cat([t.transpose(1, 2).flatten(2) for t in tensors], -1).flatten(0, 1)
    taken = flat.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    parts = taken.chunk(len(tensors), -1)
    return [part.unflatten(-1, (heads, -1)).permute(0, 3, 1, 2, 4) for part in parts]


def _attend_prefix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend causally, (B, H, P, d) each; the query is scaled already."""
    if query.device.type != 'cpu':
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=1.0
        )
    # On a CPU, at a few hundred tokens, plain products take half of the fused kernel's time.
    return (query @ key.transpose(-1, -2) + _later(query)).softmax(-1) @ value


def _later(query: Tensor) -> Tensor:
    """What is added to (..., N, N) scores so that no token sees a later one."""
    length = query.shape[-2]
    return query.new_full((length, length), -torch.inf).triu(1)


def _attend_prefix_and_self(
    query: Tensor,
    prefix: Sequence[Tensor],
    own: Sequence[Tensor],
    hidden: Tensor | None,
) -> Tensor:
    """Attend to two groups of keys under one softmax."""
    turns, longest = query.shape[2:4]
    to_prefix = query.flatten(2, 3) @ prefix[0].transpose(-1, -2)  # (B, H, T * N, P)
    if hidden is not None:
        to_prefix = to_prefix.masked_fill(hidden, -torch.inf)
    to_own = query @ own[0].transpose(-1, -2) + _later(query)  # (B, H, T, N, N)
    to_prefix = to_prefix.unflatten(2, (turns, longest))
    weights = torch.cat([to_prefix, to_own], -1).softmax(-1)
    # split, not slices: their gradients would be two tensors of this size, mostly zeros
    of_prefix, of_own = weights.split([prefix[1].shape[2], longest], -1)
    seen = of_prefix.flatten(2, 3) @ prefix[1]  # (B, H, T * N, d)
    return seen.unflatten(2, (turns, longest)) + of_own @ own[1]


AttentionInterface.register(NAME, attend_turns)
