# SPDX-License-Identifier: Apache-2.0
"""The simulated patrol: what happens, when and where, and what the camera sees of it."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flash_vstream_ros.simulator.aiming import (
    AIM_S,
    PANORAMA,
    Sight,
    before_camera,
    looks_of,
    picture_x,
    push_direction,
)
from flash_vstream_ros.simulator.events import Event, Placed, Visit
from flash_vstream_ros.simulator.view import (
    COLOURS,
    DOOR_ACTIONS,
    KINDS,
    PUSH,
    ROOMS,
    Action,
    SeenObject,
    View,
)

# Seconds, drawn evenly from each range. An event begins every 16.5 s on average.
VISIT_S = (25.0, 60.0)
GAP_S = (8.0, 15.0)
EVENT_S = (4.0, 6.0)

KINDS_IN_USE = 24  # of a patrol; the others are never seen
OBJECTS_A_ROOM = 3
APART = 0.14  # of two objects at least, in room widths
TRAY = 3  # objects that the robot carries at most
NEXT_ROOMS = 4  # of those not seen for longest, one is next
DOOR_SHARE = 0.14
ROBOT_SHARE = 0.14

EVENT_SCALE = 2.4  # how much larger a thing looks from close by
EXPOSURE_S = 1.0 / 30.0  # for motion blur
ASPECT = (4, 3)  # of a camera's picture, where nothing else is said
SEEN = Sight(ASPECT).whole  # where a thing is seen in it, in picture widths


class Patrol:
    """A robot goes round rooms in which things happen; equal arguments make equal patrols.

    A longer patrol begins as a shorter one of the same seed does.

    :param seed: 0 or more.
    :param seconds: length, at least 30.
    """

    def __init__(self, seed: int, seconds: float) -> None:
        if seed < 0 or not 30.0 <= seconds <= 1e6:
            raise ValueError(
                f'expected a seed from 0 on and 30 to 1e6 seconds, got {seed} and {seconds}'
            )
        self.seed, self.seconds = seed, float(seconds)
        self.style = seed
        self.visits: list[Visit] = []
        self.events: list[Event] = []
        self.placed: list[Placed] = []
        # What stands in each room, by its number in ``placed``, which grows without end.
        self._standing_in: dict[str, list[int]] = {room: [] for room in ROOMS}
        self._random = np.random.default_rng(seed)
        self._lights = dict(zip(ROOMS, self._random.uniform(0.65, 1.2, len(ROOMS)), strict=True))
        self._doors = {room: bool(self._random.integers(2)) for room in ROOMS}
        chosen = self._random.permutation(len(KINDS))[:KINDS_IN_USE]
        self._unused = [KINDS[i] for i in chosen]
        self._tray: list[tuple[str, str]] = []
        self._furnish()
        self._live()
        self._finish()

    def _furnish(self) -> None:
        for room in ROOMS:
            for _ in range(self._random.integers(1, OBJECTS_A_ROOM)):
                self._place(self._unused.pop(), room, 0.0)

    def _place(self, kind: tuple[str, str], room: str, from_s: float) -> Placed:
        """Put an object where there is room for it."""
        others = [place.x for place in self._standing(room)]
        free = [x for x in np.linspace(0.2, 0.8, 7) if all(abs(x - o) > APART for o in others)]
        x = float(self._random.choice(free)) + self._random.uniform(-0.02, 0.02)
        y = self._random.uniform(0.78, 0.9)
        placed = Placed(*kind, room, x, y, self._random.uniform(0.15, 0.22), from_s)
        self._add(placed)
        return placed

    def _add(self, place: Placed) -> None:
        self._standing_in[place.room].append(len(self.placed))
        self.placed.append(place)

    def _standing(self, room: str) -> list[Placed]:
        return [self.placed[number] for number in self._standing_in[room]]

    def _remove(self, place: Placed, until_s: float) -> None:
        numbers = self._standing_in[place.room]
        number = next(n for n in numbers if self.placed[n] == place)
        numbers.remove(number)
        self.placed[number] = replace(place, until_s=until_s)

    def _live(self) -> None:
        """Go from room to room, and from event to event in each."""
        now_s, next_s = 0.0, self._random.uniform(*GAP_S)
        waiting = [str(room) for room in self._random.permutation(ROOMS)]  # not seen for longest
        while now_s < self.seconds:
            room = waiting.pop(int(self._random.integers(NEXT_ROOMS)))
            waiting.append(room)
            end_s = now_s + self._random.uniform(*VISIT_S)
            next_s = max(next_s, now_s + 3.0)
            while next_s + EVENT_S[1] + AIM_S < end_s:
                event = self._happen(room, next_s, next_s + self._random.uniform(*EVENT_S))
                self.events.append(event)
                next_s = event.end_s + self._random.uniform(*GAP_S)
            # A visit ends soon after its last event, so that no long time passes without one.
            end_s = min(end_s, next_s - 2.0 * AIM_S) if self.events else end_s
            end_s = max(end_s, now_s + 5.0)
            self.visits.append(Visit(room, now_s, end_s, self._random.uniform(0.8, 1.25)))
            now_s = end_s

    def _happen(self, room: str, start_s: float, end_s: float) -> Event:
        """Let one thing happen, of those that can."""
        draw = self._random.random()
        if draw < DOOR_SHARE:
            self._doors[room] = not self._doors[room]
            return Event(DOOR_ACTIONS[not self._doors[room]], room, start_s, end_s)
        if draw < DOOR_SHARE + ROBOT_SHARE:
            colour = str(self._random.choice(COLOURS))
            return Event('passed', room, start_s, end_s, colour)
        happen: dict[str, Callable[[str, float, float], Event]] = {}
        standing = self._standing(room)
        if standing:
            happen['covered'] = self._cover
            if self._pushable(room):
                happen['pushed'] = self._push
            if len(self._tray) < TRAY:
                happen['picked up'] = self._pick_up
        if len(standing) < OBJECTS_A_ROOM:
            happen['put down'] = self._put_down
        action = str(self._random.choice(sorted(happen)))
        return replace(happen[action](room, start_s, end_s), action=action)

    def _put_down(self, room: str, start_s: float, end_s: float) -> Event:
        """Put down what the robot carries, or what a person brings."""
        from_tray = self._tray and (self._random.random() < 0.5 or not self._unused)
        source = self._tray if from_tray else self._unused
        kind = source.pop(int(self._random.integers(len(source))))
        return _event_of(self._place(kind, room, end_s), start_s, end_s)

    def _pick_up(self, room: str, start_s: float, end_s: float) -> Event:
        place = self._choose(room)
        self._remove(place, start_s)
        self._tray.append((place.colour, place.shape))
        return _event_of(place, start_s, end_s)

    def _cover(self, room: str, start_s: float, end_s: float) -> Event:
        """Hide an object: somebody takes it away before the room is seen again."""
        place = self._choose(room)
        self._remove(place, start_s)
        self._unused.insert(0, (place.colour, place.shape))
        return _event_of(place, start_s, end_s)

    def _pushable(self, room: str) -> list[tuple[Placed, float]]:
        """Objects with room to be pushed, and where in the room each comes to stand."""
        standing = self._standing(room)
        found = []
        for place in standing:
            x = place.x + push_direction(place) * PUSH / EVENT_SCALE / PANORAMA
            others = [other.x for other in standing if other is not place]
            if all(abs(x - other) > APART for other in others):
                found.append((place, x))
        return found

    def _push(self, room: str, start_s: float, end_s: float) -> Event:
        pushable = self._pushable(room)
        place, x = pushable[int(self._random.integers(len(pushable)))]
        self._remove(place, start_s)
        self._add(replace(place, x=x, from_s=end_s))
        return _event_of(place, start_s, end_s)

    def _choose(self, room: str) -> Placed:
        standing = self._standing(room)
        return standing[int(self._random.integers(len(standing)))]

    def _finish(self) -> None:
        """Index what happens by time; the log leaves out what the patrol's end cuts off."""
        self._seen_events = self.events
        self.events = [e for e in self.events if e.end_s <= self.seconds]
        self._visit_starts = [visit.start_s for visit in self.visits]
        self._event_starts = [event.start_s for event in self._seen_events]
        self._in_room: dict[str, list[Placed]] = {room: [] for room in ROOMS}
        for place in self.placed:
            self._in_room[place.room].append(place)
        self._looks = looks_of(self.visits, self._seen_events, self.seed)
        self._look_times = [time_s for time_s, _ in self._looks]

    def visit_at(self, at_s: float) -> Visit:
        """The stay during which a moment falls."""
        return self.visits[max(bisect_right(self._visit_starts, at_s) - 1, 0)]

    def event_at(self, at_s: float) -> Event | None:
        """The event that goes on at a moment, whether or not it ends before the patrol does."""
        number = bisect_right(self._event_starts, at_s) - 1
        event = self._seen_events[number] if number >= 0 else None
        return event if event is not None and at_s < event.end_s else None

    def events_until(self, at_s: float) -> list[Event]:
        """The events that are over at a moment, oldest first."""
        begun = self._seen_events[: bisect_right(self._event_starts, at_s)]
        return begun[:-1] if begun and begun[-1].end_s > at_s else begun

    def kinds_seen(self, at_s: float) -> set[tuple[str, str]]:
        """Colour and shape of every object that stood in a room visited until a moment."""
        rooms = {visit.room: visit.start_s for visit in reversed(self.visits)}
        return {
            (place.colour, place.shape)
            for place in self.placed
            if max(place.from_s, rooms.get(place.room, at_s)) < min(place.until_s + 10.0, at_s)
        }

    def view_at(self, at_s: float) -> View:
        """What the camera sees at a moment.

        :param at_s: seconds since the first frame, up to the patrol's length.
        """
        if not 0.0 <= at_s <= self.seconds:
            raise ValueError(f'at_s: expected 0 to {self.seconds} seconds, got {at_s}')
        visit, event = self.visit_at(at_s), self.event_at(at_s)
        pan = self._pan_at(at_s)
        motion = abs(pan - self._pan_at(max(at_s - EXPOSURE_S, 0.0))) / PANORAMA * 2.0
        wave = np.sin(at_s / 17.0 + self.seed)
        return View(
            room=visit.room,
            style=self.style,
            pan=pan,
            light=self._lights[visit.room] * (1.0 + 0.05 * float(wave)),
            exposure=visit.exposure,
            objects=self._objects_at(at_s, visit.room, pan, event),
            action=_action_of(event, at_s, pan) if event else None,
            motion=motion,
            occluder=self._occluder_at(at_s, pan) if event is None else None,
            noise=(self.seed * 1_000_003 + round(at_s * 1000.0)) % 2**31,
        )

    def _pan_at(self, at_s: float) -> float:
        after = min(bisect_right(self._look_times, at_s), len(self._looks) - 1)
        (start_s, pan), (end_s, next_pan) = self._looks[after - 1], self._looks[after]
        if end_s <= start_s:
            return next_pan
        share = min(max((at_s - start_s) / (end_s - start_s), 0.0), 1.0)
        return pan + (next_pan - pan) * share * share * (3.0 - 2.0 * share)

    def _objects_at(
        self, at_s: float, room: str, pan: float, event: Event | None
    ) -> tuple[SeenObject, ...]:
        standing = [p for p in self._in_room[room] if p.from_s <= at_s < p.until_s]
        seen = [(p, picture_x(p, pan)) for p in sorted(standing, key=lambda p: p.y)]
        in_view = [(p, x) for p, x in seen if -0.1 < x < 1.1]
        if event is not None:  # nothing stands before or behind what happens
            in_view = [(p, x) for p, x in in_view if abs(x - 0.5) > 0.36]
        return tuple(SeenObject(p.colour, p.shape, x, p.y, p.size) for p, x in in_view)

    def _occluder_at(self, at_s: float, pan: float) -> float | None:
        """A pillar in some rooms, at a place of its own."""
        number = ROOMS.index(self.visit_at(at_s).room)
        draw = np.random.default_rng((self.style, number, 7)).random(2)
        x = float(draw[1]) * PANORAMA - pan * (PANORAMA - 1.0) * 1.3  # nearer than the rest
        return x if draw[0] < 0.4 and -0.1 < x < 1.1 else None


def _event_of(place: Placed, start_s: float, end_s: float) -> Event:
    return Event('', place.room, start_s, end_s, place.colour, place.shape, place)


def _action_of(event: Event, at_s: float, pan: float) -> Action:
    progress = (at_s - event.start_s) / (event.end_s - event.start_s)
    if event.place is None:
        return Action(event.action, progress, None, event.colour)
    place = event.place
    x = before_camera(place, pan)
    thing = SeenObject(place.colour, place.shape, x, 0.84, place.size * EVENT_SCALE)
    return Action(event.action, progress, thing)
