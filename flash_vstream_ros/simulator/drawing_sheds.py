# SPDX-License-Identifier: Apache-2.0
"""Rooms of rough work: workshop and garage. x in panorama widths, y in heights."""

import numpy as np

from flash_vstream_ros.simulator import drawing_furniture as furniture
from flash_vstream_ros.simulator import drawing_textures as textures
from flash_vstream_ros.simulator.drawing_furniture import slab
from flash_vstream_ros.simulator.drawing_look import (
    FLOOR,
    Look,
    columns_of,
    floor_size,
    paint,
    paint_floor,
    skirting,
    wall_size,
)
from flash_vstream_ros.simulator.drawing_sheet import Colour, Sheet, shaded


def workshop(back: Sheet, front: Sheet, look: Look) -> None:
    """Boarded walls, a peg board with tools, a heavy bench with a vice, a worn floor."""
    timber = look.vary(look.pick([(150, 112, 78), (128, 108, 88), (166, 134, 94)]), 8)
    boards = textures.wood(wall_size(back)[::-1], look.grain, 22, 0.09).T
    paint(back, 0, 0, 1, FLOOR, textures.coloured(timber, boards))
    skirting(back, shaded(timber, 0.5))
    size = floor_size(back)
    worn = textures.wood(size, look.grain, 9, 0.1) * textures.speckle(size, look.grain, 0.08)
    paint_floor(back, textures.coloured(look.vary((104, 92, 82), 8), worn))
    _peg_board(back, look, 0.12 + look.between(-0.05, 0.03), 0.62)
    _bench(back, look, 0.06 + look.between(-0.04, 0.04))
    _drawers(back, look, 0.76 + look.between(-0.01, 0.03))
    furniture.window(back, look, 0.78, 0.06, 0.94, 0.28)
    lamp = look.between(0.3, 0.5)
    back.line([(lamp, 0), (lamp, 0.05)], (40, 40, 40), 0.01)
    back.polygon(
        [(lamp - 0.03, 0.05), (lamp + 0.03, 0.05), (lamp + 0.07, 0.1), (lamp - 0.07, 0.1)],
        (74, 82, 80),
    )
    back.oval((lamp, 0.1), (0.06, 0.016), (255, 244, 206))
    crate = look.pick([look.between(0.08, 0.2), look.between(0.7, 0.86)])
    _crate(front, look, crate)


def _peg_board(sheet: Sheet, look: Look, left: float, right: float) -> None:
    ink = look.vary(look.pick([(206, 182, 142), (196, 198, 194)]), 8)
    rows = 12
    holes = textures.dots((240, 480), (rows, 26), -0.45, 0.2)
    paint(sheet, left, 0.06, right, 0.38, textures.coloured(ink, holes))
    sheet.frame(left, 0.06, right, 0.38, shaded(ink, 0.5), 0.012)
    tools = [_hammer, _saw, _spanner, _driver, _spanner, _hammer, _driver]
    order = look.rng.permutation(len(tools))
    step = (right - left) / (len(tools) + 0.5)
    for place, index in enumerate(order):
        tools[index](sheet, left + step * (place + 0.7), 0.11 + look.between(-0.02, 0.02))


def _hammer(sheet: Sheet, x: float, y: float) -> None:
    sheet.line([(x, y + 0.02), (x, y + 0.2)], (96, 64, 40), 0.018)
    sheet.rectangle(x - 0.025, y, x + 0.025, y + 0.035, (52, 54, 58))


def _saw(sheet: Sheet, x: float, y: float) -> None:
    sheet.polygon(
        [
            (x - 0.015, y + 0.05),
            (x + 0.03, y + 0.05),
            (x + 0.012, y + 0.24),
            (x - 0.008, y + 0.24),
        ],
        (152, 156, 160),
    )
    sheet.polygon(
        [(x - 0.025, y), (x + 0.035, y), (x + 0.035, y + 0.06), (x - 0.02, y + 0.06)], (88, 58, 36)
    )


