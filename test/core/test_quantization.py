# SPDX-License-Identifier: Apache-2.0
"""Weights of 8 and 4 bits: smaller, nearly the same, and refused where they cannot be had."""

import logging
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from flash_vstream_ros.core.checkpoint import load_checkpoint
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.quantization import (
    check_quantization,
    quantization_of,
    quantized_linear,
    stored_bytes,
)
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint

pytest.importorskip('bitsandbytes')

CPU = torch.device('cpu')
WEIGHTS = 'model-00001.safetensors'
# Relative error of a product with normal weights: half a step of 255, and what 16 levels leave.
ERROR = {'int8': 0.02, 'nf4': 0.12}
BITS = {'int8': 8.0, 'nf4': 4.0}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return make_random_checkpoint(tmp_path_factory.mktemp('checkpoint') / 'random')


def snapshot_of(vstream: FlashVStream):
    memory = vstream.new_memory()
    side, width = vstream.geometry.feature_side, vstream.geometry.feature_width
    generator = torch.Generator().manual_seed(3)
    for second in range(1, 5):
        memory.write(torch.randn(side, side, width, generator=generator), second * 10**9)
    return memory.snapshot()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('quantization', ['int8', 'nf4'])
def test_a_layer_computes_nearly_the_same_from_fewer_bits(quantization, dtype, device):
    generator = torch.Generator().manual_seed(0)
    weight, x = (torch.randn(n, 256, generator=generator).to(dtype) for n in (128, 7))
    layer = quantized_linear(weight.clone(), None, quantization, device)
    found = layer(x.to(device))
    assert found.dtype == dtype
    exact = x.double() @ weight.double().T
    error = (found.double().cpu() - exact).norm() / exact.norm()
    assert 0.0 < error < ERROR[quantization]
    assert stored_bytes(layer) < 1.15 * weight.numel() * BITS[quantization] / 8 + 2000
    assert not any(parameter.requires_grad for parameter in layer.parameters())


@pytest.mark.parametrize('quantization', ['int8', 'nf4'])
def test_the_layers_of_the_language_model_are_quantized_and_nothing_else(folder, quantization):
    plain = load_checkpoint(folder, CPU, torch.float32)
    small = load_checkpoint(folder, CPU, torch.float32, quantization=quantization)
    assert small.encoder_id == plain.encoder_id
    assert quantization_of(small.language_model) == quantization
    assert quantization_of(plain.language_model) == 'none'
    layers = dict(plain.language_model.named_modules())
    changed = {
        name
        for name, module in small.language_model.named_modules()
        if type(module) is not type(layers[name])
    }
    assert changed == {
        name
        for name, module in layers.items()
        if isinstance(module, nn.Linear) and '.layers.' in name
    }
    pairs = zip(small.projector.parameters(), plain.projector.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    head = small.language_model.llama.lm_head.weight
    assert torch.equal(head, plain.language_model.llama.lm_head.weight)


@pytest.mark.parametrize('quantization', ['int8', 'nf4'])
def test_biases_of_the_layers_stay(quantization, tmp_path):
    """Whether a file has them before their weights, as here, or behind."""
    folder = make_random_checkpoint(tmp_path / 'biased', overrides={'attention_bias': True})
    tensors = load_file(folder / WEIGHTS)
    biases = [n for n in tensors if n.endswith('q_proj.bias') and n.startswith('model.layers')]
    assert biases
    tensors |= {name: torch.full_like(tensors[name], 3.0) for name in biases}
    save_file(tensors, folder / WEIGHTS)
    modules = load_checkpoint(folder, CPU, torch.float32, quantization=quantization)
    llama = modules.language_model.llama
    for layer in llama.model.layers:
        assert layer.self_attn.q_proj.bias.unique().tolist() == [3.0]
        found = layer.self_attn.q_proj(torch.zeros(1, 1, llama.config.hidden_size))
        assert found.unique().tolist() == [3.0]


@pytest.mark.parametrize('quantization', ['int8', 'nf4'])
def test_it_answers_and_its_logits_are_near(folder, quantization, caplog):
    caplog.set_level(logging.INFO)
    plain = FlashVStream.from_pretrained(folder)
    small = FlashVStream.from_pretrained(folder, quantization=quantization)
    assert f'layers in {quantization}' in caplog.text
    snapshot = snapshot_of(plain)
    ids = plain.prompt.after_memory('What is on the table?')
    logits = [
        vstream.language_model.prefill_question(vstream.prepare(snapshot), ids)[0]
        for vstream in (plain, small)
    ]
    assert torch.cosine_similarity(*logits, dim=0) > 1.0 - ERROR[quantization]
    assert not torch.equal(*logits)
    answer = small.answer(snapshot, 'What is on the table?', max_new_tokens=5)
    assert answer.answer_tokens
    chosen = small.answer(snapshot, 'Is it?', ['yes', 'no'])
    assert sum(chosen.choice_probabilities) == pytest.approx(1.0)


@pytest.mark.parametrize('quantization', ['int3', '', 'NF4'])
def test_another_kind_is_refused(folder, quantization):
    with pytest.raises(ValueError, match=r"quantization: expected one of .*'nf4'"):
        FlashVStream.from_pretrained(folder, quantization=quantization)


def test_without_its_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'bitsandbytes', None)
    words = r'bitsandbytes cannot be used here: .*install_locked\.sh python quantization'
    with pytest.raises(ValueError, match=words):
        check_quantization('int8')
    check_quantization('none')
