# SPDX-License-Identifier: Apache-2.0
"""What is done to objects and what passes by, each recognisable from any one frame."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from flash_vstream_ros.simulator.drawing_objects import (
    WIDTHS,
    draw_bare_object,
    draw_object,
    draw_shadow,
    shadow_sprite,
)
from flash_vstream_ros.simulator.drawing_people import (
    HAND_LENGTH,
    Person,
    draw_arm,
    draw_hand,
    draw_leg,
    person,
)
from flash_vstream_ros.simulator.drawing_robots import draw_gripper, draw_gripper_arm, robot_sprite
from flash_vstream_ros.simulator.drawing_sheet import Sheet, moved, unit_vector
from flash_vstream_ros.simulator.view import COLOURS, PUSH, SHAPES, Action, SeenObject

LIFT = 0.32  # how high things are lifted, in picture heights, where there is room
LET_GO = 0.75  # progress at which a thing that is put down is let go
HIDDEN = 0.9  # progress at which a thing that is covered is no longer seen
HAND = (0.18, 0.26)  # smallest and largest scale of a hand, in picture heights
GRIPPER = (0.17, 0.3)
FOOT = 0.19  # how far inside the picture a pushing toe is at least, in picture heights
GRASP = 0.13  # how far finger tips reach over a thing, over its height
ROBOT_Y = 0.84  # where the passing robot's wheels stand
ROBOT_SIZE = 0.62
CHECK_LIGHT, CHECK_DARK = (240, 240, 242), (164, 166, 174)


def after_push(thing: SeenObject) -> SeenObject:
    """Say where a thing that stood so stands when it has been pushed."""
    return replace(thing, x=thing.x + _inwards(thing) * PUSH)


def draw_object_action(canvas: np.ndarray, action: Action, style: int) -> None:
    """Draw what is done to an object, and the object, on a canvas (H, W, 3).

    :param style: of the patrol; with the object it chooses whose hand is seen.
    """
    height = canvas.shape[0]
    sheet = Sheet(canvas, (height, height))
    thing = action.thing
    seed = style * 36 + COLOURS.index(thing.colour) * len(SHAPES) + SHAPES.index(thing.shape)
    painters = {'put down': _put_down, 'pushed': _push, 'covered': _cover}
    progress = min(max(action.progress, 0.0), 1.0)
    if action.name == 'picked up':
        _pick_up(sheet, thing, progress)
    else:
        painters[action.name](sheet, thing, progress, person(seed % 2**32))


def draw_passing_robot(canvas: np.ndarray, colour: str, progress: float, style: int) -> None:
    """Draw another robot that crosses the picture, always at least half in it."""
    height, width = canvas.shape[:2]
    facing = 1 if (style + COLOURS.index(colour)) % 2 else -1
    share = 0.1 + 0.8 * min(max(progress, 0.0), 1.0)
    x = (share if facing > 0 else 1 - share) * width
    tall = max(round(ROBOT_SIZE * height), 8)
    shadow_sprite(max(round(tall * 0.8), 4), 4).paste(canvas, (x, ROBOT_Y * height))
    robot_sprite(colour, tall, facing).paste(canvas, (x, ROBOT_Y * height))


def _middle(sheet: Sheet, thing: SeenObject) -> float:
    """The middle of a thing in picture heights."""
    return thing.x * sheet.pixels.shape[1] / sheet.unit[1]


def _inwards(thing: SeenObject) -> int:
    """The side on which there is more of the picture: 1 right, -1 left."""
    return 1 if thing.x < 0.5 else -1


def _within(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


def _slant(y: float) -> float:
    """How much an arm comes from the side: more where it reaches up only to a high ``y``."""
    return _within(2.4 - 3.2 * y, (0.6, 1.6))


def _put_down(sheet: Sheet, thing: SeenObject, progress: float, who: Person) -> None:
    """A hand comes down with the thing; in the last quarter it has let go and withdraws."""
    x, side = _middle(sheet, thing), _inwards(thing)
    scale = _within(thing.size * 0.8, HAND)
    room = max(min(LIFT, thing.y - thing.size - 0.2), 0.04)
    lift = room * max(1 - progress / LET_GO, 0.0)
    away = max(progress - LET_GO, 0.0) / (1 - LET_GO)
    draw_shadow(sheet.pixels, thing, lift / LIFT)
    way = unit_vector(-side * _slant(thing.y - room - thing.size), 1.0)
    tips = (x, thing.y - lift - (1 - GRASP) * thing.size)
    gap = min(away * 5, 1.0) * (0.04 + GRASP * thing.size) + 0.06 * away
    wrist = moved(tips, way, -HAND_LENGTH * scale - gap)
    draw_arm(sheet, who, wrist, way, scale)
    draw_bare_object(sheet.pixels, thing, lift)
    draw_hand(sheet, who, wrist, way, scale, 1.0 if away else 0.3)


def _pick_up(sheet: Sheet, thing: SeenObject, progress: float) -> None:
    """The robot's own gripper lifts the thing."""
    x, side = _middle(sheet, thing), _inwards(thing)
    scale = _within(thing.size, GRIPPER)
    room = max(min(LIFT, thing.y - thing.size - 0.03), 0.03)
    lift = room * (0.08 + 0.92 * progress)
    base = thing.y - lift
    palm = (x, base + 0.14 * scale)
    draw_shadow(sheet.pixels, thing, lift / LIFT)
    draw_gripper_arm(sheet, palm, (x + side * 0.3, 1.15), scale)
    half = WIDTHS[thing.shape] * thing.size / 2
    draw_gripper(sheet, palm, half, thing.size * 0.6 + 0.14 * scale, scale)
    # In front of the fingers, which would hide much of a small thing.
    draw_bare_object(sheet.pixels, thing, lift)


