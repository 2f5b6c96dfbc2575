# SPDX-License-Identifier: Apache-2.0
"""FrameSampler: a rate by stamps, faulty stamps left out, jumps of the clock found."""

import random

import pytest

from flash_vstream_ros.core.sampler import Decision, FrameSampler

S = 1_000_000_000
EPOCH_NS = 1_763_640_000 * S
TAKEN = (Decision.TAKE, Decision.NEW_STREAM)


def camera(
    rate: float, seconds: float, start_ns: int = EPOCH_NS, jitter_s: float = 0.0, seed: int = 0
) -> list[int]:
    """Stamps of a camera; jitter to either side, the first frame exact."""
    noise = random.Random(seed)
    stamps = [start_ns + round(i * S / rate) for i in range(round(rate * seconds))]
    return stamps[:1] + [s + round(noise.uniform(-jitter_s, jitter_s) * S) for s in stamps[1:]]


def decide(sampler: FrameSampler, stamps: list[int]) -> list[Decision]:
    return [sampler.decide(stamp) for stamp in stamps]


def taken(sampler: FrameSampler, stamps: list[int]) -> list[int]:
    pairs = zip(stamps, decide(sampler, stamps), strict=True)
    return [stamp for stamp, decision in pairs if decision in TAKEN]


@pytest.mark.parametrize('start_ns', [1, 5 * S + 7, EPOCH_NS])
@pytest.mark.parametrize('camera_rate', [30.0, 29.97, 25.0, 7.3])
@pytest.mark.parametrize('rate', [1.0, 2.0, 0.5])
def test_a_fast_camera_gives_one_frame_for_each_point_of_the_grid(rate, camera_rate, start_ns):
    """A period counted from the last frame taken would fall behind: 30 Hz gives 0.97 a second."""
    stamps = camera(camera_rate, 120, start_ns)
    frames = taken(FrameSampler(rate), stamps)
    period = S / rate
    points = int((stamps[-1] - start_ns + S / camera_rate / 2) / period) + 1
    assert len(frames) == points
    for point, stamp in enumerate(frames):
        due = start_ns + point * period
        nearest = min(stamps, key=lambda other: abs(other - due))
        assert abs(stamp - due) <= abs(nearest - due) + 1, 'of all frames the nearest is taken'


@pytest.mark.parametrize('rate', [1.0, 5.0, 10.0])
def test_a_camera_of_the_same_rate_loses_no_frame_to_its_jitter(rate):
    stamps = camera(rate, 300 / rate, jitter_s=0.24 / rate)
    assert taken(FrameSampler(rate), stamps) == stamps


def test_a_camera_slower_than_the_rate_loses_nothing():
    stamps = camera(0.7, 200, jitter_s=0.2)
    assert taken(FrameSampler(1.0), stamps) == stamps


def test_a_rate_of_zero_takes_every_frame():
    stamps = camera(30.0, 20, jitter_s=0.01)
    assert taken(FrameSampler(0.0), stamps) == stamps


