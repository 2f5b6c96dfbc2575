# SPDX-License-Identifier: Apache-2.0
"""Furniture that several rooms share; x in panorama widths, y in picture heights."""

import numpy as np

from flash_vstream_ros.simulator.drawing_look import Look, paint, pixel_size
from flash_vstream_ros.simulator.drawing_sheet import Colour, Sheet, mixed, shaded
from flash_vstream_ros.simulator.drawing_textures import coloured, wood

BLACK = (0, 0, 0)


def aspect(sheet: Sheet) -> float:
    """How many x units are as long as one y unit."""
    return sheet.unit[1] / sheet.unit[0]


def ground_shadow(sheet: Sheet, left: float, right: float, y: float) -> None:
    """Darken the floor under a piece of furniture."""
    for depth, opacity in ((0.05, 0.16), (0.025, 0.25)):
        sheet.blend(
            [(left, y - depth), (right, y - depth), (right + depth, y + depth), (left, y + depth)],
            BLACK,
            opacity,
        )


def slab(
    sheet: Sheet,
    left: float,
    top: float,
    right: float,
    bottom: float,
    colour: Colour,
    *,
    depth: float = 0.0,
    outline: float = 0.006,
) -> None:
    """A box seen from the front: shaded face, lighter top face of ``depth``, dark outline."""
    if depth:
        lean = depth * 0.6
        roof = [(left + lean, top - depth), (right - lean, top - depth), (right, top), (left, top)]
        sheet.polygon(roof, shaded(colour, 1.25))
    sheet.rectangle(left, top, right, bottom, colour)
    sheet.shade(left, top, right, bottom, np.float32([[1.05, 1.0], [0.86, 0.8]]))
    sheet.frame(left, top, right, bottom, shaded(colour, 0.55), outline)


def board(
    sheet: Sheet, look: Look, left: float, top: float, right: float, bottom: float, ink: Colour
) -> None:
    """A wooden board with its grain and a dark lower edge."""
    size = pixel_size(sheet, right - left, bottom - top)
    paint(sheet, left, top, right, bottom, coloured(ink, wood(size, look.grain, 1, 0.12)))
    sheet.line([(left, bottom), (right, bottom)], shaded(ink, 0.45), 0.007)


def cabinet_doors(
    sheet: Sheet, left: float, top: float, right: float, bottom: float, colour: Colour, count: int
) -> None:
    """A row of cabinet doors with handles."""
    step = (right - left) / count
    for index in range(count):
        x = left + index * step
        slab(sheet, x, top, x + step, bottom, colour)
        inset = step * 0.12
        sheet.frame(
            x + inset, top + 0.02, x + step - inset, bottom - 0.02, shaded(colour, 0.82), 0.005
        )
        sheet.line(
            [(x + step * 0.8, top + 0.04), (x + step * 0.8, top + 0.08)], (70, 70, 72), 0.008
        )


def window(sheet: Sheet, look: Look, left: float, top: float, right: float, bottom: float) -> None:
    """A window with daylight or dusk outside."""
    sky = look.pick([(205, 220, 232), (226, 226, 220), (150, 165, 186), (232, 214, 190)])
    sheet.rectangle(left, top, right, bottom, sky)
    horizon = bottom - (bottom - top) * look.between(0.15, 0.4)
    sheet.rectangle(left, horizon, right, bottom, mixed(sky, (96, 110, 96), 0.6))
    frame = (236, 234, 228)
    middle = (left + right) / 2
    sheet.line([(middle, top), (middle, bottom)], frame, 0.014)
    sheet.frame(left, top, right, bottom, frame, 0.024)
    sheet.frame(left - 0.008, top - 0.012, right + 0.008, bottom + 0.012, (120, 116, 110), 0.005)


def curtains(
    sheet: Sheet, left: float, top: float, right: float, bottom: float, colour: Colour
) -> None:
    """Two curtains with folds at the sides of a window."""
    width = (right - left) * 0.28
    for side in (left - width * 0.4, right - width * 0.6):
        sheet.rectangle(side, top, side + width, bottom, colour)
        folds = 1 + 0.16 * np.sin(np.arange(24, dtype=np.float32) * 1.6)
        sheet.shade(side, top, side + width, bottom, folds[None])
    sheet.line([(left - width, top), (right + width, top)], (90, 80, 70), 0.012)


def books(sheet: Sheet, look: Look, left: float, base: float, right: float, height: float) -> None:
    """A row of books or binders in dull colours."""
    x = left
    while x < right - 0.012:
        wide = look.between(0.009, 0.02)
        tall = height * look.between(0.7, 1.0)
        grey = look.pick(
            [(120, 96, 84), (88, 98, 104), (150, 140, 120), (104, 92, 104), (72, 80, 74)]
        )
        sheet.rectangle(x, base - tall, min(x + wide * 0.9, right), base, look.vary(grey, 14))
        x += wide


