# SPDX-License-Identifier: Apache-2.0
"""Rooms of clean work: office and laboratory. x in panorama widths, y in heights."""

import numpy as np

from flash_vstream_ros.simulator import drawing_furniture as furniture
from flash_vstream_ros.simulator import drawing_textures as textures
from flash_vstream_ros.simulator.drawing_furniture import aspect, slab
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


def office(back: Sheet, front: Sheet, look: Look) -> None:
    """A plain wall, desks with monitors, a white board, a blind, a grey carpet."""
    wall = look.vary(look.pick([(172, 188, 204), (196, 200, 204), (180, 194, 190)]), 6)
    paint(
        back,
        0,
        0,
        1,
        FLOOR,
        textures.coloured(wall, textures.speckle(wall_size(back), look.grain, 0.015)),
    )
    skirting(back, shaded(wall, 0.6))
    size = floor_size(back)
    rows = 7
    squares = textures.tiles(size, look.grain, (rows, columns_of(back, rows, 0.8)), seam=0.93)
    carpet = look.vary(look.pick([(92, 98, 108), (112, 104, 100), (84, 96, 98)]), 6)
    paint_floor(back, textures.coloured(carpet, squares * textures.speckle(size, look.grain, 0.1)))
    _blind(back, look, 0.05, 0.25)
    board = 0.4 + look.between(-0.04, 0.06)
    _white_board(back, look, board)
    binders = look.vary((176, 170, 158), 8)
    furniture.shelf_unit(back, look, 0.8, 0.12, 0.98, 0.64, binders, 4)
    beech = look.vary(look.pick([(206, 176, 136), (222, 218, 208), (150, 120, 92)]), 8)
    for left in (0.02, 0.42):
        _desk(back, look, left + look.between(0, 0.04), beech)
    _chair(front, look, look.between(0.25, 0.4))


def _blind(sheet: Sheet, look: Look, left: float, right: float) -> None:
    furniture.window(sheet, look, left, 0.05, right, 0.34)
    drop = look.between(0.18, 0.32)
    for y in np.arange(0.05, drop, 0.022):
        sheet.line([(left, y), (right, y)], (232, 234, 234), 0.011)


def _white_board(sheet: Sheet, look: Look, left: float) -> None:
    sheet.rectangle(left, 0.06, left + 0.28, 0.29, (240, 243, 245))
    sheet.frame(left, 0.06, left + 0.28, 0.29, (130, 134, 138), 0.014)
    for row in range(4):
        y = 0.1 + row * 0.04
        x = left + 0.02
        while x < left + look.between(0.14, 0.25):
            step = look.between(0.015, 0.04)
            sheet.line(
                [(x, y), (x + step * 0.7, y + look.between(-0.006, 0.006))], (84, 92, 110), 0.008
            )
            x += step


def _desk(sheet: Sheet, look: Look, left: float, ink: Colour) -> None:
    """A desk with a monitor, a keyboard and drawers."""
    right = left + 0.34
    furniture.ground_shadow(sheet, left, right, 0.67)
    sheet.rectangle(left + 0.01, 0.47, right - 0.01, 0.62, shaded(ink, 0.5))
    furniture.cabinet_doors(sheet, right - 0.1, 0.48, right - 0.01, 0.67, shaded(ink, 0.9), 1)
    sheet.rectangle(left + 0.01, 0.48, left + 0.03, 0.67, shaded(ink, 0.75))
    furniture.board(sheet, look, left, 0.45, right, 0.485, ink)
    screen = left + look.between(0.07, 0.12)
    sheet.rectangle(screen + 0.055, 0.4, screen + 0.075, 0.445, (50, 52, 56))
    sheet.rectangle(screen + 0.03, 0.438, screen + 0.1, 0.452, (50, 52, 56))
    sheet.rectangle(screen, 0.22, screen + 0.13, 0.405, (34, 36, 40))
    glow = look.pick([(104, 128, 150), (196, 204, 210), (70, 84, 92)])
    sheet.rectangle(screen + 0.008, 0.236, screen + 0.122, 0.39, glow)
    for row in range(5):
        y = 0.256 + row * 0.027
        start = screen + 0.016
        sheet.line([(start, y), (start + look.between(0.03, 0.09), y)], shaded(glow, 1.5), 0.009)
    sheet.polygon(
        [(screen - 0.01, 0.455), (screen + 0.09, 0.455), (screen + 0.1, 0.475),
         (screen - 0.02, 0.475)], (62, 64, 68))  # fmt: skip
    cup = right - 0.06
    sheet.rectangle(cup, 0.4, cup + 0.022, 0.45, (226, 226, 222))
    for index in range(3):
        y = 0.444 - index * 0.012
        sheet.rectangle(left + 0.01, y - 0.012, left + 0.065, y, look.vary((222, 218, 208), 10))


