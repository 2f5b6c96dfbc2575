# SPDX-License-Identifier: Apache-2.0
"""A language model small enough for tests."""

import torch
from transformers import LlamaConfig

from flash_vstream_ros.core.language_model import LanguageModel

WIDTH, VOCABULARY = 32, 50


def small_language_model() -> LanguageModel:
    """Two layers with weights large enough that every token matters, and grouped heads."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        pad_token_id=0,
        eos_token_id=None,
    )
    generator = torch.Generator().manual_seed(0)
    model = LanguageModel(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if 'norm' not in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model
