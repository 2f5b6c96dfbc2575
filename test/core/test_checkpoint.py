# SPDX-License-Identifier: Apache-2.0
"""Checkpoint: strict about every key, and never two copies in memory."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flash_vstream_ros.core.checkpoint import ATTENTION, PROJECTOR, TOWER, load_checkpoint
from flash_vstream_ros.core.checkpoint_files import CheckpointError
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint

CPU = torch.device('cpu')
WEIGHTS = 'model-00001.safetensors'
# One key of each module, and one of the CLIP layer that is checked but never loaded.
KEYS = (
    'model.embed_tokens.weight',
    'model.layers.1.self_attn.q_proj.weight',
    'lm_head.weight',
    f'{PROJECTOR}2.bias',
    f'{ATTENTION}q_proj.weight',
    f'{ATTENTION}out_ln.bias',
    f'{TOWER}embeddings.position_embedding.weight',
    f'{TOWER}encoder.layers.2.mlp.fc1.weight',
)


def load(folder: Path, dtype: torch.dtype = torch.float32, parts=('vision', 'language')):
    return load_checkpoint(folder, CPU, dtype, parts)


def change(folder: Path, edit: Callable[[dict], None]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


def refuses(folder: Path, *said: str, parts=('vision', 'language')) -> None:
    with pytest.raises(CheckpointError, match=re.escape(said[0])) as error:
        load(folder, parts=parts)
    for words in said:
        assert words in str(error.value)


@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('parts', [('vision', 'language'), ('vision',), ('language',)], ids=str)
def test_a_missing_key_is_named_with_its_shape_and_file(key, parts, checkpoint_copy):
    """Whichever part is loaded: half a checkpoint must not pass for a whole one."""
    shape = str(tuple(load_file(checkpoint_copy / WEIGHTS)[key].shape))
    change(checkpoint_copy, lambda tensors: tensors.pop(key))
    refuses(checkpoint_copy, key, shape, WEIGHTS, '1 keys are missing', parts=parts)


@pytest.mark.parametrize('key', KEYS)
def test_a_wrong_shape_is_named_with_both(key, checkpoint_copy):
    good = tuple(load_file(checkpoint_copy / WEIGHTS)[key].shape)
    bad = (good[0] + 1, *good[1:])
    change(checkpoint_copy, lambda tensors: tensors.update({key: torch.zeros(bad)}))
    refuses(checkpoint_copy, key, f'expected shape {good}', f'got {bad}', WEIGHTS)


@pytest.mark.parametrize(
    'key',
    ['model.layers.9.mlp.up_proj.weight', 'extra', f'{TOWER}more', f'{PROJECTOR}4.weight'],
)
def test_an_unexpected_key_is_named_with_its_file(key, checkpoint_copy):
    change(checkpoint_copy, lambda tensors: tensors.update({key: torch.zeros(2)}))
    refuses(checkpoint_copy, f'{key}: unexpected key', WEIGHTS)


def test_a_head_that_a_config_ties_to_the_embeddings_is_still_read(checkpoint_copy):
    """The published layout has both; one without a head would answer from nothing."""
    path = checkpoint_copy / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'tie_word_embeddings': True}))
    head = load(checkpoint_copy).language_model.llama.lm_head.weight
    assert torch.equal(head, load_file(checkpoint_copy / WEIGHTS)['lm_head.weight'])
    change(checkpoint_copy, lambda tensors: tensors.pop('lm_head.weight'))
    refuses(checkpoint_copy, 'lm_head.weight', '1 keys are missing')


def test_a_key_found_twice_is_named_with_both_files(checkpoint_copy):
    index = checkpoint_copy / 'model.safetensors.index.json'
    save_file({'lm_head.weight': torch.zeros(400, 64)}, checkpoint_copy / 'second.safetensors')
    weight_map = json.loads(index.read_text())['weight_map'] | {'x': 'second.safetensors'}
    index.write_text(json.dumps({'weight_map': weight_map}))
    refuses(checkpoint_copy, 'lm_head.weight: found a second time', 'second.safetensors', WEIGHTS)


def test_buffers_of_older_versions_are_not_read(checkpoint_copy):
    """transformers 4.31 saved rotary frequencies; read as weights they would be wrong numbers."""
    expected = load(checkpoint_copy)
    stale = {
        'model.layers.0.self_attn.rotary_emb.inv_freq': torch.full((8,), 9.0),
        f'{TOWER}embeddings.position_ids': torch.zeros(1, 257, dtype=torch.int64),
    }
    change(checkpoint_copy, lambda tensors: tensors.update(stale))
    found = load(checkpoint_copy)
    assert found.encoder_id == expected.encoder_id
    rotary = (m.language_model.llama.model.rotary_emb.inv_freq for m in (found, expected))
    assert torch.equal(*rotary)
    positions = found.encoder.tower.embeddings.position_ids
    assert positions.tolist() == [list(range(257))]


def test_every_parameter_is_the_checkpoints_own(tiny_checkpoint):
    tensors, modules = load_file(tiny_checkpoint / WEIGHTS), load(tiny_checkpoint)
    named = {
        TOWER: modules.encoder.tower,
        ATTENTION: modules.attention,
        PROJECTOR: modules.projector,
        '': modules.language_model.llama,
    }
    seen = set()
    for prefix, module in named.items():
        for name, parameter in module.named_parameters():
            assert torch.equal(parameter, tensors[prefix + name]), name
            assert not parameter.requires_grad
            seen.add(prefix + name)
    layer = f'{TOWER}encoder.layers.2.'
    assert tensors.keys() - seen == {key for key in tensors if key.startswith(layer)}
    for module in named.values():
        assert not module.training
        assert all(not buffer.is_meta for buffer in module.buffers())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_another_type_leaves_attention_and_rotary_in_float32(dtype, tiny_checkpoint):
    modules = load(tiny_checkpoint, dtype)
    rotary = modules.language_model.llama.model.rotary_emb
    assert rotary.inv_freq.dtype == torch.float32
    full = load(tiny_checkpoint).language_model.llama.model.rotary_emb
    assert torch.equal(rotary.inv_freq, full.inv_freq)
    assert {p.dtype for p in modules.attention.parameters()} == {torch.float32}
    for module in (modules.encoder, modules.projector, modules.language_model):
        assert {p.dtype for p in module.parameters()} == {dtype}


@pytest.mark.parametrize('part', ['vision', 'language'])
def test_only_the_part_asked_for_is_loaded(part, tiny_checkpoint):
    modules = load(tiny_checkpoint, parts=(part,))
    vision = (modules.encoder, modules.attention)
    language = (modules.projector, modules.language_model)
    wanted, other = (vision, language) if part == 'vision' else (language, vision)
    assert None not in wanted
    assert other == (None, None)


@pytest.mark.parametrize('parts', [(), ('vision', 'sound'), 'vision'])
def test_an_unknown_part_is_refused(parts, tiny_checkpoint):
    with pytest.raises(ValueError, match='parts: expected some of vision, language'):
        load(tiny_checkpoint, parts=parts)


@pytest.mark.parametrize('safetensors', [True, False], ids=['safetensors', 'bin'])
def test_the_tower_may_lie_beside_the_checkpoint(safetensors, tmp_path):
    beside = make_random_checkpoint(tmp_path / 'a', own_tower=False, safetensors=safetensors)
    inside = make_random_checkpoint(tmp_path / 'b', safetensors=safetensors)
    found, expected = load(beside), load(inside)
    assert found.encoder_id == expected.encoder_id
    pairs = zip(found.encoder.parameters(), expected.encoder.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_tower_of_a_whole_clip_is_read_without_its_text_model(tmp_path):
    folder = make_random_checkpoint(tmp_path / 'a', own_tower=False)
    tower = folder / 'vision_tower'
    tensors = load_file(tower / WEIGHTS) | {'text_model.x': torch.ones(3), 'logit': torch.ones(1)}
    save_file(tensors, tower / WEIGHTS)
    config = json.loads((tower / 'config.json').read_text())
    (tower / 'config.json').write_text(json.dumps({'vision_config': config}))
    assert load(folder).encoder is not None


def test_a_tower_as_transformers_5_saves_it_is_read(tmp_path):
    """Alone, its keys have no ``vision_model.`` in front."""
    folder = make_random_checkpoint(tmp_path / 'a', own_tower=False)
    expected = load(folder).encoder_id
    tower = folder / 'vision_tower'
    saved = {k.removeprefix('vision_model.'): v for k, v in load_file(tower / WEIGHTS).items()}
    assert not any(key.startswith('vision_model.') for key in saved)
    save_file(saved, tower / WEIGHTS)
    index = tower / 'model.safetensors.index.json'
    index.write_text(json.dumps({'weight_map': dict.fromkeys(saved, WEIGHTS)}))
    assert load(folder).encoder_id == expected


def test_a_tower_that_is_nowhere_is_named(tmp_path):
    folder = make_random_checkpoint(tmp_path / 'a', own_tower=False)
    (folder / 'vision_tower' / 'model.safetensors.index.json').unlink()
    refuses(folder, 'vision_tower', 'found none')
    shutil.rmtree(folder / 'vision_tower')
    refuses(folder, 'vision_tower')


def test_what_was_loaded_is_reported(tiny_checkpoint):
    report = load(tiny_checkpoint).report
    for words in (str(tiny_checkpoint), 'encoder', 'semantic attention', 'projector',
                  'language model', 'GB on cpu', ' s'):  # fmt: skip
        assert words in report
    assert 'language' not in load(tiny_checkpoint, parts=('vision',)).report


# Counts the memory that is the process's own: pages of a file that is only mapped do not count,
# as the system takes them back when it needs them.
WATCH = """
import sys, threading
import torch
from flash_vstream_ros.core.checkpoint import load_checkpoint