def _chair(sheet: Sheet, look: Look, x: float) -> None:
    """A swivel chair, seen from behind."""
    ink = look.vary((58, 60, 66), 8)
    furniture.ground_shadow(sheet, x - 0.06, x + 0.06, 0.8)
    for lean in (-0.06, -0.02, 0.03, 0.065):
        sheet.line([(x, 0.74), (x + lean, 0.79)], (40, 42, 46), 0.016)
    sheet.line([(x, 0.6), (x, 0.75)], (110, 112, 116), 0.02)
    sheet.oval((x, 0.62), (0.1, 0.03), shaded(ink, 0.8))
    sheet.polygon([(x - 0.055, 0.4), (x + 0.055, 0.4), (x + 0.062, 0.58), (x - 0.062, 0.58)], ink)
    sheet.line([(x - 0.045, 0.42), (x + 0.045, 0.42)], shaded(ink, 1.3), 0.014)


def laboratory(back: Sheet, front: Sheet, look: Look) -> None:
    """White walls, white benches with dark tops and glassware, a fume cupboard, a pale floor."""
    white = look.vary(look.pick([(232, 238, 240), (222, 234, 230), (238, 236, 228)]), 4)
    size = wall_size(back)
    paint(
        back,
        0,
        0,
        1,
        FLOOR,
        textures.coloured(white, textures.tiles(size, look.grain, (2, 9), seam=0.92, amount=0.01)),
    )
    band = look.vary(look.pick([(146, 184, 190), (164, 176, 196), (160, 190, 172)]), 6)
    back.rectangle(0, 0.33, 1, 0.37, band)
    size = floor_size(back)
    pale = look.vary(look.pick([(188, 202, 200), (204, 206, 208), (190, 198, 182)]), 6)
    shine = textures.speckle(size, look.grain, 0.025) * textures.tiles(
        size, look.grain, (4, 7), seam=0.9, amount=0.01
    )
    paint_floor(back, textures.coloured(pale, shine))
    for x in (0.1, 0.45, 0.8):
        at = x + look.between(-0.03, 0.03)
        back.rectangle(at, 0.015, at + 0.2, 0.045, (255, 255, 255))
        back.frame(at, 0.015, at + 0.2, 0.045, (190, 198, 202), 0.006)
    _fume_cupboard(back, look, 0.7 + look.between(-0.02, 0.03))
    _glass_shelf(back, look, 0.1 + look.between(-0.04, 0.06))
    _lab_bench(back, look, 0.0, 0.66)
    stool = look.between(0.3, 0.7)
    front.line([(stool, 0.6), (stool, 0.76)], (150, 156, 160), 0.02)
    front.oval((stool, 0.77), (0.07, 0.016), (120, 126, 130))
    front.oval((stool, 0.6), (0.075, 0.024), (60, 66, 70))


def _lab_bench(sheet: Sheet, look: Look, left: float, right: float) -> None:
    furniture.ground_shadow(sheet, left, right, 0.66)
    furniture.cabinet_doors(sheet, left, 0.47, right, 0.66, look.vary((236, 238, 240), 4), 5)
    sheet.rectangle(left - 0.01, 0.445, right + 0.01, 0.475, (58, 66, 72))
    x = left + 0.04
    while x < right - 0.06:
        glass = look.pick([_flask, _beaker, _tubes, _microscope])
        glass(sheet, look, x)
        x += look.between(0.08, 0.14)


