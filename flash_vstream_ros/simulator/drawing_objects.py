# SPDX-License-Identifier: Apache-2.0
"""The objects that stand about: six shapes in six colours, as sprites, and their shadows."""

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from flash_vstream_ros.simulator.drawing_sheet import Colour, Point, Sheet, Sprite, shaded
from flash_vstream_ros.simulator.view import SeenObject

# Well apart in hue, and dark enough that strong light does not turn orange into yellow.
INKS: dict[str, Colour] = {
    'red': (196, 22, 30),
    'green': (28, 142, 52),
    'blue': (24, 84, 204),
    'yellow': (226, 194, 20),
    'purple': (146, 38, 170),
    'orange': (226, 88, 6),
}
# Of a shape, over its height.
WIDTHS = {'ball': 1.0, 'box': 1.0, 'cone': 0.9, 'cup': 1.05, 'star': 1.1, 'bottle': 0.44}

MARGIN = 0.12  # around a sprite, in heights
HALF_WIDTH = 0.75  # of a sprite without its margin
FINE_PX = 96  # sprites are drawn about this high at least, and made smaller
OUTLINE = 0.045
WHITE = (244, 242, 236)
CACHED_SPRITES = 768
SIZE_STEPS = 16  # an object's height changes by one part in so many at least


def draw_object(canvas: np.ndarray, thing: SeenObject) -> None:
    """Draw an object and its shadow on a canvas (H, W, 3)."""
    draw_shadow(canvas, thing)
    draw_bare_object(canvas, thing)


def draw_bare_object(canvas: np.ndarray, thing: SeenObject, lift: float = 0.0) -> None:
    """Draw an object without its shadow, raised by ``lift`` picture heights."""
    height, width = canvas.shape[:2]
    sprite = object_sprite(thing.colour, thing.shape, height_px(canvas, thing))
    sprite.paste(canvas, (thing.x * width, (thing.y - lift) * height))


def draw_shadow(canvas: np.ndarray, thing: SeenObject, fade: float = 0.0) -> None:
    """Draw an object's shadow where it stands, weaker by a share ``fade``."""
    height, width = canvas.shape[:2]
    wide = WIDTHS[thing.shape] * height_px(canvas, thing)
    strength = round(4 * (1 - min(max(fade, 0.0), 0.75)))
    shadow = shadow_sprite(max(round(wide * 1.5), 3), strength)
    shadow.paste(canvas, (thing.x * width + wide * 0.1, thing.y * height))


