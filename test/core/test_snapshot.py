# SPDX-License-Identifier: Apache-2.0
"""MemorySnapshot: it checks itself, never changes, and rounds as the message does."""

import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from memory_samples import ARRAYS, TENSORS, S, fill, make_memory, recurring_scenes

from flash_vstream_ros.core.snapshot import MemorySnapshot


@pytest.fixture
def snapshot() -> MemorySnapshot:
    memory = make_memory()
    fill(memory, recurring_scenes(12))
    return memory.snapshot()


@pytest.mark.parametrize('part', TENSORS)
def test_a_part_must_be_slots_of_patches_as_wide_as_the_others(part, snapshot):
    good = getattr(snapshot, part)
    for bad in (good[..., :5], good.flatten(0, 1), good[None]):
        with pytest.raises(ValueError, match=r'expected \(slots, patches, '):
            replace(snapshot, **{part: bad})


@pytest.mark.parametrize('part', TENSORS)
def test_parts_must_have_one_type(part, snapshot):
    other = getattr(snapshot, part).half()
    with pytest.raises(ValueError, match=r'expected torch\.float\d+ .*got torch\.float\d+'):
        replace(snapshot, **{part: other})


@pytest.mark.parametrize('part', TENSORS)
def test_a_part_without_slots_does_not_go_with_frames(part, snapshot):
    with pytest.raises(ValueError, match=f'{part}: 0 slots do not go with 12 frames'):
        replace(snapshot, **{part: getattr(snapshot, part)[:0]})


def test_slots_do_not_go_with_an_empty_memory(snapshot):
    with pytest.raises(ValueError, match='slots do not go with 0 frames'):
        replace(snapshot, frames_written=0)


@pytest.mark.parametrize('name', ARRAYS)
def test_there_is_one_int64_number_for_each_slot(name, snapshot):
    good = getattr(snapshot, name)
    for bad in (good[:-1], good[:, None], good.astype(np.int32), good.astype(np.float64)):
        found = re.escape(f'{name}: expected ({len(good)},) int64, got {bad.shape} {bad.dtype}')
        with pytest.raises(ValueError, match=found):
            replace(snapshot, **{name: bad})


@pytest.mark.parametrize('memory_id', [0, -1, 2**64])
def test_an_id_out_of_range_is_refused(memory_id, snapshot):
    with pytest.raises(ValueError, match=f'memory_id: expected .*got {memory_id}'):
        replace(snapshot, memory_id=memory_id)


def test_weights_must_sum_to_the_frames(snapshot):
    with pytest.raises(ValueError, match=r'temporal_weights: .*frames_written = 13, got 12'):
        replace(snapshot, frames_written=13)


@pytest.mark.parametrize('change', [-12, -1000])
def test_every_weight_must_be_positive(change, snapshot):
    """A cluster without frames has no place in time and cannot be retrieved."""
    weights = snapshot.temporal_weights.copy()
    weights[0] += change
    weights[1] -= change
    with pytest.raises(ValueError, match='temporal_weights'):
        replace(snapshot, temporal_weights=weights)


def test_the_oldest_stamp_is_not_after_the_newest(snapshot):
    with pytest.raises(ValueError, match=f'oldest_stamp_ns: .*{12 * S}, got {12 * S + 1}'):
        replace(snapshot, oldest_stamp_ns=12 * S + 1)


def test_nothing_in_it_can_be_set(snapshot):
    with pytest.raises(FrozenInstanceError):
        snapshot.frames_written = 3
    for name in ARRAYS:
        with pytest.raises(ValueError, match='read-only'):
            getattr(snapshot, name)[0] = 1


def test_it_shares_no_storage_with_the_memory():
    memory = make_memory()
    fill(memory, recurring_scenes(12))
    snapshot = memory.snapshot()
    state = {value.untyped_storage().data_ptr() for value in memory.state_dict().values()}
    for name in TENSORS:
        assert getattr(snapshot, name).untyped_storage().data_ptr() not in state, name
    for name in ARRAYS:
        assert torch.from_numpy(getattr(snapshot, name).copy()).data_ptr() not in state


def test_tokens_come_in_the_published_order(snapshot):
    tokens = snapshot.tokens()
    sizes = [getattr(snapshot, name).shape[:2].numel() for name in TENSORS]
    parts = tokens.split(sizes)
    for name, part in zip(('abstract', 'temporal', 'retrieved', 'spatial'), parts, strict=True):
        assert torch.equal(part, getattr(snapshot, name).reshape(-1, 6)), name


def test_float16_rounds_the_parts_and_nothing_else(snapshot):
    rounded = snapshot.to_float16()
    for name in TENSORS:
        assert torch.equal(getattr(rounded, name), getattr(snapshot, name).half())
    for name in (*ARRAYS, 'frames_written', 'memory_id', 'oldest_stamp_ns', 'encoder_id'):
        assert np.array_equal(getattr(rounded, name), getattr(snapshot, name))
    assert snapshot.temporal.dtype == torch.float32
    assert torch.equal(rounded.to_float16().tokens(), rounded.tokens())


@pytest.mark.parametrize('part', TENSORS)
@pytest.mark.parametrize('value', [65_520.0, -1e9, float('nan'), float('inf')])
def test_a_value_that_does_not_fit_float16_is_refused(part, value, snapshot):
    spoiled = getattr(snapshot, part).clone()
    spoiled[0, 0, 1] = value
    with pytest.raises(ValueError, match=f'{part}: expected values within float16.*65504'):
        replace(snapshot, **{part: spoiled}).to_float16()


def test_the_key_tells_contents_and_rounding_apart(snapshot):
    other = replace(snapshot, memory_id=snapshot.memory_id % 1000 + 1)
    memory = make_memory()
    fill(memory, recurring_scenes(13))
    later = replace(memory.snapshot(), memory_id=snapshot.memory_id)
    elsewhere = replace(snapshot, encoder_id='another')
    keys = [s.key for s in (snapshot, other, later, elsewhere, snapshot.to_float16())]
    assert len(set(keys)) == 5
    assert replace(snapshot).key == snapshot.key


def test_an_empty_memory_rounds_and_has_no_tokens():
    empty = make_memory().snapshot()
    assert empty.is_empty
    assert empty.to_float16().tokens().shape == (0, 6)
