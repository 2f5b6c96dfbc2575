# SPDX-License-Identifier: Apache-2.0
"""FrameSampler: which jumps of the stamps begin a new stream, and what it says of its own choice.

A new stream drops the memory of hours: a wrong stamp or a clock set right must not begin one.
"""

import random

import pytest
from test_sampler import EPOCH_NS, TAKEN, S, camera, decide, taken

from flash_vstream_ros.core.sampler import Decision, FrameSampler

NEW_STREAM = Decision.NEW_STREAM


def one_ahead(seconds: float) -> list[int]:
    """Two minutes of a camera; one stamp in them is so far ahead of where it should be."""
    stamps = camera(10, 120)
    stamps[300] += round(seconds * S)
    return stamps


@pytest.mark.parametrize('rate', [0.0, 1.0])
@pytest.mark.parametrize('ahead_s', [1.1, 5.0, 50.0, 60.0, 70.0])
def test_one_stamp_ahead_drops_no_memory_and_is_overtaken(ahead_s, rate):
    """The good frames behind it are late; they are no jump back."""
    stamps = one_ahead(ahead_s)
    decisions = decide(FrameSampler(rate), stamps)
    assert NEW_STREAM not in decisions
    overtaken = 300 + (round(10 * ahead_s) if ahead_s <= 60.0 else 0)
    assert set(decisions[overtaken + 1 :]) <= {Decision.TAKE, Decision.NOT_DUE}


def test_a_clock_that_was_wrong_for_seconds_drops_no_memory():
    stamps = camera(10, 20) + camera(10, 2, EPOCH_NS + 25 * S) + camera(10, 20, EPOCH_NS + 22 * S)
    decisions = decide(FrameSampler(1.0), stamps)
    assert NEW_STREAM not in decisions
    assert decisions[-1] in (Decision.TAKE, Decision.NOT_DUE)


@pytest.mark.parametrize('back_s', [0.9, 1.5, 3.0, 59.0])
def test_a_clock_set_back_drops_no_memory_and_overtakes_itself(back_s):
    stamps = camera(10, 100) + camera(10, 100, EPOCH_NS + round((100 - back_s) * S))
    decisions = decide(FrameSampler(1.0), stamps)
    assert NEW_STREAM not in decisions
    overtaken = 1000 + round(10 * back_s)
    assert set(decisions[1000 : overtaken - 1]) == {Decision.LATE}
    assert set(decisions[overtaken:]) <= {Decision.TAKE, Decision.NOT_DUE}


def test_a_clock_set_back_by_more_than_a_gap_is_a_new_stream():
    stamps = camera(10, 100) + camera(10, 10, EPOCH_NS + 30 * S)
    assert decide(FrameSampler(1.0), stamps).count(NEW_STREAM) == 1


@pytest.mark.parametrize('rate', [0.0, 1.0])
@pytest.mark.parametrize('seconds', [5, 30])
@pytest.mark.parametrize('seed', range(5))
def test_a_short_loop_is_a_new_stream_each_time_also_where_frames_are_lost(seconds, seed, rate):
    """It goes back to where the stream began, as a clock that is set right does not."""
    noise = random.Random(seed)
    sampler = FrameSampler(rate)
    for loop in range(6):
        stamps = [stamp for stamp in camera(30, seconds) if noise.random() > 0.2]
        decisions = decide(sampler, stamps)
        assert decisions.count(NEW_STREAM) == bool(loop)
        if decisions[-1] is Decision.TAKE:
            sampler.give_back()  # it could not be used


@pytest.mark.parametrize('seed', range(5))
def test_a_loop_within_the_stream_is_not_late_for_ever(seed):
    """It goes back a second time, to where it went the first time."""
    noise = random.Random(seed)
    sampler = FrameSampler(1.0)
    decide(sampler, camera(10, 100))
    loops = []
    for _ in range(12):
        stamps = [s for s in camera(10, 5, EPOCH_NS + 95 * S) if noise.random() > 0.2]
        loops.append(decide(sampler, stamps).count(NEW_STREAM))
    assert loops[0] == 0
    assert sum(loops) > 3


def test_behind_a_restored_memory_a_clock_a_little_back_is_waited_for():
    sampler = FrameSampler(0.0, after_ns=EPOCH_NS + 5 * S)
    decisions = decide(sampler, camera(10, 10))
    assert decisions == [Decision.LATE] * 50 + [Decision.REPEATED] + [Decision.TAKE] * 49


def test_behind_a_restored_memory_one_stamp_far_ahead_costs_nothing():
    """A camera driver that starts before its clock is set begins with a stamp from anywhere."""
    sampler = FrameSampler(0.0, after_ns=EPOCH_NS)
    stamps = [EPOCH_NS + 3600 * S, *range(EPOCH_NS + 5 * S, EPOCH_NS + 10 * S, S)]
    assert decide(sampler, stamps) == [Decision.AHEAD] + [Decision.TAKE] * 5


def test_behind_a_restored_memory_a_long_pause_is_confirmed_by_the_camera():
    """The robot was off for a day: what comes is the same stream, going on."""
    sampler = FrameSampler(0.0, after_ns=EPOCH_NS)
    stamps = [EPOCH_NS + 86_400 * S + stamp - EPOCH_NS for stamp in camera(10, 2)]
    assert decide(sampler, stamps) == [Decision.AHEAD] * 10 + [Decision.TAKE] * 10


def lossy(rate: float, seconds: float, seed: int) -> list[int]:
    """A camera that jitters, of which runs of frames are lost, and that pauses."""
    noise = random.Random(seed)
    stamps, pause_ns = [], 0
    frames = iter(camera(rate, seconds, jitter_s=0.1 / rate, seed=seed))
    for stamp in frames:
        if noise.random() < 0.03:
            for _ in range(noise.randint(0, 8)):
                next(frames, None)
        if noise.random() < 0.005:
            pause_ns += round(noise.choice([0.5, 5.0, 58.0, 61.0]) * S)
        stamps.append(stamp + pause_ns)
    return stamps


@pytest.mark.parametrize('rates', [(30, 1), (30, 10), (10, 3), (15, 4), (1, 0.01), (7, 0.3)])
@pytest.mark.parametrize('seed', range(5))
def test_of_the_frames_it_takes_all_are_taken_when_only_they_are_shown(rates, seed):
    """A replay in step shows a frame handler no others, and waits for each of them.

    Its intervals are longer then; the early frame that they allow must not be counted for a point
    of the grid later than its own. Only behind a gap it needs those that confirm one.
    """
    camera_rate, rate = rates
    every, alone = FrameSampler(rate), FrameSampler(rate)
    for stamp in lossy(camera_rate, 300 / rate, seed):
        if every.decide(stamp) in TAKEN:
            assert {Decision.AHEAD}.issuperset(decide(alone, [*every.confirmed_by]))
            assert alone.decide(stamp) in TAKEN


def test_the_grid_begins_with_a_frame_that_can_be_used():
    """So a stream of which the first frames are unusable is sampled as one without them."""
    sampler = FrameSampler(1.0)
    stamps = camera(10, 5)
    for stamp in stamps[:4]:
        assert sampler.decide(stamp) is Decision.TAKE
        sampler.give_back()
    assert taken(sampler, stamps[4:]) == taken(FrameSampler(1.0), stamps[4:])
