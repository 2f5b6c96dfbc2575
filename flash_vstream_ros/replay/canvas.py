# SPDX-License-Identifier: Apache-2.0
"""A drawing board over OpenCV: smooth text, bars, badges and pictures."""

from functools import lru_cache

import cv2
import numpy as np

Colour = tuple[int, int, int]  # RGB

WHITE: Colour = (255, 255, 255)
TEXT_SUPERSAMPLING = 4
SUBPIXEL_BITS = 4
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_CAPITAL_PX = 21.0  # height of a capital letter at scale 1
SPACE = 0.55  # between words, over the height of a capital
PADDING_PX = 2  # around a text, for strokes that stand out
REGULAR, BOLD = 0.115, 0.17  # thickness of a stroke over the height of a capital


class Canvas:
    """An RGB picture to draw on. Places are pixels from the top left corner."""

    def __init__(self, width: int, height: int, colour: Colour) -> None:
        self.pixels = np.empty((height, width, 3), np.uint8)
        self.pixels[:] = colour

    def text(
        self,
        text: str,
        x: float,
        y: float,
        size: float,
        colour: Colour,
        *,
        anchor: str = 'left',
        weight: float = REGULAR,
    ) -> float:
        """Write a line of ASCII text.

        :param x: left end, middle or right end of the text, as ``anchor`` says.
        :param y: middle of its capital letters.
        :param size: height of its capital letters in pixels.
        :param anchor: left, middle or right.
        :returns: the width of the text in pixels.
        """
        mask, width, middle = _text_mask(text, size, weight)
        left = x - {'left': 0.0, 'middle': width / 2, 'right': width}[anchor]
        self._blend(mask, round(left) - PADDING_PX, round(y) - middle, colour)
        return width

    def _blend(self, mask: np.ndarray, left: int, top: int, colour: Colour) -> None:
        """Paint a colour through a mask of (h, w) float from 0 to 1."""
        height, width = self.pixels.shape[:2]
        rows = slice(max(top, 0), min(top + mask.shape[0], height))
        columns = slice(max(left, 0), min(left + mask.shape[1], width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        part = mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        below = self.pixels[rows, columns]
        blended = below + (np.array(colour) - below) * part[:, :, None]
        self.pixels[rows, columns] = np.round(blended).astype(np.uint8)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self.pixels[round(y) : round(y + height), round(x) : round(x + width)] = colour

    def bar(self, left: float, right: float, y: float, height: int, colour: Colour) -> None:
        """Draw a bar with round ends around the middle line ``y``; at least a dot."""
        radius = height / 2
        middle = (left + right) / 2
        ends = min(left + radius, middle), max(right - radius, middle)
        self.line((ends[0], y), (ends[1], y), colour, height)

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        colour: Colour,
        thickness: int = 1,
    ) -> None:
        """Draw a smooth line with round ends."""
        points = [[round(value * 2**SUBPIXEL_BITS) for value in point] for point in (start, end)]
        cv2.line(self.pixels, *points, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a smooth disc."""
        centre = [round(value * 2**SUBPIXEL_BITS) for value in (x, y)]
        radius_bits = round(radius * 2**SUBPIXEL_BITS)
        cv2.circle(self.pixels, centre, radius_bits, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)

    def badge(self, text: str, x: float, y: float, colour: Colour, radius: float = 10.0) -> None:
        """Draw a disc with a letter or number in it."""
        self.dot(x, y, radius, colour)
        self.text(text, x, y, radius * 0.9, WHITE, anchor='middle', weight=BOLD)

    def picture(
        self, picture: np.ndarray, x: float, y: float, width: float, height: float
    ) -> tuple[int, int]:
        """Put a picture into the middle of a box, as large as it fits, undistorted.

        :param picture: (h, w, 3) uint8 RGB.
        :returns: width and height it takes, pixels.
        """
        scale = min(width / picture.shape[1], height / picture.shape[0])
        size = (
            max(round(picture.shape[1] * scale), 1),
            max(round(picture.shape[0] * scale), 1),
        )
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        left, top = round(x + (width - size[0]) / 2), round(y + (height - size[1]) / 2)
        resized = cv2.resize(picture, size, interpolation=method)
        self.pixels[top : top + size[1], left : left + size[0]] = resized
        return size


@lru_cache(maxsize=1024)
def _text_mask(text: str, size: float, weight: float) -> tuple[np.ndarray, float, int]:
    """Draw a text large and shrink it, which makes OpenCV's line font smooth.

    :returns: (h, w) float32 from 0 to 1; width of the text; row of the capitals' middle.
    """
    scale = size * TEXT_SUPERSAMPLING / FONT_CAPITAL_PX
    thickness = max(round(size * TEXT_SUPERSAMPLING * weight), 1)
    # Word by word, because the font's own space is as wide as a letter.
    words = text.split(' ')
    widths = [cv2.getTextSize(word, FONT, scale, thickness)[0][0] for word in words]
    space = size * TEXT_SUPERSAMPLING * SPACE
    width = (sum(widths) + space * (len(words) - 1)) / TEXT_SUPERSAMPLING
    columns = round(width) + 2 * PADDING_PX
    middle = round(size) + PADDING_PX  # room for what stands above capitals
    rows = 2 * middle
    large = np.zeros((rows * TEXT_SUPERSAMPLING, columns * TEXT_SUPERSAMPLING), np.uint8)
    x, baseline = PADDING_PX * TEXT_SUPERSAMPLING, (middle + size / 2) * TEXT_SUPERSAMPLING
    for word, word_width in zip(words, widths, strict=True):
        origin = (round(x), round(baseline))
        cv2.putText(large, word, origin, FONT, scale, 255, thickness, cv2.LINE_AA)
        x += word_width + space
    mask = cv2.resize(large, (columns, rows), interpolation=cv2.INTER_AREA)
    return mask.astype(np.float32) / 255, width, middle
