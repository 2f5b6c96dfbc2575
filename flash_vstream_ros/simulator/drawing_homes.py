# SPDX-License-Identifier: Apache-2.0
"""Rooms of a home: kitchen, bedroom, lounge. x in panorama widths, y in heights."""

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
    pixel_size,
    skirting,
    wall_size,
)
from flash_vstream_ros.simulator.drawing_sheet import Colour, Sheet, mixed, shaded


def kitchen(back: Sheet, front: Sheet, look: Look) -> None:
    """Tiled walls, a counter with cupboards, stove and hood, a fridge, a chequered floor."""
    tile = look.vary(look.pick([(226, 220, 204), (206, 216, 208), (214, 214, 218)]), 6)
    rows = int(look.between(7, 11))
    across = columns_of(back, rows, FLOOR, look.pick([1.0, 1.6]))
    joints = textures.tiles(wall_size(back), look.grain, (rows, across), seam=0.78)
    paint(back, 0, 0, 1, FLOOR, textures.coloured(tile, joints))
    dark = look.vary(look.pick([(120, 88, 70), (92, 92, 94), (136, 112, 88)]), 8)
    fields = textures.checks(floor_size(back), (8, columns_of(back, 8, 0.8)))
    floor = textures.two_tone(look.vary((220, 212, 196), 8), dark, fields)
    paint_floor(back, floor * textures.speckle(floor_size(back), look.grain, 0.03)[..., None])
    wood = look.vary(look.pick([(176, 138, 98), (150, 160, 152), (216, 206, 188)]), 10)
    start = look.between(0.20, 0.26)
    _fridge(back, look, start - 0.19, start - 0.02)
    _counter(back, look, start, wood)
    stool = look.between(0.5, 0.9)
    _stool(front, look, stool, shaded(wood, 0.8))


def _fridge(sheet: Sheet, look: Look, left: float, right: float) -> None:
    steel = look.vary((206, 210, 212), 10)
    furniture.ground_shadow(sheet, left, right, 0.66)
    slab(sheet, left, 0.1, right, 0.28, steel)
    slab(sheet, left, 0.28, right, 0.66, steel)
    for top, bottom in ((0.16, 0.25), (0.32, 0.46)):
        sheet.line([(right - 0.02, top), (right - 0.02, bottom)], (96, 98, 100), 0.014)
    for x, y in ((0.3, 0.34), (0.5, 0.4), (0.4, 0.5)):
        at = left + (right - left) * x
        sheet.rectangle(at, y, at + 0.018, y + 0.03, look.vary((232, 226, 196), 10))


def _counter(sheet: Sheet, look: Look, left: float, wood: Colour) -> None:
    top, base = 0.44, 0.65
    furniture.ground_shadow(sheet, left, 1.02, base)
    furniture.cabinet_doors(sheet, left, top, 1.02, base, wood, 6)
    sheet.rectangle(left, base - 0.02, 1.02, base, shaded(wood, 0.4))
    stone = look.vary(look.pick([(88, 86, 86), (196, 192, 184), (124, 104, 84)]), 8)
    sheet.rectangle(left - 0.01, top - 0.025, 1.02, top + 0.01, stone)
    sheet.line([(left - 0.01, top - 0.022), (1.02, top - 0.022)], shaded(stone, 1.4), 0.006)
    stove = left + look.between(0.14, 0.24)
    slab(sheet, stove, top + 0.01, stove + 0.15, base - 0.02, (64, 64, 68))
    sheet.rectangle(stove + 0.02, top + 0.07, stove + 0.13, base - 0.05, (30, 30, 34))
    sheet.line([(stove + 0.02, top + 0.045), (stove + 0.13, top + 0.045)], (190, 190, 194), 0.012)
    hood = [(stove + 0.05, 0.0), (stove + 0.1, 0.0), (stove + 0.1, 0.16), (stove + 0.17, 0.25),
            (stove - 0.02, 0.25), (stove + 0.05, 0.16)]  # fmt: skip
    sheet.polygon(hood, look.vary((168, 172, 176), 8))
    sheet.line(hood, (90, 92, 94), 0.006)
    pot = stove + 0.075
    sheet.rectangle(pot - 0.035, top - 0.095, pot + 0.035, top - 0.025, (126, 130, 134))
    sheet.rectangle(pot - 0.04, top - 0.105, pot + 0.04, top - 0.09, (74, 76, 80))
    furniture.cabinet_doors(sheet, stove + 0.2, 0.03, 1.02, 0.22, wood, 4)
    furniture.cabinet_doors(sheet, left, 0.03, stove - 0.03, 0.22, wood, 1)
    tap = stove + look.between(0.27, 0.34)
    sheet.line(
        [(tap, top - 0.02), (tap, top - 0.13), (tap + 0.05, top - 0.13), (tap + 0.05, top - 0.1)],
        (150, 154, 158),
        0.014,
    )


