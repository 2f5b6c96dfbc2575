# SPDX-License-Identifier: Apache-2.0
"""The events that are over, looked up in the ways that questions need."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from flash_vstream_ros.simulator.events import Event
from flash_vstream_ros.simulator.view import (
    COLOURS,
    DOOR_ACTIONS,
    OBJECT_ACTIONS,
    ROBOT_ACTIONS,
    ROOMS,
    SHAPES,
)

SORTS = (OBJECT_ACTIONS, DOOR_ACTIONS, ROBOT_ACTIONS)
STRANGERS = 12  # drawn to find some that never happened


class Past:
    """The events up to a moment, looked up in the ways that questions need."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = list(events)

    def last_of(self, key: Callable[[Event], tuple], actions: Sequence[str]) -> list[Event]:
        """The newest event of each key."""
        return list({key(e): e for e in self.events if e.action in actions}.values())

    def newest_of_each(self) -> list[Event]:
        """The newest of those events that one sentence does not tell apart."""
        return list({e.what: e for e in self.events}.values())

    def unique(self, events: Sequence[Event]) -> list[Event]:
        """Those that one sentence tells apart from all others."""
        counts: dict[tuple, int] = {}
        for event in self.events:
            counts[event.what] = counts.get(event.what, 0) + 1
        return [e for e in events if counts[e.what] == 1]

    def never(self, event: Event) -> list[Event]:
        """What differs from an event in one respect and never happened."""
        happened = {e.what for e in self.events}
        return [e for e in _neighbours(event) if e.what not in happened]

    def strangers(self, event: Event, random: np.random.Generator) -> list[Event]:
        """Events of the same sort, drawn in every respect, that never happened."""
        happened = {e.what for e in self.events}
        drawn = (_any_like(event, random) for _ in range(STRANGERS))
        return [e for e in drawn if e.what not in happened]


def _any_like(event: Event, random: np.random.Generator) -> Event:
    actions = next(actions for actions in SORTS if event.action in actions)
    return replace(
        event,
        action=str(random.choice(actions)),
        room=str(random.choice(ROOMS)),
        colour=event.colour and str(random.choice(COLOURS)),
        shape=event.shape and str(random.choice(SHAPES)),
    )


def _neighbours(event: Event) -> Iterator[Event]:
    """Events that differ from one in one respect."""
    for actions in SORTS:
        if event.action in actions:
            yield from (replace(event, action=a) for a in actions if a != event.action)
    yield from (replace(event, room=r) for r in ROOMS if r != event.room)
    if event.colour:
        yield from (replace(event, colour=c) for c in COLOURS if c != event.colour)
    if event.shape:
        yield from (replace(event, shape=s) for s in SHAPES if s != event.shape)


def hang_together(one: Event, other: Event) -> bool:
    """Whether an order of the two is likelier than the other from the words alone."""
    if one is other:
        return True
    if one.shape:
        return (one.colour, one.shape) == (other.colour, other.shape)
    return one.action in DOOR_ACTIONS and other.action in DOOR_ACTIONS and one.room == other.room
