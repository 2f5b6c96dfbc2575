# SPDX-License-Identifier: Apache-2.0
"""Textures of walls, floors and furniture: (h, w) float32 gains about 1, seeded."""

import cv2
import numpy as np

from flash_vstream_ros.simulator.drawing_sheet import Colour

Size = tuple[int, int]  # (height, width) in pixels


def noise(size: Size, cells: Size, rng: np.random.Generator) -> np.ndarray:
    """Smooth random values of standard deviation 1 at ``cells`` (rows, columns) points."""
    cells = (min(max(cells[0], 2), size[0]), min(max(cells[1], 2), size[1]))
    points = rng.standard_normal(cells, dtype=np.float32)
    return cv2.resize(points, size[::-1], interpolation=cv2.INTER_LINEAR)


def speckle(size: Size, rng: np.random.Generator, amount: float = 0.06) -> np.ndarray:
    """Concrete, carpet or plaster: fine grain over soft stains."""
    rows, columns = size
    grain = noise(size, (min(rows, 160), min(columns, 260)), rng)
    stains = noise(size, (5, 8), rng)
    return 1 + amount * (0.7 * grain + 0.6 * stains)


def wood(
    size: Size, rng: np.random.Generator, planks: int = 5, amount: float = 0.08
) -> np.ndarray:
    """Planks that lie along x, each with its own grain and brightness, dark seams between."""
    rows = np.arange(size[0]) * planks / size[0]
    plank = rows.astype(int)
    tones = 1 + amount * rng.uniform(-1.4, 1.4, planks).astype(np.float32)
    grain = noise(size, (planks * 9, 6), rng) * amount * 0.8
    seams = np.where(rows - plank < 0.09, 0.72, 1.0).astype(np.float32)
    return ((tones[plank] * seams)[:, None] * (1 + grain)).astype(np.float32)


def tiles(
    size: Size,
    rng: np.random.Generator,
    count: Size,
    *,
    seam: float = 0.8,
    amount: float = 0.04,
    bond: bool = False,
) -> np.ndarray:
    """Tiles or (with ``bond``) bricks.

    :param count: (rows, columns) of tiles.
    :param seam: gain of the seams.
    :param amount: how far the brightness of tiles varies.
    """
    y = np.arange(size[0]) * count[0] / size[0]
    x = np.arange(size[1]) * count[1] / size[1]
    row = y.astype(int)
    shift = (row % 2) * 0.5 if bond else np.zeros_like(y)
    across = x[None] + shift[:, None]
    column = across.astype(int)
    tones = 1 + amount * rng.uniform(-1.5, 1.5, (count[0], count[1] + 1)).astype(np.float32)
    gains = tones[row[:, None], column]
    joint_y = (y - row) < 0.1
    joint_x = (across - column) < 0.1 * min(count[1] / count[0] * size[0] / size[1], 1.0)
    gains[joint_y] *= seam
    gains[joint_x & ~joint_y[:, None]] *= seam
    return gains


def checks(size: Size, count: Size) -> np.ndarray:
    """A chess board of 0 and 1 with ``count`` (rows, columns) fields."""
    row = np.arange(size[0]) * count[0] // size[0]
    column = np.arange(size[1]) * count[1] // size[1]
    return ((row[:, None] + column[None]) % 2).astype(np.float32)


def stripes(size: Size, count: int, amount: float, *, share: float = 0.5) -> np.ndarray:
    """``count`` upright stripes, light and dark."""
    phase = np.arange(size[1]) * count / size[1] % 1
    gains = np.where(phase < share, 1 + amount, 1 - amount).astype(np.float32)
    return np.broadcast_to(gains, size)


def dots(size: Size, count: Size, amount: float, radius: float = 0.25) -> np.ndarray:
    """Rows of dots, each other row shifted by half a step."""
    y = np.arange(size[0]) * count[0] / size[0]
    row = y.astype(int)
    x = (np.arange(size[1]) * count[1] / size[1])[None] + (row % 2 * 0.5)[:, None]
    away = np.hypot(x % 1 - 0.5, (y % 1 - 0.5)[:, None])
    return np.where(away < radius, 1 + amount, 1.0).astype(np.float32)


def coloured(colour: Colour, gains: np.ndarray) -> np.ndarray:
    """Colour a texture: (h, w, 3) float32 RGB of 0 to 255 and beyond."""
    return gains[..., None] * np.float32(colour)


def two_tone(first: Colour, second: Colour, share: np.ndarray) -> np.ndarray:
    """Mix two colours by (h, w) shares of the second: (h, w, 3) float32 RGB."""
    return np.float32(first) + share[..., None] * (np.float32(second) - np.float32(first))
