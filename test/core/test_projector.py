# SPDX-License-Identifier: Apache-2.0
"""Projector: the golden memory becomes the golden language tokens."""

import math

import pytest
import torch

from flash_vstream_ros.core.projector import Projector


@pytest.mark.parametrize('question', [0, 1])
def test_golden_memory_becomes_the_golden_tokens(question, golden_tensors, golden_vstream):
    tensors = golden_tensors('answer')
    parts = [tensors[f'{p}_{question}'] for p in ('abstract', 'temporal', 'retrieved', 'spatial')]
    tokens = torch.cat([part.flatten(0, 1) for part in parts])
    found = golden_vstream.projector(tokens)
    assert found.shape == (681, 64)
    torch.testing.assert_close(found, tensors[f'projected_{question}'], atol=1e-4, rtol=0)


def test_it_is_linear_exact_gelu_linear():
    """The tanh approximation of GELU differs by up to 5e-4: enough to change an answer."""
    projector = Projector(3, 5).double()
    token = torch.randn(3, dtype=torch.float64)
    first, _, second = projector
    inner = first.weight @ token + first.bias
    gelu = torch.tensor(
        [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in inner.tolist()], dtype=torch.float64
    )
    torch.testing.assert_close(projector(token), second.weight @ gelu + second.bias)


def test_its_keys_are_the_published_ones():
    shapes = {name: tuple(value.shape) for name, value in Projector(3, 5).named_parameters()}
    assert shapes == {
        '0.weight': (5, 3), '0.bias': (5,), '2.weight': (5, 5), '2.bias': (5,)}  # fmt: skip
