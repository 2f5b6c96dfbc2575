# SPDX-License-Identifier: Apache-2.0
"""What STAR memory refuses, at once or by its flag on the device, and that nothing changes."""

import math
import re

import numpy as np
import pytest
import torch
from gpu_stand_in import write_as_a_gpu
from memory_samples import (
    S,
    assert_same,
    fill,
    make_memory,
    random_features,
    recurring_scenes,
    state_bits,
)

from flash_vstream_ros.core.star_memory import StarMemory

# While filling, at the boundaries of blocks of 4, with 5 slots just full, the ring wrapped around.
COUNTS = (0, 1, 3, 4, 5, 7, 8, 11, 19, 32)
BAD_VALUES = (float('nan'), float('inf'), float('-inf'), 65_505.0, -1e30)


def spoiled(value: float) -> torch.Tensor:
    feature = random_features(1, seed=77)[0]
    feature[3, 5, 2] = value
    return feature


def assert_refused(memory: StarMemory, feature: torch.Tensor, stamp_ns: int, *said: str) -> None:
    """Refused with everything said, state and later life as if it had never been offered."""
    twin = make_memory()
    twin.load_state_dict(memory.state_dict())
    twin.newest_stamp_ns = memory.newest_stamp_ns
    before = state_bits(memory)
    with pytest.raises(ValueError, match=re.escape(said[0])) as error:
        memory.write(feature, stamp_ns)
    for words in said:
        assert words in str(error.value)
    assert state_bits(memory) == before
    for one in (memory, twin):
        fill(one, random_features(3, seed=5), 1_000_000 * S)
    assert_same(memory.snapshot(), twin.snapshot())


@pytest.mark.parametrize('value', BAD_VALUES)
@pytest.mark.parametrize('count', COUNTS)
def test_a_value_that_no_message_can_carry_is_refused_with_its_stamp(value, count):
    memory = make_memory()
    fill(memory, recurring_scenes(count))
    assert_refused(memory, spoiled(value), 500 * S, str(500 * S), 'expected finite', '65504')


def test_a_value_that_is_infinite_only_in_float32_is_refused():
    memory = make_memory()
    fill(memory, random_features(6))
    assert_refused(memory, spoiled(0.0).double() * 1e60, 500 * S, 'expected finite')


def test_the_largest_values_of_float16_are_kept():
    memory = make_memory()
    for frame in range(40):
        memory.write(spoiled(65_504.0 if frame % 2 else -65_504.0), S + frame)
        snapshot = memory.snapshot()
        assert snapshot.to_float16().tokens().isfinite().all()


@pytest.mark.parametrize('stamp', [4 * S, 4 * S - 1, S, 1])
def test_a_stamp_that_does_not_grow_is_refused_with_both_values(stamp):
    memory = make_memory()
    fill(memory, random_features(4))
    assert_refused(memory, spoiled(0.0), stamp, str(stamp), str(4 * S), 'reset')


@pytest.mark.parametrize('stamp', [0, -1, -(2**63), 2**63, 2**64])
def test_a_stamp_outside_of_the_range_is_refused(stamp):
    for count in (0, 4):
        memory = make_memory()
        fill(memory, random_features(count))
        assert_refused(memory, spoiled(0.0), stamp, f'got {stamp}')


def test_a_stamp_that_is_no_integer_is_refused():
    """Cut down to an integer, 7.9 would name another moment and compare wrongly ever after."""
    memory = make_memory()
    before = state_bits(memory)
    with pytest.raises((TypeError, ValueError)):
        memory.write(spoiled(0.0), 7.9)
    assert state_bits(memory) == before


def test_a_stamp_may_be_numpys_integer():
    memory, expected = make_memory(), make_memory()
    memory.write(spoiled(0.0), np.int64(1_763_640_000 * S))
    expected.write(spoiled(0.0), 1_763_640_000 * S)
    assert_same(memory.snapshot(), expected.snapshot())


