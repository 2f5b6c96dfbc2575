# SPDX-License-Identifier: Apache-2.0
"""The corridor between the rooms. x in panorama widths, y in heights."""

from flash_vstream_ros.simulator import drawing_furniture as furniture
from flash_vstream_ros.simulator import drawing_textures as textures
from flash_vstream_ros.simulator.drawing_furniture import aspect
from flash_vstream_ros.simulator.drawing_look import (
    Look,
)
from flash_vstream_ros.simulator.drawing_sheet import Colour, Sheet, mixed, shaded


def hallway(back: Sheet, front: Sheet, look: Look) -> None:
    """A corridor that runs away from the camera, with doors, lamps and a carpet runner."""
    wall = look.vary(look.pick([(206, 190, 160), (186, 178, 190), (190, 196, 180)]), 8)
    far = look.between(0.44, 0.56)
    left, right, top, bottom = far - 0.09, far + 0.09, 0.24, 0.5
    floor_ink = look.vary((150, 120, 92), 10)
    back.rectangle(0, 0, 1, 0.12, shaded(wall, 1.5))
    back.polygon([(left, top), (right, top), (1.5, -0.3), (-0.5, -0.3)], shaded(wall, 1.55))
    _corridor_floor(back, look, (left, right), bottom, floor_ink)
    _runner(back, look, (left, right), bottom)
    for near, edge, gain in ((-0.5, left, 0.92), (1.5, right, 0.82)):
        _corridor_wall(back, look, (near, edge), (top, bottom), shaded(wall, gain))
    back.rectangle(left, top, right, bottom, shaded(wall, 0.72))
    furniture.window(back, look, far - 0.04, top + 0.05, far + 0.04, bottom - 0.06)
    back.shade(0, 0, 1, 1, textures.speckle((200, 320), look.grain, 0.025))
    for share in (0.12, 0.34, 0.75):
        y = top - (top + 0.3) * share
        half = 0.03 + 0.16 * share
        tall = 0.012 + 0.05 * share
        back.oval((far, y), (half / aspect(back), tall), (255, 250, 232))
    if look.chance(0.7):
        furniture.pot_plant(front, look, look.pick([0.06, 0.94]), 0.86, 0.34)


def _corridor_floor(
    sheet: Sheet, look: Look, far: tuple[float, float], y: float, ink: Colour
) -> None:
    """Boards that run away from the camera, each in its own tone."""
    near = (-2.4, 3.4)
    count = int(look.between(22, 34))
    for index in range(count):
        ends = [
            (side[0] + (side[1] - side[0]) * step / count, at)
            for step, side, at in ((index, far, y), (index + 1, far, y),
                                   (index + 1, near, 1.2), (index, near, 1.2))
        ]  # fmt: skip
        tone = look.vary(ink, 6)
        sheet.polygon(ends, tone)
        sheet.line([ends[0], ends[3]], shaded(tone, 0.7), 0.004)


def _runner(sheet: Sheet, look: Look, far: tuple[float, float], y: float) -> None:
    """The carpet, with a border, and bands across that grow towards the camera."""
    ink = look.vary(look.pick([(116, 78, 76), (84, 82, 104), (102, 94, 74)]), 8)
    middle = sum(far) / 2
    half = (far[1] - far[0]) * 0.3
    for size, shade_of in ((1.0, shaded(ink, 1.25)), (0.86, ink), (0.6, shaded(ink, 0.88))):
        sheet.polygon(
            [(middle - half * size, y), (middle + half * size, y),
             (middle + 0.42 * size, 1.05), (middle - 0.42 * size, 1.05)], shade_of)  # fmt: skip
    for step in range(1, 9):
        depth = (step / 9) ** 2.2
        at = y + (1.05 - y) * depth
        reach = half + (0.42 - half) * depth
        sheet.line(
            [
                (middle - reach * 0.55, at),
                (middle, at + 0.03 * depth),
                (middle + reach * 0.55, at),
            ],
            shaded(ink, 1.18),
            0.004 + 0.012 * depth,
        )


def _corridor_wall(
    sheet: Sheet, look: Look, x: tuple[float, float], y: tuple[float, float], ink: Colour
) -> None:
    """A side wall from the near edge to the far one, with panelling and doors in perspective."""
    (near, far), (top, bottom) = x, y

    def at(share: float, height: float) -> tuple[float, float]:
        upper, lower = -0.3 + (top + 0.3) * share, 0.86 + (bottom - 0.86) * share
        return near + (far - near) * share, upper + (lower - upper) * height

    sheet.polygon([at(0, 0), at(1, 0), at(1, 1), at(0, 1)], ink)
    panel = mixed(shaded(ink, 0.8), (120, 100, 84), 0.35)
    sheet.polygon([at(0, 0.68), at(1, 0.68), at(1, 1), at(0, 1)], panel)
    sheet.line([at(0, 0.68), at(1, 0.68)], shaded(panel, 0.7), 0.012)
    sheet.line([at(0, 0.99), at(1, 0.99)], shaded(panel, 0.5), 0.014)
    wood = look.vary(look.pick([(122, 92, 68), (220, 212, 198), (96, 100, 104)]), 8)
    offset = look.between(-0.03, 0.03)
    for start, stop in ((0.46, 0.64), (0.74, 0.84), (0.9, 0.95)):
        a, b = start + offset, stop + offset
        sheet.polygon([at(a, 0.22), at(b, 0.22), at(b, 1), at(a, 1)], shaded(wood, 0.6))
        c, d = a + (b - a) * 0.1, b - (b - a) * 0.1
        sheet.polygon([at(c, 0.26), at(d, 0.26), at(d, 1), at(c, 1)], wood)
        sheet.line(
            [at(c + (d - c) * 0.15, 0.62), at(c + (d - c) * 0.25, 0.62)], (40, 38, 36), 0.014
        )
