# SPDX-License-Identifier: Apache-2.0
"""What is saved with a memory and can be done without."""

from pathlib import Path

import pytest
import torch
from memory_samples import SMALL, fill, make_attention, make_memory, recurring_scenes, state_bits

from flash_vstream_ros.core.memory_file import MemoryFileError, read_attached, read_notes
from flash_vstream_ros.core.star_memory import StarMemory

ATTACHED = {
    'pictures': torch.arange(100, dtype=torch.uint8),
    'poses of map': torch.tensor([[1.0, 2.5]], dtype=torch.float64),
    'none': torch.zeros(0, 3),
}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[StarMemory, Path]:
    memory = make_memory()
    fill(memory, recurring_scenes(20))
    memory.save(tmp_path / 'memory', {'frame_id': 'lens'}, ATTACHED)
    return memory, tmp_path / 'memory'


def load(path: Path) -> StarMemory:
    return StarMemory.load(path, SMALL, make_attention(SMALL.feature_width), 'encoder')


def test_it_comes_back_and_the_memory_is_as_without_it(saved) -> None:
    memory, path = saved
    assert state_bits(load(path)) == state_bits(memory)
    assert read_notes(path) == {'frame_id': 'lens'}
    attached = read_attached(path)
    assert attached.keys() == ATTACHED.keys()
    for name, tensor in ATTACHED.items():
        assert attached[name].dtype == tensor.dtype
        assert torch.equal(attached[name], tensor)


def test_a_memory_without_anything_has_nothing_attached(tmp_path: Path) -> None:
    make_memory().save(tmp_path / 'memory')
    assert read_attached(tmp_path / 'memory') == {}


def test_an_empty_column_of_a_table_is_attached(tmp_path: Path) -> None:
    """As the stamps of the pictures of a memory that has none."""
    column = torch.zeros(3, 2, dtype=torch.int64)[:, 0][3:]
    make_memory().save(tmp_path / 'memory', attached={'stamps': column})
    assert read_attached(tmp_path / 'memory')['stamps'].shape == (0,)


def test_damage_to_what_is_attached_is_damage_to_the_file(saved) -> None:
    _, path = saved
    data = bytearray(path.read_bytes())
    at = data.index(ATTACHED['pictures'].numpy().tobytes())
    data[at + 50] ^= 1
    path.write_bytes(data)
    with pytest.raises(MemoryFileError, match='damaged'):
        load(path)


def test_a_type_that_numpy_does_not_have_is_refused(tmp_path: Path) -> None:
    attached = {'pictures': torch.zeros(3, dtype=torch.bfloat16)}
    make_memory().save(tmp_path / 'memory', attached=attached)
    with pytest.raises(MemoryFileError, match=r'attached: pictures.*expected one of .*got BF16'):
        load(tmp_path / 'memory')
