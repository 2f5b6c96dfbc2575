# SPDX-License-Identifier: Apache-2.0
"""Any MemorySnapshot message is the memory it says, or is refused by the name of a field."""

from array import array

import numpy as np
import pytest
import torch
from damage import outcome
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('rclpy', reason='ROS is not here')
from builtin_interfaces.msg import Time
from flash_vstream_ros.msg import MemorySnapshot as Message

from flash_vstream_ros.core.model_config import LARGEST_SIZE
from flash_vstream_ros.core.snapshot import PARTS, MemorySnapshot
from flash_vstream_ros.nodes.conversions import message_to_snapshot, snapshot_to_message

SIZES = ('feature_width', *(f'{part}_{what}' for part in PARTS for what in ('slots', 'side')))
STAMPS = [f'{name}_stamps' for name in ('temporal_first', 'temporal_last', 'temporal_mean')]
STAMPS += ['retrieved_stamps', 'spatial_stamps']
FIELDS = (*SIZES, *STAMPS, 'header', 'oldest_stamp', 'temporal_weights', 'features')
NUMBERS = ('memory_id', 'frames_written')
# What has most to be wrong in is chosen most often.
KINDS = [SIZES, STAMPS, STAMPS, ('header', 'oldest_stamp'), ('temporal_weights',), ('features',)]
KINDS += [('features',), NUMBERS]
FIELD = st.sampled_from(KINDS).flatmap(st.sampled_from)
TIMES = st.builds(
    Time,
    sec=st.integers(-2, 9) | st.integers(-(2**31), 2**31 - 1),
    nanosec=st.integers(0, 9) | st.sampled_from([999_999_999, 10**9, 2**32 - 1]),
)
UINT64 = st.integers(0, 12) | st.integers(0, 2**64 - 1) | st.sampled_from([2**63, 2**64 - 1])
UINT32 = st.integers(0, 5) | st.sampled_from([2**16, LARGEST_SIZE, LARGEST_SIZE + 1, 2**32 - 1])
# binary16: zeros, numbers, the largest, infinity and NaN
HALVES = st.integers(0, 2**16 - 1) | st.sampled_from([0, 0x8000, 0x7BFF, 0x7C00, 0xFC00, 0x7E00])


def features_of(message: Message) -> int:
    shapes = [(getattr(message, f'{p}_slots'), getattr(message, f'{p}_side')) for p in PARTS]
    return message.feature_width * sum(slots * side**2 for slots, side in shapes)


@st.composite
def whole(draw) -> Message:
    """A message without any fault, of any small size."""
    message = Message(encoder_id='encoder', feature_width=draw(st.integers(1, 4)))
    filled = draw(st.integers(0, 3)) > 0
    for part in PARTS:
        setattr(message, f'{part}_slots', draw(st.integers(1, 3)) if filled else 0)
        setattr(message, f'{part}_side', 1 if part == 'abstract' else draw(st.integers(1, 3)))
    message.memory_id = draw(st.integers(1, 2**64 - 1))
    seed = draw(st.integers(0, 2**32 - 1))
    values = np.random.default_rng(seed).standard_normal(features_of(message), np.float32)
    message.features = array('H', values.astype(np.float16).tobytes())
    weights = [draw(st.integers(1, 9)) for _ in range(message.temporal_slots)]
    message.temporal_weights = array('Q', weights)
    message.frames_written = sum(weights)
    for name in STAMPS:
        slots = getattr(message, f'{name.split("_")[0]}_slots')
        setattr(message, name, [Time(sec=1 + slot, nanosec=5) for slot in range(slots)])
    message.oldest_stamp, message.header.stamp = Time(sec=1), Time(sec=9, nanosec=7)
    return message


@st.composite
def damaged(draw) -> Message:
    """A message in which fields say something else."""
    message = draw(whole())
    for name in draw(st.lists(FIELD, min_size=1, max_size=2)):
        if name in SIZES:
            setattr(message, name, draw(UINT32))
        elif name in STAMPS:
            setattr(message, name, draw(stamps(getattr(message, name))))
        elif name == 'header':
            message.header.stamp = draw(TIMES)
        elif name == 'oldest_stamp':
            message.oldest_stamp = draw(TIMES)
        elif name == 'temporal_weights':
            message.temporal_weights = array('Q', draw(st.lists(UINT64, max_size=4)))
        elif name == 'features':
            message.features = array('H', draw(features(message)))
        else:
            setattr(message, name, draw(UINT64))
    return message


@st.composite
def features(draw, message: Message) -> list[int]:
    """Of another number, or with one of another value."""
    values = message.features.tolist()
    if not values or draw(st.booleans()):
        return [*values, 0, 0][: max(0, len(values) + draw(st.integers(-2, 2)))]
    values[draw(st.integers(0, len(values) - 1))] = draw(HALVES)
    return values


@st.composite
def stamps(draw, times: list[Time]) -> list[Time]:
    """Of another number, or with another one in one place."""
    if not times or draw(st.booleans()):
        return draw(st.lists(TIMES, max_size=4))
    place = draw(st.integers(0, len(times) - 1))
    return [*times[:place], draw(TIMES), *times[place + 1 :]]


def content(message: Message) -> dict[str, object]:
    """All that a snapshot holds of a message: without the names of camera and frame."""
    fields = message.get_fields_and_field_types()
    said = {name: getattr(message, name) for name in fields if name != 'header'}
    return {name: list(v) if isinstance(v, array) else v for name, v in said.items()}


@given(damaged())
def test_a_message_is_the_memory_it_says_or_is_refused_by_a_field(message):
    snapshot = outcome(message_to_snapshot, message, refused_by=ValueError)
    if isinstance(snapshot, MemorySnapshot):
        assert torch.isfinite(snapshot.tokens()).all()
        back = snapshot_to_message(snapshot, Message())
        assert content(back) == content(message)
        assert back.header.stamp == message.header.stamp
        return
    named = str(snapshot).partition(':')[0].removesuffix('_ns').removesuffix('.stamp')
    assert named in {*FIELDS, *NUMBERS, *PARTS, 'header'}, snapshot


@given(whole())
def test_a_message_without_fault_is_taken(message):
    snapshot = message_to_snapshot(message)
    assert snapshot.frames_written == message.frames_written
    assert snapshot.feature_width == message.feature_width
    assert content(snapshot_to_message(snapshot, Message())) == content(message)
