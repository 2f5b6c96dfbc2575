# SPDX-License-Identifier: Apache-2.0
"""Where the camera of the simulated patrol looks, and where things are in its picture."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flash_vstream_ros.simulator.events import Event, Placed, Visit
from flash_vstream_ros.simulator.view import SeenObject

PANORAMA = 2.0  # a room's width in picture widths
AIM_S = 1.0  # to turn to an event, and from it
WAYPOINT_S = 6.0  # between two places looked at while nothing happens
# How far inside the border of what is looked at the middle of a thing lies that is wholly in it,
# and how far outside that of one of which nothing is in it; in picture heights, as things are
# drawn, written as shares of the width of a picture of 4:3.
WHOLLY_INSIDE = 0.055 / 0.75
WHOLLY_OUTSIDE = 0.045 / 0.75


@dataclass(frozen=True)
class Sight:
    """What a model sees of a picture: CLIP looks at the square in the middle of it.

    Of a picture of 4:3 that is 0.125 to 0.875 of the width, and all of the height.

    :param size: of the picture, (width, height).
    """

    size: tuple[int, int]

    @property
    def whole(self) -> tuple[float, float]:
        """Between which places a thing is wholly in view, in picture widths."""
        return self._within(WHOLLY_INSIDE)

    @property
    def partly(self) -> tuple[float, float]:
        """Between which places a thing is at least partly in view, in picture widths."""
        return self._within(-WHOLLY_OUTSIDE)

    def _within(self, margin: float) -> tuple[float, float]:
        width, height = self.size
        half = min(height / width, 1.0) / 2.0 - margin * height / width
        return round(0.5 - half, 6), round(0.5 + half, 6)

    def holds(self, thing: SeenObject) -> bool:
        """Whether a thing is in view, be it partly."""
        is_top_in = thing.y - thing.size < 0.5 + self._half_height
        return is_top_in and self.partly[0] < thing.x < self.partly[1]

    def holds_whole(self, thing: SeenObject) -> bool:
        """Whether all of a thing is in view."""
        is_base_in = thing.y < 0.5 + self._half_height
        return is_base_in and self.whole[0] < thing.x < self.whole[1]

    @property
    def _half_height(self) -> float:
        width, height = self.size
        return min(width / height, 1.0) / 2.0


def picture_x(place: Placed, pan: float) -> float:
    """Where a thing is in the picture, in picture widths."""
    return place.x * PANORAMA - pan * (PANORAMA - 1.0)


def push_direction(place: Placed) -> int:
    """Towards the side on which there is more of the picture, as it is drawn: 1 right, -1 left."""
    aim = aim_at(place)
    return 1 if before_camera(place, aim) < 0.5 else -1


def before_camera(place: Placed, pan: float) -> float:
    """Where a thing stands in the picture while something is done to it."""
    return round(min(max(picture_x(place, pan), 0.3), 0.7), 6)


def looks_of(
    visits: Sequence[Visit], events: Sequence[Event], seed: int
) -> list[tuple[float, float]]:
    """Where the camera looks when: (seconds, pan), between which it turns gently."""
    random = np.random.default_rng((seed, 1))
    aims = [(e.start_s, e.end_s, aim_at(e.place)) for e in events]
    starts = [event.start_s for event in events]  # in order
    looks: list[tuple[float, float]] = []
    for visit in visits:
        looks.append((visit.start_s, float(random.random())))
        inside = aims[bisect_left(starts, visit.start_s) : bisect_left(starts, visit.end_s)]
        free_from = visit.start_s
        for start_s, end_s, pan in [*inside, (visit.end_s, visit.end_s, None)]:
            time_s = free_from + WAYPOINT_S
            while time_s < start_s - AIM_S - 1.0:
                looks.append((time_s, float(random.random())))
                time_s += WAYPOINT_S
            if pan is not None:
                looks += [(start_s - 0.2, pan), (end_s + 0.2, pan)]
            free_from = end_s
        looks.append((visit.end_s - 1e-3, float(random.random())))
    return looks


def aim_at(place: Placed | None) -> float:
    """Pan that brings a thing into the middle of the picture; None: the room's middle."""
    if place is None:
        return 0.5
    return min(max((place.x * PANORAMA - 0.5) / (PANORAMA - 1.0), 0.0), 1.0)
