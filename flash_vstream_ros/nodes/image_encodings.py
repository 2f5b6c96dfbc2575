# SPDX-License-Identifier: Apache-2.0
"""Which encodings of sensor_msgs/Image show a picture, how their bytes lie, why others do not.

The names are those of sensor_msgs/image_encodings.hpp. In what follows a picture is W pixels wide
and H high, and ``step`` is the message's length of a row in bytes.

- **Packed**: H rows of ``step`` bytes, the samples of a pixel side by side.
- **4:2:2** (yuv422 is uyvy and yuv422_yuy2 is yuyv, under their deprecated names): the same, with
  two samples a pixel; two neighbours share one U and one V.
- **Bayer**: one sample a pixel. The four letters are the colours of the top left 2 x 2 pixels row
  by row: rggb is R G over G B. OpenCV's two-letter names start one row and one column later
  (its BayerBG is ROS's rggb); its four-letter names, used here, agree with ROS.
- **Semi-planar**: a plane of Y, H rows of ``step`` bytes, then one of interleaved chroma:
  U V for nv12, H/2 rows of ``step`` bytes, each value for 2 x 2 pixels; V U for nv21; for nv24
  H rows of 2 ``step`` bytes, U V for each pixel.

Every YUV here is BT.601 in its limited range (Y from 16 to 235), as OpenCV and camera drivers
have it: a message has no field that could say otherwise.
"""

import re
from dataclasses import dataclass
from typing import Any

import cv2

from flash_vstream_ros.core.quoting import quote


@dataclass(frozen=True)
class Encoding:
    """How the samples of one encoding lie in a message.

    :param channels: samples of one pixel in a row of ``step`` bytes.
    :param to_rgb: OpenCV's code that makes the samples RGB; None where they are RGB already.
    :param depth: bits of a sample, 8 or 16.
    :param rows_per_pair: rows of ``step`` bytes that two rows of pixels take, chroma included.
    :param width_unit: the width must be a multiple of this, in pixels.
    :param height_unit: the height must be a multiple of this, in pixels.
    :param least_side: width and height must be at least this, in pixels.
    """

    channels: int
    to_rgb: int | None
    depth: int = 8
    rows_per_pair: int = 2
    width_unit: int = 1
    height_unit: int = 1
    least_side: int = 1

    @property
    def pixel_bytes(self) -> int:
        """Bytes that one pixel takes in a row of ``step`` bytes."""
        return self.channels * self.depth // 8

    def rows(self, height: int) -> int:
        """Rows of ``step`` bytes, those of the chroma included, for a height in pixels."""
        return height * self.rows_per_pair // 2


_COLOURS = {
    'mono': (1, cv2.COLOR_GRAY2RGB),
    'rgb': (3, None),
    'bgr': (3, cv2.COLOR_BGR2RGB),
    'rgba': (4, cv2.COLOR_RGBA2RGB),
    'bgra': (4, cv2.COLOR_BGRA2RGB),
}
_BAYER = {
    'bayer_rggb': cv2.COLOR_BayerRGGB2RGB,
    'bayer_bggr': cv2.COLOR_BayerBGGR2RGB,
    'bayer_gbrg': cv2.COLOR_BayerGBRG2RGB,
    'bayer_grbg': cv2.COLOR_BayerGRBG2RGB,
}
_UYVY = Encoding(2, cv2.COLOR_YUV2RGB_UYVY, width_unit=2)
_YUYV = Encoding(2, cv2.COLOR_YUV2RGB_YUY2, width_unit=2)

