# SPDX-License-Identifier: Apache-2.0
import json
import shutil

import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from flash_vstream_ros.core.checkpoint_files import CheckpointError, read_tensors
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.training.assembling import assemble_checkpoint

VISION = {
    'hidden_size': 40,
    'intermediate_size': 80,
    'num_hidden_layers': 3,
    'num_attention_heads': 4,
    'image_size': 64,
    'patch_size': 4,
}
TEXT = {
    'hidden_size': 16,
    'intermediate_size': 32,
    'num_hidden_layers': 1,
    'num_attention_heads': 2,
    'vocab_size': 50,
}


def save_llama(folder, checkpoint, tied):
    torch.manual_seed(1)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=400,
        tie_word_embeddings=tied,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    shutil.copy(checkpoint / 'tokenizer.model', folder)
    return folder


@pytest.fixture(params=['tied', 'untied'])
def llama(request, tmp_path, checkpoint):
    return save_llama(tmp_path / 'llama', checkpoint, request.param == 'tied')


def save_clip(folder, whole):
    torch.manual_seed(2)
    if whole:
        CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT)).save_pretrained(folder)
    else:
        CLIPVisionModel(CLIPVisionConfig(**VISION)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize('whole', [True, False])
def test_the_parts_are_taken_as_they_are(llama, tmp_path, whole):
    clip = save_clip(tmp_path / 'clip', whole)
    assemble_checkpoint(tmp_path / 'new', llama, clip, {}, 0)
    vstream = FlashVStream.from_pretrained(tmp_path / 'new')
    assert (vstream.geometry.tokens, vstream.geometry.feature_side) == (681, 16)
    reference = LlamaForCausalLM.from_pretrained(llama)
    ids = torch.tensor([[1, 5, 9, 7]])
    assert torch.equal(vstream.language_model.llama(ids).logits, reference(ids).logits)
    state = CLIPVisionModel.from_pretrained(clip).state_dict()
    name = 'encoder.layers.1.mlp.fc1.weight'
    assert torch.equal(vstream.encoder.tower.state_dict()[name], state[name])


def test_sizes_of_the_memory_can_be_chosen(llama, tmp_path):
    sizes = {'compress_size': 4, 'compress_long_memory_size': 2, 'video_long_memory_length': 9}
    sizes |= {'video_retrieved_memory_length': 2, 'compress_Turing_hidden_dim': 8}
    assemble_checkpoint(tmp_path / 'new', llama, save_clip(tmp_path / 'clip', False), sizes, 0)
    vstream = FlashVStream.from_pretrained(tmp_path / 'new')
    assert vstream.geometry.tokens == 25 + 9 * 4 + (2 + 1) * 16
    assert vstream.attention.q_proj.out_features == 8


def test_what_is_new_depends_on_the_seed_alone(checkpoint, tmp_path):
    llama = save_llama(tmp_path / 'llama', checkpoint, tied=False)
    clip = save_clip(tmp_path / 'clip', False)
    held = []
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        torch.manual_seed(len(held))  # a stranger's
        assemble_checkpoint(tmp_path / name, llama, clip, {}, seed)
        held.append({key: tensor for key, tensor, _ in read_tensors(tmp_path / name)})
    first, again, other = held
    assert all(torch.equal(first[key], again[key]) for key in first)
    differing = {key for key in first if not torch.equal(first[key], other[key])}
    assert {key.rsplit('.', 2)[0] for key in differing} == {
        'model.mm_projector',
        'model.attention_model',
    }


def change(folder, **values):
    path = folder / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ('harm', 'words'),
    [
        (lambda llama, clip: change(llama, model_type='mistral'), 'expected llama, got .mistral'),
        (lambda llama, clip: change(clip, model_type='siglip'), 'CLIP, got model_type .siglip'),
        (lambda llama, clip: (llama / 'tokenizer.model').unlink(), 'tokenizer is missing'),
        (lambda llama, clip: change(llama, num_hidden_layers=3), 'layers.2.*no such key'),
        (lambda llama, clip: change(llama, num_hidden_layers=1), 'layers.1.*expected shape None'),
        (lambda llama, clip: change(clip, intermediate_size=90), r'expected shape \(90,'),
        (lambda llama, clip: (llama / 'model.safetensors').unlink(), 'found none'),
    ],
)
def test_parts_that_make_no_model_are_refused(checkpoint, tmp_path, harm, words):
    llama = save_llama(tmp_path / 'llama', checkpoint, tied=False)
    clip = save_clip(tmp_path / 'clip', False)
    harm(llama, clip)
    with pytest.raises(CheckpointError, match=words):
        assemble_checkpoint(tmp_path / 'new', llama, clip, {}, 0)
    assert not list((tmp_path / 'new').glob('*.safetensors*'))


def test_an_unknown_size_is_refused(llama, tmp_path):
    clip = save_clip(tmp_path / 'clip', False)
    with pytest.raises(CheckpointError, match=r'compress_size.*got .*compres_size'):
        assemble_checkpoint(tmp_path / 'new', llama, clip, {'compres_size': 4}, 0)