def _push(sheet: Sheet, thing: SeenObject, progress: float, who: Person) -> None:
    """A foot pushes the thing over the floor, which leaves streaks behind it."""
    way = _inwards(thing)
    now = replace(thing, x=thing.x + way * PUSH * progress)
    start, x = _middle(sheet, thing), _middle(sheet, now)
    rear = x - way * WIDTHS[thing.shape] * thing.size * 0.5
    tail = min(abs(x - start) + 0.14, 0.34)
    for up, opacity in ((0.0, 0.5), (-0.02, 0.35), (0.02, 0.3)):
        y = thing.y + up
        sheet.blend(
            [(rear, y - 0.005), (rear - way * tail, y - 0.002), (rear - way * tail, y + 0.004),
             (rear, y + 0.008)], (40, 36, 32), opacity)  # fmt: skip
    for up, long in ((0.3, 0.42), (0.6, 0.52), (0.9, 0.4)):
        y = thing.y - up * thing.size
        for ink, low in (((50, 50, 54), 0.008), ((255, 255, 255), 0.0)):
            streak = [(rear, y - 0.01 + low), (rear - way * long, y + low), (rear, y + 0.01 + low)]
            sheet.blend(streak, ink, 0.7)
    draw_object(sheet.pixels, now)
    # Near the picture's edge the foot stands a little before the thing, to be seen itself.
    wide = sheet.pixels.shape[1] / sheet.unit[0]
    toe = max(rear, FOOT) if way > 0 else min(rear, wide - FOOT)
    draw_leg(sheet, who, (toe, thing.y + 0.012), way)


def _cover(sheet: Sheet, thing: SeenObject, progress: float, who: Person) -> None:
    """An arm draws a chequered cloth over the thing, from one side to the other."""
    way, x = _inwards(thing), _middle(sheet, thing)
    own = WIDTHS[thing.shape] * thing.size
    wide = max(own, 0.7 * thing.size)
    edge = (-0.38 + 0.88 * min(progress / HIDDEN, 1.0)) * own / wide
    edge += 1.8 * max(progress - HIDDEN, 0.0)
    draw_object(sheet.pixels, thing)
    hold = (x + way * edge * wide, thing.y - thing.size * 1.14)
    scale = _within(thing.size * 0.8, HAND)
    down = unit_vector(-way * max(_slant(thing.y - thing.size), 0.9), 1.0)
    wrist = moved(hold, down, (0.2 - HAND_LENGTH) * scale)
    draw_arm(sheet, who, wrist, down, scale)
    _cloth(sheet, thing, x, way, wide, edge)
    draw_hand(sheet, who, wrist, down, scale, 0.1)


def _cloth(sheet: Sheet, thing: SeenObject, x: float, way: int, wide: float, edge: float) -> None:
    """The cloth up to its edge, ``edge`` widths from the thing's middle."""
    share = np.linspace(-max(1.25, 0.5 + 0.15 / wide), edge, 12)
    hump = 1 / (1 + np.exp((np.abs(share) - 0.72) * 14))
    rise = thing.size * (0.07 + 1.0 * hump)
    pull = np.clip(1 - (edge - share) / 0.5, 0, 1) ** 2
    rise = np.maximum(rise, pull * thing.size * 1.14)
    top = [
        (x + way * s * wide, thing.y - r)
        for s, r in zip(share.tolist(), rise.tolist(), strict=True)
    ]
    foot = thing.y + 0.03
    corner = x + way * (edge + 0.05) * wide
    outline = [*top, (corner, foot - 0.02), (x + way * edge * 0.6 * wide, foot + 0.012),
               (x - way * 0.5 * wide, foot - 0.004), (top[0][0], foot)]  # fmt: skip
    cell = max(0.045, 0.11 * thing.size)
    sheet.fill(outline, _check_pattern(max(round(cell * sheet.unit[1]), 2)))
    grey = (104, 106, 114)
    sheet.line([*outline, outline[0]], grey, 0.01)
    for index in (4, 7, 9):
        sheet.line([top[index], (top[index][0] - way * 0.02, foot - 0.01)], (140, 142, 150), 0.008)


@lru_cache(maxsize=16)
def _check_pattern(cell: int) -> np.ndarray:
    """Two by two fields of ``cell`` pixels: (2 cell, 2 cell, 3) uint8."""
    fields = np.uint8([[CHECK_LIGHT, CHECK_DARK], [CHECK_DARK, CHECK_LIGHT]])
    pattern = fields.repeat(cell, axis=0).repeat(cell, axis=1)
    pattern.setflags(write=False)
    return pattern
