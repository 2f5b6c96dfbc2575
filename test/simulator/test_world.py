# SPDX-License-Identifier: Apache-2.0
"""The patrol: what happens is possible, and the camera sees it."""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from flash_vstream_ros.simulator.aiming import PANORAMA
from flash_vstream_ros.simulator.drawing_actions import after_push
from flash_vstream_ros.simulator.view import (
    DOOR_ACTIONS,
    KINDS,
    OBJECT_ACTIONS,
    ROBOT_ACTIONS,
    ROOMS,
    View,
)
from flash_vstream_ros.simulator.world import EVENT_SCALE, Patrol

MINUTE = 60.0
LENGTH = 30 * MINUTE
SEEDS = range(12)


@pytest.fixture(scope='module')
def patrols() -> list[Patrol]:
    return [Patrol(seed, LENGTH) for seed in SEEDS]


def kinds_in(view: View) -> list[tuple[str, str]]:
    things = [*view.objects, *([view.action.thing] if view.action and view.action.thing else [])]
    return [(thing.colour, thing.shape) for thing in things]


def log_of(patrol: Patrol) -> tuple:
    return patrol.events, patrol.visits, patrol.placed


def test_equal_seeds_make_equal_patrols_and_others_do_not() -> None:
    one, again, other = Patrol(3, LENGTH), Patrol(3, LENGTH), Patrol(4, LENGTH)
    assert log_of(one) == log_of(again)
    assert [one.view_at(t) for t in range(300)] == [again.view_at(t) for t in range(300)]
    assert one.events != other.events


@pytest.mark.parametrize('seed', SEEDS)
def test_a_longer_patrol_begins_as_a_shorter_one(seed: int) -> None:
    """Else a stream would have to be written again whenever its questions are to reach farther."""
    short, long = Patrol(seed, 4.3 * MINUTE), Patrol(seed, LENGTH)
    assert short.events == long.events[: len(short.events)]
    assert long.events[len(short.events)].end_s > short.seconds
    assert short.visits == long.visits[: len(short.visits)]
    for at_s in np.arange(0.0, short.seconds, 0.5):
        assert short.view_at(at_s) == long.view_at(at_s), at_s


def test_something_happens_three_times_a_minute_at_least() -> None:
    for seed in range(40):
        for minutes in (2, 10, 60):
            events = Patrol(seed, minutes * MINUTE).events
            assert len(events) >= 3 * minutes, (seed, minutes)


def test_no_long_time_passes_without_an_event(patrols: list[Patrol]) -> None:
    for patrol in patrols:
        assert max(b.start_s - a.end_s for a, b in pairwise(patrol.events)) < 45.0


def test_eight_rooms_are_visited_and_seen_again() -> None:
    assert len(ROOMS) >= 8
    for seed in range(20):
        visits = Counter(visit.room for visit in Patrol(seed, 60 * MINUTE).visits)
        assert set(visits) == set(ROOMS)
        assert min(visits.values()) >= 2


def test_ten_minutes_bring_several_rooms_and_several_again() -> None:
    for seed in range(60):
        visits = Counter(visit.room for visit in Patrol(seed, 10 * MINUTE).visits)
        assert len(visits) >= 5
        assert sum(count > 1 for count in visits.values()) >= 2


def test_visits_follow_each_other_without_a_gap(patrols: list[Patrol]) -> None:
    for patrol in patrols:
        assert patrol.visits[0].start_s == 0.0
        assert patrol.visits[-1].end_s >= patrol.seconds
        for one, other in pairwise(patrol.visits):
            assert one.end_s == other.start_s
            assert one.room != other.room


def test_events_do_not_overlap_and_lie_within_one_visit_to_their_room(
    patrols: list[Patrol],
) -> None:
    for patrol in patrols:
        assert all(a.end_s < b.start_s for a, b in pairwise(patrol.events))
        for event in patrol.events:
            assert 3.0 < event.end_s - event.start_s < 8.0
            (visit,) = [v for v in patrol.visits if v.start_s <= event.start_s < v.end_s]
            assert visit.room == event.room
            assert event.end_s <= visit.end_s


def test_each_kind_of_action_occurs(patrols: list[Patrol]) -> None:
    for patrol in patrols:
        actions = {event.action for event in patrol.events}
        assert actions == {*OBJECT_ACTIONS, *DOOR_ACTIONS, *ROBOT_ACTIONS}