def shelf_unit(
    sheet: Sheet,
    look: Look,
    left: float,
    top: float,
    right: float,
    bottom: float,
    colour: Colour,
    levels: int,
) -> None:
    """A bookcase full of books."""
    ground_shadow(sheet, left, right, bottom)
    slab(sheet, left, top, right, bottom, shaded(colour, 0.55))
    step = (bottom - top) / levels
    for level in range(levels):
        base = top + (level + 1) * step
        books(sheet, look, left + 0.012, base, right - 0.01, step * 0.85)
        sheet.line([(left, base), (right, base)], colour, 0.016)
    sheet.frame(left, top, right, bottom, colour, 0.018)


def picture(
    sheet: Sheet, look: Look, left: float, top: float, right: float, bottom: float
) -> None:
    """A framed landscape in dull colours."""
    sky = look.vary((186, 184, 172), 16)
    sheet.rectangle(left, top, right, bottom, sky)
    wide, tall = right - left, bottom - top
    hill = look.vary((112, 108, 92), 16)
    peak = left + wide * look.between(0.25, 0.75)
    sheet.polygon(
        [(left, bottom), (left, bottom - tall * 0.3), (peak, bottom - tall * 0.7),
         (right, bottom - tall * 0.2), (right, bottom)], hill)  # fmt: skip
    sheet.oval((right - wide * 0.25, top + tall * 0.28), (0.016, 0.016), shaded(sky, 1.7))
    sheet.frame(left, top, right, bottom, look.vary((96, 74, 52), 14), 0.018)


def pot_plant(sheet: Sheet, look: Look, x: float, base: float, height: float) -> None:
    """A plant with dull dark leaves in a clay-grey pot."""
    ratio = aspect(sheet)
    pot = height * 0.3
    half = pot * 0.42 * ratio
    ground_shadow(sheet, x - half, x + half, base)
    for index in range(9):
        lean = (index - 4) / 4
        tip = (x + lean * height * 0.42 * ratio, base - height * look.between(0.65, 1.0))
        root = (x, base - pot)
        bend = ((tip[0] + root[0]) / 2 + lean * 0.03, tip[1] + height * 0.12)
        leaf = look.vary((72, 88, 66), 10)
        sheet.line([root, bend, tip], leaf, height * 0.075)
    clay = look.vary((146, 128, 116), 10)
    sheet.polygon(
        [(x - half, base - pot), (x + half, base - pot), (x + half * 0.7, base),
         (x - half * 0.7, base)], clay)  # fmt: skip
    sheet.rectangle(
        x - half * 1.1, base - pot, x + half * 1.1, base - pot * 0.75, shaded(clay, 0.85)
    )


def table(
    sheet: Sheet, look: Look, left: float, top: float, right: float, bottom: float, ink: Colour
) -> None:
    """A table: a board on legs."""
    ground_shadow(sheet, left, right, bottom)
    leg = 0.016
    for x in (left + 0.01, right - 0.01 - leg):
        sheet.rectangle(x, top, x + leg, bottom, shaded(ink, 0.6))
    lean = 0.02
    sheet.polygon(
        [(left + lean, top - 0.035), (right - lean, top - 0.035), (right, top), (left, top)],
        shaded(ink, 1.2),
    )
    if sheet.pixels.shape[2] == 3:
        board(sheet, look, left, top, right, top + 0.03, ink)
    else:
        sheet.rectangle(left, top, right, top + 0.03, ink)


def glow(sheet: Sheet, x: float, y: float, radius: float, strength: float) -> None:
    """Brighten what is around a lamp, softly."""
    wide = radius * aspect(sheet)
    away = np.hypot(*np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32)))
    gains = 1 + strength * np.clip(1 - away, 0, 1) ** 1.5
    sheet.shade(x - wide, y - radius, x + wide, y + radius, gains.astype(np.float32))


def floor_lamp(sheet: Sheet, look: Look, x: float, top: float, base: float) -> None:
    """A standing lamp with a warm shade and its glow on the wall."""
    ratio = aspect(sheet)
    glow(sheet, x, top + 0.06, 0.36, 0.5)
    sheet.line([(x, top + 0.1), (x, base)], (66, 60, 56), 0.012)
    sheet.oval((x, base), (0.06, 0.015), (66, 60, 56))
    shade = look.vary((238, 222, 186), 6)
    sheet.polygon(
        [(x - 0.05 * ratio, top), (x + 0.05 * ratio, top), (x + 0.09 * ratio, top + 0.12),
         (x - 0.09 * ratio, top + 0.12)], shade)  # fmt: skip
