# SPDX-License-Identifier: Apache-2.0
"""People's arms and legs that do things to objects. All places are in picture heights."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flash_vstream_ros.simulator.drawing_sheet import (
    Colour,
    Point,
    Sheet,
    moved,
    shaded,
    unit_vector,
)

HAND_LENGTH = 0.78  # from wrist to finger tips, over a hand's scale
REACH = 2.0  # length of an arm or leg, long enough to leave the picture

SKINS: tuple[Colour, ...] = ((236, 190, 160), (214, 160, 122), (168, 112, 78), (112, 74, 54))
# None that could be taken for an object's colour.
SLEEVES: tuple[Colour, ...] = ((92, 104, 120), (150, 144, 134), (86, 110, 108), (196, 186, 170))
TROUSERS: tuple[Colour, ...] = ((62, 66, 84), (84, 76, 68), (56, 58, 60))


@dataclass(frozen=True)
class Person:
    """Whose limbs are seen."""

    skin: Colour
    sleeve: Colour
    trousers: Colour


@lru_cache(maxsize=256)
def person(seed: int) -> Person:
    """Choose somebody by a seed."""
    rng = np.random.default_rng([404, seed])
    return Person(
        SKINS[rng.integers(len(SKINS))],
        SLEEVES[rng.integers(len(SLEEVES))],
        TROUSERS[rng.integers(len(TROUSERS))],
    )


def _limb(sheet: Sheet, start: Point, end: Point, widths: Point, colour: Colour) -> None:
    """A tapered limb with an outline and a lit edge."""
    along = unit_vector(end[0] - start[0], end[1] - start[1])
    across = (-along[1], along[0]) if along[0] < 0 else (along[1], -along[0])
    low, high = widths[0] / 2, widths[1] / 2
    rim = [moved(start, across, low), moved(end, across, high),
           moved(end, across, -high), moved(start, across, -low)]  # fmt: skip
    sheet.polygon(rim, colour)
    lit = [rim[0], rim[1], moved(end, across, high * 0.3), moved(start, across, low * 0.3)]
    sheet.polygon(lit, shaded(colour, 1.16))
    dark = shaded(colour, 0.5)
    sheet.line(rim[:2], dark, 0.007)
    sheet.line(rim[2:], dark, 0.007)


def draw_arm(sheet: Sheet, who: Person, wrist: Point, way: Point, scale: float) -> None:
    """An arm from out of the picture to a hand: bare below, a sleeve above.

    :param way: direction from the shoulder to the wrist, of length 1.
    :param scale: about the length of the hand.
    """
    cuff = moved(wrist, way, -scale * 1.05)
    skin_end, hem = moved(cuff, way, -scale * 0.3), moved(cuff, way, -scale * 0.14)
    shoulder = moved(wrist, way, -REACH)
    _limb(sheet, wrist, skin_end, (scale * 0.36, scale * 0.5), who.skin)
    _limb(sheet, cuff, shoulder, (scale * 0.68, scale * 1.25), who.sleeve)
    _limb(sheet, cuff, hem, (scale * 0.74, scale * 0.76), shaded(who.sleeve, 0.8))


def draw_hand(
    sheet: Sheet, who: Person, wrist: Point, way: Point, scale: float, spread: float
) -> None:
    """A hand seen from its back: a palm, and fingers that hang over what it holds.

    :param way: direction from the wrist to the finger tips, of length 1.
    :param spread: 0 fingers together to 1 an open hand.
    """
    side = (-way[1], way[0])
    palm = moved(wrist, way, scale * 0.22)
    dark = shaded(who.skin, 0.5)
    fan = (0.3 + 0.45 * spread) * 0.5
    thumb = moved(moved(palm, side, (0.38 + 0.15 * spread) * scale), way, 0.11 * scale)
    fingers = [(palm, thumb)]
    for place in (-1.5, -0.5, 0.5, 1.5):
        root = moved(palm, side, place * scale * 0.13)
        long = scale * (0.52 - 0.05 * abs(place))
        fingers.append((root, moved(moved(root, way, long), side, place * fan * long)))
    for width, colour in ((0.2, dark), (0.15, who.skin)):
        for finger in fingers:
            sheet.line(finger, colour, scale * width)
    turn = math.degrees(math.atan2(way[1], way[0]))
    for rim, colour in ((0.0, dark), (0.006, who.skin)):
        sheet.oval(palm, (scale * 0.3 - rim, scale * 0.27 - rim), colour, angle=turn)
    lit = (palm[0] - 0.05 * scale, palm[1] - 0.05 * scale)
    sheet.oval(lit, (scale * 0.17, scale * 0.13), shaded(who.skin, 1.16))


def draw_leg(sheet: Sheet, who: Person, toe: Point, direction: float) -> None:
    """A leg with a shoe, from above the picture down to a toe that points one way.

    :param direction: 1 when the toe points right, -1 left.
    """
    x, y = toe

    def at(back: float, up: float) -> Point:
        return x - direction * back, y - up

    _limb(sheet, at(0.145, 0.05), at(0.24, 1.2), (0.09, 0.18), who.trousers)
    shoe = [at(0, 0.012), at(0.01, 0.045), at(0.06, 0.07), at(0.1, 0.11), at(0.2, 0.11),
            at(0.205, 0.012)]  # fmt: skip
    sheet.polygon(shoe, (66, 62, 60))
    sheet.line(shoe, (24, 24, 26), 0.007)
    sheet.polygon([at(0, 0.022), at(0.21, 0.022), at(0.21, 0), at(0.005, 0)], (226, 224, 218))
    sheet.line([at(0.07, 0.075), at(0.09, 0.055)], (220, 218, 214), 0.008)
    sheet.line([at(0.09, 0.095), at(0.112, 0.07)], (220, 218, 214), 0.008)