def test_over_many_patrols_every_kind_of_object_is_acted_on_in_every_room() -> None:
    events = [event for seed in range(40) for event in Patrol(seed, LENGTH).events]
    assert len(KINDS) >= 30
    assert {(e.colour, e.shape) for e in events if e.shape} == set(KINDS)
    assert {(e.action, e.room) for e in events} == {
        (action, room)
        for action in (*OBJECT_ACTIONS, *DOOR_ACTIONS, *ROBOT_ACTIONS)
        for room in ROOMS
    }


def test_an_object_is_never_in_two_places(patrols: list[Patrol]) -> None:
    for patrol in patrols:
        stays = defaultdict(list)
        for place in patrol.placed:
            stays[place.colour, place.shape].append((place.from_s, place.until_s))
        for times in stays.values():
            assert all(one[1] <= other[0] for one, other in pairwise(sorted(times)))


def test_a_thing_is_seen_once_in_a_view(patrols: list[Patrol]) -> None:
    for patrol in patrols[:4]:
        for at_s in np.arange(0.0, LENGTH, 0.7):
            kinds = kinds_in(patrol.view_at(at_s))
            assert len(kinds) == len(set(kinds)), at_s


def test_a_thing_that_is_acted_on_stood_there_before_and_goes_where_it_should(
    patrols: list[Patrol],
) -> None:
    """The log told as a story: where each object is, by its events alone."""
    for patrol in patrols:
        where = {(p.colour, p.shape): p.room for p in patrol.placed if p.from_s == 0.0}
        for event in patrol.events:
            kind = (event.colour, event.shape)
            if event.action == 'put down':
                assert kind not in where
                where[kind] = event.room
            elif event.action in OBJECT_ACTIONS:
                assert where[kind] == event.room
                if event.action != 'pushed':
                    del where[kind]


def test_a_door_is_opened_and_closed_in_turn(patrols: list[Patrol]) -> None:
    for patrol in patrols:
        for room in ROOMS:
            done = [e.action for e in patrol.events if e.room == room and e.action in DOOR_ACTIONS]
            assert all(one != other for one, other in pairwise(done))


def test_what_happens_is_in_view_all_the_time(patrols: list[Patrol]) -> None:
    for patrol in patrols[:4]:
        for event in patrol.events:
            for share in (0.01, 0.5, 0.99):
                view = patrol.view_at(event.start_s + share * (event.end_s - event.start_s))
                assert view.room == event.room
                assert view.action.name == event.action
                assert view.action.progress == pytest.approx(share)
                if event.shape:
                    thing = view.action.thing
                    assert (thing.colour, thing.shape) == (event.colour, event.shape)
                    assert 0.2 <= thing.x <= 0.8
                elif event.action in ROBOT_ACTIONS:
                    assert view.action.colour == event.colour


def test_the_camera_looks_at_what_is_acted_on_and_it_does_not_jump(patrols: list[Patrol]) -> None:
    """Else what is drawn as happening would happen somewhere else than to what stood there."""
    shown = 0
    for patrol in patrols:
        for event in patrol.events:
            if event.action in ('picked up', 'pushed', 'covered'):
                before = patrol.view_at(event.start_s - 0.01)
                (there,) = [o for o in before.objects if (o.colour, o.shape) == event.what[1:3]]
                thing = patrol.view_at(event.start_s + 0.01).action.thing
                assert there.x == pytest.approx(thing.x, abs=0.1)
                shown += 1
            if event.action in ('put down',):
                after = patrol.view_at(event.end_s + 0.01)
                (there,) = [o for o in after.objects if (o.colour, o.shape) == event.what[1:3]]
                thing = patrol.view_at(event.end_s - 0.01).action.thing
                assert there.x == pytest.approx(thing.x, abs=0.1)
                shown += 1
    assert shown > 500


def test_nothing_happens_in_view_that_is_not_in_the_log() -> None:
    patrol = Patrol(5, LENGTH)
    for at_s in np.arange(0.0, LENGTH, 0.5):
        going_on = [e.action for e in patrol.events if e.start_s <= at_s < e.end_s]
        action = patrol.view_at(at_s).action
        seen = [action.name] if action else []
        assert seen == going_on or at_s > patrol.events[-1].end_s  # the end cuts off the last


