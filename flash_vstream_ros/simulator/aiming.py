# SPDX-License-Identifier: Apache-2.0
"""Where the camera of the simulated patrol looks, and where things are in its picture."""

from collections.abc import Sequence

import numpy as np

from flash_vstream_ros.simulator.events import Event, Placed, Visit

PANORAMA = 2.0  # a room's width in picture widths
AIM_S = 1.0  # to turn to an event, and from it
WAYPOINT_S = 6.0  # between two places looked at while nothing happens


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
    looks: list[tuple[float, float]] = []
    for visit in visits:
        looks.append((visit.start_s, float(random.random())))
        inside = [aim for aim in aims if visit.start_s <= aim[0] < visit.end_s]
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
