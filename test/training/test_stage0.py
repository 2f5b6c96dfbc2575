# SPDX-License-Identifier: Apache-2.0
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.training import patrol_tokenizer
from flash_vstream_ros.training.stage0 import EncoderJob, read_stage0_config, train_stage0

RECIPE = Path(__file__).parents[2] / 'models/patrol-tiny/stage0.yaml'
SMALL = """
out: {out}
steps: 2
global_batch: 1
micro_batch: 1
patrols: 1
patrol_seconds: 60
vision: {{hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2,
  image_size: 32, patch_size: 8}}
model: {{hidden_size: 64, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2,
  num_key_value_heads: 2, vocab_size: 700, mm_vision_select_layer: -1, compress_size: 4,
  compress_long_memory_size: 2, video_long_memory_length: 4, video_Turing_memory_length: 2}}
learning_rate: 0.01
"""


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('stage0')
    (folder / 'config.yaml').write_text(SMALL.format(out=folder / 'run'))
    train_stage0(read_stage0_config(folder / 'config.yaml', {'stage': 0}))
    return folder / 'run'


def test_the_checkpoint_sees_and_speaks(run):
    vstream = FlashVStream.from_pretrained(run / 'checkpoint')
    memory = vstream.new_memory()
    vstream.write(memory, np.zeros((24, 32, 3), np.uint8), 1)
    answer = vstream.answer(memory.snapshot(), 'Where is the robot now?', max_new_tokens=3)
    assert answer.answer_tokens


def test_the_encoder_in_it_is_the_trained_one(run):
    vstream = FlashVStream.from_pretrained(run / 'checkpoint')
    state = next((run / 'state').glob('step-*/model.safetensors'))
    from safetensors.torch import load_file

    trained = load_file(state)
    for name, parameter in vstream.encoder.tower.named_parameters():
        assert torch.equal(parameter, trained[f'encoder.tower.{name}']), name


def test_the_language_model_starts_with_wide_embeddings_and_quiet_layers(run):
    llama = FlashVStream.from_pretrained(run / 'checkpoint').language_model.llama
    for weight in (llama.model.embed_tokens.weight, llama.lm_head.weight):
        assert weight.std().item() == pytest.approx(64**-0.5, rel=0.1)
    for weight in llama.model.layers[0].parameters():
        if weight.ndim == 2:
            assert weight.std().item() == pytest.approx(0.3 * 64**-0.5, rel=0.1)
        else:
            assert torch.equal(weight, torch.ones_like(weight)), 'norms are as they were'


def test_a_finished_run_is_not_trained_again(run):
    before = (run / 'checkpoint/model.safetensors.index.json').stat().st_mtime_ns
    config = read_stage0_config(run.parent / 'config.yaml', {'stage': 0})
    train_stage0(config)
    assert (run / 'checkpoint/model.safetensors.index.json').stat().st_mtime_ns == before


@pytest.mark.parametrize(
    'changes',
    [
        {'model': {'video_Turing_memory_length': 3}},
        {'vision': {'num_attention_heads': 4}},
    ],
)
def test_another_model_in_the_folder_is_not_overwritten(run, tmp_path, changes):
    """As is left where one removes the state of a run only, and trains with other sizes."""
    shutil.copytree(run / 'checkpoint', tmp_path / 'run/checkpoint')
    path = tmp_path / 'config.yaml'
    path.write_text(SMALL.format(out=tmp_path / 'run'))
    config = yaml.safe_load(path.read_text())
    overrides = {name: config[name] | values for name, values in changes.items()}
    overrides |= {'frames': str(run / 'frames'), 'steps': 1}
    with pytest.raises(FileExistsError, match=rf'another model lies here.*remove {tmp_path}/run'):
        train_stage0(read_stage0_config(path, overrides))
    vstream = FlashVStream.from_pretrained(tmp_path / 'run/checkpoint')
    assert vstream.geometry.abstract_slots == 2


@pytest.mark.parametrize(
    ('key', 'value', 'words'),
    [
        ('parts_side', 3, 'parts_side: expected a divisor of 4.*got 3'),
        ('parts_side', 9, 'parts_side: expected a divisor of 4.*got 9'),
        ('model', 5, 'model: expected keys and values, got 5'),
        ('vision', [16], 'vision: expected keys and values'),
        ('model', {'vocab_size': -5}, 'makes no model'),
        ('model', {'vocab_size': 20}, 'vocab_size: no tokenizer of 20 pieces'),
        ('vision', {'hidden_size': 'abc'}, 'hidden_size'),
        ('vision', {'hidden_act': 'none'}, 'makes no model'),
    ],
)
def test_sizes_that_make_no_model_are_said(tmp_path, monkeypatch, key, value, words):
    monkeypatch.setattr(patrol_tokenizer, 'PATROLS', 1)
    path = tmp_path / 'config.yaml'
    path.write_text(SMALL.format(out=tmp_path / 'run'))
    if isinstance(value, dict):
        value = yaml.safe_load(path.read_text())[key] | value
    with pytest.raises(ValueError, match=words):
        EncoderJob(read_stage0_config(path, {key: value}))


@pytest.mark.parametrize(
    ('first', 'patrols'), [(999_999, 2), (1_000_000, 1), (2_000_000, 40), (400_000, 600_001)]
)
def test_patrols_that_models_are_tested_on_are_not_trained_on(tmp_path, first, patrols):
    (tmp_path / 'a.yaml').write_text('out: x\n')
    values = {'stage': 0, 'first_patrol': first, 'patrols': patrols}
    words = (
        rf'expected seeds that are trained on, 0 to 999999, got {first} to {first + patrols - 1}'
    )
    with pytest.raises(ValueError, match=words):
        read_stage0_config(tmp_path / 'a.yaml', values)
    read_stage0_config(tmp_path / 'a.yaml', values | {'first_patrol': 999_999, 'patrols': 1})


def test_the_recipe_in_the_box_can_be_read():
    config = read_stage0_config(RECIPE, {'stage': 0})
    assert config.vision['image_size'] == 96
    assert config.steps > 0


def test_an_unknown_key_is_named(tmp_path):
    (tmp_path / 'a.yaml').write_text('out: x\npatrol: 3\n')
    with pytest.raises(ValueError, match=r"unknown key 'patrol'.*did you mean patrols"):
        read_stage0_config(tmp_path / 'a.yaml', {'stage': 0})
