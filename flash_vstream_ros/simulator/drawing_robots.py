# SPDX-License-Identifier: Apache-2.0
"""The robot's own gripper, and another robot that passes. Places are in picture heights."""

from functools import lru_cache

import numpy as np

from flash_vstream_ros.simulator.drawing_objects import INKS
from flash_vstream_ros.simulator.drawing_sheet import OPAQUE, Colour, Point, Sheet, Sprite, shaded

STEEL: Colour = (158, 164, 172)
JOINT: Colour = (62, 66, 72)
RUBBER: Colour = (36, 38, 42)
FINE_PX = 160
ROBOT_HALF_WIDTH = 0.42  # of its sprite, over its height


def _bar(sheet: Sheet, start: Point, end: Point, width: float) -> None:
    """A metal bar: dark edge, body, a streak of light."""
    sheet.line([start, end], shaded(STEEL, 0.35), width)
    sheet.line([start, end], STEEL, width * 0.74)
    shift = width * 0.14
    lit = [(start[0] - shift, start[1] - shift), (end[0] - shift, end[1] - shift)]
    sheet.line(lit, shaded(STEEL, 1.6), width * 0.18)


def _joint(sheet: Sheet, place: Point, radius: float) -> None:
    sheet.oval(place, (radius, radius), JOINT)
    sheet.oval(place, (radius * 0.5, radius * 0.5), shaded(STEEL, 1.3))


def draw_gripper_arm(sheet: Sheet, palm: Point, base: Point, scale: float) -> None:
    """The arm from below the picture to the gripper's palm."""
    elbow = (base[0] * 0.62 + palm[0] * 0.38, base[1] * 0.45 + palm[1] * 0.55)
    _bar(sheet, base, elbow, scale * 0.5)
    _bar(sheet, elbow, palm, scale * 0.4)
    _joint(sheet, elbow, scale * 0.27)


def draw_gripper(sheet: Sheet, palm: Point, half: float, tall: float, scale: float) -> None:
    """The palm, and two fingers that hold a thing from both sides.

    :param palm: the middle of the palm, below the thing.
    :param half: half the width of the thing.
    :param tall: how far above the palm the fingers end.
    :param scale: the size of the gripper.
    """
    x, y = palm
    thick = scale * 0.2
    out = half + thick * 0.6
    _bar(sheet, (x - out, y), (x + out, y), scale * 0.28)
    for side in (-1, 1):
        knuckle = (x + side * (out + thick * 0.55), y - tall * 0.5)
        tip = (x + side * (half + thick * 0.35), y - tall)
        _bar(sheet, (x + side * out, y), knuckle, thick * 1.2)
        _bar(sheet, knuckle, tip, thick * 1.1)
        _joint(sheet, knuckle, thick * 0.6)
        sheet.line([tip, (tip[0], tip[1] + tall * 0.25)], RUBBER, thick * 0.6)
    _joint(sheet, palm, scale * 0.16)


@lru_cache(maxsize=64)
def robot_sprite(colour: str, height: int, facing: int) -> Sprite:
    """A wheeled robot ``height`` pixels high, anchored at the floor below its middle.

    :param facing: 1 when it looks to the right, -1 to the left.
    """
    scale = 1 if height > FINE_PX else max(round(2 * FINE_PX / height / 2), 2)
    half = round(height * ROBOT_HALF_WIDTH) * scale
    unit = height * scale
    origin = (half, round(unit * 1.02))
    pixels = np.zeros((round(height * 1.05) * scale, 2 * half, 4), np.uint8)
    sheet = Sheet(pixels, (unit, unit), origin)
    ink = INKS[colour]
    _chassis(sheet, ink, facing)
    _head(sheet, ink, facing)
    return Sprite.cut(pixels, origin, scale)


def _chassis(sheet: Sheet, ink: Colour, facing: int) -> None:
    """Wheels, body with a chest panel, an arm."""
    dark = shaded(ink, 0.35)
    outer = [
        (-0.27, -0.5),
        (-0.2, -0.57),
        (0.2, -0.57),
        (0.27, -0.5),
        (0.31, -0.14),
        (-0.31, -0.14),
    ]
    sheet.line([*outer, outer[0]], dark, 0.03)
    sheet.polygon(outer, ink)
    sheet.polygon([(-0.27, -0.5), (-0.2, -0.57), (-0.1, -0.57), (-0.16, -0.14), (-0.31, -0.14)],
                  shaded(ink, 1.28))  # fmt: skip
    sheet.polygon([(0.18, -0.57), (0.2, -0.57), (0.27, -0.5), (0.31, -0.14), (0.22, -0.14)],
                  shaded(ink, 0.65))  # fmt: skip
    shift = 0.05 * facing
    sheet.rectangle(-0.11 + shift, -0.47, 0.11 + shift, -0.3, (206, 210, 214))
    sheet.frame(-0.11 + shift, -0.47, 0.11 + shift, -0.3, dark, 0.014)
    for index in range(3):
        sheet.line([(-0.07 + shift, -0.44 + index * 0.05), (0.07 + shift, -0.44 + index * 0.05)],
                   (92, 100, 108), 0.016)  # fmt: skip
    sheet.rectangle(-0.33, -0.19, 0.33, -0.11, (58, 60, 66))
    for x in (-0.23, 0.23, 0.0):
        radius = 0.125 if x else 0.09
        sheet.oval((x, -radius), (radius, radius), (26, 27, 30))
        sheet.oval((x, -radius), (radius * 0.55, radius * 0.55), (172, 176, 182))
        sheet.oval((x, -radius), (radius * 0.2, radius * 0.2), (60, 62, 66))


def _head(sheet: Sheet, ink: Colour, facing: int) -> None:
    """Neck, head with a visor and two shining eyes, antenna."""
    shift = 0.035 * facing
    sheet.rectangle(-0.06, -0.64, 0.06, -0.56, (84, 88, 94))
    sheet.line([(-0.1 * facing, -0.84), (-0.13 * facing, -0.96)], (70, 74, 80), 0.02)
    sheet.oval((-0.13 * facing, -0.97), (0.034, 0.034), ink)
    sheet.oval((0, -0.74), (0.2, 0.125), (64, 68, 74))
    sheet.oval((0, -0.74), (0.185, 0.11), (208, 212, 216))
    sheet.oval((-0.05, -0.79), (0.1, 0.04), (OPAQUE, OPAQUE, OPAQUE))
    sheet.oval((shift, -0.73), (0.145, 0.066), (22, 26, 34))
    for x in (-0.065, 0.065):
        sheet.oval((shift + x, -0.73), (0.034, 0.038), (120, 236, 250))
        sheet.oval((shift + x + 0.006 * facing, -0.735), (0.014, 0.016), (OPAQUE, OPAQUE, OPAQUE))
