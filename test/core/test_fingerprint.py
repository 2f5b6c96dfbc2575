# SPDX-License-Identifier: Apache-2.0
"""The encoder's fingerprint: equal where features are, and nowhere else."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flash_vstream_ros.core.checkpoint import ATTENTION, TOWER, load_checkpoint
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint

CPU = torch.device('cpu')


def fingerprint(folder: Path, dtype: torch.dtype = torch.float32, parts=('vision',)) -> str:
    return load_checkpoint(folder, CPU, dtype, parts).encoder_id


@pytest.fixture(scope='module')
def expected(tiny_checkpoint: Path) -> str:
    return fingerprint(tiny_checkpoint)


def changed(folder: Path, key: str) -> str:
    """Fingerprint after the smallest change of one number."""
    path = folder / 'model-00001.safetensors'
    tensors = load_file(path)
    flat = tensors[key].view(-1)
    flat[-1] = torch.nextafter(flat[-1], torch.tensor(9.0))
    save_file(tensors, path)
    return fingerprint(folder)


def reconfigured(folder: Path, name: str, **values: object) -> str:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return fingerprint(folder)


def test_it_is_a_short_name(expected):
    assert len(expected) == 16
    assert set(expected) <= set('0123456789abcdef')


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('parts', [('vision',), ('language',), ('vision', 'language')], ids=str)
def test_both_halves_agree_whatever_type_they_run_in(parts, dtype, tiny_checkpoint, expected):
    """A frame handler in float16 on a GPU and a question handler in float32 must meet."""
    assert fingerprint(tiny_checkpoint, dtype, parts) == expected


def test_the_form_of_the_files_does_not_matter(golden, safetensors_checkpoint):
    assert fingerprint(golden / 'checkpoint') == fingerprint(safetensors_checkpoint)


def test_it_does_not_matter_where_the_checkpoint_or_its_tower_lies(tmp_path, expected):
    for number, options in enumerate(({'own_tower': False}, {'safetensors': False})):
        folder = make_random_checkpoint(tmp_path / str(number), seed=5, **options)
        assert fingerprint(folder) == expected


def test_equal_seeds_make_equal_ones_and_others_do_not(tmp_path, expected):
    assert fingerprint(make_random_checkpoint(tmp_path / 'a', seed=5)) == expected
    assert fingerprint(make_random_checkpoint(tmp_path / 'b', seed=6)) != expected


@pytest.mark.parametrize(
    'key',
    [
        f'{TOWER}embeddings.patch_embedding.weight',
        f'{TOWER}encoder.layers.1.mlp.fc2.bias',
        f'{ATTENTION}q_proj.weight',
        f'{ATTENTION}k_proj.bias',
    ],
)
def test_one_number_of_the_encoder_or_attention_changes_it(key, checkpoint_copy, expected):
    assert changed(checkpoint_copy, key) != expected


@pytest.mark.parametrize('key', ['lm_head.weight', 'model.mm_projector.0.weight'])
def test_the_language_half_does_not_change_it(key, checkpoint_copy, expected):
    """A memory stays readable when the language model is trained on."""
    assert changed(checkpoint_copy, key) == expected


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('video_long_memory_length', 24),
        ('video_Turing_memory_length', 30),
        ('video_feature_buffer_length', 299),
        ('video_retrieved_memory_length', 2),
        ('compress_Turing_update_ratio', 0.21),
        ('compress_size', 4),
        ('mm_vision_select_layer', -1),
    ],
)
def test_another_geometry_or_layer_changes_it(key, value, checkpoint_copy, expected):
    assert reconfigured(checkpoint_copy, 'config.json', **{key: value}) != expected


@pytest.mark.parametrize(
    ('key', 'value'),
    [('hidden_act', 'gelu'), ('num_attention_heads', 2), ('layer_norm_eps', 1e-3)],
)
def test_another_tower_of_the_same_shapes_changes_it(key, value, checkpoint_copy, expected):
    """Each of these changes every feature, and none of them a single weight."""
    assert reconfigured(checkpoint_copy, 'vision_tower/config.json', **{key: value}) != expected


def test_another_name_of_the_same_tower_does_not_change_it(checkpoint_copy, expected):
    shutil.move(checkpoint_copy / 'vision_tower', checkpoint_copy / 'clip')
    assert reconfigured(checkpoint_copy, 'config.json', mm_vision_tower='clip') == expected
