# SPDX-License-Identifier: Apache-2.0
"""The empty rooms: wide pictures that the camera's view is cut from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from flash_vstream_ros.simulator import (
    drawing_hallway,
    drawing_homes,
    drawing_sheds,
    drawing_workplaces,
)
from flash_vstream_ros.simulator.drawing_extras import decorate
from flash_vstream_ros.simulator.drawing_look import Look
from flash_vstream_ros.simulator.drawing_sheet import Sheet, Sprite
from flash_vstream_ros.simulator.view import ROOMS

PANORAMA = 2.0  # width of a room in picture widths
FOREGROUND = 2.2  # width of its nearer furniture's layer: it moves faster when the camera pans
FINE_PX = 540  # rooms are drawn at least this high where that is cheap, and made smaller
CACHED_ROOMS = 16

Painter = Callable[[Sheet, Sheet, Look], None]
PAINTERS: dict[str, Painter] = {
    'kitchen': drawing_homes.kitchen,
    'office': drawing_workplaces.office,
    'hallway': drawing_hallway.hallway,
    'workshop': drawing_sheds.workshop,
    'bedroom': drawing_homes.bedroom,
    'lounge': drawing_homes.lounge,
    'laboratory': drawing_workplaces.laboratory,
    'garage': drawing_sheds.garage,
}


@dataclass(frozen=True)
class RoomPicture:
    """A room without the things of the day.

    :param back: (H, W * PANORAMA, 3) uint8 RGB.
    :param front: nearer furniture, anchored at the left top of its layer.
    :param front_width: of that layer in pixels, more than the back's.
    """

    back: np.ndarray
    front: Sprite
    front_width: int

    def look_at(self, pan: float, width: int) -> np.ndarray:
        """Cut what the camera sees: a new (H, W, 3) picture."""
        pan = min(max(pan, 0.0), 1.0)
        start = round(pan * (self.back.shape[1] - width))
        seen = self.back[:, start : start + width].copy()
        self.front.paste(seen, (-round(pan * (self.front_width - width)), 0))
        return seen


@lru_cache(maxsize=CACHED_ROOMS)
def room_picture(room: str, style: int, size: tuple[int, int]) -> RoomPicture:
    """Paint a room for one patrol.

    :param size: of the camera's picture in pixels, (width, height).
    """
    width, height = size
    scale = min(max(round(FINE_PX / 2 / height), 1), 4)
    look = Look(ROOMS.index(room), style)
    back = _blank(round(width * PANORAMA), height, scale, 3)
    front = _blank(round(width * FOREGROUND), height, scale, 4)
    PAINTERS[room](back, front, look)
    decorate(back, front, look, room)
    if look.chance(0.5):
        back.pixels, front.pixels = back.pixels[:, ::-1], front.pixels[:, ::-1]
    shrunk = (back.pixels.shape[1] // scale, back.pixels.shape[0] // scale)
    fine = np.ascontiguousarray(back.pixels)
    seen = cv2.resize(fine, shrunk, interpolation=cv2.INTER_AREA) if scale > 1 else fine
    seen.setflags(write=False)
    near = Sprite.cut(np.ascontiguousarray(front.pixels), (0, 0), scale)
    return RoomPicture(seen, near, round(width * FOREGROUND))


def _blank(width: int, height: int, scale: int, channels: int) -> Sheet:
    """An empty sheet ``scale`` times a size in pixels, one unit wide and one high."""
    pixels = np.zeros((height * scale, width * scale, channels), np.uint8)
    return Sheet(pixels, (width * scale, height * scale))