def _spanner(sheet: Sheet, x: float, y: float) -> None:
    sheet.line([(x, y + 0.03), (x, y + 0.18)], (100, 104, 110), 0.018)
    sheet.oval((x, y + 0.02), (0.024, 0.022), (100, 104, 110), width=0.013)
    sheet.oval((x, y + 0.19), (0.018, 0.016), (100, 104, 110), width=0.012)


def _driver(sheet: Sheet, x: float, y: float) -> None:
    sheet.line([(x, y + 0.08), (x, y + 0.2)], (130, 134, 138), 0.009)
    sheet.line([(x, y + 0.01), (x, y + 0.08)], (58, 54, 50), 0.026)


def _bench(sheet: Sheet, look: Look, left: float) -> None:
    """A thick bench on heavy legs, with a vice, a tin and planks below."""
    ink = look.vary((172, 132, 88), 10)
    right = left + 0.64
    furniture.ground_shadow(sheet, left, right, 0.68)
    sheet.rectangle(left + 0.03, 0.5, right - 0.03, 0.64, shaded(ink, 0.32))
    for index in range(3):
        y = 0.6 - index * 0.022
        sheet.line(
            [(left + 0.1, y), (right - look.between(0.1, 0.3), y)],
            look.vary((150, 118, 82)),
            0.016,
        )
    for x in (left + 0.02, right - 0.06):
        slab(sheet, x, 0.48, x + 0.04, 0.68, shaded(ink, 0.8))
    furniture.board(sheet, look, left, 0.44, right, 0.5, ink)
    vice = left + look.between(0.08, 0.5)
    sheet.rectangle(vice, 0.37, vice + 0.03, 0.44, (70, 78, 84))
    sheet.rectangle(vice + 0.045, 0.37, vice + 0.07, 0.43, (70, 78, 84))
    sheet.line([(vice - 0.02, 0.415), (vice + 0.1, 0.415)], (132, 138, 142), 0.016)
    tin = left + look.between(0.3, 0.36)
    slab(sheet, tin, 0.39, tin + 0.03, 0.44, (140, 140, 134))


def _drawers(sheet: Sheet, look: Look, left: float) -> None:
    ink = look.vary((98, 106, 112), 10)
    furniture.ground_shadow(sheet, left, left + 0.18, 0.67)
    for row in range(5):
        y = 0.36 + row * 0.06
        slab(sheet, left, y, left + 0.18, y + 0.06, ink)
        sheet.line([(left + 0.06, y + 0.022), (left + 0.12, y + 0.022)], (186, 188, 190), 0.011)


def _crate(sheet: Sheet, look: Look, x: float) -> None:
    ink = look.vary((166, 134, 94), 10)
    furniture.ground_shadow(sheet, x - 0.07, x + 0.07, 0.76)
    for row in range(3):
        y = 0.62 + row * 0.047
        slab(sheet, x - 0.07, y, x + 0.07, y + 0.04, ink)
    for side in (x - 0.07, x + 0.05):
        sheet.rectangle(side, 0.61, side + 0.02, 0.76, shaded(ink, 0.8))


def garage(back: Sheet, front: Sheet, look: Look) -> None:
    """Block walls, a roller shutter, a parked car, shelves with boxes, a stained floor."""
    block = look.vary(look.pick([(150, 148, 144), (168, 162, 150), (136, 142, 148)]), 8)
    size = wall_size(back)
    columns = columns_of(back, 7, FLOOR, 2.2)
    blocks = textures.tiles(size, look.grain, (7, columns), seam=0.8, amount=0.05, bond=True)
    paint(
        back,
        0,
        0,
        1,
        FLOOR,
        textures.coloured(block, blocks * textures.speckle(size, look.grain, 0.04)),
    )
    size = floor_size(back)
    stains = textures.speckle(size, look.grain, 0.09) * (
        1 - 0.1 * np.clip(textures.noise(size, (7, 9), look.grain), 0, 3)
    )
    paint_floor(back, textures.coloured(look.vary((128, 126, 122), 8), stains))
    _shutter(back, look, 0.34 + look.between(-0.03, 0.04))
    _metal_shelf(back, look, 0.02 + look.between(0, 0.03))
    _car(back, look, 0.36 + look.between(-0.02, 0.06))
    tyres = look.between(0.24, 0.3)
    for row in range(3):
        front.oval((tyres, 0.7 - row * 0.045), (0.085, 0.035), (58, 58, 60))
        front.oval((tyres, 0.69 - row * 0.045), (0.05, 0.018), (34, 34, 36))