def _liquid(look: Look) -> Colour:
    return look.vary(
        look.pick([(170, 206, 206), (214, 206, 166), (196, 176, 200), (186, 210, 178)]), 8
    )


def _flask(sheet: Sheet, look: Look, x: float) -> None:
    ratio = aspect(sheet)
    wide = 0.055 * ratio
    sheet.polygon(
        [(x - wide, 0.444), (x + wide, 0.444), (x + wide * 0.55, 0.395), (x - wide * 0.55, 0.395)],
        _liquid(look),
    )
    outline = [(x - wide * 0.25, 0.3), (x - wide * 0.25, 0.35), (x - wide, 0.44), (x + wide, 0.44),
               (x + wide * 0.25, 0.35), (x + wide * 0.25, 0.3)]  # fmt: skip
    sheet.line(outline, (112, 136, 146), 0.008)


def _beaker(sheet: Sheet, look: Look, x: float) -> None:
    wide = 0.034 * aspect(sheet)
    sheet.rectangle(x - wide, 0.39, x + wide, 0.442, _liquid(look))
    sheet.line(
        [(x - wide, 0.345), (x - wide, 0.442), (x + wide, 0.442), (x + wide, 0.345)],
        (112, 136, 146),
        0.008,
    )


def _tubes(sheet: Sheet, look: Look, x: float) -> None:
    step = 0.022 * aspect(sheet)
    for index in range(4):
        at = x - 1.5 * step + index * step
        sheet.line([(at, 0.36), (at, 0.4)], (206, 220, 224), 0.012)
        sheet.line([(at, 0.4), (at, 0.43)], _liquid(look), 0.012)
    sheet.line([(x - 2.4 * step, 0.392), (x + 2.4 * step, 0.392)], (150, 130, 104), 0.012)
    sheet.line([(x - 2.4 * step, 0.44), (x + 2.4 * step, 0.44)], (150, 130, 104), 0.012)


def _microscope(sheet: Sheet, look: Look, x: float) -> None:
    ratio = aspect(sheet)
    ink = look.vary((72, 78, 84), 8)
    sheet.rectangle(x - 0.04 * ratio, 0.428, x + 0.04 * ratio, 0.445, ink)
    sheet.line([(x + 0.03 * ratio, 0.43), (x + 0.03 * ratio, 0.36), (x, 0.33)], ink, 0.018)
    sheet.line([(x - 0.03 * ratio, 0.3), (x - 0.005 * ratio, 0.39)], (220, 222, 222), 0.022)


def _glass_shelf(sheet: Sheet, look: Look, left: float) -> None:
    right = left + 0.42
    for base in (0.17, 0.29):
        x = left + 0.02
        while x < right - 0.03:
            tall = look.between(0.04, 0.085)
            wide = look.between(0.016, 0.03)
            sheet.rectangle(
                x,
                base - tall,
                x + wide,
                base,
                look.pick([(150, 128, 96), (214, 224, 226), (176, 190, 194)]),
            )
            sheet.rectangle(
                x + wide * 0.25, base - tall - 0.016, x + wide * 0.75, base - tall, (90, 94, 98)
            )
            x += wide + look.between(0.008, 0.03)
        sheet.rectangle(left, base, right, base + 0.012, (168, 176, 180))


def _fume_cupboard(sheet: Sheet, look: Look, left: float) -> None:
    right = left + 0.26
    furniture.ground_shadow(sheet, left, right, 0.67)
    slab(sheet, left, 0.07, right, 0.67, (226, 230, 232))
    sheet.rectangle(left + 0.02, 0.13, right - 0.02, 0.42, (96, 110, 116))
    _flask(sheet, look, left + 0.08)
    sheet.blend(
        [(left + 0.02, 0.13), (right - 0.02, 0.13), (right - 0.02, 0.3), (left + 0.02, 0.3)],
        (220, 236, 240),
        0.55,
    )
    sheet.line([(left + 0.02, 0.3), (right - 0.02, 0.3)], (60, 68, 72), 0.016)
    furniture.cabinet_doors(sheet, left + 0.01, 0.47, right - 0.01, 0.66, (232, 234, 236), 2)
    sheet.rectangle(left, 0.42, right, 0.46, (58, 66, 72))
