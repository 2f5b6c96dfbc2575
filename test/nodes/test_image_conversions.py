# SPDX-License-Identifier: Apache-2.0
"""Raw images: every pixel against a naive reading of the bytes, and the way back.

Guards against swapped red and blue, skewed rows (``step``), wrong byte order, shifted Bayer
patterns, pictures that alias the message, and encodings that are forgotten or wrongly let in.
"""

import array
import itertools
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from flash_vstream_ros.nodes import cv_bridge_trial
from flash_vstream_ros.nodes.image_conversions import converter_name, image_to_rgb, rgb_to_image
from flash_vstream_ros.nodes.image_encodings import ENCODINGS

try:
    from sensor_msgs.msg import Image
except ImportError:
    Image = None
try:
    from rosbags.typesys import Stores, get_typestore
except ImportError:
    get_typestore = None

SIDE_BY_SIDE = {'mono': 'm', 'rgb': 'rgb', 'bgr': 'bgr', 'rgba': 'rgba', 'bgra': 'bgra'}
BAYER = [f'bayer_{p}{d}' for p in ('rggb', 'bggr', 'gbrg', 'grbg') for d in (8, 16)]
YUV = ['uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2', 'nv12', 'nv21', 'nv24']
WRITABLE = ['rgb8', 'bgr8', 'mono8', *YUV]
RNG = np.random.default_rng(7)


@dataclass
class StandIn:
    """The fields of sensor_msgs/Image."""

    height: int = 0
    width: int = 0
    encoding: str = ''
    is_bigendian: int = 0
    step: int = 0
    data: Any = field(default_factory=lambda: array.array('B'))


def rclpy_image(**fields):
    return Image(**{**fields, 'data': array.array('B', fields['data'])})


def rosbags_image(**fields):
    types = get_typestore(Stores.ROS2_KILTED).types
    stamp = types['builtin_interfaces/msg/Time'](sec=0, nanosec=0)
    header = types['std_msgs/msg/Header'](stamp=stamp, frame_id='')
    fields['data'] = np.frombuffer(fields['data'], np.uint8)
    return types['sensor_msgs/msg/Image'](header=header, **fields)


MESSAGES = [
    StandIn,
    *([rclpy_image] if Image else []),
    *([rosbags_image] if get_typestore else []),
]