ENCODINGS: dict[str, Encoding] = {
    **{
        f'{name}{depth}': Encoding(channels, code, depth)
        for depth in (8, 16)
        for name, (channels, code) in _COLOURS.items()
    },
    # OpenCV's demosaicing of less than 3 x 3 pixels is black.
    **{
        f'{name}{depth}': Encoding(1, code, depth, least_side=3)
        for depth in (8, 16)
        for name, code in _BAYER.items()
    },
    'uyvy': _UYVY,
    'yuv422': _UYVY,
    'yuyv': _YUYV,
    'yuv422_yuy2': _YUYV,
    'nv12': Encoding(1, cv2.COLOR_YUV2RGB_NV12, rows_per_pair=3, width_unit=2, height_unit=2),
    'nv21': Encoding(1, cv2.COLOR_YUV2RGB_NV21, rows_per_pair=3, width_unit=2, height_unit=2),
    # OpenCV has no code for nv24: its pixels are laid out as yuyv first.
    'nv24': Encoding(1, cv2.COLOR_YUV2RGB_YUY2, rows_per_pair=6),
}

_NUMBERS_ONLY = re.compile(r'(8U|8S|16U|16S|32S|32F|64F)(C\d+)?')
_DEPTH = ('16UC1', '32FC1')


def find_encoding(name: str) -> Encoding:
    """Look up how an encoding lies in memory.

    :param name: the ``encoding`` of an Image message.
    :returns: its layout.
    :raises ValueError: if it does not show a picture; says why and what is accepted.
    """
    if name not in ENCODINGS:
        raise ValueError(
            f'image encoding {quote(name)} {_why_refused(name)}; '
            f'accepted encodings: {", ".join(ENCODINGS)}'
        )
    return ENCODINGS[name]


def check_sides(name: str, height: int, width: int) -> None:
    """Check that a picture of this size can have this encoding.

    :param name: one of ``ENCODINGS``.
    :raises ValueError: if a side is too small or splits a group of pixels that share a colour.
    """
    encoding = ENCODINGS[name]
    if min(height, width) < encoding.least_side:
        raise ValueError(
            f'{name} image of {width} x {height} pixels: both sides must be at least '
            f'{encoding.least_side}'
        )
    if width % encoding.width_unit or height % encoding.height_unit:
        raise ValueError(
            f'{name} image of {width} x {height} pixels: neighbours share a colour, '
            f'so the width must be a multiple of {encoding.width_unit} and the '
            f'height of {encoding.height_unit}'
        )


def check_layout(message: Any) -> None:
    """Check that the sizes of an Image message fit each other and its data.

    :param message: sensor_msgs/Image whose encoding is one of ``ENCODINGS``.
    :raises ValueError: if they do not; says what was expected.
    """
    name, width, step = message.encoding, message.width, message.step
    encoding = ENCODINGS[name]
    check_sides(name, message.height, width)
    row_bytes = width * encoding.pixel_bytes
    if step < row_bytes:
        raise ValueError(
            f'{name} image of {width} x {message.height} pixels has step {step}, '
            f'but a row takes at least {row_bytes} bytes'
        )
    needed = (encoding.rows(message.height) - 1) * step + row_bytes
    if len(message.data) < needed:
        raise ValueError(
            f'{name} image of {width} x {message.height} pixels with step {step} '
            f'takes {needed} bytes, but its data has {len(message.data)}: the '
            'message is cut off, or the publisher sets a wrong size or encoding'
        )


def is_depth(name: str) -> bool:
    """Say whether an encoding holds measurements, such as depth, and no picture at all.

    :param name: an encoding; 8UC3 and its like are a picture where a file states the colours.
    """
    return _NUMBERS_ONLY.fullmatch(name) is not None and not name.startswith('8U')


def _why_refused(name: str) -> str:
    if name in _DEPTH:
        return 'is a depth image, not a picture: subscribe to the colour image of the camera'
    if _NUMBERS_ONLY.fullmatch(name):
        return (
            'says the type of its numbers but not which of them is which colour: '
            'let the publisher name the colours (bgr8, rgb8, mono8)'
        )
    if name.lower() in ENCODINGS:
        return f'must be written {name.lower()!r}'
    return 'is not known as a picture by sensor_msgs/image_encodings'
