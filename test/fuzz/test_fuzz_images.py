# SPDX-License-Identifier: Apache-2.0
"""Any Image message gives its picture or is refused; which of both is said here a second time."""

import math
from dataclasses import dataclass

import numpy as np
from damage import WILD_TEXT, outcome
from hypothesis import assume, given
from hypothesis import strategies as st

from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.nodes.image_conversions import image_to_rgb, rgb_to_image
from flash_vstream_ros.nodes.image_encodings import ENCODINGS

SAMPLES = {'mono': 'm', 'rgb': 'rgb', 'bgr': 'bgr', 'rgba': 'rgba', 'bgra': 'bgra'}
PACKED = [name + depth for name in SAMPLES for depth in ('8', '16')]
NUMBERS = ['8UC3', '8SC1', '16UC1', '16SC2', '32SC1', '32FC1', '32FC3', '64FC1', '64FC4']
EXTREME = st.sampled_from([0, 1, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
SIDES = st.integers(0, 33) | EXTREME


@dataclass
class Message:
    """The fields of sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: bytes


def expect(encoding: str, height: int, width: int) -> tuple[int, int] | None:
    """Bytes of a pixel in a row and rows of ``step`` bytes; None: no such picture."""
    name = encoding.rstrip('0123456789')
    size = 2 if encoding.endswith('16') else 1
    if encoding in PACKED:
        fits, layout = min(height, width) >= 1, (len(SAMPLES[name]) * size, height)
    elif name.startswith('bayer_'):
        fits, layout = min(height, width) >= 3, (size, height)
    elif encoding in ('nv12', 'nv21'):
        fits, layout = height >= 1 and height % 2 == width % 2 == 0 < width, (1, height * 3 // 2)
    elif encoding == 'nv24':
        fits, layout = min(height, width) >= 1, (1, 3 * height)
    else:
        fits, layout = height >= 1 and width % 2 == 0 < width, (2, height)
    return layout if fits else None


@st.composite
def messages(draw, encodings=tuple(ENCODINGS), sides=SIDES):
    encoding = draw(st.sampled_from(encodings))
    height, width = draw(sides), draw(sides)
    pixel_bytes, rows = expect(encoding, height, width) or (2, height)
    least = width * pixel_bytes
    step = draw(st.integers(least, least + 9) | st.integers(max(0, least - 2), least) | EXTREME)
    whole = max(0, (rows - 1) * step + least)
    count = whole + draw(st.integers(-3, 12)) if whole < 2**15 else draw(st.integers(0, 2**10))
    seed = draw(st.integers(0, 255))
    data = np.random.default_rng(seed).bytes(max(0, count))
    return Message(height, width, encoding, draw(st.sampled_from([0, 1, 255])), step, data)


def is_sound(message):
    layout = expect(message.encoding, message.height, message.width)
    if layout is None or message.step < message.width * layout[0]:
        return False
    return len(message.data) >= (layout[1] - 1) * message.step + message.width * layout[0]


@given(messages())
def test_an_image_is_converted_exactly_where_its_sizes_fit(message):
    picture = outcome(image_to_rgb, message, refused_by=ValueError)
    assert isinstance(picture, np.ndarray) == is_sound(message), picture
    if isinstance(picture, ValueError):
        assert str(picture).startswith(f'{message.encoding} image of')
        return
    assert picture.shape == (message.height, message.width, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    np.testing.assert_array_equal(image_to_rgb(message), picture, 'not of the message alone')


@given(messages(PACKED, st.integers(1, 33)), st.data())
def test_a_pixel_of_packed_samples_is_that_of_the_bytes(message, data):
    assume(is_sound(message))
    y = data.draw(st.integers(0, message.height - 1))
    x = data.draw(st.integers(0, message.width - 1))
    letters = SAMPLES[message.encoding.rstrip('0123456789')]
    size = 2 if message.encoding.endswith('16') else 1
    at = y * message.step + x * len(letters) * size
    order = 'big' if message.is_bigendian else 'little'
    values = {}
    for index, letter in enumerate(letters):
        number = int.from_bytes(message.data[at + index * size :][:size], order)
        values[letter] = math.floor(number / 257 + 0.5) if size == 2 else number
    assert image_to_rgb(message)[y, x].tolist() == [values.get('m', values.get(c)) for c in 'rgb']


@given(
    st.sampled_from(NUMBERS) | WILD_TEXT,
    st.integers(0, 4),
    st.lists(st.floats(width=32), min_size=16, max_size=16),
)
def test_what_shows_no_picture_is_refused_by_name_whatever_its_numbers(encoding, side, numbers):
    """NaN and infinity among them: of a depth image no number is looked at."""
    assume(encoding not in ENCODINGS)
    message = Message(side, side, encoding, 0, 4 * side, np.array(numbers, '<f4').tobytes())
    error = outcome(image_to_rgb, message, refused_by=ValueError)
    assert str(error).startswith(f'image encoding {quote(encoding)} ')


@given(
    st.sampled_from(['rgb8', 'bgr8', 'mono8', 'uyvy', 'yuyv', 'nv12', 'nv21', 'nv24', '16UC1']),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 255),
)
def test_a_picture_that_is_written_can_be_read(encoding, height, width, grey):
    message = Message(0, 0, '', 0, 0, b'')
    frame = np.full((height, width, 3), grey, np.uint8)
    error = outcome(rgb_to_image, frame, message, encoding, refused_by=ValueError)
    if error is None:
        assert np.abs(image_to_rgb(message).astype(int) - min(max(grey, 16), 235)).max() <= 22
        assert image_to_rgb(message).shape == frame.shape
    else:
        assert encoding == '16UC1' or expect(encoding, height, width) is None