def test_what_stands_about_is_what_the_events_left_there(patrols: list[Patrol]) -> None:
    for patrol in patrols[:4]:
        for at_s in np.arange(0.25, LENGTH, 1.0):
            view = patrol.view_at(at_s)
            standing = {
                (p.colour, p.shape)
                for p in patrol.placed
                if p.room == view.room and p.from_s <= at_s < p.until_s
            }
            assert {(o.colour, o.shape) for o in view.objects} <= standing


def test_everything_that_stands_about_is_seen_sometime(patrols: list[Patrol]) -> None:
    """Two of three at least: some things are taken away soon, or the camera looks elsewhere."""
    for patrol in patrols[:4]:
        seen = {kind for t in np.arange(0.0, LENGTH, 1.0) for kind in kinds_in(patrol.view_at(t))}
        stood = {(p.colour, p.shape) for p in patrol.placed}
        assert seen <= stood
        assert len(seen) >= 0.67 * len(stood)


def test_the_camera_turns_and_does_not_jump_within_a_room() -> None:
    patrol = Patrol(2, 10 * MINUTE)
    views = [patrol.view_at(t) for t in np.arange(0.0, patrol.seconds, 0.1)]
    turns = [abs(a.pan - b.pan) for a, b in pairwise(views) if a.room == b.room]
    assert max(turns) < 0.25
    assert np.mean(np.array(turns) > 1e-4) > 0.3
    assert all(0.0 <= view.pan <= 1.0 for view in views)
    assert max(view.motion for view in views) > 0.01


def test_rooms_and_visits_differ_in_light() -> None:
    views = [Patrol(seed, MINUTE).view_at(1.0) for seed in range(30)]
    assert np.ptp([view.light for view in views]) > 0.3
    assert np.ptp([view.exposure for view in views]) > 0.2
    assert any(view.occluder is not None for view in views)


def test_time_is_looked_up_as_a_scan_of_the_log_would(patrols: list[Patrol]) -> None:
    patrol = patrols[0]
    for at_s in np.arange(0.0, LENGTH, 3.7):
        (visit,) = [v for v in patrol.visits if v.start_s <= at_s < v.end_s]
        assert patrol.visit_at(at_s) == visit
        assert patrol.events_until(at_s) == [e for e in patrol.events if e.end_s <= at_s]
        going_on = [e for e in patrol.events if e.start_s <= at_s < e.end_s]
        assert patrol.event_at(at_s) == (going_on[0] if going_on else None)


@pytest.mark.parametrize('at_s', [-0.1, 60.1, float('nan')])
def test_a_moment_outside_the_patrol_is_refused(at_s: float) -> None:
    with pytest.raises(ValueError, match='at_s: expected 0 to 60'):
        Patrol(0, MINUTE).view_at(at_s)


@pytest.mark.parametrize(('seed', 'seconds'), [(-1, 60.0), (0, 29.0), (0, float('nan')), (0, 1e7)])
def test_an_impossible_patrol_is_refused(seed: int, seconds: float) -> None:
    with pytest.raises(ValueError, match='expected a seed from 0 on'):
        Patrol(seed, seconds)


@pytest.mark.parametrize('seed', range(5))
def test_all_rooms_are_seen_again_and_again(seed: int) -> None:
    rooms = [visit.room for visit in Patrol(seed, 1800.0).visits]
    assert min(rooms.count(room) for room in ROOMS) >= 2
    assert all(one != other for one, other in pairwise(rooms))


@pytest.mark.parametrize('seed', range(5))
def test_what_was_pushed_stands_where_it_was_pushed_to(seed: int) -> None:
    """The drawing moves it before the camera; from afar it has moved by as much."""
    patrol = Patrol(seed, 1800.0)
    pushed = [event for event in patrol.events if event.action == 'pushed']
    assert pushed
    for event in pushed:
        before = patrol.view_at(event.start_s).action.thing
        moved = after_push(before).x - before.x
        kind = (event.colour, event.shape, event.room)
        (after,) = [
            p
            for p in patrol.placed
            if (p.colour, p.shape, p.room) == kind and p.from_s == event.end_s
        ]
        shift = (after.x - event.place.x) * PANORAMA * EVENT_SCALE
        assert shift == pytest.approx(moved)
        assert (after.y, after.size) == (event.place.y, event.place.size)
