# SPDX-License-Identifier: Apache-2.0
"""Accuracies and their intervals, against numbers worked out by hand or known in closed form."""

from math import inf

import numpy as np
import pytest
from evaluation_samples import record

from flash_vstream_ros.evaluation.metrics import (
    Accuracy,
    Reliability,
    accuracy_over_streams,
    by_age,
    by_kept,
    difference,
    over_streams,
    refused,
    wilson,
)


@pytest.mark.parametrize(
    ('right', 'n', 'low', 'high'),
    [
        # Worked out with 40 digits from Wilson's formula, z = 1.959964.
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (81, 263, 0.255289, 0.366190),
        (15, 148, 0.062386, 0.160497),
        (1, 1, 0.206549, 1.0),
    ],
)
def test_wilsons_interval(right, n, low, high):
    assert wilson(right, n) == pytest.approx((low, high), abs=2e-5)


@pytest.mark.parametrize('share', [0, 1])
def test_wilsons_interval_holds_its_share(share):
    """Also where all answers are right, whatever rounding does: plots draw what lies between."""
    for n in range(1, 2000):
        low, high = wilson(share * n, n)
        assert low <= share <= high


def test_accuracy_counts():
    records = [record(i, correct=i < 3) for i in range(4)]
    accuracy = Accuracy.of(records)
    assert (accuracy.n, accuracy.right, accuracy.share) == (4, 3, 0.75)
    assert (accuracy.low, accuracy.high) == wilson(3, 4)
    assert Accuracy.of([]) is None


def test_questions_that_hang_together_widen_the_interval():
    """20 streams of 50 questions, each stream all right or all wrong: 20 draws, not 1,000."""
    streams = np.repeat(np.arange(20), 50)
    together = over_streams(np.repeat([0.0, 1.0] * 10, 50).tolist(), streams.tolist())
    spread = over_streams([0.0, 1.0] * 500, streams.tolist())
    assert together.value == spread.value == 0.5
    # The deviation of a mean of 20 coin tosses is 0.112; the bootstrap's is 0.112 as well.
    assert together.high - together.low == pytest.approx(2 * 1.96 * 0.1118, rel=0.1)
    assert spread.high - spread.low < 0.01
    assert (together.n, together.streams) == (1000, 20)


def test_clips_of_one_source_are_drawn_together():
    """20 sources of 10 clips, each source all right or all wrong: 20 draws, not 200."""
    clips = [
        record(i, video=f'clip{i}', video_name=f's{i // 10}', correct=i // 10 % 2 == 0)
        for i in range(200)
    ]
    estimate = accuracy_over_streams(clips)
    assert (estimate.n, estimate.streams) == (200, 20)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * 0.1118, rel=0.1)
    other_set = [r | {'set': 'realtime', 'id': f'r{r["id"]}'} for r in clips]
    assert accuracy_over_streams([*clips, *other_set]).streams == 20
    assert difference(clips, [r | {'correct': False} for r in clips]).streams == 20


def test_records_without_a_source_are_drawn_by_stream():
    """As older runs have written them; where a stream is its own source all stays as it was."""
    old = [record(i, video=f'v{i % 7}', correct=i % 3 > 0) for i in range(70)]
    new = [r | {'video_name': r['video']} for r in old]
    assert accuracy_over_streams(old) == accuracy_over_streams(new)
    assert accuracy_over_streams(old).streams == 7


def test_streams_of_many_questions_weigh_more():
    estimate = over_streams([1.0] * 9 + [0.0], ['a'] * 9 + ['b'])
    assert estimate.value == 0.9


def test_one_stream_has_no_interval():
    estimate = accuracy_over_streams([record(0), record(1, correct=False)])
    assert (estimate.value, estimate.low, estimate.high) == (0.5, None, None)


def test_the_interval_is_the_same_each_time():
    values, streams = [0.0, 1.0, 1.0, 0.0, 1.0] * 8, list(range(8)) * 5
    assert over_streams(values, streams) == over_streams(values, streams)


