# SPDX-License-Identifier: Apache-2.0
import json
import resource
from collections.abc import Iterator

import pytest
import torch

from flash_vstream_ros.core.checkpoint_files import read_tensors
from flash_vstream_ros.core.checkpoint_saving import write_description, write_tensors


def tensors(value: float, count: int = 4) -> list[tuple[str, torch.Tensor]]:
    return [(f'key{i}', torch.full((1000,), value + i)) for i in range(count)]


def held(folder) -> dict[str, float]:
    return {key: tensor[0].item() for key, tensor, _ in read_tensors(folder)}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr('flash_vstream_ros.core.checkpoint_saving._SHARD_BYTES', 5000)


@pytest.mark.parametrize('safetensors', [True, False])
def test_what_was_written_is_read(tmp_path, small_shards, safetensors):
    write_tensors(tmp_path, tensors(1.0), safetensors)
    assert held(tmp_path) == {'key0': 1.0, 'key1': 2.0, 'key2': 3.0, 'key3': 4.0}
    assert len(list(tmp_path.iterdir())) == 3  # two shards and their index


def test_new_weights_take_the_place_of_old_ones_and_leave_nothing_of_them(tmp_path, small_shards):
    for value in (1.0, 20.0, 300.0):
        write_tensors(tmp_path, tensors(value, 6 if value < 10 else 4))
        assert held(tmp_path)['key1'] == value + 1
    assert len(list(tmp_path.iterdir())) == 3


def test_old_weights_stay_until_the_index_names_the_new_ones(tmp_path, small_shards):
    """A kill at any moment before: the checkpoint read afterwards is the old one, whole."""
    write_tensors(tmp_path, tensors(1.0))
    seen = []

    def slowly() -> Iterator[tuple[str, torch.Tensor]]:
        for item in tensors(50.0):
            seen.append(held(tmp_path))
            yield item

    write_tensors(tmp_path, slowly())
    assert all(state['key3'] == 4.0 for state in seen)
    assert held(tmp_path)['key3'] == 53.0


def test_a_tensor_that_cannot_be_made_leaves_the_old_weights(tmp_path, small_shards):
    write_tensors(tmp_path, tensors(1.0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken() -> Iterator[tuple[str, torch.Tensor]]:
        yield from tensors(9.0)
        raise KeyError('key4')

    with pytest.raises(KeyError):
        write_tensors(tmp_path, broken())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_weights_may_be_read_by_whom_other_files_may_be_read_by(tmp_path):
    (tmp_path / 'other').touch()
    write_tensors(tmp_path, tensors(1.0))
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_what_a_kill_left_is_cleared_away(tmp_path, small_shards):
    write_tensors(tmp_path, tensors(1.0))
    for name in ('model-b-00001.safetensors', 'model-b-00007.safetensors'):
        (tmp_path / name).write_bytes(b'half')
    for name in ('.model.safetensors.index.json.0a1b2c3d.part', '.tmpaB3xY9'):
        (tmp_path / name).write_bytes(b'{')
    write_tensors(tmp_path, tensors(5.0))
    assert held(tmp_path)['key3'] == 8.0
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize('safetensors', [True, False])
def test_a_full_disk_leaves_the_old_weights(tmp_path, safetensors):
    """Files are limited in size, which fails as a full disk does: in the middle of a write."""
    write_tensors(tmp_path, tensors(1.0), safetensors)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r'could not be written.*before is unharmed'):
            write_tensors(tmp_path, tensors(5.0), safetensors)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_description_names_a_tower_only_where_it_has_one(tmp_path):
    config = {'mm_vision_tower': 'tower', 'a': 1}
    write_description(tmp_path / 'one', config, {'b': 2}, b'pieces')
    assert json.loads((tmp_path / 'one/config.json').read_text()) == config
    assert json.loads((tmp_path / 'one/tower/config.json').read_text()) == {'b': 2}
    assert (tmp_path / 'one/tokenizer.model').read_bytes() == b'pieces'
    write_description(tmp_path / 'two', config, None, b'pieces')
    assert not (tmp_path / 'two/tower').exists()
