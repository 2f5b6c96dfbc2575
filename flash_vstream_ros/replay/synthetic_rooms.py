# SPDX-License-Identifier: Apache-2.0
"""Rooms in a row with doors between them, and what one sees in them.

The world is in metres: x along the row of rooms, y to the left, z up. All of it is boxes, balls
and flat faces, painted from far to near.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from flash_vstream_ros.replay.synthetic_furniture import FURNITURE, Ball, Box, Face, darker

ROOM_LENGTH_M, ROOM_WIDTH_M, ROOM_HEIGHT_M = 5.0, 5.0, 2.6
DOOR_WIDTH_M, DOOR_HEIGHT_M = 1.2, 2.1
PANEL_HEIGHT_M = 0.9  # the lower part of a wall is darker
EYE_HEIGHT_M = 1.4
NEAR_M = 0.05
VIEW_ANGLE = np.deg2rad(80.0)  # horizontal
VIEW_SLOPE = 0.15  # the camera looks down a little
SUPERSAMPLING = 2
LIGHT = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])

WALL_COLOURS = ((222, 196, 132), (142, 178, 205), (176, 199, 155), (217, 160, 148))
FLOOR_COLOURS = ((160, 120, 84), (128, 132, 140), (186, 166, 138), (112, 92, 78))
BRIGHT_COLOURS = (
    (200, 40, 40), (40, 90, 200), (40, 150, 70), (235, 190, 40), (230, 120, 30), (130, 60, 150),
)  # fmt: skip


@dataclass(frozen=True)
class Room:
    """Walls, floor and ceiling, and what stands in between."""

    faces: list[Face]
    things: list[Box | Ball]
    middle_x: float


class Rooms:
    """Four furnished rooms.

    :param seed: decides colours and the order of the rooms.
    """

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        walls = random.permutation(len(WALL_COLOURS))
        floors = random.permutation(len(FLOOR_COLOURS))
        furniture = random.permutation(len(FURNITURE))
        self.count = len(FURNITURE)
        self._rooms = []
        for index in range(self.count):
            x = index * ROOM_LENGTH_M
            bright = [BRIGHT_COLOURS[i] for i in random.permutation(len(BRIGHT_COLOURS))]
            faces = _shell(x, WALL_COLOURS[walls[index]], FLOOR_COLOURS[floors[index]])
            faces += _end_walls(x, WALL_COLOURS[walls[index]], index > 0, index < self.count - 1)
            things = FURNITURE[furniture[index]](x, bright)
            self._rooms.append(Room(faces, things, x + ROOM_LENGTH_M / 2))

    def draw(self, eye_x: float, yaw: float, size: tuple[int, int]) -> np.ndarray:
        """Draw the view from the middle of the way.

        :param eye_x: metres along x.
        :param yaw: direction of view in radians; 0 looks along x, positive turns left.
        :param size: width and height in pixels.
        :returns: (H, W, 3) uint8 RGB.
        """
        canvas = _Canvas(eye_x, yaw, size)
        # Seen through a door, a far room lies behind all of the near one: far rooms first.
        for room in sorted(self._rooms, key=lambda room: -abs(room.middle_x - eye_x)):
            for face in room.faces:
                canvas.paint(face)
            for thing in sorted(room.things, key=lambda thing: -canvas.distance(thing.centre)):
                canvas.paint_thing(thing)
        return canvas.finish()


class _Canvas:
    """One picture from one point of view."""

    def __init__(self, eye_x: float, yaw: float, size: tuple[int, int]) -> None:
        self._size = size
        width, height = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
        self._pixels = np.zeros((height, width, 3), np.uint8)
        self._centre = np.array([width / 2, height / 2])
        self._focal = width / 2 / np.tan(VIEW_ANGLE / 2)
        self._eye = np.array([eye_x, 0.0, EYE_HEIGHT_M])
        right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        ahead = np.array([np.cos(yaw), np.sin(yaw), -VIEW_SLOPE]) / np.hypot(1.0, VIEW_SLOPE)
        self._axes = np.array([right, np.cross(ahead, right), ahead])  # right, down, ahead

    def distance(self, point: tuple[float, float, float]) -> float:
        return float(np.linalg.norm(np.array(point) - self._eye))

    def paint_thing(self, thing: Box | Ball) -> None:
        if isinstance(thing, Ball):
            self._paint_ball(thing)
            return
        for face in thing.faces():
            self.paint(face)

    def paint(self, face: Face) -> None:
        if (self._eye - face.corners[0]) @ face.normal <= 0:
            return  # seen from behind
        corners = _clip((face.corners - self._eye) @ self._axes.T)
        if len(corners) < 3:
            return
        pixels = corners[:, :2] / corners[:, 2:] * self._focal + self._centre
        shade = 0.72 + 0.28 * abs(face.normal @ LIGHT)
        self._fill(pixels, np.multiply(face.colour, shade))

    def _fill(self, pixels: np.ndarray, colour: np.ndarray) -> None:
        cv2.fillConvexPoly(self._pixels, np.round(pixels).astype(np.int32), colour.tolist())

    def _paint_ball(self, ball: Ball) -> None:
        right, down, ahead = self._axes @ (np.array(ball.centre) - self._eye)
        if ahead < ball.radius + NEAR_M:
            return
        centre = np.array([right, down]) / ahead * self._focal + self._centre
        radius = ball.radius / ahead * self._focal
        # Lit from above: smaller and lighter discs on top of each other.
        for step in range(12):
            place = centre - np.array([0.3, 0.35]) * radius * step / 12
            colour = np.multiply(ball.colour, 0.6) + step * 5
            disc = max(round(radius * (1 - step / 12)), 1)
            tone = np.minimum(colour, 255).tolist()
            cv2.circle(self._pixels, np.round(place).astype(int).tolist(), disc, tone, -1)

    def finish(self) -> np.ndarray:
        return cv2.resize(self._pixels, self._size, interpolation=cv2.INTER_AREA)


def _clip(corners: np.ndarray) -> np.ndarray:
    """Cut off what lies behind the eye.

    :param corners: (n, 3) right, down, ahead of the eye.
    """
    kept = []
    for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if here[2] >= NEAR_M:
            kept.append(here)
        if (here[2] >= NEAR_M) != (there[2] >= NEAR_M):
            kept.append(here + (there - here) * (NEAR_M - here[2]) / (there[2] - here[2]))
    return np.array(kept).reshape(-1, 3)


def _rectangle(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    normal: tuple[float, float, float],
    colour: tuple[int, int, int],
) -> Face:
    """A rectangle between two opposite corners, flat along the axis of its normal."""
    low_corner, high_corner = np.array(low), np.array(high)
    across, along = [axis for axis in range(3) if not normal[axis]]
    corners = np.tile(low_corner, (4, 1))
    corners[1:3, across] = high_corner[across]
    corners[2:4, along] = high_corner[along]
    return Face(corners, np.array(normal), colour)


def _shell(x: float, wall: tuple[int, int, int], floor: tuple[int, int, int]) -> list[Face]:
    """Floor in tiles, ceiling, and the two side walls."""
    half, end = ROOM_WIDTH_M / 2, x + ROOM_LENGTH_M
    faces = []
    for i in range(round(ROOM_LENGTH_M)):
        for j in range(round(ROOM_WIDTH_M)):
            low = (x + i, j - half, 0.0)
            tile = floor if (i + j) % 2 else darker(floor, 0.85)
            faces.append(_rectangle(low, (low[0] + 1, low[1] + 1, 0.0), (0, 0, 1), tile))
    top = ROOM_HEIGHT_M
    faces.append(_rectangle((x, -half, top), (end, half, top), (0, 0, -1), (240, 238, 232)))
    for side in (-1, 1):
        y, normal = side * half, (0, -side, 0)
        faces.append(_rectangle((x, y, PANEL_HEIGHT_M), (end, y, top), normal, wall))
        panel = darker(wall, 0.7)
        faces.append(_rectangle((x, y, 0.0), (end, y, PANEL_HEIGHT_M), normal, panel))
    return faces


def _end_walls(
    x: float, wall: tuple[int, int, int], door_before: bool, door_behind: bool
) -> list[Face]:
    """The walls across the way, with a door or a window."""
    half, door, top = ROOM_WIDTH_M / 2, DOOR_WIDTH_M / 2, ROOM_HEIGHT_M
    faces = []
    for place, normal_x, has_door in ((x, 1, door_before), (x + ROOM_LENGTH_M, -1, door_behind)):
        normal = (normal_x, 0, 0)
        tone = darker(wall, 0.92)
        if not has_door:
            faces.append(_rectangle((place, -half, 0.0), (place, half, top), normal, tone))
            faces += _window(place + 0.02 * normal_x, normal)
            continue
        faces.append(_rectangle((place, -half, 0.0), (place, -door, top), normal, tone))
        faces.append(_rectangle((place, door, 0.0), (place, half, top), normal, tone))
        low = (place, -door, DOOR_HEIGHT_M)
        faces.append(_rectangle(low, (place, door, top), normal, tone))
    return faces


def _window(x: float, normal: tuple[int, int, int]) -> list[Face]:
    frame = _rectangle((x, -1.1, 0.95), (x, 1.1, 2.15), normal, (245, 245, 240))
    step = 0.01 * normal[0]
    panes = [
        _rectangle((x + step, left, low), (x + step, left + 1.0, low + 0.5), normal, colour)
        for left in (-1.04, 0.04)
        for low, colour in ((1.01, (120, 160, 90)), (1.58, (150, 195, 230)))
    ]
    return [frame, *panes]