@pytest.mark.parametrize(
    'feature',
    [
        torch.zeros(8, 8, 5),
        torch.zeros(8, 6),
        torch.zeros(1, 8, 8, 6),
        torch.zeros(8, 4, 6),
        torch.zeros(0),
        torch.zeros(8, 8, 6, dtype=torch.int64),
        torch.zeros(8, 8, 6, dtype=torch.uint8),
        torch.zeros(8, 8, 6, dtype=torch.bool),
        torch.zeros(8, 8, 6, dtype=torch.complex64),
    ],
    ids=lambda feature: f'{tuple(feature.shape)}-{feature.dtype}',
)
def test_another_shape_or_type_is_refused_with_both(feature):
    memory = make_memory()
    fill(memory, random_features(6))
    found = (str(feature.dtype), str(tuple(feature.shape)))
    assert_refused(memory, feature, 500 * S, '(8, 8, 6)', *found)


@pytest.mark.parametrize('value', BAD_VALUES)
@pytest.mark.parametrize('count', COUNTS)
def test_the_flag_of_the_device_leaves_the_state_and_is_raised_once(value, count):
    memory, twin = make_memory(), make_memory()
    for one in (memory, twin):
        fill(one, recurring_scenes(count))
    before = state_bits(memory)
    write_as_a_gpu(memory, spoiled(value), 500 * S)
    after = state_bits(memory)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {'refused_ns', 'newest_stamp_ns'}
    with pytest.raises(ValueError, match=str(500 * S)):
        memory.snapshot()
    assert_same(memory.snapshot(), twin.snapshot())
    for one in (memory, twin):
        fill(one, random_features(9, seed=5), 1_000 * S)
        assert_same(one.snapshot(), one.snapshot())
    assert_same(memory.snapshot(), twin.snapshot())


def test_frames_refused_by_the_flag_among_good_ones_leave_no_trace():
    memory, twin = make_memory(), make_memory()
    for frame, feature in enumerate(recurring_scenes(90)):
        if frame % 3 == 0:
            write_as_a_gpu(memory, spoiled(BAD_VALUES[frame % 5]), S * (2 * frame + 1))
        for one in (memory, twin):
            write_as_a_gpu(one, feature, S * (2 * frame + 2))
    with pytest.raises(ValueError, match=str(S * (2 * 87 + 1))):
        memory.snapshot()
    assert_same(memory.snapshot(), twin.snapshot())


def test_the_flag_and_the_check_at_once_refuse_the_same():
    for value in (*BAD_VALUES, 65_504.0, 0.0):
        at_once, flagged = make_memory(), make_memory()
        write_as_a_gpu(flagged, spoiled(value), S)
        try:
            at_once.write(spoiled(value), S)
        except ValueError:
            assert flagged.frames_written == 0
        else:
            assert flagged.frames_written == 1


def test_a_refused_frame_on_cuda_is_said_at_the_next_read(device):
    memory = make_memory(device=device)
    fill(memory, recurring_scenes(7).to(device))
    if device.type == 'cpu':
        write_as_a_gpu(memory, spoiled(float('nan')), 500 * S)
    else:
        memory.write(spoiled(float('nan')).to(device), 500 * S)
    with pytest.raises(ValueError, match=f'{500 * S}.*left out'):
        memory.snapshot()
    assert memory.snapshot().frames_written == 7


def test_a_reset_drops_the_flag():
    memory = make_memory()
    write_as_a_gpu(memory, spoiled(float('nan')), 500 * S)
    memory.reset()
    memory.write(spoiled(0.0), 1)
    assert memory.snapshot().newest_stamp_ns == 1


def test_a_memory_whose_newest_frame_a_gpu_refused_is_saved_and_read(tmp_path):
    memory = make_memory()
    fill(memory, random_features(5, seed=3))
    write_as_a_gpu(memory, spoiled(math.nan), 1_000 * S)
    with pytest.raises(ValueError, match='finite'):
        memory.snapshot()
    memory.save(tmp_path / 'memory')
    attention = memory._attention[0]
    again = StarMemory.load(tmp_path / 'memory', memory.geometry, attention, memory.encoder_id)
    assert_same(again.snapshot(), memory.snapshot())
    for one in (memory, again):
        fill(one, random_features(3, seed=5), 1_000_000 * S)
    assert_same(again.snapshot(), memory.snapshot())