def _stool(sheet: Sheet, look: Look, x: float, ink: Colour) -> None:
    half = 0.05
    furniture.ground_shadow(sheet, x - half, x + half, 0.74)
    for lean in (-1, 1):
        sheet.line(
            [(x + lean * half * 0.6, 0.56), (x + lean * half, 0.74)], shaded(ink, 0.6), 0.014
        )
    sheet.oval((x, 0.56), (half / aspect(sheet), 0.022), look.vary(ink))


def bedroom(back: Sheet, front: Sheet, look: Look) -> None:
    """Patterned wallpaper, a wide bed, a night table with a lamp, a curtained window, a rug."""
    paper = look.vary(look.pick([(214, 182, 184), (188, 186, 210), (206, 200, 176)]), 6)
    size = wall_size(back)
    if look.chance(0.5):
        gains = textures.stripes(size, int(look.between(20, 32)), 0.06, share=0.6)
    else:
        gains = textures.dots(size, (9, columns_of(back, 9, FLOOR)), 0.14, 0.22)
    paint(back, 0, 0, 1, FLOOR, textures.coloured(paper, gains))
    skirting(back, (236, 230, 222))
    grain = textures.wood(floor_size(back)[::-1], look.grain, 14, 0.09).T
    paint_floor(back, textures.coloured(look.vary((186, 148, 108), 10), grain))
    furniture.window(back, look, 0.74, 0.08, 0.9, 0.42)
    furniture.curtains(back, 0.74, 0.05, 0.9, 0.54, mixed(look.vary(paper), (120, 90, 110), 0.45))
    furniture.picture(back, look, 0.3, 0.08, 0.44, 0.22)
    _rug(back, look, 0.66, 0.86, 0.42)
    _bed(back, look, 0.16 + look.between(-0.03, 0.03))
    stand = 0.64 + look.between(-0.01, 0.02)
    slab(back, stand, 0.48, stand + 0.08, 0.65, look.vary((142, 104, 76)), depth=0.015)
    sheet_x = stand + 0.04
    back.line([(sheet_x, 0.48), (sheet_x, 0.4)], (80, 70, 60), 0.016)
    furniture.glow(back, sheet_x, 0.37, 0.26, 0.4)
    back.polygon(
        [(sheet_x - 0.025, 0.33), (sheet_x + 0.025, 0.33), (sheet_x + 0.045, 0.41),
         (sheet_x - 0.045, 0.41)], (250, 234, 200))  # fmt: skip
    slippers = look.between(0.2, 0.5)
    for x in (slippers, slippers + 0.045):
        front.oval((x, 0.8), (0.03, 0.014), (112, 96, 104))


def _rug(sheet: Sheet, look: Look, x: float, y: float, wide: float) -> None:
    ink = look.vary(look.pick([(150, 132, 128), (128, 122, 140), (164, 152, 130)]), 8)
    for size, gain in ((1.0, 0.8), (0.9, 1.0), (0.6, 1.15), (0.5, 0.95)):
        sheet.oval((x, y), (wide * size / aspect(sheet) / 2, 0.13 * size), shaded(ink, gain))


def _bed(sheet: Sheet, look: Look, left: float) -> None:
    """A bed seen from its side: headboard, pillows, mattress, quilt with folds."""
    right = left + 0.46
    wood = look.vary((126, 88, 62), 10)
    quilt = look.vary(look.pick([(142, 128, 150), (128, 140, 146), (168, 146, 132)]), 8)
    furniture.ground_shadow(sheet, left, right, 0.7)
    slab(sheet, left - 0.02, 0.26, left + 0.02, 0.7, wood)
    slab(sheet, right - 0.02, 0.46, right + 0.015, 0.7, wood)
    sheet.rectangle(left + 0.02, 0.62, right - 0.02, 0.67, shaded(wood, 0.8))
    sheet.polygon(
        [(left + 0.02, 0.44), (right - 0.02, 0.46), (right - 0.02, 0.62), (left + 0.02, 0.62)],
        (232, 228, 222),
    )
    start = left + 0.15
    gains = textures.tiles((60, 90), look.grain, (4, 7), seam=0.86, amount=0.05)
    folds = 1 + 0.05 * textures.noise((60, 90), (4, 12), look.grain)
    paint(sheet, start, 0.44, right - 0.02, 0.65, textures.coloured(quilt, gains * folds))
    sheet.line([(start, 0.44), (right - 0.02, 0.44)], shaded(quilt, 1.4), 0.018)
    for x in (left + 0.05, left + 0.1):
        sheet.oval((x, 0.42), (0.075, 0.05), (214, 208, 206))
        sheet.oval((x, 0.415), (0.068, 0.042), (246, 243, 238))


