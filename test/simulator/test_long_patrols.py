# SPDX-License-Identifier: Apache-2.0
"""Patrols of days: what takes part in an event does not grow with all that was before."""

import pytest

from flash_vstream_ros.simulator.aiming import aim_at, looks_of
from flash_vstream_ros.simulator.events import Placed, Visit
from flash_vstream_ros.simulator.view import ROOMS
from flash_vstream_ros.simulator.world import OBJECTS_A_ROOM, Patrol

HOUR = 3600.0


def test_what_stands_in_a_room_is_what_a_walk_over_all_that_was_placed_finds() -> None:
    patrol = Patrol(3, 4 * HOUR)
    for room in ROOMS:
        naive = [p for p in patrol.placed if p.room == room and p.until_s == float('inf')]
        assert patrol._standing(room) == naive


def test_an_event_is_compared_with_what_stands_in_its_room_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else two days take the square of an hour's time: 10,000 events, each with all before it."""
    compared, equal = [], Placed.__eq__
    monkeypatch.setattr(Placed, '__eq__', lambda a, b: compared.append(1) or equal(a, b))
    patrol = Patrol(3, 4 * HOUR)
    assert len(compared) <= OBJECTS_A_ROOM * len(patrol._seen_events)


def test_the_camera_turns_to_an_event_only_during_its_visit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patrol = Patrol(3, 4 * HOUR)
    asked = []

    class Watched(Visit):
        @property
        def start_s(self) -> float:
            asked.append(1)
            return self.__dict__['start_s']

    visits = [object.__new__(Watched) for _ in patrol.visits]
    for watched, visit in zip(visits, patrol.visits, strict=True):
        watched.__dict__.update(vars(visit))
    looks = looks_of(visits, patrol._seen_events, 3)
    assert looks == patrol._looks
    assert len(asked) <= 4 * len(visits)
    for event in patrol.events:
        assert (event.start_s - 0.2, aim_at(event.place)) in looks
