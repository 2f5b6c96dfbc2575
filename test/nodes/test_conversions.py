# SPDX-License-Identifier: Apache-2.0
"""Messages and what they carry: exact both ways; what contradicts itself is refused by name."""

import math
from array import array
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builtin_interfaces.msg import Duration, Time
from flash_vstream_ros.msg import Answer as AnswerMessage
from flash_vstream_ros.msg import MemorySnapshot as Message
from rclpy.serialization import deserialize_message, serialize_message
from robots import S, picture

from flash_vstream_ros.core.answer import Answer
from flash_vstream_ros.core.snapshot import PARTS
from flash_vstream_ros.nodes.conversions import (
    answer_to_message,
    describe_snapshot,
    message_to_snapshot,
    ns_to_time,
    ros_text,
    snapshot_to_message,
    time_to_ns,
)

STAMPS = ('temporal_first', 'temporal_last', 'temporal_mean', 'retrieved', 'spatial')


@pytest.fixture(scope='module')
def snapshots(vstream):
    """Snapshots by their number of frames."""
    memory = vstream.new_memory()
    taken = {0: memory.snapshot()}
    for number in range(1, 31):
        vstream.write(memory, picture(number), number * S + number)
        if number in (1, 2, 30):
            taken[number] = memory.snapshot()
    return taken


@pytest.mark.parametrize(
    'stamp_ns', [0, 1, S - 1, S, 5 * S + 7, 1_763_640_000_123_456_789, 2**31 * S - 1, -1, -S]
)
def test_a_stamp_survives_to_the_nanosecond(stamp_ns):
    message = ns_to_time(stamp_ns)
    assert 0 <= message.nanosec < S
    assert time_to_ns(message) == stamp_ns


@pytest.mark.parametrize('stamp_ns', [2**31 * S, -(2**31) * S - 1, 2**63])
def test_a_stamp_that_a_message_cannot_hold_is_refused(stamp_ns):
    with pytest.raises(ValueError, match=f'nanoseconds.*{stamp_ns}'):
        ns_to_time(stamp_ns)


def test_a_duration_is_read_as_a_stamp_is():
    assert time_to_ns(Duration(sec=-1, nanosec=500_000_000)) == -S // 2


@pytest.mark.parametrize('frames', [0, 1, 2, 30])
def test_a_snapshot_survives_the_wire_bit_by_bit(snapshots, frames):
    snapshot = snapshots[frames].to_float16()
    message = snapshot_to_message(snapshots[frames], Message(), 'front camera')
    received = deserialize_message(serialize_message(message), Message)
    assert received.header.frame_id == 'front camera'
    back = message_to_snapshot(received)
    assert back.key == snapshot.key
    assert back.tokens().dtype == torch.float16
    for part in PARTS:
        ours, theirs = getattr(back, part), getattr(snapshot, part)
        assert ours.shape == theirs.shape
        assert torch.equal(ours.view(torch.int16), theirs.view(torch.int16))
    for name in ('temporal_weights', *(f'{stamps}_stamps_ns' for stamps in STAMPS)):
        np.testing.assert_array_equal(getattr(back, name), getattr(snapshot, name))
    for name in ('frames_written', 'oldest_stamp_ns', 'newest_stamp_ns', 'memory_id'):
        assert getattr(back, name) == getattr(snapshot, name)


def test_a_message_says_what_its_definition_says(snapshots):
    """Read as somebody would who has only the .msg file."""
    snapshot = snapshots[30]
    message = snapshot_to_message(snapshot, Message())
    start = 0
    for part in PARTS:
        slots, side = getattr(message, f'{part}_slots'), getattr(message, f'{part}_side')
        size = slots * side * side * message.feature_width
        bits = np.array(message.features[start : start + size], dtype=np.uint16)
        values = bits.view(np.float16).reshape(slots, side * side, message.feature_width)
        np.testing.assert_array_equal(values, getattr(snapshot, part).numpy().astype(np.float16))
        start += size
    assert start == len(message.features)
    assert sum(message.temporal_weights) == message.frames_written == 30
    assert time_to_ns(message.header.stamp) == 30 * S + 30
    assert time_to_ns(message.oldest_stamp) == S + 1


def test_numbers_are_set_from_arrays_of_their_type(snapshots):
    """An ndarray or a list would be checked number by number: 1000 times slower."""
    given = SimpleNamespace(header=SimpleNamespace())  # a message would make arrays of anything
    snapshot_to_message(snapshots[30], given)
    for values, typecode in ((given.features, 'H'), (given.temporal_weights, 'Q')):
        assert isinstance(values, array)
        assert values.typecode == typecode


