# SPDX-License-Identifier: Apache-2.0
"""Conversations with a small language model in a batch, and what is said without one."""

import itertools

import pytest
import torch
from language_models import WIDTH

from flash_vstream_ros.core.language_model import GREEDY

MOST = 10_000  # tokens
QUESTIONS = ([3, 1], [7], [2, 9, 4, 4])


def read_prefix(model, tokens, seed=1):
    generator = torch.Generator().manual_seed(seed)
    weight = model.llama.get_input_embeddings().weight
    embeddings = torch.randn(tokens, WIDTH, generator=generator)
    return model.prefill_prefix(embeddings.to(weight.device, weight.dtype))


def speak(batch, prefix, questions, count):
    """Say so many tokens to each question, in one batch; then all leave."""
    branches = [batch.speak(prefix, ids, GREEDY, MOST) for ids in questions]
    said = [[] for _ in branches]
    for _ in range(count):
        batch.step()
        for branch, tokens in zip(branches, said, strict=True):
            tokens.append(next(branch))
    for branch in branches:
        branch.close()
    return said


def alone(model, prefix, ids, count):
    """Say so many tokens without a batch."""
    return list(itertools.islice(model.speak(prefix, ids, GREEDY, MOST), count))


def assert_said(said, expected):
    assert [token for token, _ in said] == [token for token, _ in expected]
    values = [value for _, value in said]
    assert values == pytest.approx([value for _, value in expected], abs=1e-4)


def assert_equal(said, model, prefix, questions):
    """Whether each question was told what it is told without a batch."""
    for tokens, ids in zip(said, questions, strict=True):
        assert_said(tokens, alone(model, prefix, ids, len(tokens)))


def grow_by(tokens, monkeypatch):
    """Let caches grow by little, so that they stay below the small model's context."""
    for name in ('_BLOCK', '_STEP'):
        monkeypatch.setattr(f'flash_vstream_ros.core.growing_cache.{name}', tokens)