def sizes(encoding, height, width, padding=0):
    """The fields of a message but its data, and how many bytes that has."""
    unit = {'mono': 1, 'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4, 'bayer': 1, 'nv': 1}.get(
        re.match('bayer|nv|rgba?|bgra?|mono|', encoding).group(), 2
    )
    step = width * unit * (2 if encoding.endswith('16') else 1) + padding
    rows = {'nv12': height * 3 // 2, 'nv21': height * 3 // 2, 'nv24': height * 3}
    fields = {'height': height, 'width': width, 'encoding': encoding, 'step': step}
    return fields, step * rows.get(encoding, height)


def random_message(make, encoding, height, width, padding=0, is_bigendian=0):
    fields, count = sizes(encoding, height, width, padding)
    return make(is_bigendian=is_bigendian, data=RNG.bytes(count), **fields)


def sample(message, at):
    """One number of 8 or 16 bits, as a float between 0 and 255."""
    if not message.encoding.endswith('16'):
        return float(message.data[at])
    order = 'big' if message.is_bigendian else 'little'
    return int.from_bytes(bytes(message.data[at : at + 2]), order) / 257


def naive_side_by_side(message, y, x):
    letters = SIDE_BY_SIDE[message.encoding.rstrip('0123456789')]
    size = 2 if message.encoding.endswith('16') else 1
    at = y * message.step + x * len(letters) * size
    values = {c: sample(message, at + i * size) for i, c in enumerate(letters)}
    return [round(values.get('m', values.get(c))) for c in 'rgb']


def naive_yuv(message, y, x):
    data, step, line = message.data, message.step, y * message.step
    pair = line + x // 2 * 4
    if message.encoding in ('uyvy', 'yuv422'):
        luma, u, v = data[pair + 1 + x % 2 * 2], data[pair], data[pair + 2]
    elif message.encoding in ('yuyv', 'yuv422_yuy2'):
        luma, u, v = data[pair + x % 2 * 2], data[pair + 1], data[pair + 3]
    else:
        luma, plane = data[line + x], message.height * step
        at = 2 * line + 2 * x if message.encoding == 'nv24' else y // 2 * step + x // 2 * 2
        u, v = data[plane + at], data[plane + at + 1]
        if message.encoding == 'nv21':
            u, v = v, u
    luma, u, v = 255 / 219 * (max(int(luma), 16) - 16), int(u) - 128, int(v) - 128
    red, blue = 1.402 * 255 / 224 * v, 1.772 * 255 / 224 * u
    green = -(0.299 * red + 0.114 * blue) / 0.587
    return [min(max(luma + part, 0), 255) for part in (red, green, blue)]


def naive_bayer(message, y, x):
    """Own sample of the pixel's colour; of the others the mean of the nearest."""
    letters = message.encoding[6:10]
    size = 2 if message.encoding.endswith('16') else 1
    found = {c: [] for c in 'rgb'}
    for dy, dx in itertools.product((-1, 0, 1), repeat=2):
        colour = letters[(y + dy) % 2 * 2 + (x + dx) % 2]
        value = sample(message, (y + dy) * message.step + (x + dx) * size)
        found[colour].append((abs(dy) + abs(dx), value))
    means = []
    for values in found.values():
        nearest = min(distance for distance, _ in values)
        means.append(np.mean([value for distance, value in values if distance == nearest]))
    return means


def naive_picture(message, pixel):
    return np.array([[pixel(message, y, x) for x in range(message.width)]
                     for y in range(message.height)], np.float64)  # fmt: skip


@pytest.mark.parametrize('make', MESSAGES)
@pytest.mark.parametrize('is_bigendian', [0, 1])
@pytest.mark.parametrize('padding', [0, 1, 3, 24])
@pytest.mark.parametrize('encoding', [c + d for c in SIDE_BY_SIDE for d in ('8', '16')])
def test_side_by_side_samples_are_moved_exactly(encoding, padding, is_bigendian, make):
    for height, width in [(1, 1), (4, 5), (3, 8)]:
        message = random_message(make, encoding, height, width, padding, is_bigendian)
        expected = naive_picture(message, naive_side_by_side)
        np.testing.assert_array_equal(image_to_rgb(message), expected)


@pytest.mark.parametrize('make', MESSAGES)
@pytest.mark.parametrize('padding', [0, 1, 6])
@pytest.mark.parametrize('encoding', YUV)
def test_yuv_is_bt601_in_its_limited_range(encoding, padding, make):
    for height, width in [(2, 2), (4, 6), (6, 34)]:
        message = random_message(make, encoding, height, width, padding, is_bigendian=1)
        expected = naive_picture(message, naive_yuv)
        np.testing.assert_allclose(image_to_rgb(message), expected, atol=1.01)


@pytest.mark.parametrize('is_bigendian', [0, 1])
@pytest.mark.parametrize('padding', [0, 1, 6])
@pytest.mark.parametrize('encoding', BAYER)
def test_bayer_is_the_mean_of_the_nearest_samples(encoding, padding, is_bigendian):
    for height, width in [(4, 4), (7, 9), (8, 38)]:
        message = random_message(StandIn, encoding, height, width, padding, is_bigendian)
        inside = range(1, height - 1), range(1, width - 1)
        expected = [[naive_bayer(message, y, x) for x in inside[1]] for y in inside[0]]
        np.testing.assert_allclose(image_to_rgb(message)[1:-1, 1:-1], expected, atol=0.76)


@pytest.mark.parametrize('make', MESSAGES)
@pytest.mark.parametrize('encoding', BAYER)
def test_the_mosaic_of_a_known_picture_gives_its_colours(encoding, make):
    picture = np.empty((16, 16, 3), np.uint8)
    picture[:8, :8], picture[:8, 8:] = (200, 40, 10), (10, 220, 90)
    picture[8:, :8], picture[8:, 8:] = (30, 60, 240), (250, 170, 5)
    mosaic = np.empty((16, 16), '<u2' if encoding.endswith('16') else 'u1')
    for y, x in itertools.product(range(16), repeat=2):
        colour = 'rgb'.index(encoding[6:10][y % 2 * 2 + x % 2])
        mosaic[y, x] = int(picture[y, x, colour]) * (257 if encoding.endswith('16') else 1)
    fields, _ = sizes(encoding, 16, 16)
    converted = image_to_rgb(make(is_bigendian=0, data=mosaic.tobytes(), **fields))
    for y, x in itertools.product((slice(0, 7), slice(9, 16)), repeat=2):
        np.testing.assert_array_equal(converted[y, x], picture[y, x])


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_a_picture_is_contiguous_writable_and_its_own(encoding):
    message = random_message(rclpy_image if Image else StandIn, encoding, 6, 8)
    picture = image_to_rgb(message)
    assert picture.shape == (6, 8, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert picture.flags.writeable
    assert not np.shares_memory(picture, np.frombuffer(message.data, np.uint8))


def test_every_number_of_16_bits_is_rounded_to_the_nearest_of_8():
    numbers = np.arange(65536, dtype='<u2')
    message = StandIn(256, 256, 'mono16', 0, 512, numbers.tobytes())
    expected = [int(n / 257 + 0.5) for n in range(65536)]
    np.testing.assert_array_equal(image_to_rgb(message)[..., 0].ravel(), expected)


def test_16_bits_at_an_odd_address_are_read():
    message = random_message(StandIn, 'bgr16', 4, 5)
    expected = image_to_rgb(message)
    message.data = np.frombuffer(b'\0' + message.data, np.uint8)[1:]
    np.testing.assert_array_equal(image_to_rgb(message), expected)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_the_last_row_may_lack_its_padding_but_no_pixel(encoding):
    message = random_message(StandIn, encoding, 6, 8, padding=5)
    expected, whole = image_to_rgb(message), message.data
    message.data = whole[:-5]
    np.testing.assert_array_equal(image_to_rgb(message), expected)
    message.data = whole + b'rest of the capture buffer'
    np.testing.assert_array_equal(image_to_rgb(message), expected)
    message.data = whole[:-6]
    with pytest.raises(ValueError, match=f'{encoding} image of 8 x 6.* but its data has'):
        image_to_rgb(message)


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1', '8UC3', 'yuv420', ''])
def test_what_shows_no_picture_is_refused_by_name(encoding):
    message = StandIn(2, 2, encoding, 0, 8, bytes(16))
    with pytest.raises(ValueError, match=f'encoding {encoding!r} .*accepted.* rgb8'):
        image_to_rgb(message)


@pytest.mark.parametrize('encoding', WRITABLE)
@pytest.mark.parametrize('make', MESSAGES)
def test_a_written_picture_is_read_back(encoding, make):
    picture = np.repeat(np.repeat(RNG.integers(40, 216, (3, 4, 3), np.uint8), 2, 0), 2, 1)
    message = make(height=0, width=0, encoding='', is_bigendian=1, step=0, data=b'')
    rgb_to_image(picture, message, encoding)
    fields, count = sizes(encoding, 6, 8)
    assert {name: getattr(message, name) for name in fields} == fields
    assert len(message.data) == count
    assert not message.is_bigendian
    if encoding == 'mono8':
        picture = np.rint(picture @ [0.299, 0.587, 0.114])[..., np.newaxis].repeat(3, 2)
    exact = encoding in ('rgb8', 'bgr8')
    np.testing.assert_allclose(image_to_rgb(message), picture, atol=0 if exact else 2.01)


@pytest.mark.parametrize('encoding', WRITABLE)
def test_a_frame_in_any_memory_order_is_written(encoding):
    frame = RNG.integers(0, 256, (6, 8, 3), np.uint8)
    view, copy = StandIn(), StandIn()
    rgb_to_image(frame[::-1, ::-1, ::-1], view, encoding)
    rgb_to_image(frame[::-1, ::-1, ::-1].copy(), copy, encoding)
    assert view == copy


def test_written_data_is_what_each_kind_of_message_takes_fast_and_no_view_of_the_frame():
    frame = np.zeros((2, 2, 3), np.uint8)
    message, recorded = StandIn(), StandIn(data=np.empty(0, np.uint8))
    rgb_to_image(frame, message)
    rgb_to_image(frame, recorded)
    frame[:] = 1
    assert message.data == array.array('B', bytes(12))
    assert isinstance(recorded.data, np.ndarray)
    assert recorded.data.tolist() == [0] * 12


def test_frames_and_encodings_that_cannot_be_written_are_refused():
    for frame in (np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2, 3), np.uint8)):
        with pytest.raises(ValueError, match=r'\(H, W, 3\) uint8 RGB array, not'):
            rgb_to_image(frame, StandIn())
    with pytest.raises(ValueError, match="cannot write image encoding '16UC1'; can write: rgb8"):
        rgb_to_image(np.zeros((2, 2, 3), np.uint8), StandIn(), '16UC1')
    with pytest.raises(ValueError, match='uyvy image of 3 x 2 pixels'):
        rgb_to_image(np.zeros((2, 3, 3), np.uint8), StandIn(), 'uyvy')


def test_cv_bridge_gives_the_same_pictures():
    bridge, why_not = cv_bridge_trial.find_cv_bridge()
    if bridge is None:
        pytest.skip(why_not)
    assert converter_name() == 'cv_bridge'
    for encoding in set(ENCODINGS) - {'uyvy', 'yuyv', 'nv12', 'nv21', 'nv24'}:
        message = random_message(rclpy_image, encoding, 48, 64, padding=8 * 3)
        theirs = bridge.imgmsg_to_cv2(message, 'rgb8')
        np.testing.assert_array_equal(image_to_rgb(message), theirs, encoding)


def test_rosbags_gives_the_same_pictures():
    theirs = pytest.importorskip('rosbags.image')
    for encoding in set(ENCODINGS) - {'nv12', 'nv21', 'nv24'}:
        message = random_message(StandIn, encoding, 48, 64, is_bigendian=1)
        expected = theirs.message_to_cvimage(message, 'rgb8')
        np.testing.assert_allclose(image_to_rgb(message), expected, atol=1, err_msg=encoding)