def test_a_snapshot_keeps_its_values_when_the_message_is_used_again(snapshots):
    message = snapshot_to_message(snapshots[30], Message())
    snapshot = message_to_snapshot(message)
    before = snapshot.tokens().clone()
    message.features[:] = array('H', bytes(2 * len(message.features)))
    assert torch.equal(snapshot.tokens(), before)


def test_a_value_beyond_float16_is_refused(snapshots):
    snapshot = snapshots[1]
    snapshot = type(snapshot)(**{**vars(snapshot), 'abstract': snapshot.abstract + 70000.0})
    with pytest.raises(ValueError, match=r'abstract.*float16.*70'):
        snapshot_to_message(snapshot, Message())


def _cut(name):
    return lambda m: setattr(m, name, getattr(m, name)[:-1])


def _set(name, value):
    return lambda m: setattr(m, name, value)


@pytest.mark.parametrize(
    ('spoil', 'field'),
    [
        (_cut('features'), 'features'),
        (_set('features', array('H')), 'features'),
        (_set('abstract_slots', 24), 'features'),
        (_set('temporal_side', 5), 'features'),
        (_set('feature_width', 41), 'features'),
        (_set('feature_width', 0), 'feature_width'),
        (_cut('temporal_weights'), 'temporal_weights'),
        (_set('temporal_weights', array('Q', [2**63, 2**63 - 29] + 23 * [1])), 'temporal_weights'),
        (_set('frames_written', 29), 'frames_written'),
        *((_cut(f'{name}_stamps'), f'{name}_stamps') for name in STAMPS),
        (_set('memory_id', 0), 'memory_id'),
        (_set('oldest_stamp', Time(sec=31)), 'oldest_stamp'),
        (_set('oldest_stamp', Time(sec=-1)), 'oldest_stamp'),
        (_set('spatial_stamps', [Time(sec=-1)]), 'spatial_stamps'),
        # What multiplying and allocating would fail at, or not come back from
        (_set('abstract_side', 2**32 - 1), 'abstract_side'),
        (_set('feature_width', 2**32 - 1), 'feature_width'),
        (lambda m: m.features.__setitem__(7, 0x7E00), 'features.*NaN'),
    ],
)
def test_a_message_that_contradicts_itself_is_refused_by_name(snapshots, spoil, field):
    message = snapshot_to_message(snapshots[30], Message())
    spoil(message)
    with pytest.raises(ValueError, match=field):
        message_to_snapshot(message)


def _answer(**values):
    default = {
        'text': 'on the table',
        'token_ids': (5, 6, 2),
        'finish_reason': 'stop',
        'mean_log_probability': -0.5,
        'choice_probabilities': (),
        'prompt_tokens': 700,
        'answer_tokens': 3,
        'time_to_first_token': 0.25,
        'total_time': 0.5,
    }
    return Answer(**default | values)


@pytest.mark.parametrize(
    ('reason', 'status'),
    [
        ('stop', AnswerMessage.OK),
        ('length', AnswerMessage.OK),
        ('choice', AnswerMessage.OK),
        ('deadline', AnswerMessage.TIMEOUT),
        ('cancelled', AnswerMessage.CANCELLED),
    ],
)
def test_an_answer_has_the_status_of_how_it_ended(reason, status):
    message = answer_to_message(_answer(finish_reason=reason))
    assert (message.status, message.finish_reason) == (status, reason)
    assert message.message == ''


def test_an_answer_is_carried_whole():
    message = answer_to_message(_answer(choice_probabilities=(0.25, 0.75)))
    assert message.text == 'on the table'
    assert list(message.choice_probabilities) == [0.25, 0.75]
    assert message.mean_log_probability == -0.5
    assert (message.prompt_tokens, message.answer_tokens) == (700, 3)
    assert (message.time_to_first_token, message.total_time) == (0.25, 0.5)
    assert answer_to_message(_answer(mean_log_probability=-math.inf)).mean_log_probability < -1e38


def test_an_answer_names_the_memory_it_speaks_of(snapshots):
    message, snapshot = AnswerMessage(), snapshots[30]
    describe_snapshot(message, snapshot)
    assert (message.frames_seen, message.memory_id) == (30, snapshot.memory_id)
    assert time_to_ns(message.oldest_stamp) == S + 1
    assert time_to_ns(message.newest_stamp) == 30 * S + 30
    assert [time_to_ns(t) for t in message.key_stamps] == snapshot.retrieved_stamps_ns.tolist()


def test_no_text_is_cut_off_at_a_zero_character():
    """A string of ROS ends there; a byte token can say it."""
    answer = answer_to_message(_answer(text='red\0 and blue'))
    received = deserialize_message(serialize_message(answer), AnswerMessage)
    assert received.text == ros_text('red\0 and blue') == 'red\ufffd and blue'
