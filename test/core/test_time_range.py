# SPDX-License-Identifier: Apache-2.0
"""A memory limited to a stretch of time: what is left of it, and that answers see no more."""

import numpy as np
import pytest
import torch
from memory_samples import PUBLISHED, S, make_memory, random_features

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.core.time_range import LimitedSnapshot


@pytest.fixture(scope='module')
def snapshot():
    memory = make_memory(PUBLISHED)
    for second, feature in enumerate(random_features(60, PUBLISHED), 1):
        memory.write(feature, second * S)
    return memory.snapshot()


def test_all_of_the_time_is_the_whole_memory(snapshot):
    limited = LimitedSnapshot(snapshot, 0, 100 * S)
    assert torch.equal(limited.tokens(), snapshot.tokens())
    assert limited.token_count == snapshot.token_count
    assert limited.key_stamps_ns.tolist() == snapshot.retrieved_stamps_ns.tolist()


@pytest.mark.parametrize(('first', 'last'), [(1, 10), (20, 21), (55, 60), (60, 60), (1, 60)])
def test_only_what_may_hold_a_frame_of_the_stretch_is_left(snapshot, first, last):
    limited = LimitedSnapshot(snapshot, first * S, last * S)
    expected = [snapshot.abstract.flatten(0, 1)]
    for part, begin, end in (
        ('temporal', 'temporal_first_stamps_ns', 'temporal_last_stamps_ns'),
        ('retrieved', 'retrieved_stamps_ns', 'retrieved_stamps_ns'),
        ('spatial', 'spatial_stamps_ns', 'spatial_stamps_ns'),
    ):
        for slot, tensor in enumerate(getattr(snapshot, part)):
            from_ns, to_ns = getattr(snapshot, begin)[slot], getattr(snapshot, end)[slot]
            if from_ns <= last * S and to_ns >= first * S:
                expected.append(tensor)
    assert torch.equal(limited.tokens(), torch.cat(expected))
    assert not limited.is_empty
    inside = [s for s in snapshot.retrieved_stamps_ns if first * S <= s <= last * S]
    np.testing.assert_array_equal(limited.key_stamps_ns, inside)


@pytest.mark.parametrize(('from_ns', 'to_ns'), [(61 * S, 99 * S), (1, S - 1)])
def test_a_stretch_without_a_frame_is_empty(snapshot, from_ns, to_ns):
    assert LimitedSnapshot(snapshot, from_ns, to_ns).is_empty


def test_keys_tell_stretches_apart_that_hold_something_else(snapshot):
    """The prefix cache goes by it."""
    keys = {
        LimitedSnapshot(snapshot, a * S, b * S).key
        for a, b in ((1, 60), (1, 59), (30, 60), (5, 6))
    }
    assert len(keys) == 4
    assert LimitedSnapshot(snapshot, 1, 99 * S).key == LimitedSnapshot(snapshot, 0, 70 * S).key


def test_a_stretch_that_ends_before_it_begins_is_refused(snapshot):
    with pytest.raises(ValueError, match='to_stamp: expected at least from_stamp = 5 ns, got 4'):
        LimitedSnapshot(snapshot, 5, 4)


def test_an_answer_is_that_of_the_tokens_left(tmp_path):
    vstream = FlashVStream.from_pretrained(make_random_checkpoint(tmp_path / 'model'))
    memory = vstream.new_memory()
    random = np.random.default_rng(0)
    for second in range(1, 41):
        frame = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        vstream.write(memory, frame, second * S)
    snapshot = memory.snapshot()
    limited = LimitedSnapshot(snapshot, 30 * S, 40 * S)
    whole, part = (vstream.answer(s, 'What?', max_new_tokens=8) for s in (snapshot, limited))
    assert part.prompt_tokens == whole.prompt_tokens - snapshot.token_count + limited.token_count
    again = vstream.answer(snapshot, 'What?', max_new_tokens=8)
    assert again.token_ids == whole.token_ids, 'no prefix of another stretch is used'