def test_a_difference_is_of_the_questions_that_both_answered():
    first = [record(i, video=f'v{i}', correct=True) for i in range(6)]
    second = [record(i, video=f'v{i}', correct=i == 5) for i in range(2, 8)]
    estimate = difference(first, second)
    assert estimate.n == 4
    assert estimate.value == 0.75
    assert difference(first, [record(9)]) is None


def test_a_paired_difference_is_sharper_than_two_accuracies():
    """Streams differ more than inputs do: the pairing takes the streams' part out."""
    random = np.random.default_rng(0)
    first, second = [], []
    for stream in range(30):
        easy = random.random()
        for number in range(20):
            name = f'v{stream}_{number}'
            right = bool(random.random() < easy)
            first.append(record(0, id=name, video=f'v{stream}', correct=right))
            second.append(
                record(0, id=name, video=f'v{stream}', correct=right and number % 10 > 0)
            )
    gain, alone = difference(first, second), accuracy_over_streams(first)
    assert 0.0 < gain.low < gain.value < gain.high < 0.15
    assert gain.high - gain.low < 0.4 * (alone.high - alone.low)


def test_ages_fall_into_bins_that_double():
    ages = [0.0, 14.9, 15.0, 29.0, 100.0, 9000.0]
    records = [record(i, event_age=age, correct=age < 20) for i, age in enumerate(ages)]
    bins = by_age([*records, record(9, event_age=None)])
    assert [(low, high, a.n, a.right) for low, high, a in bins] == [
        (0.0, 15.0, 2, 2),
        (15.0, 30.0, 2, 1),
        (60.0, 120.0, 1, 0),
        (7680.0, inf, 1, 0),
    ]


def test_half_of_an_event_in_one_cluster_is_kept():
    shares = [0.5, 0.49, 1.0, None]
    groups = by_kept([record(i, kept_share=share) for i, share in enumerate(shares)])
    assert [r['kept_share'] for r in groups[True]] == [0.5, 1.0]
    assert [r['kept_share'] for r in groups[False]] == [0.49]


def test_reliability_compares_probability_with_what_came_true():
    sure = [0.55] * 10 + [0.95] * 10
    records = [
        record(i, choice_probabilities=[1 - p, p], correct=i % 10 < (5 if p < 0.9 else 9))
        for i, p in enumerate(sure)
    ]
    reliability = Reliability.of([*records, record(99, choice_probabilities=[])])
    assert reliability.bins == [
        (pytest.approx(0.55), 0.5, 10),
        (pytest.approx(0.95), 0.9, 10),
    ]
    assert reliability.error == pytest.approx(0.05)
    assert Reliability.of([record(0, choice_probabilities=[])]) is None


def test_certainty_falls_into_the_last_bin_and_guessing_into_the_first():
    records = [
        record(0, choice_probabilities=[1.0, 0.0]),
        record(1, choice_probabilities=[0.5, 0.5]),
    ]
    assert Reliability.of(records).bins == [(0.5, 1.0, 1), (1.0, 1.0, 1)]


def test_a_perfectly_calibrated_model_has_no_error():
    random = np.random.default_rng(1)
    sure = random.uniform(0.5, 1.0, 20_000)
    records = [
        record(i, choice_probabilities=[p, 1 - p], correct=bool(random.random() < p))
        for i, p in enumerate(sure)
    ]
    assert Reliability.of(records).error < 0.02


def test_refusals_of_what_was_seen_are_found():
    refusal = 'I have not seen that.'
    records = [
        record(0, group='unanswerable', answer=refusal, truth=refusal),
        record(1, answer='i have not seen that', truth='In the kitchen.', group='open'),
        record(2),
    ]
    assert [r['id'] for r in refused(records)] == ['walk_01']
    assert refused(records[1:]) == []
