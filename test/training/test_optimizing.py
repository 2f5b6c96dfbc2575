# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from torch import nn

from flash_vstream_ros.training.config import RunConfig
from flash_vstream_ros.training.optimizing import learning_rate, make_optimizer


def test_the_rate_goes_up_in_a_line_and_down_half_a_cosine():
    config = RunConfig(out='-', learning_rate=2.0, warmup=0.1)
    rates = [learning_rate(config, step, 100) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert max(rates) == rates[9] == 2.0
    assert rates[54] + rates[55] == pytest.approx(2.0)  # half way down
    assert rates[32] == pytest.approx(1.0 + math.cos(math.pi * 23 / 91))
    assert rates[99] == pytest.approx(1.0 + math.cos(math.pi * 90 / 91))  # 0 one step later


@pytest.mark.parametrize(('warmup', 'steps'), [(0.0, 1), (0.0, 3), (1.0, 4), (0.03, 1)])
def test_odd_lengths_have_a_rate_at_each_step(warmup, steps):
    config = RunConfig(out='-', learning_rate=2.0, warmup=warmup)
    rates = [learning_rate(config, step, steps) for step in range(1, steps + 1)]
    assert all(0.0 < rate <= 2.0 for rate in rates), 'each step learns something'


def test_matrices_decay_and_nothing_else_does():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].requires_grad_(False)
    optimizer = make_optimizer(model, RunConfig(out='-', weight_decay=0.5))
    decayed = [p for g in optimizer.param_groups if g['weight_decay'] for p in g['params']]
    others = [p for g in optimizer.param_groups if not g['weight_decay'] for p in g['params']]
    assert [p.shape for p in decayed] == [torch.Size([4, 3])]
    assert len(others) == 3