def _shutter(sheet: Sheet, look: Look, left: float) -> None:
    ink = look.vary(look.pick([(176, 182, 184), (140, 128, 116), (196, 190, 176)]), 8)
    right = left + 0.56
    ribs = np.tile(np.float32([[1.12], [1.0], [0.92], [0.72]]), (11, 1))
    paint(sheet, left, 0.05, right, 0.6, textures.coloured(ink, np.repeat(ribs, 2, axis=1)))
    sheet.frame(left, 0.05, right, 0.6, (84, 84, 84), 0.02)
    stripe = (right - left) / 14
    for index in range(14):
        x = left + index * stripe
        shade_of = (60, 60, 58) if index % 2 else (204, 188, 128)
        sheet.polygon([(x, 0.05), (x + stripe, 0.05), (x + stripe, 0.02), (x, 0.02)], shade_of)


def _metal_shelf(sheet: Sheet, look: Look, left: float) -> None:
    right = left + 0.24
    furniture.ground_shadow(sheet, left, right, 0.66)
    for base in (0.2, 0.36, 0.52, 0.64):
        x = left + 0.015
        while x < right - 0.05:
            wide = look.between(0.04, 0.075)
            tall = look.between(0.06, 0.11)
            slab(sheet, x, base - tall, min(x + wide, right), base, look.vary((172, 140, 102), 14))
            x += wide + look.between(0.005, 0.03)
        sheet.rectangle(left, base, right, base + 0.016, (92, 98, 106))
    for x in (left, right - 0.012):
        sheet.rectangle(x, 0.06, x + 0.012, 0.68, (92, 98, 106))


def _car(sheet: Sheet, look: Look, left: float) -> None:
    """A parked car from the side."""
    ink = look.vary(
        look.pick([(186, 190, 194), (84, 88, 94), (128, 118, 106), (214, 210, 200)]), 6
    )
    long = 0.5
    furniture.ground_shadow(sheet, left, left + long, 0.7)

    def body(points: list[tuple[float, float]], colour: Colour) -> None:
        sheet.polygon([(left + x * long, y) for x, y in points], colour)

    body([(0.2, 0.46), (0.3, 0.34), (0.66, 0.34), (0.8, 0.46)], shaded(ink, 0.85))
    body([(0.25, 0.455), (0.32, 0.36), (0.46, 0.36), (0.46, 0.455)], (58, 68, 76))
    body([(0.49, 0.455), (0.49, 0.36), (0.64, 0.36), (0.75, 0.455)], (58, 68, 76))
    body([(0, 0.5), (0.03, 0.47), (0.2, 0.455), (0.8, 0.455), (0.98, 0.5), (1, 0.62), (0.97, 0.65),
          (0.02, 0.65), (0, 0.6)], ink)  # fmt: skip
    body([(0, 0.58), (1, 0.58), (0.97, 0.65), (0.02, 0.65)], shaded(ink, 0.75))
    sheet.line([(left + 0.02, 0.5), (left + long - 0.02, 0.5)], shaded(ink, 1.4), 0.008)
    sheet.line([(left + long * 0.475, 0.47), (left + long * 0.475, 0.63)], shaded(ink, 0.6), 0.007)
    sheet.rectangle(left + long * 0.95, 0.51, left + long, 0.545, (240, 236, 214))
    sheet.rectangle(left, 0.51, left + long * 0.035, 0.55, (118, 64, 60))
    for x in (0.2, 0.79):
        at = (left + x * long, 0.645)
        sheet.oval(at, (0.064, 0.064), (34, 34, 36))
        sheet.oval(at, (0.035, 0.035), (150, 152, 154))
        sheet.oval(at, (0.012, 0.012), (70, 72, 74))
