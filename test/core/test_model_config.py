# SPDX-License-Identifier: Apache-2.0
"""config.json: what cannot be served is refused by name; the tower is found where it lies."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionConfig

from flash_vstream_ros.core.checkpoint import load_checkpoint
from flash_vstream_ros.core.checkpoint_files import CheckpointError, read_json
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.model_config import (
    KNOWN_TOWERS,
    ModelConfig,
    find_vision_tower,
    load_geometry,
)


def config_of(golden: Path) -> dict:
    return json.loads((golden / 'checkpoint' / 'config.json').read_text())


@pytest.fixture
def vision(golden) -> CLIPVisionConfig:
    return find_vision_tower(config_of(golden), golden / 'checkpoint')[1]


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('model_type', 'llama'),
        ('model_type', None),
        ('mm_projector_type', 'linear'),
        ('mm_vision_select_feature', 'cls_patch'),
        ('compress_type', 'max'),
        ('mm_hidden_size', 1024),
        ('compress_Turing_memory_size', 2),
        ('video_long_memory_length', 0),
        ('compress_size', 5),
    ],
)
def test_what_cannot_be_served_is_refused_with_both_values(key, value, golden, vision):
    good = config_of(golden)
    with pytest.raises(CheckpointError, match=r'config\.json') as error:
        ModelConfig.from_dict(good | {key: value}, vision)
    assert str(value) in str(error.value)


@pytest.mark.parametrize(
    'key', ['model_type', 'mm_projector_type', 'mm_vision_select_feature', 'compress_type',
            'mm_hidden_size', 'video_long_memory_length', 'compress_size'])  # fmt: skip
def test_a_missing_value_is_refused_by_name(key, golden, vision):
    config = config_of(golden)
    del config[key]
    with pytest.raises(CheckpointError, match=rf'config\.json.*{key}'):
        ModelConfig.from_dict(config, vision)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('hidden_size', '64'),
        ('hidden_size', 63),
        ('num_hidden_layers', None),
        ('mm_vision_select_layer', '-2'),
        ('mm_vision_select_layer', 9),
        ('compress_Turing_hidden_dim', 'wide'),
        ('video_long_memory_length', '25'),
        ('compress_Turing_update_ratio', '0.2'),
    ],
)
def test_a_config_that_makes_no_model_is_a_checkpoint_error(key, value, checkpoint_copy):
    """However the libraries below put it: who loads a model catches one kind of error."""
    path = checkpoint_copy / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CheckpointError, match=re.escape(key) + '|config'):
        load_checkpoint(checkpoint_copy, torch.device('cpu'), torch.float32)


def test_the_published_config_makes_the_published_sizes():
    published = {
        'model_type': 'vstream', 'mm_projector_type': 'mlp2x_gelu', 'compress_type': 'mean',
        'mm_vision_select_feature': 'patch', 'mm_hidden_size': 1024, 'hidden_size': 4096,
        'num_hidden_layers': 32, 'num_attention_heads': 32, 'vocab_size': 32000,
        'mm_vision_tower': 'openai/clip-vit-large-patch14', 'mm_vision_select_layer': -2,
        'compress_size': 8, 'compress_long_memory_size': 4, 'compress_Turing_memory_size': 1,
        'compress_Turing_update_ratio': 0.2, 'video_long_memory_length': 25,
        'video_Turing_memory_length': 25, 'video_current_memory_length': 1,
    }  # fmt: skip
    folder, vision = find_vision_tower(published, Path('/no/such/folder'))
    assert folder is None, 'built in: no network is needed for the sizes of a known tower'
    config = ModelConfig.from_dict(published, vision)
    assert config.geometry == MemoryGeometry(feature_width=1024)
    assert (config.geometry.tokens, config.select_layer, config.attention_width) == (681, -2, 32)
    assert (vision.num_hidden_layers, vision.image_size, vision.patch_size) == (24, 224, 14)
    assert vision.hidden_act == 'quick_gelu'


def test_the_tower_is_found_relative_to_the_checkpoint(golden, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder, vision = find_vision_tower(config_of(golden), golden / 'checkpoint')
    assert folder == (golden / 'clip').resolve()
    assert vision.hidden_size == 40


def test_a_tower_in_an_absolute_folder_is_found(golden, tmp_path):
    shutil.copytree(golden / 'clip', tmp_path / 'elsewhere')
    config = config_of(golden) | {'mm_vision_tower': str(tmp_path / 'elsewhere')}
    assert find_vision_tower(config, golden / 'checkpoint')[0] == tmp_path / 'elsewhere'


def test_a_folder_beside_wins_over_a_known_name(golden, tmp_path):
    name = next(iter(KNOWN_TOWERS))
    shutil.copytree(golden / 'clip', tmp_path / name)
    config = config_of(golden) | {'mm_vision_tower': name}
    assert find_vision_tower(config, tmp_path)[1].hidden_size == 40


@pytest.mark.parametrize('name', [None, '', 3])
def test_a_tower_without_a_name_is_refused(name, golden):
    with pytest.raises(CheckpointError, match=f'mm_vision_tower: .*{name!r}'):
        find_vision_tower(config_of(golden) | {'mm_vision_tower': name}, golden)


def test_a_tower_that_is_nowhere_is_named(golden):
    config = config_of(golden) | {'mm_vision_tower': '../no such tower'}
    with pytest.raises(CheckpointError, match=r'\.\./no such tower'):
        find_vision_tower(config, golden)


def test_the_sizes_can_be_had_without_the_weights(golden, tmp_path):
    shutil.copytree(golden / 'clip', tmp_path / 'clip')
    (tmp_path / 'checkpoint').mkdir()
    shutil.copy(golden / 'checkpoint' / 'config.json', tmp_path / 'checkpoint')
    assert load_geometry(tmp_path / 'checkpoint') == MemoryGeometry(feature_width=40)
    with pytest.raises(CheckpointError, match=r'config\.json: the file is missing'):
        load_geometry(tmp_path / 'clip' / '..')


def test_a_config_without_json_is_named(tmp_path):
    (tmp_path / 'config.json').write_text('[')
    with pytest.raises(CheckpointError, match=r'config\.json'):
        load_geometry(tmp_path)
    with pytest.raises(CheckpointError, match=r'config\.json'):
        read_json(tmp_path / 'config.json')
