# SPDX-License-Identifier: Apache-2.0
"""A sheet to draw on in relative coordinates, and sprites cut from one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[int, int, int]  # RGB
Point = tuple[float, float]  # (x, y) in the sheet's units, y downwards

SUBPIXEL_BITS = 4
OPAQUE = 255


def shaded(colour: Colour, gain: float) -> Colour:
    """Darken (gain below 1) or lighten towards white (above 1) an RGB colour."""
    if gain <= 1.0:
        return tuple(round(max(channel * gain, 0)) for channel in colour)
    share = min(gain - 1.0, 1.0)
    return tuple(round(channel + (OPAQUE - channel) * share) for channel in colour)


def moved(point: Point, way: Point, length: float) -> Point:
    """Go from a point a length (in lengths of ``way``) along a direction."""
    return point[0] + way[0] * length, point[1] + way[1] * length


def unit_vector(x: float, y: float) -> Point:
    """Say which way (x, y) points: a vector of length 1."""
    length = max(math.hypot(x, y), 1e-9)
    return x / length, y / length


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two RGB colours, ``share`` (0 to 1) of the second."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


class Sheet:
    """Draws smooth shapes on pixels, in units of its own.

    :param pixels: (H, W, 3) RGB or (H, W, 4) RGB with premultiplied alpha, uint8, drawn on in
        place. Smooth edges drawn over zeros are premultiplied by themselves.
    :param unit: pixels per unit, (x, y); round things and line widths are measured in y units.
    :param origin: the pixel position of (0, 0), (x, y).
    """

    def __init__(self, pixels: np.ndarray, unit: Point, origin: Point = (0.0, 0.0)) -> None:
        self.pixels = pixels
        self.unit = unit
        self.origin = origin

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        cv2.fillPoly(
            self.pixels, [self._fixed(points)], self._ink(colour), cv2.LINE_AA, SUBPIXEL_BITS
        )

    def rectangle(self, left: float, top: float, right: float, bottom: float, ink: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], ink)

    def frame(
        self, left: float, top: float, right: float, bottom: float, ink: Colour, width: float
    ) -> None:
        """Outline an upright rectangle."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        self.line(corners, ink, width)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Draw a line through points, at least one pixel wide."""
        cv2.polylines(
            self.pixels,
            [self._fixed(points)],
            False,
            self._ink(colour),
            max(1, round(width * self.unit[1])),
            cv2.LINE_AA,
            SUBPIXEL_BITS,
        )

    def oval(
        self,
        centre: Point,
        radii: Point,
        colour: Colour,
        *,
        width: float | None = None,
        arc: Point = (0.0, 360.0),
        angle: float = 0.0,
    ) -> None:
        """Draw an ellipse, filled or (with ``width``) its outline along ``arc`` in degrees.

        :param radii: half its width and half its height, both in y units.
        """
        scale = self.unit[1] * (1 << SUBPIXEL_BITS)
        thickness = -1 if width is None else max(1, round(width * self.unit[1]))
        cv2.ellipse(
            self.pixels,
            tuple(self._fixed([centre])[0].tolist()),
            (round(radii[0] * scale), round(radii[1] * scale)),
            angle,
            arc[0],
            arc[1],
            self._ink(colour),
            thickness,
            cv2.LINE_AA,
            SUBPIXEL_BITS,
        )

    def blend(self, points: Sequence[Point], colour: Colour, opacity: float) -> None:
        """Lay a translucent polygon over what is there."""
        fixed = self._fixed(points)
        box = self._box(fixed)
        if box is None:
            return
        rows, columns = box
        part = self.pixels[rows, columns]
        over = part.copy()
        fixed -= np.int32([columns.start, rows.start]) << SUBPIXEL_BITS
        cv2.fillPoly(over, [fixed], self._ink(colour), cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.addWeighted(over, opacity, part, 1 - opacity, 0, dst=part)

    def fill(self, points: Sequence[Point], pattern: np.ndarray) -> None:
        """Fill a polygon with a pattern.

        :param pattern: (h, w, C) uint8 pixels, as many channels as the sheet, repeated if small;
            it moves with the left top corner of the polygon.
        """
        fixed = self._fixed(points)
        left, top = (fixed.min(axis=0) >> SUBPIXEL_BITS).tolist()
        box = self._box(fixed)
        if box is None:
            return
        rows, columns = box
        y = np.arange(rows.start - top, rows.stop - top) % pattern.shape[0]
        x = np.arange(columns.start - left, columns.stop - left) % pattern.shape[1]
        mask = np.zeros((len(y), len(x)), np.uint8)
        fixed -= np.int32([columns.start, rows.start]) << SUBPIXEL_BITS
        cv2.fillPoly(mask, [fixed], OPAQUE, cv2.LINE_8, SUBPIXEL_BITS)
        cv2.copyTo(pattern[y[:, None], x], mask, self.pixels[rows, columns])

    def shade(
        self, left: float, top: float, right: float, bottom: float, gains: np.ndarray
    ) -> None:
        """Multiply a rectangle by gains.

        :param gains: (h, w) float32 about 1, stretched over the rectangle.
        """
        (x0, y0), (x1, y1) = self.place((left, top)), self.place((right, bottom))
        height, width = self.pixels.shape[:2]
        rows = slice(max(round(y0), 0), min(round(y1), height))
        columns = slice(max(round(x0), 0), min(round(x1), width))
        part = self.pixels[rows, columns]
        if part.size:
            gain = cv2.resize(gains, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            part[..., :3] = np.clip(part[..., :3] * gain[..., None], 0, OPAQUE)

    def place(self, point: Point) -> Point:
        """Say where a point lies in pixels."""
        return (
            self.origin[0] + point[0] * self.unit[0],
            self.origin[1] + point[1] * self.unit[1],
        )

    def _fixed(self, points: Sequence[Point]) -> np.ndarray:
        """Points as OpenCV wants them: (n, 2) int32 with bits after the point."""
        # A pixel's centre is at whole coordinates for OpenCV, half a pixel from its corner.
        fine = 1 << SUBPIXEL_BITS
        scale_x, scale_y = self.unit[0] * fine, self.unit[1] * fine
        shift_x, shift_y = (self.origin[0] - 0.5) * fine, (self.origin[1] - 0.5) * fine
        return np.array(
            [(round(x * scale_x + shift_x), round(y * scale_y + shift_y)) for x, y in points],
            np.int32,
        )

    def _ink(self, colour: Colour) -> tuple[int, ...]:
        return (*colour, OPAQUE)[: self.pixels.shape[2]]

    def _box(self, fixed: np.ndarray) -> tuple[slice, slice] | None:
        """The pixels around a polygon as (rows, columns), None where it is out of the sheet."""
        height, width = self.pixels.shape[:2]
        left, top = np.maximum((fixed.min(axis=0) >> SUBPIXEL_BITS) - 1, 0).tolist()
        right, bottom = ((fixed.max(axis=0) >> SUBPIXEL_BITS) + 3).tolist()
        right, bottom = min(right, width), min(bottom, height)
        if left >= right or top >= bottom:
            return None
        return slice(top, bottom), slice(left, right)


@dataclass(frozen=True)
class Sprite:
    """A drawn thing with soft edges, to be pasted anywhere.

    :param colour: (h, w, 3) uint8 RGB, premultiplied by its opacity.
    :param keep: (h, w, 3) uint8, how much of what is below stays, 255 all.
    :param anchor: the pixel (x, y) of it that is put in place.
    """

    colour: np.ndarray
    keep: np.ndarray
    anchor: tuple[int, int]

    @classmethod
    def cut(cls, pixels: np.ndarray, anchor: Point, scale: int = 1) -> 'Sprite':
        """Make a sprite of a sheet's (H, W, 4) pixels, ``scale`` times smaller, without its rim.

        :param anchor: in pixels of the sheet.
        """
        if scale > 1:
            size = (pixels.shape[1] // scale, pixels.shape[0] // scale)
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        drawn = pixels.any(axis=2)
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        top, bottom = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
        left, right = (columns[0], columns[-1] + 1) if len(rows) else (0, 0)
        pixels = pixels[top:bottom, left:right]
        colour = np.ascontiguousarray(pixels[..., :3])
        keep = np.ascontiguousarray(np.repeat(OPAQUE - pixels[..., 3:], 3, axis=2))
        colour.setflags(write=False)
        keep.setflags(write=False)
        place = (round(anchor[0] / scale) - int(left), round(anchor[1] / scale) - int(top))
        return cls(colour, keep, place)

    def paste(self, canvas: np.ndarray, place: Point) -> None:
        """Draw it on a canvas (H, W, 3) with its anchor at a place in pixels; cut at the edges."""
        left, top = round(place[0]) - self.anchor[0], round(place[1]) - self.anchor[1]
        height, width = self.colour.shape[:2]
        y0, y1 = max(top, 0), min(top + height, canvas.shape[0])
        x0, x1 = max(left, 0), min(left + width, canvas.shape[1])
        if y0 >= y1 or x0 >= x1:
            return
        own = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        part = canvas[y0:y1, x0:x1]
        cv2.multiply(part, self.keep[own], dst=part, scale=1 / OPAQUE)
        cv2.add(part, self.colour[own], dst=part)
