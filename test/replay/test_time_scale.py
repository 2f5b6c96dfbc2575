# SPDX-License-Identifier: Apache-2.0
"""Time for people."""

import pytest

from flash_vstream_ros.replay.time_scale import date_text, duration_text, offset_text, ticks

NS = 1_000_000_000


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (0, '0.0 s'),
        (9.34, '9.3 s'),
        (60, '1 min 00 s'),
        (245.9, '4 min 05 s'),
        (3599, '59 min 59 s'),
        (3600, '1 h 00 min'),
        (7860, '2 h 11 min'),
        (86400, '1 d 00 h'),
        (190000, '2 d 04 h'),
    ],
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    assert duration_text(round(seconds * NS)) == text


@pytest.mark.parametrize(
    ('seconds', 'decimals', 'text'),
    [
        (7.99, 0, '0:07'),
        (7.99, 1, '0:07.9'),
        (750.5, 1, '12:30.5'),
        (3900, 0, '1:05:00'),
        (86400 * 2 + 3661, 0, '2 d 1:01:01'),
        (86400, 0, '1 d 0:00:00'),
    ],
)
def test_offsets_are_told_as_on_a_clock(seconds: float, decimals: int, text: str) -> None:
    assert offset_text(round(seconds * NS), decimals) == text


def test_only_stamps_since_2001_are_dates() -> None:
    assert date_text(1_790_000_000 * NS + 5) == '2026-09-21 14:13:20 UTC'
    assert date_text(900 * NS) == ''


@pytest.mark.parametrize(
    'span_s', [0, 0.02, 0.3, 1, 9.9, 30, 61, 599, 3600, 10800, 86400, 10**6, 4 * 10**8, 3 * 10**9]
)
def test_ticks_are_round_few_and_reach_across(span_s: float) -> None:
    span_ns = round(span_s * NS)
    places, decimals = ticks(span_ns, 10)
    assert places[0] == 0
    assert len(places) <= 10
    assert places[-1] <= span_ns
    labels = [offset_text(place, decimals) for place in places]
    assert len(set(labels)) == len(labels)  # two ticks never bear the same label
    if 1 <= span_s <= 4 * 10**8:
        assert len(places) >= 4
