# SPDX-License-Identifier: Apache-2.0
"""The room's door, as it opens and closes."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flash_vstream_ros.simulator.drawing_look import Look
from flash_vstream_ros.simulator.drawing_sheet import Colour, Point, Sheet, mixed, shaded
from flash_vstream_ros.simulator.view import ROOMS

DOOR_SEED = 505  # apart from the seeds of the rooms
SWING_SHARE = 0.2  # of an action's course, after which the door stands still
WIDE_OPEN = 1.9  # radians
AJAR, CLOSING = 0.35, 1.15  # radians, where opening and closing are first seen
LEAN = 0.16  # how much a leaf that swings towards the camera grows, over its width
OUTSIDE: Colour = (250, 251, 244)
SHUT_LAMP: Colour = (255, 60, 70)
OPEN_LAMP: Colour = (150, 255, 235)


@dataclass(frozen=True)
class Doorway:
    """Where a door is, in picture heights, and its looks."""

    left: float
    top: float
    right: float
    bottom: float
    hinge: int  # -1 at the left, 1 at the right
    leaf: Colour
    frame: Colour

    @property
    def width(self) -> float:
        """Of the leaf, in picture heights."""
        return self.right - self.left


def draw_door_action(sheet: Sheet, room: str, style: int, opens: bool, progress: float) -> None:
    """Draw the large door that swings open or shut in the first fifth of the course."""
    wide = sheet.pixels.shape[1] / sheet.unit[0]
    way = _doorway(room, style, (0.335 * wide, 0.09, 0.665 * wide, 0.76))
    swing = min(max(progress, 0.0) / SWING_SHARE, 1.0)
    angle = AJAR + (WIDE_OPEN - AJAR) * swing if opens else CLOSING * (1 - swing)
    _draw_doorway(sheet, way, angle)
    if angle > 0:
        _light_on_floor(sheet, way, min(angle, 1.2) / 1.2)
    moved = 0.22 if opens else -0.22
    if 0 < swing < 1:
        for step, opacity in ((2, 0.18), (1, 0.32)):
            sheet.blend(_leaf(way, angle - moved * step), shaded(way.leaf, 1.2), opacity)
    _draw_leaf(sheet, way, angle)
    _lamp(sheet, way, OPEN_LAMP if opens else SHUT_LAMP)


@lru_cache(maxsize=64)
def _doorway(room: str, style: int, box: tuple[float, float, float, float]) -> Doorway:
    look = Look(ROOMS.index(room) + DOOR_SEED, style)
    leaf = look.vary(look.pick([(96, 70, 52), (74, 80, 88), (112, 88, 66), (84, 74, 76)]), 8)
    frame = look.vary(look.pick([(216, 210, 200), (140, 120, 100)]), 8)
    return Doorway(*box, look.pick([-1, 1]), leaf, frame)


def _draw_doorway(sheet: Sheet, way: Doorway, angle: float) -> None:
    """The frame, and what is behind where the leaf does not hide it."""
    rim = way.width * 0.09
    sheet.rectangle(way.left - rim, way.top - rim, way.right + rim, way.bottom, way.frame)
    dark = shaded(way.frame, 0.5)
    sheet.frame(way.left - rim, way.top - rim, way.right + rim, way.bottom + 0.02, dark, 0.007)
    if angle <= 0:
        return
    sheet.rectangle(way.left, way.top, way.right, way.bottom, OUTSIDE)
    horizon = way.top + (way.bottom - way.top) * 0.62
    sheet.rectangle(way.left, horizon, way.right, way.bottom, (228, 226, 200))
    middle = (way.left + way.right) / 2
    sheet.polygon(
        [(middle - way.width * 0.06, horizon), (middle + way.width * 0.06, horizon),
         (middle + way.width * 0.34, way.bottom), (middle - way.width * 0.34, way.bottom)],
        (246, 240, 222))  # fmt: skip
    sheet.line([(way.left, horizon), (way.right, horizon)], (196, 210, 190), way.width * 0.07)


def _leaf(way: Doorway, angle: float) -> list[Point]:
    """The corners of the leaf: hinge top, free top, free bottom, hinge bottom."""
    hinge = way.left if way.hinge < 0 else way.right
    free = hinge - way.hinge * way.width * math.cos(angle)
    near = LEAN * way.width * math.sin(angle)
    return [
        (hinge, way.top),
        (free, way.top - near),
        (free, way.bottom + near),
        (hinge, way.bottom),
    ]


def _draw_leaf(sheet: Sheet, way: Doorway, angle: float) -> None:
    """The leaf with its panels and handle."""
    hinge_top, free_top, free_bottom, hinge_bottom = corners = _leaf(way, angle)
    ink = shaded(way.leaf, 1.0 - 0.25 * math.sin(angle))

    def at(across: float, down: float) -> Point:
        upper = hinge_top[1] + (free_top[1] - hinge_top[1]) * across
        lower = hinge_bottom[1] + (free_bottom[1] - hinge_bottom[1]) * across
        x = hinge_top[0] + (free_top[0] - hinge_top[0]) * across
        return x, upper + (lower - upper) * down

    sheet.polygon(corners, ink)
    dark = shaded(ink, 0.45)
    for top, bottom in ((0.07, 0.42), (0.54, 0.93)):
        panel = [at(0.16, top), at(0.84, top), at(0.84, bottom), at(0.16, bottom)]
        sheet.polygon(panel, mixed(ink, dark, 0.35))
        sheet.line([panel[3], panel[0], panel[1]], dark, 0.008)
        sheet.line([panel[1], panel[2], panel[3]], shaded(ink, 1.25), 0.008)
    sheet.line([*corners, hinge_top], dark, 0.009)
    sheet.line([at(0.9, 0.5), at(0.76, 0.5)], (222, 218, 204), way.width * 0.05)


def _light_on_floor(sheet: Sheet, way: Doorway, strength: float) -> None:
    """Daylight that falls through the door towards the camera."""
    for reach, opacity in ((0.16, 0.3), (0.05, 0.3)):
        sheet.blend(
            [(way.left, way.bottom), (way.right, way.bottom), (way.right + reach, 1.02),
             (way.left - reach, 1.02)], (255, 248, 216), opacity * strength)  # fmt: skip


def _lamp(sheet: Sheet, way: Doorway, ink: Colour) -> None:
    """The lamp above the door, and its glow."""
    middle, y = (way.left + way.right) / 2, way.top - way.width * 0.12
    half = way.width * 0.3
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for size, opacity in ((1.0, 0.2), (0.75, 0.3)):
        wide, tall = half * 1.7 * size, 0.075 * size
        ring = [(middle + wide * np.cos(t), y + tall * np.sin(t)) for t in turn]
        sheet.blend(ring, ink, opacity)
    sheet.rectangle(middle - half, y - 0.022, middle + half, y + 0.022, ink)
    sheet.frame(middle - half, y - 0.022, middle + half, y + 0.022, (60, 60, 62), 0.006)
