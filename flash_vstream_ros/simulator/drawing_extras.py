# SPDX-License-Identifier: Apache-2.0
"""Small things that make rooms of the same kind differ: on the floor, and where a wall is free."""

from collections.abc import Callable

import numpy as np

from flash_vstream_ros.simulator import drawing_furniture as furniture
from flash_vstream_ros.simulator.drawing_furniture import aspect, slab
from flash_vstream_ros.simulator.drawing_look import Look
from flash_vstream_ros.simulator.drawing_sheet import Sheet, shaded

# Where a wall has room, in panorama widths.
FREE_WALL: dict[str, tuple[float, ...]] = {
    'office': (0.32, 0.74),
    'workshop': (0.69,),
    'bedroom': (0.06, 0.22, 0.56),
    'lounge': (0.27, 0.74),
    'laboratory': (0.61,),
    'garage': (0.29, 0.95),
}


def decorate(back: Sheet, front: Sheet, look: Look, room: str) -> None:
    """Add a few things to a painted room.

    :param room: its name.
    """
    for x in FREE_WALL.get(room, ()):
        if look.chance(0.6):
            look.pick((_clock, _poster, _vent))(back, look, x)
    places = look.rng.permutation(8)[: int(look.between(1, 3))]
    things: tuple[Callable[[Sheet, Look, float, float], None], ...]
    things = (_bin, _carton, _bucket, _broom, _bag, _plant)
    for place in places:
        x = 0.06 + 0.125 * float(place) + look.between(-0.02, 0.02)
        look.pick(things)(front, look, x, look.between(0.68, 0.74))


def _clock(sheet: Sheet, look: Look, x: float) -> None:
    y = look.between(0.1, 0.16)
    sheet.oval((x, y), (0.052, 0.052), look.vary((70, 66, 62)))
    sheet.oval((x, y), (0.042, 0.042), (244, 242, 234))
    for length, width in ((0.032, 0.007), (0.022, 0.01)):
        turn = look.between(0, 2 * np.pi)
        tip = (x + length * aspect(sheet) * np.sin(turn), y - length * np.cos(turn))
        sheet.line([(x, y), tip], (40, 40, 42), width)


def _poster(sheet: Sheet, look: Look, x: float) -> None:
    ink = look.vary(look.pick([(206, 196, 176), (150, 160, 170), (174, 152, 148)]))
    half, top = 0.034, look.between(0.07, 0.11)
    sheet.rectangle(x - half, top, x + half, top + 0.16, ink)
    sheet.rectangle(x - half * 0.7, top + 0.02, x + half * 0.7, top + 0.08, shaded(ink, 0.65))
    for row in range(3):
        y = top + 0.1 + row * 0.018
        sheet.line(
            [(x - half * 0.7, y), (x + half * look.between(0, 0.7), y)], shaded(ink, 0.5), 0.006
        )
    sheet.frame(x - half, top, x + half, top + 0.16, shaded(ink, 0.45), 0.006)


def _vent(sheet: Sheet, look: Look, x: float) -> None:
    top = look.between(0.04, 0.07)
    sheet.rectangle(x - 0.04, top, x + 0.04, top + 0.08, look.vary((190, 192, 190)))
    for row in range(4):
        y = top + 0.014 + row * 0.018
        sheet.line([(x - 0.034, y), (x + 0.034, y)], (96, 98, 98), 0.008)


def _bin(sheet: Sheet, look: Look, x: float, base: float) -> None:
    ink, half = look.vary((96, 98, 102)), 0.055 * aspect(sheet)
    furniture.ground_shadow(sheet, x - half, x + half, base)
    sheet.polygon(
        [(x - half, base - 0.14), (x + half, base - 0.14), (x + half * 0.75, base),
         (x - half * 0.75, base)], ink)  # fmt: skip
    for lean in (-0.5, 0.0, 0.5):
        sheet.line(
            [(x + lean * half, base - 0.13), (x + lean * half * 0.75, base)],
            shaded(ink, 0.7),
            0.006,
        )
    sheet.oval((x, base - 0.14), (0.055, 0.014), shaded(ink, 0.5))


def _carton(sheet: Sheet, look: Look, x: float, base: float) -> None:
    half, tall = look.between(0.04, 0.06), look.between(0.1, 0.15)
    ink = look.vary((176, 146, 108))
    furniture.ground_shadow(sheet, x - half, x + half, base)
    slab(sheet, x - half, base - tall, x + half, base, ink, depth=0.03)
    sheet.rectangle(x - 0.008, base - tall, x + 0.008, base - tall * 0.6, shaded(ink, 1.35))


def _bucket(sheet: Sheet, look: Look, x: float, base: float) -> None:
    ink, half = look.vary((136, 144, 146)), 0.05 * aspect(sheet)
    furniture.ground_shadow(sheet, x - half, x + half, base)
    sheet.oval((x, base - 0.1), (0.05, 0.06), (70, 72, 74), width=0.008, arc=(180, 360))
    sheet.polygon(
        [(x - half, base - 0.1), (x + half, base - 0.1), (x + half * 0.7, base),
         (x - half * 0.7, base)], ink)  # fmt: skip
    sheet.oval((x, base - 0.1), (0.05, 0.013), shaded(ink, 0.6))


def _broom(sheet: Sheet, look: Look, x: float, base: float) -> None:
    lean = look.between(-0.04, 0.04)
    sheet.line([(x, base - 0.06), (x + lean, base - 0.46)], look.vary((150, 118, 84)), 0.014)
    sheet.polygon([(x - 0.012, base - 0.07), (x + 0.012, base - 0.07), (x + 0.03, base),
                   (x - 0.03, base)], look.vary((124, 108, 80)))  # fmt: skip


def _bag(sheet: Sheet, look: Look, x: float, base: float) -> None:
    ink, half = (
        look.vary(look.pick([(92, 84, 80), (112, 110, 96), (78, 82, 90)])),
        0.075 * aspect(sheet),
    )
    furniture.ground_shadow(sheet, x - half, x + half, base)
    sheet.oval((x, base - 0.09), (0.035, 0.045), shaded(ink, 0.6), width=0.012, arc=(180, 360))
    sheet.polygon(
        [(x - half * 0.8, base - 0.1), (x + half * 0.8, base - 0.1), (x + half, base - 0.01),
         (x + half * 0.9, base), (x - half * 0.9, base), (x - half, base - 0.01)],
        ink)  # fmt: skip
    sheet.line(
        [(x - half * 0.8, base - 0.07), (x + half * 0.8, base - 0.07)], shaded(ink, 0.6), 0.008
    )


def _plant(sheet: Sheet, look: Look, x: float, base: float) -> None:
    furniture.pot_plant(sheet, look, x, base, look.between(0.22, 0.32))
