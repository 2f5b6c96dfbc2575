# SPDX-License-Identifier: Apache-2.0
"""How a room looks on one patrol: seeded choices, and the walls and floor they are made of."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np

from flash_vstream_ros.simulator.drawing_sheet import OPAQUE, Colour, Sheet

FLOOR = 0.58  # where the walls stand on the floor, in picture heights
NEAR_FLOOR = 1.7  # how much wider the floor is painted at the lower edge than at the wall

SEEDS = 2**63

Option = TypeVar('Option')
Texture = Callable[[tuple[int, int], np.random.Generator], np.ndarray]


class Look:
    """Seeded choices for one room of one patrol.

    :param room: index of the room.
    :param style: seed of the patrol.
    """

    def __init__(self, room: int, style: int) -> None:
        style %= SEEDS  # negative ones too
        self.rng = np.random.default_rng([room, style])
        # Textures take more numbers the larger the picture: from a generator of their own, so that
        # the choices are the same at any size.
        self.grain = np.random.default_rng([room, style, 1])

    def between(self, low: float, high: float) -> float:
        """A number between two."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        """Be true in a share of all cases."""
        return bool(self.rng.random() < share)

    def pick(self, options: Sequence[Option]) -> Option:
        """One of several."""
        return options[int(self.rng.integers(len(options)))]

    def vary(self, colour: Colour, amount: float = 12) -> Colour:
        """A colour close to another, in brightness and a little in tint."""
        change = self.rng.normal(0, amount) + self.rng.normal(0, amount / 3, 3)
        return tuple(round(min(max(c + d, 8), 250)) for c, d in zip(colour, change, strict=True))


def pixel_size(sheet: Sheet, width: float, height: float) -> tuple[int, int]:
    """Say how many pixels (rows, columns) a rectangle of a sheet has, at least 2 each way."""
    return max(round(height * sheet.unit[1]), 2), max(round(width * sheet.unit[0]), 2)


def paint(
    sheet: Sheet, left: float, top: float, right: float, bottom: float, texture: np.ndarray
) -> None:
    """Cover a rectangle of an opaque sheet with (h, w, 3) float32 RGB, stretched to fit."""
    (x0, y0), (x1, y1) = sheet.place((left, top)), sheet.place((right, bottom))
    height, width = sheet.pixels.shape[:2]
    rows = slice(max(round(y0), 0), min(round(y1), height))
    columns = slice(max(round(x0), 0), min(round(x1), width))
    part = sheet.pixels[rows, columns]
    if part.size:
        fitted = cv2.resize(texture, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        part[..., :3] = np.clip(fitted, 0, OPAQUE)
        part[..., 3:] = OPAQUE


def wall_size(sheet: Sheet) -> tuple[int, int]:
    """Pixels (rows, columns) of the wall."""
    return pixel_size(sheet, 1.0, FLOOR)


def paint_floor(sheet: Sheet, texture: np.ndarray) -> None:
    """Lay a flat texture (h, w, 3) float32 RGB on the floor, in perspective."""
    height, width = texture.shape[:2]
    (left, top), (right, bottom) = sheet.place((0, FLOOR)), sheet.place((1, 1))
    spread = (right - left) * (NEAR_FLOOR - 1) / 2
    flat = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    laid = np.float32(
        [[left, top], [right, top], [right + spread, bottom], [left - spread, bottom]]
    )
    view = cv2.getPerspectiveTransform(flat, laid)
    size = sheet.pixels.shape[1::-1]
    floor = cv2.warpPerspective(
        np.clip(texture, 0, OPAQUE).astype(np.uint8), view, size, borderMode=cv2.BORDER_REFLECT
    )
    start = round(top)
    sheet.pixels[start:, :, :3] = floor[start:]
    sheet.pixels[start:, :, 3:] = OPAQUE


def floor_size(sheet: Sheet) -> tuple[int, int]:
    """Pixels (rows, columns) of a floor's flat texture."""
    return pixel_size(sheet, 1.0, 0.8)


def skirting(sheet: Sheet, colour: Colour, height: float = 0.022) -> None:
    """Draw the board along the foot of the wall, and the dark joint below it."""
    sheet.rectangle(-0.1, FLOOR - height, 1.1, FLOOR, colour)
    sheet.blend([(0, FLOOR), (1, FLOOR), (1, FLOOR + 0.02), (0, FLOOR + 0.02)], (0, 0, 0), 0.3)


def columns_of(sheet: Sheet, rows: float, height: float, shape: float = 1.0) -> int:
    """How many tiles fit across, when ``rows`` of them fill a height and each is so wide."""
    row_px = height * sheet.unit[1] / rows
    return max(round(sheet.unit[0] / (row_px * shape)), 2)