def height_px(canvas: np.ndarray, thing: SeenObject) -> int:
    """How many pixels high an object is drawn: in steps of 6 %, so that sprites are used again."""
    height = thing.size * canvas.shape[0]
    step = max(int(height) // SIZE_STEPS, 1)
    return max(round(height / step) * step, 2)


@lru_cache(maxsize=CACHED_SPRITES)
def object_sprite(colour: str, shape: str, height: int) -> Sprite:
    """Draw an object ``height`` pixels high, anchored at the middle of its base."""
    scale = min(max(round(FINE_PX / height), 2), 12) if height < FINE_PX * 2 else 1
    unit = height * scale
    columns = round(height * 2 * (HALF_WIDTH + MARGIN)) * scale
    rows = round(height * (1 + 2 * MARGIN)) * scale
    origin = (columns / 2, round(height * (1 + MARGIN)) * scale)
    sheet = Sheet(np.zeros((rows, columns, 4), np.uint8), (unit, unit), origin)
    SHAPE_PAINTERS[shape](sheet, INKS[colour])
    return Sprite.cut(sheet.pixels, origin, scale)


@lru_cache(maxsize=CACHED_SPRITES)
def shadow_sprite(width: int, strength: int) -> Sprite:
    """A soft flat shadow, ``width`` pixels wide, strength 1 to 4."""
    tall = max(width // 4, 2)
    pad = max(width // 8, 1)
    dark = np.zeros((tall + 2 * pad, width + 2 * pad), np.uint8)
    centre = (dark.shape[1] // 2, dark.shape[0] // 2)
    cv2.ellipse(dark, centre, (width // 2, max(tall // 2, 1)), 0, 0, 360, 36 * strength, -1)
    dark = cv2.GaussianBlur(dark, (2 * pad + 1, 2 * pad + 1), 0)
    pixels = np.zeros((*dark.shape, 4), np.uint8)
    pixels[..., 3] = dark
    return Sprite.cut(pixels, centre)


def _body(sheet: Sheet, points: list[Point], ink: Colour) -> None:
    """Fill a shape with a dark outline around it."""
    closed = [*points, points[0]]
    sheet.line(closed, shaded(ink, 0.4), OUTLINE * 2)
    sheet.polygon(points, ink)


def _light(sheet: Sheet, gains: np.ndarray) -> None:
    """Multiply the colours of a sprite by (H, W) or broadcastable gains, never over opacity."""
    colours = sheet.pixels[..., :3]
    opacity = sheet.pixels[..., 3:].astype(np.float32)
    sheet.pixels[..., :3] = np.minimum(colours * gains[..., None], opacity)


def _grid(sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (1, W) of columns and (H, 1) of rows, in units."""
    rows, columns = sheet.pixels.shape[:2]
    x = (np.arange(columns, dtype=np.float32) + 0.5 - sheet.origin[0]) / sheet.unit[0]
    y = (np.arange(rows, dtype=np.float32) + 0.5 - sheet.origin[1]) / sheet.unit[1]
    return x[None], y[:, None]


def _round_light(sheet: Sheet, half_width: float) -> None:
    """Light a thing that is round about the upright axis, from the left."""
    x, _ = _grid(sheet)
    turn = np.clip(x / half_width, -1, 1)
    _light(sheet, 1.12 - 0.16 * turn - 0.34 * np.clip(turn - 0.1, 0, 1) ** 2)


def _ball(sheet: Sheet, ink: Colour) -> None:
    centre = (0.0, -0.5)
    sheet.oval(centre, (0.5, 0.5), shaded(ink, 0.4))
    sheet.oval(centre, (0.5 - OUTLINE, 0.5 - OUTLINE), ink)
    x, y = _grid(sheet)
    away = np.hypot(x + 0.16, y + 0.66)
    _light(sheet, np.clip(1.22 - 0.75 * np.clip(away - 0.1, 0, 1) ** 1.4, 0.45, 1.22))
    sheet.oval((-0.18, -0.69), (0.09, 0.065), shaded(ink, 1.75), angle=-35)


def _box(sheet: Sheet, ink: Colour) -> None:
    """A cube with its lid and right side in view."""
    left, right, deep, roof = -0.48, 0.26, 0.22, -0.78
    face = [(left, roof), (right, roof), (right, 0.0), (left, 0.0)]
    lid = [(left, roof), (left + deep, -0.98), (right + deep, -0.98), (right, roof)]
    side = [(right, roof), (right + deep, -0.98), (right + deep, -0.2), (right, 0.0)]
    dark = shaded(ink, 0.4)
    for points in (face, lid, side):
        sheet.line([*points, points[0]], dark, OUTLINE * 1.8)
    sheet.polygon(face, ink)
    sheet.polygon(lid, shaded(ink, 1.42))
    sheet.polygon(side, shaded(ink, 0.6))
    for points in (face, side):
        sheet.line([points[0], points[1]], dark, OUTLINE * 0.5)
    sheet.line([(right, roof), (right, 0.0)], dark, OUTLINE * 0.5)


def _cone(sheet: Sheet, ink: Colour) -> None:
    """A traffic cone: one white band, a flat foot."""
    foot = [(-0.45, -0.02), (-0.36, -0.14), (0.36, -0.14), (0.45, -0.02)]
    _body(sheet, foot, shaded(ink, 0.72))
    _body(sheet, [(-0.05, -0.99), (0.05, -0.99), (0.31, -0.12), (-0.31, -0.12)], ink)

    def half(y: float) -> float:
        return 0.05 + 0.26 * (0.99 + y) / 0.87

    top, bottom = -0.6, -0.45
    sheet.polygon(
        [(-half(top), top), (half(top), top), (half(bottom), bottom), (-half(bottom), bottom)],
        WHITE,
    )
    _round_light(sheet, 0.42)


def _cup(sheet: Sheet, ink: Colour) -> None:
    """A mug with a handle on the right, and a look at its white inside."""
    dark = shaded(ink, 0.4)
    for width, colour in ((0.16, dark), (0.095, ink)):
        sheet.oval((0.3, -0.45), (0.17, 0.2), colour, width=width)
    body = [(-0.46, -0.82), (0.3, -0.82), (0.27, -0.06), (0.18, -0.01), (-0.34, -0.01),
            (-0.43, -0.06)]  # fmt: skip
    _body(sheet, body, ink)
    sheet.oval((-0.08, -0.82), (0.39, 0.15), dark)
    _round_light(sheet, 0.5)
    sheet.oval((-0.08, -0.825), (0.35, 0.12), WHITE)
    sheet.oval((-0.06, -0.8), (0.28, 0.085), (120, 112, 106))


def _star(sheet: Sheet, ink: Colour) -> None:
    """A standing five-pointed star with facets."""
    points = []
    for index in range(10):
        turn, reach = (index / 5 - 0.5) * math.pi, 0.25 if index % 2 else 0.55
        points.append((reach * math.cos(turn), reach * math.sin(turn) - 0.47))
    _body(sheet, points, ink)
    for index in range(10):
        facet = [points[index], points[(index + 1) % 10], (0.0, -0.47)]
        sheet.polygon(facet, shaded(ink, 1.25 if index % 2 else 0.8))
    sheet.oval((0.0, -0.47), (0.06, 0.06), ink)


def _bottle(sheet: Sheet, ink: Colour) -> None:
    """A slim bottle with a neck, a dark cap and a white label."""
    half = 0.2
    body = [(-half, -0.02), (-half, -0.56), (-0.08, -0.7), (-0.08, -0.9), (0.08, -0.9),
            (0.08, -0.7), (half, -0.56), (half, -0.02)]  # fmt: skip
    _body(sheet, body, ink)
    sheet.rectangle(-half, -0.4, half, -0.2, WHITE)
    sheet.rectangle(-0.1, -1.0, 0.1, -0.88, (44, 42, 44))
    _round_light(sheet, 0.22)
    sheet.line([(-0.11, -0.1), (-0.11, -0.54)], shaded(ink, 1.6), 0.03)


SHAPE_PAINTERS: dict[str, Callable[[Sheet, Colour], None]] = {
    'ball': _ball,
    'box': _box,
    'cone': _cone,
    'cup': _cup,
    'star': _star,
    'bottle': _bottle,
}
