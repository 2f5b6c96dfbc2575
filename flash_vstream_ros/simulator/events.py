# SPDX-License-Identifier: Apache-2.0
"""What a simulated patrol's true log consists of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Placed:
    """An object in its place, from ``from_s`` until ``until_s``.

    :param x: 0 to 1 through the room.
    :param y: base, in picture heights.
    :param size: height from afar, in picture heights.
    """

    colour: str
    shape: str
    room: str
    x: float
    y: float
    size: float
    from_s: float
    until_s: float = float('inf')


@dataclass(frozen=True)
class Event:
    """Something that happened in front of the camera, as the true log has it.

    :param action: an action of :mod:`~flash_vstream_ros.simulator.view`.
    :param colour: of the object or of the robot that passed; empty for a door.
    :param shape: of the object; else empty.
    :param start_s: seconds since the first frame; ``end_s`` likewise.
    :param place: the object where it is before the event (put down: after it); None: no object.
    """

    action: str
    room: str
    start_s: float
    end_s: float
    colour: str = ''
    shape: str = ''
    place: Placed | None = None

    @property
    def what(self) -> tuple[str, str, str, str]:
        """What happened where; equal for events that one sentence cannot tell apart."""
        return (self.action, self.colour, self.shape, self.room)


@dataclass(frozen=True)
class Visit:
    """A stay in one room."""

    room: str
    start_s: float
    end_s: float
    exposure: float
