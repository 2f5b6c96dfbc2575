# SPDX-License-Identifier: Apache-2.0
"""Random checkpoints: the published layout, repeatable, of every size."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from memory_samples import S, assert_same
from transformers import CLIPVisionConfig

from flash_vstream_ros.core.checkpoint import TOWER, expected_shapes
from flash_vstream_ros.core.checkpoint_files import read_tensors
from flash_vstream_ros.core.model_config import ModelConfig
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import (
    SIZES,
    make_random_checkpoint,
    published_config,
    random_vstream,
)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob('*'))
        if file.is_file()
    }


@pytest.mark.parametrize('safetensors', [True, False], ids=['safetensors', 'bin'])
@pytest.mark.parametrize('own_tower', [True, False], ids=['inside', 'beside'])
def test_it_is_loaded_and_answers(safetensors, own_tower, tmp_path):
    folder = make_random_checkpoint(
        tmp_path / 'new' / 'folder', safetensors=safetensors, own_tower=own_tower
    )
    vstream = FlashVStream.from_pretrained(folder)
    memory = vstream.new_memory()
    frames = np.random.default_rng(0).integers(0, 256, (4, 60, 80, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        vstream.write(memory, frame, S * (1 + index))
    answer = vstream.answer(memory.snapshot(), 'What is it?', max_new_tokens=4)
    assert 1 <= answer.answer_tokens <= 4
    assert answer.prompt_tokens > len(memory.snapshot().tokens())


def test_answers_depend_on_the_memory(tiny_checkpoint):
    """A model that ignored its memory would pass every test of the path from frame to answer."""
    vstream, answers = FlashVStream.from_pretrained(tiny_checkpoint), set()
    for seed in range(8):
        memory = vstream.new_memory()
        frame = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        vstream.write(memory, frame // (1 + seed), S)
        answers.add(vstream.answer(memory.snapshot(), 'What is it?', max_new_tokens=12).token_ids)
    assert len(answers) > 2


def test_equal_seeds_make_equal_files(tmp_path):
    folders = [
        make_random_checkpoint(tmp_path / name, seed=seed)
        for name, seed in (('a', 1), ('b', 1), ('c', 2))
    ]
    first, again, other = map(digests, folders)
    assert first == again
    differing = {name for name in first if first[name] != other[name]}
    assert differing == {'model-00001.safetensors'}


def test_both_forms_hold_the_same_tensors(tmp_path):
    forms = [make_random_checkpoint(tmp_path / str(form), safetensors=form) for form in (0, 1)]
    binary, safe = ({key: t for key, t, _ in read_tensors(folder)} for folder in forms)
    assert binary.keys() == safe.keys()
    assert all(torch.equal(binary[key], safe[key]) for key in safe)


def test_its_keys_are_those_of_the_golden_checkpoint(golden, tiny_checkpoint):
    """Llama's, projector's, attention's, CLIP's: by name, but for the number of layers."""

    def names(folder: Path) -> set[str]:
        keys = {key for key, _, _ in read_tensors(folder)}
        tower = (key.removeprefix('vision_model.') for key, _, _ in read_tensors(golden / 'clip'))
        keys |= {TOWER + key for key in tower}
        return {key for key in keys if 'inv_freq' not in key and 'position_ids' not in key}

    assert names(tiny_checkpoint) == names(golden / 'checkpoint')


def test_the_full_size_has_the_published_shapes():
    config, vision = published_config('7b')
    shapes = expected_shapes(ModelConfig.from_dict(config, CLIPVisionConfig(**vision)))
    assert len(shapes) == 728 - 32, 'without the rotary frequencies'
    assert len([key for key in shapes if key.startswith(TOWER)]) == 391
    assert shapes['model.embed_tokens.weight'] == (32000, 4096)
    assert shapes[f'{TOWER}embeddings.position_embedding.weight'] == (257, 1024)
    parameters = sum(torch.Size(shape).numel() for shape in shapes.values())
    assert 14.0e9 < 2 * parameters < 14.2e9, 'bytes in bfloat16'


@pytest.mark.parametrize('size', SIZES)
def test_every_size_has_a_config_that_makes_a_model(size):
    config, vision = published_config(size)
    model = ModelConfig.from_dict(config, CLIPVisionConfig(**vision))
    assert model.geometry.tokens == 681
    assert model.geometry.feature_side == 16
    head = expected_shapes(model)['lm_head.weight']
    assert head == (config['vocab_size'], config['hidden_size'])


def test_an_unknown_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"size: expected one of .*tiny.*got 'huge'"):
        make_random_checkpoint(tmp_path, 'huge')
    assert not list(tmp_path.iterdir())


def test_overrides_change_the_model(tmp_path):
    folder = make_random_checkpoint(
        tmp_path, overrides={'num_hidden_layers': 1, 'video_long_memory_length': 7}
    )
    assert json.loads((folder / 'config.json').read_text())['num_hidden_layers'] == 1
    vstream = FlashVStream.from_pretrained(folder)
    assert vstream.geometry.temporal_slots == 7
    assert len(vstream.language_model.llama.model.layers) == 1


def test_a_type_is_kept_in_the_file(tmp_path):
    folder = make_random_checkpoint(tmp_path, dtype=torch.bfloat16)
    assert {tensor.dtype for _, tensor, _ in read_tensors(folder)} == {torch.bfloat16}
    assert FlashVStream.from_pretrained(folder).projector[0].weight.dtype == torch.float32


def test_large_tensors_are_spread_over_files(tmp_path, monkeypatch):
    monkeypatch.setattr('flash_vstream_ros.core.checkpoint_saving._SHARD_BYTES', 200_000)
    folder = make_random_checkpoint(tmp_path / 'many', seed=5)
    files = list(folder.glob('*.safetensors'))
    assert len(files) > 3
    assert FlashVStream.from_pretrained(folder).encoder_id


def test_a_model_made_in_memory_is_that_of_the_file(tmp_path):
    vstream = random_vstream('tiny', torch.device('cpu'), torch.float32, seed=3)
    loaded = FlashVStream.from_pretrained(make_random_checkpoint(tmp_path, seed=3))
    assert vstream.encoder_id == loaded.encoder_id
    frame, snapshots = np.full((50, 60, 3), 90, np.uint8), []
    for one in (vstream, loaded):
        memory = one.new_memory()
        one.write(memory, frame, S)
        snapshots.append(memory.snapshot())
    assert_same(*snapshots)
    answers = [one.answer(snapshots[0], 'What?', max_new_tokens=6) for one in (vstream, loaded)]
    assert answers[0].token_ids == answers[1].token_ids