def lounge(back: Sheet, front: Sheet, look: Look) -> None:
    """Warm walls with pictures, a sofa, a standing lamp, a bookcase, a low table, parquet."""
    wall = look.vary(look.pick([(188, 150, 112), (150, 158, 130), (176, 132, 116)]), 8)
    paint(
        back,
        0,
        0,
        1,
        FLOOR,
        textures.coloured(wall, textures.speckle(wall_size(back), look.grain, 0.025)),
    )
    skirting(back, shaded(wall, 0.5))
    rows, columns = 10, columns_of(back, 10, 0.8, 2.6)
    size = floor_size(back)
    parquet = textures.tiles(size, look.grain, (rows, columns), seam=0.7, amount=0.11, bond=True)
    paint_floor(back, textures.coloured(look.vary((122, 84, 58), 8), parquet))
    _woven_rug(back, look)
    sofa = look.between(0.3, 0.36)
    for x in (sofa + 0.04, sofa + 0.22):
        lift = look.between(-0.02, 0.02)
        furniture.picture(back, look, x, 0.09 + lift, x + look.between(0.1, 0.15), 0.25 + lift)
    oak = look.vary((120, 86, 58), 8)
    furniture.shelf_unit(back, look, 0.03, 0.1, 0.22, 0.64, oak, int(look.between(3, 6)))
    furniture.floor_lamp(back, look, 0.84 + look.between(-0.03, 0.03), 0.16, 0.65)
    _sofa(back, look, sofa)
    near = look.between(0.52, 0.7)
    furniture.table(front, look, near - 0.1, 0.7, near + 0.1, 0.8, oak)


def _woven_rug(sheet: Sheet, look: Look) -> None:
    ink = look.vary(look.pick([(168, 150, 124), (134, 110, 104), (118, 122, 120)]), 8)
    for inset, gain in ((0.0, 0.75), (0.02, 1.2), (0.04, 0.9), (0.08, 1.05)):
        sheet.polygon(
            [(0.24 + inset, 0.68 + inset * 0.6), (0.84 - inset, 0.68 + inset * 0.6),
             (0.94 - inset * 1.4, 0.94 - inset), (0.14 + inset * 1.4, 0.94 - inset)],
            shaded(ink, gain))  # fmt: skip


def _sofa(sheet: Sheet, look: Look, left: float) -> None:
    """A sofa with a back, two seat cushions, arms and short legs."""
    ink = look.vary(look.pick([(104, 118, 124), (130, 112, 96), (112, 104, 122)]), 8)
    right = left + 0.42
    furniture.ground_shadow(sheet, left, right, 0.7)
    gains = textures.speckle(pixel_size(sheet, 0.4, 0.2), look.grain, 0.05)
    paint(sheet, left + 0.03, 0.36, right - 0.03, 0.56, textures.coloured(ink, gains))
    sheet.frame(left + 0.03, 0.36, right - 0.03, 0.56, shaded(ink, 0.6), 0.008)
    middle = (left + right) / 2
    sheet.line([(middle, 0.37), (middle, 0.52)], shaded(ink, 0.65), 0.008)
    for x in (left + 0.04, middle):
        slab(sheet, x, 0.52, x + 0.17, 0.61, shaded(ink, 1.12), depth=0.02)
    sheet.rectangle(left + 0.03, 0.6, right - 0.03, 0.67, shaded(ink, 0.8))
    for x in (left, right - 0.045):
        slab(sheet, x, 0.45, x + 0.045, 0.68, ink, depth=0.015)
    for x in (left + 0.06, middle + 0.09):
        cushion = look.vary((196, 178, 150), 14)
        sheet.polygon([(x, 0.44), (x + 0.06, 0.42), (x + 0.065, 0.52), (x + 0.005, 0.53)], cushion)
