# SPDX-License-Identifier: Apache-2.0
"""AdamW, and the learning rate of each step."""

import math

import torch
from torch import nn

from flash_vstream_ros.training.config import RunConfig


def make_optimizer(model: nn.Module, config: RunConfig) -> torch.optim.AdamW:
    """Make the optimizer of what is trained; weight decay is for matrices alone."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {'params': [p for p in trained if p.ndim > 1], 'weight_decay': config.weight_decay},
        {'params': [p for p in trained if p.ndim <= 1], 'weight_decay': 0.0},
    ]
    betas = (config.adam_beta1, config.adam_beta2)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas)


def learning_rate(config: RunConfig, step: int, steps: int) -> float:
    """Learning rate of a step: up in a straight line, then down half a cosine.

    It would be 0 one step after the last, so that each step changes something.

    :param step: from 1 on.
    :param steps: of the whole run.
    """
    warmup = math.ceil(config.warmup * steps)
    if step <= warmup:
        return config.learning_rate * step / warmup
    share = (step - warmup) / (steps - warmup + 1)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))