def test_the_grid_goes_on_behind_a_pause():
    sampler = FrameSampler(1.0)
    stamps = camera(10.0, 5, S) + camera(10.0, 5, S + 20 * S + S // 2)
    frames = taken(sampler, stamps)
    # Still on whole seconds of the first frame; at once where the point is past.
    tenths = [0, 10, 20, 30, 40, 205, 210, 220, 230, 240, 250]
    assert frames == [S + tenth * S // 10 for tenth in tenths]


def test_repeated_stamps_are_counted_and_not_taken():
    sampler = FrameSampler(0.0)
    decisions = decide(sampler, [S, S, S, 2 * S, 2 * S])
    repeated, take = Decision.REPEATED, Decision.TAKE
    assert decisions == [take, repeated, repeated, take, repeated]
    assert sampler.counts == {take: 2, repeated: 3}


def test_late_frames_are_dropped_and_the_stream_goes_on():
    sampler = FrameSampler(0.0)
    decisions = decide(sampler, [10 * S, 11 * S, 11 * S - 1, 3 * S, 12 * S, 11 * S, 13 * S])
    late, take = Decision.LATE, Decision.TAKE
    assert decisions == [take, take, late, late, take, late, take]


def test_two_cameras_that_take_turns_do_not_make_new_streams():
    """Each late frame is contradicted by the next one in order."""
    sampler = FrameSampler(0.0)
    pairs = zip(camera(10, 60), camera(10, 60, EPOCH_NS - 5 * S), strict=True)
    decisions = decide(sampler, [stamp for pair in pairs for stamp in pair])
    assert set(decisions[2::2]) == {Decision.TAKE}
    assert set(decisions[1::2]) == {Decision.LATE}


def test_one_frame_an_hour_ahead_is_dropped_and_the_stream_goes_on():
    sampler = FrameSampler(1.0)
    stamps = camera(10, 10)
    stamps.insert(50, stamps[49] + 3_600 * S)
    stamps.insert(53, stamps[49] + 3_600 * S)
    decisions = decide(sampler, stamps)
    assert [i for i, d in enumerate(decisions) if d is Decision.AHEAD] == [50, 53]
    assert sampler.counts[Decision.TAKE] == len(taken(FrameSampler(1.0), camera(10, 10)))


def test_a_step_ahead_that_lasts_is_the_same_stream():
    sampler = FrameSampler(1.0)
    decide(sampler, camera(10, 10))
    later = camera(10, 10, EPOCH_NS + 3_600 * S)
    decisions = decide(sampler, later)
    assert set(decisions[:10]) == {Decision.AHEAD}
    assert Decision.NEW_STREAM not in decisions
    assert decisions[10] is Decision.TAKE, 'a second of frames was needed to believe it'
    assert decisions.count(Decision.TAKE) == 9, 'one for each whole second from there on'


@pytest.mark.parametrize('rate', [0.0, 1.0])
def test_a_looped_recording_is_a_new_stream_once_a_loop(rate):
    sampler = FrameSampler(rate)
    bag = camera(10, 20)
    for loop in range(4):
        decisions = decide(sampler, bag)
        assert decisions.count(Decision.NEW_STREAM) == (1 if loop else 0)
        if loop:
            assert decisions[:10] == [Decision.LATE] * 10
            assert decisions[10] is Decision.NEW_STREAM
        assert decisions.count(Decision.TAKE) >= (18 if rate else 189)


def test_a_looped_recording_with_every_frame_twice_is_a_new_stream_too():
    """Repeated frames say nothing for and nothing against a jump."""
    sampler = FrameSampler(1.0)
    bag = [stamp for stamp in camera(10, 20) for _ in range(2)]
    decide(sampler, bag)
    assert decide(sampler, bag).count(Decision.NEW_STREAM) == 1


def test_a_jump_needs_three_frames_of_its_own_to_be_believed():
    """A slow camera's two late frames span a second as well; a repeated one is no third."""
    sampler = FrameSampler(0.0)
    decide(sampler, [S * second for second in range(10, 31)])
    decisions = decide(sampler, [5 * S, 5 * S, 7 * S, 7 * S, 8 * S])
    assert decisions == [Decision.LATE] * 4 + [Decision.NEW_STREAM]


def test_a_clock_set_back_a_little_is_no_new_stream():
    sampler = FrameSampler(0.0)
    decide(sampler, camera(10, 20))
    newest = camera(10, 20)[-1]
    decisions = decide(sampler, camera(10, 5, newest - S // 2))
    assert decisions[:5] == [Decision.LATE] * 5
    assert Decision.NEW_STREAM not in decisions
    assert decisions[-1] is Decision.TAKE


@pytest.mark.parametrize('gap_s', [61, 90, 3_600])
def test_a_camera_slower_than_the_longest_gap_is_not_dropped_for_ever(gap_s):
    """Each of its frames is far ahead of the one before; that they all are is its rate."""
    frames = taken(FrameSampler(1.0), [EPOCH_NS + i * gap_s * S for i in range(40)])
    assert len(frames) > 30


@pytest.mark.parametrize('stamp', [0, -1, -EPOCH_NS])
def test_a_stamp_of_zero_or_below_is_invalid_and_changes_nothing(stamp):
    sampler = FrameSampler(1.0)
    assert sampler.decide(stamp) is Decision.INVALID
    stamps = camera(10, 10)
    stamps.insert(17, stamp)
    assert len(taken(sampler, stamps)) == len(taken(FrameSampler(1.0), camera(10, 10)))


def test_a_frame_given_back_makes_the_next_one_due():
    sampler = FrameSampler(1.0)
    stamps = camera(10, 3, S)
    assert sampler.decide(stamps[0]) is Decision.TAKE
    sampler.give_back()
    assert sampler.decide(stamps[1]) is Decision.TAKE
    assert sampler.decide(stamps[2]) is Decision.NOT_DUE


@pytest.mark.parametrize('seed', range(30))
def test_in_any_stream_the_stamps_taken_grow_until_a_new_one_begins(seed):
    """What the memory relies on: it refuses a stamp that does not grow."""
    noise = random.Random(seed)
    sampler = FrameSampler(noise.choice([0.0, 1.0, 5.0]))
    clock, newest = EPOCH_NS, 0
    for count in range(1, 2_001):
        clock += noise.choice([0, 1, S // 30, S // 30, S // 30, S, 3 * S])
        if noise.random() < 0.003:
            clock += noise.choice([-10, -100, -7_200, 100, 7_200]) * S
        stamp = clock
        if noise.random() < 0.05:
            faulty = [0, clock - S, clock + 3_600 * S, clock - 1, noise.getrandbits(62)]
            stamp = noise.choice(faulty)
        decision = sampler.decide(stamp)
        if decision is Decision.NEW_STREAM:
            newest = 0
        if decision in TAKEN:
            assert stamp > newest
            newest = stamp
        assert sum(sampler.counts.values()) == count
    assert sampler.counts[Decision.TAKE] > 100


@pytest.mark.parametrize('rate', [-1.0, 1_000.5, float('nan'), float('inf')])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match=f'sample_rate: expected 0 to 1000 Hz, got {rate}'):
        FrameSampler(rate)


def test_a_rate_whose_period_would_overflow_is_refused():
    with pytest.raises(ValueError, match=r'expected 0 .all frames. or at least 1e-06, got 1e-300'):
        FrameSampler(1e-300)


def test_behind_a_restored_memory_stamps_go_on_or_begin_a_new_stream():
    """A memory loaded from a file holds stamps already; a clock set back must not stop it all."""
    assert FrameSampler(0.0, after_ns=100 * S).decide(100 * S + 1) is Decision.TAKE
    sampler = FrameSampler(0.0, after_ns=200 * S)
    assert decide(sampler, [50 * S, 51 * S, 52 * S, 53 * S]) == [
        Decision.LATE, Decision.LATE, Decision.NEW_STREAM, Decision.TAKE,
    ]  # fmt: skip
    sampler = FrameSampler(0.0, after_ns=100 * S)
    assert decide(sampler, [100 * S, 101 * S]) == [Decision.REPEATED, Decision.TAKE]


@pytest.mark.parametrize('shown', [2, 3, 7])
def test_frames_that_were_not_shown_do_not_make_the_camera_a_slow_one(shown):
    """Of a camera seen only now and then, none is taken half of such a pause before it is due."""
    stamps = camera(30.0, 20)
    every, some = FrameSampler(1.0), FrameSampler(1.0)
    expected = taken(every, stamps)
    frames, skipped = [], 0
    for number, stamp in enumerate(stamps):
        if number % shown and some.until_due_ns > 0.2 * S:
            skipped += 1
            continue
        if some.decide(stamp, skipped) in TAKEN:
            frames.append(stamp)
        skipped = 0
    assert frames == expected
    assert sum(some.counts.values()) < 0.8 * len(stamps)


def test_it_says_how_long_no_frame_is_due():
    sampler = FrameSampler(0.5)
    assert sampler.until_due_ns == 0, 'the first may come at once'
    sampler.decide(EPOCH_NS)
    assert sampler.until_due_ns == 2 * S
    sampler.decide(EPOCH_NS + S // 2)
    assert sampler.until_due_ns == 2 * S - S // 2
    sampler.give_back()
    assert sampler.until_due_ns == 0, 'the frame taken was of no use'
    sampler.decide(EPOCH_NS + S)
    sampler.decide(EPOCH_NS - 10 * S)
    assert sampler.until_due_ns == 0, 'the stamps may have jumped: each of them counts'


def test_at_a_rate_of_zero_the_next_frame_is_always_due():
    sampler = FrameSampler(0.0)
    sampler.decide(EPOCH_NS)
    assert sampler.until_due_ns == 0
