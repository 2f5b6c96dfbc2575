# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch.nn import functional

from flash_vstream_ros.training.turn_attention import attend_turns, find_places

TURNS = (
    [[0, 0, 1, 1, 2, 2, 2], [0, 0, 0, 1, -1, -1, -1]],
    [[0, 1, 1, 1, 1, 2, 3, 3]],
    [[0, 0, 0, 0], [0, 1, 2, -1]],  # no turn at all beside some
    [[0, 0, 2, 2]],  # a first turn that was cut off whole
)


def seen(turns):
    """Which tokens each token sees, by the definition: (B, 1, L, L) bool."""
    row, column = turns[:, :, None], turns[:, None, :]
    causal = torch.ones(turns.shape[1], turns.shape[1], dtype=torch.bool).tril()
    return (causal & ((column == 0) | (column == row)))[:, None]


def random_heads(turns, heads, width, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*turns.shape, heads, width, generator=generator).transpose(1, 2)


@pytest.mark.parametrize('turns', TURNS)
@pytest.mark.parametrize('groups', [1, 2])
def test_it_is_attention_under_the_dense_mask(turns, groups):
    turns = torch.tensor(turns)
    query = random_heads(turns, 4, 6, 0).requires_grad_()
    key = random_heads(turns, 4 // groups, 6, 1).requires_grad_()
    value = random_heads(turns, 4 // groups, 6, 2).requires_grad_()
    out, _ = attend_turns(None, query, key, value, None, find_places(turns), scaling=0.3)
    wide = [t.repeat_interleave(groups, 1) for t in (key, value)]
    dense = functional.scaled_dot_product_attention(query, *wide, seen(turns), scale=0.3)
    real = turns >= 0
    expected = dense.transpose(1, 2)
    torch.testing.assert_close(out[real], expected[real])
    assert not out[~real].any()
    weights = torch.randn_like(out[real])
    inputs = (query, key, value)
    found = torch.autograd.grad((out[real] * weights).sum(), inputs)
    wanted = torch.autograd.grad((expected[real] * weights).sum(), inputs)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_sequences_without_turns_have_no_places():
    assert find_places(torch.tensor([[0, 0, 0], [0, 0, -1]])) is None
