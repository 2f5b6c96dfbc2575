# SPDX-License-Identifier: Apache-2.0
"""What stands in the rooms of the synthetic recording: boxes and balls, in metres."""

from dataclasses import dataclass

import numpy as np

WOOD, DARK, LINEN = (150, 105, 65), (45, 45, 52), (225, 220, 210)


@dataclass(frozen=True)
class Face:
    """A flat, convex piece of surface.

    :param corners: (n, 3) metres.
    :param normal: (3,) unit vector to the side that can be seen.
    """

    corners: np.ndarray
    normal: np.ndarray
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Box:
    """A box that stands straight; ``size`` along x, y and z."""

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    colour: tuple[int, int, int]

    def faces(self) -> list[Face]:
        """Its six sides."""
        faces = []
        centre, half = np.array(self.centre), np.array(self.size) / 2
        for axis in range(3):
            across, along = np.eye(3)[(axis + 1) % 3] * half, np.eye(3)[(axis + 2) % 3] * half
            for side in (-1.0, 1.0):
                normal = np.eye(3)[axis] * side
                middle = centre + normal * half
                corners = [across + along, across - along, -across - along, along - across]
                faces.append(Face(middle + np.array(corners), normal, self.colour))
        return faces


@dataclass(frozen=True)
class Ball:
    """A ball."""

    centre: tuple[float, float, float]
    radius: float
    colour: tuple[int, int, int]


def darker(colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """Dim a colour to a share of its brightness."""
    red, green, blue = (round(value * share) for value in colour)
    return red, green, blue


def _table(x: float, y: float, colour: tuple[int, int, int]) -> list[Box | Ball]:
    legs: list[Box | Ball] = [
        Box((x + dx, y + dy, 0.36), (0.07, 0.07, 0.72), darker(colour, 0.8))
        for dx in (-0.6, 0.6)
        for dy in (-0.35, 0.35)
    ]
    return [*legs, Box((x, y, 0.745), (1.4, 0.85, 0.05), colour)]


def _kitchen(x: float, bright: list[tuple[int, int, int]]) -> list[Box | Ball]:
    return [
        *_table(x + 2.6, 1.5, WOOD),
        Box((x + 2.3, 1.3, 0.85), (0.14, 0.14, 0.16), bright[0]),
        Ball((x + 2.8, 1.3, 0.87), 0.1, bright[1]),
        Box((x + 2.4, -2.1, 0.45), (2.6, 0.7, 0.9), LINEN),
        Box((x + 4.2, -2.1, 0.95), (0.8, 0.7, 1.9), bright[2]),
        Ball((x + 1.9, -2.0, 1.02), 0.12, bright[3]),
    ]


def _living_room(x: float, bright: list[tuple[int, int, int]]) -> list[Box | Ball]:
    return [
        Box((x + 2.6, 1.75, 0.25), (2.0, 0.9, 0.5), bright[0]),
        Box((x + 2.6, 2.3, 0.65), (2.0, 0.25, 0.8), darker(bright[0], 0.85)),
        Ball((x + 1.4, 1.2, 0.2), 0.2, bright[1]),
        Box((x + 2.6, -2.2, 0.3), (1.8, 0.5, 0.6), WOOD),
        Box((x + 2.6, -2.2, 1.0), (1.3, 0.08, 0.75), DARK),
        Box((x + 4.3, -2.0, 0.25), (0.4, 0.4, 0.5), bright[2]),
        Ball((x + 4.3, -2.0, 0.85), 0.4, (50, 130, 60)),
    ]


def _office(x: float, bright: list[tuple[int, int, int]]) -> list[Box | Ball]:
    books: list[Box | Ball] = [
        Box((x + 1.7 + 0.28 * i, -2.15, 1.15 - 0.03 * (i % 3)), (0.2, 0.3, 0.5), bright[i % 6])
        for i in range(7)
    ]
    return [
        *_table(x + 2.6, 1.6, DARK),
        Box((x + 2.6, 1.85, 1.08), (0.7, 0.05, 0.45), (70, 90, 110)),
        Box((x + 2.2, 1.35, 0.84), (0.12, 0.12, 0.14), bright[0]),
        Box((x + 2.6, 0.8, 0.3), (0.5, 0.5, 0.6), bright[1]),
        Box((x + 2.5, -2.2, 0.45), (2.2, 0.4, 0.9), WOOD),
        *books,
    ]


def _bedroom(x: float, bright: list[tuple[int, int, int]]) -> list[Box | Ball]:
    return [
        Box((x + 2.7, 1.6, 0.25), (2.1, 1.6, 0.5), bright[0]),
        Box((x + 3.5, 1.6, 0.56), (0.5, 1.2, 0.14), LINEN),
        Box((x + 2.2, -2.1, 1.0), (1.6, 0.6, 2.0), WOOD),
        Box((x + 3.9, -2.1, 0.3), (0.6, 0.6, 0.6), LINEN),
        Ball((x + 3.9, -2.1, 0.78), 0.18, bright[1]),
        Ball((x + 1.0, 0.9, 0.15), 0.15, bright[2]),
    ]


FURNITURE = (_kitchen, _living_room, _office, _bedroom)