def own_bytes():
    with open('/proc/self/status') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('RssAnon')) * 1024

def watch():
    global peak
    while not done.wait(0.003):
        peak = max(peak, own_bytes())

load_checkpoint(sys.argv[1], torch.device('cpu'), torch.float32)  # imports what it needs
for folder in sys.argv[2:]:
    for dtype in (torch.float32, torch.bfloat16):
        before = peak = own_bytes()
        done = threading.Event()
        thread = threading.Thread(target=watch)
        thread.start()
        loaded = load_checkpoint(folder, torch.device('cpu'), dtype)
        done.set()
        thread.join()
        print(peak - before, own_bytes() - before)
        del loaded
"""


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='measured through /proc')
def test_loading_never_holds_two_copies(tiny_checkpoint, tmp_path):
    """A 7B model fits the memory of a robot once."""
    sizes = {'hidden_size': 1024, 'num_attention_heads': 8, 'num_key_value_heads': 8,
             'intermediate_size': 512, 'num_hidden_layers': 4, 'vocab_size': 8000}  # fmt: skip
    folders = [
        make_random_checkpoint(tmp_path / form, safetensors=form == 'st', overrides=sizes)
        for form in ('st', 'bin')
    ]
    size = sum(file.stat().st_size for file in folders[0].glob('*.safetensors'))
    assert size > 150e6
    command = [sys.executable, '-c', WATCH, *map(str, [tiny_checkpoint, *folders])]
    # Freed memory goes back to the system at once, so that each load is counted by itself.
    environment = os.environ | {'MALLOC_MMAP_THRESHOLD_': '65536', 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(found) == 4
    for copy, (peak, kept) in zip((size, size / 2) * 2, found, strict=True):
        assert peak < 1.3 * copy, found
        assert kept > 0.8 * copy, 'what is kept must have been counted'
    for folder in folders:
        shutil.rmtree(folder)
