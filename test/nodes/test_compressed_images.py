# SPDX-License-Identifier: Apache-2.0
"""Compressed images: what each ``format`` means for the colours, and files that are no good.

Guards against swapped red and blue, mosaics shown as grey, 16 bits cut instead of rounded, and
against the half-written pictures that older OpenCV makes of a JPEG that is cut off.
"""

import array
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest

from flash_vstream_ros.nodes.image_conversions import compressed_to_rgb, rgb_to_compressed

try:
    from sensor_msgs.msg import CompressedImage
except ImportError:
    CompressedImage = None
RNG = np.random.default_rng(5)
SMOOTH = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (64, 48))  # RGB


@dataclass
class StandIn:
    """The fields of sensor_msgs/CompressedImage."""

    format: str = ''
    data: Any = field(default_factory=lambda: array.array('B'))


def compressed(extension, samples, form):
    """What OpenCV's encoder makes of samples (it takes colours as blue, green, red)."""
    return StandIn(form, cv2.imencode(extension, samples)[1].tobytes())


@pytest.mark.parametrize(
    'form',
    ['bgr8; jpeg compressed bgr8', 'rgb8; jpeg compressed bgr8', 'rgba8; jpeg compressed bgr8',
     'rgb16; jpeg compressed bgr8', 'bgra8; jpeg compressed bgr8', 'jpeg', 'jpg', '',
     'rgb8; jpeg compressed rgb8', 'rgb8; jpeg compressed', 'bgr8; jpeg compressed ', 'JPEG',
     'yuv422_yuy2; jpeg compressed bgr8', '8UC3; jpeg compressed '],
)  # fmt: skip
def test_a_colour_jpeg_has_the_colours_of_the_file(form):
    message = compressed('.jpg', SMOOTH[..., ::-1], form)
    assert np.abs(compressed_to_rgb(message) - SMOOTH.astype(int)).mean() < 4


@pytest.mark.parametrize(
    'form',
    ['bgr8; png compressed bgr8', 'rgb8; png compressed bgr8', 'png', '', 'rgb8; png compressed ',
     'bgr8; tiff compressed ', 'bgra8; tiff compressed '],
)  # fmt: skip
def test_a_colour_png_has_the_colours_of_the_file_exactly(form):
    for alpha in ([], [np.full((48, 64, 1), 9, np.uint8)]):
        samples = np.dstack([SMOOTH[..., ::-1], *alpha])
        message = compressed('.tiff' if 'tiff' in form else '.png', samples, form)
        np.testing.assert_array_equal(compressed_to_rgb(message), SMOOTH)


@pytest.mark.parametrize('form', ['rgb8; tiff compressed ', 'rgba8; tiff compressed '])
def test_a_tiff_of_the_transport_holds_rgb8_with_red_and_blue_exchanged(form):
    np.testing.assert_array_equal(compressed_to_rgb(compressed('.tiff', SMOOTH, form)), SMOOTH)


@pytest.mark.parametrize(
    'form', ['mono8; jpeg compressed mono8', 'bayer_rggb8; jpeg compressed mono8', 'jpeg']
)
def test_a_grey_jpeg_is_a_grey_picture(form):
    picture = compressed_to_rgb(compressed('.jpg', SMOOTH[..., 1], form))
    assert np.ptp(picture, axis=2).max() == 0
    assert np.abs(picture[..., 0] - SMOOTH[..., 1].astype(int)).mean() < 4


@pytest.mark.parametrize('form', ['mono16; png compressed ', 'bgr16; png compressed bgr16', 'png'])
def test_16_bits_are_rounded_to_the_nearest_of_8(form):
    numbers = np.arange(0, 65536, 4, dtype=np.uint16).reshape(128, 128)
    samples = np.dstack([numbers, numbers // 2, numbers // 3]) if 'bgr' in form else numbers
    expected = np.rint((samples[..., ::-1] if 'bgr' in form else np.dstack([samples] * 3)) / 257)
    np.testing.assert_array_equal(compressed_to_rgb(compressed('.png', samples, form)), expected)


@pytest.mark.parametrize('depth', [8, 16])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_a_mosaic_stored_as_grey_gets_its_colours_back(pattern, depth):
    colour = {'r': 200, 'g': 90, 'b': 30}
    tile = np.array([[colour[pattern[0]], colour[pattern[1]]],
                     [colour[pattern[2]], colour[pattern[3]]]])  # fmt: skip
    mosaic = np.tile(tile, (4, 4)).astype(np.uint8)
    samples = mosaic if depth == 8 else mosaic.astype(np.uint16) * 257
    for extension, codec in (('.png', 'png'), ('.tiff', 'tiff')):
        message = compressed(extension, samples, f'bayer_{pattern}{depth}; {codec} compressed ')
        picture = compressed_to_rgb(message)
        np.testing.assert_array_equal(picture[1:-1, 1:-1].reshape(-1, 3), [[200, 90, 30]] * 36)


def test_a_mosaic_that_is_none_is_refused():
    message = compressed('.png', SMOOTH, 'bayer_rggb8; png compressed ')
    with pytest.raises(ValueError, match='bayer_rggb8 mosaic must be grey, but it has 3 channels'):
        compressed_to_rgb(message)
    with pytest.raises(ValueError, match="encoding 'bayer_xyz8' is not known"):
        compressed_to_rgb(compressed('.png', SMOOTH, 'bayer_xyz8; png compressed '))
    with pytest.raises(ValueError, match='bayer_rggb8 image of 8 x 2 pixels'):
        compressed_to_rgb(compressed('.png', SMOOTH[:2, :8, 0], 'bayer_rggb8; png compressed '))


@pytest.mark.parametrize(
    'form',
    ['16UC1; compressedDepth png', '32FC1; compressedDepth rvl', '16UC1; png compressed ',
     '32FC1; tiff compressed ', 'compressedDepth', '16UC1'],
)  # fmt: skip
def test_depth_images_are_refused(form):
    message = compressed('.png', SMOOTH[..., 0].astype(np.uint16), form)
    with pytest.raises(ValueError, match=f'{form!r} is a depth image, not a picture: subscribe'):
        compressed_to_rgb(message)


def with_header(jpeg, marker, content):
    return jpeg[:2] + marker + struct.pack('>H', len(content) + 2) + content + jpeg[2:]


def test_an_orientation_in_the_file_is_not_applied_so_that_it_lies_as_the_raw_topic():
    turn = b'Exif\0\0II*\0\x08\0\0\0\x01\0' + struct.pack('<HHII', 0x112, 3, 1, 6) + bytes(4)
    message = compressed('.jpg', SMOOTH, 'jpeg')
    plain = compressed_to_rgb(message)
    message.data = with_header(message.data, b'\xff\xe1', turn)
    assert cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR).shape[0] == 64
    np.testing.assert_array_equal(compressed_to_rgb(message), plain)


def test_a_jpeg_that_is_cut_off_is_refused_and_bytes_after_its_end_are_not_minded():
    message = compressed('.jpg', SMOOTH, 'jpeg')
    whole, picture = message.data, compressed_to_rgb(message)
    for lost in (1, 2, 30, len(whole) // 2):
        message.data = whole[:-lost]
        with pytest.raises(ValueError, match=r"'jpeg' and \d+ bytes is a JPEG that is cut off"):
            compressed_to_rgb(message)
    for rest in (b'\0' * 500, b'\xff\xd9', RNG.bytes(100).replace(b'\xff', b'')):
        message.data = whole + rest
        np.testing.assert_array_equal(compressed_to_rgb(message), picture)


def test_the_end_of_a_thumbnail_is_not_taken_for_that_of_the_picture():
    thumbnail = compressed('.jpg', SMOOTH[:8, :8], '').data
    message = compressed('.jpg', SMOOTH, 'jpeg')
    message.data = with_header(message.data, b'\xff\xe2', thumbnail)
    assert compressed_to_rgb(message).shape == SMOOTH.shape
    message.data = message.data[:-1]
    with pytest.raises(ValueError, match='is a JPEG that is cut off'):
        compressed_to_rgb(message)


@pytest.mark.parametrize(
    ('extension', 'reason'),
    [
        ('.png', 'is a PNG that is corrupt or cut off: its last chunk is not whole'),
        ('.tiff', 'is corrupt or cut off: its header is not whole'),
        ('.bmp', 'is corrupt or cut off'),
        ('.webp', 'is corrupt or cut off'),
    ],
)
def test_other_files_that_are_cut_off_are_refused(extension, reason):
    message = compressed(extension, SMOOTH, extension)
    message.data = message.data[: len(message.data) // 2]
    with pytest.raises(ValueError, match=f"'{extension}' and [0-9]+ bytes {reason}$"):
        compressed_to_rgb(message)


def forged_png(width, height):
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = [(b'IHDR', header), (b'IDAT', zlib.compress(bytes(100))), (b'IEND', b'')]
    chunks = [
        struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
        for kind, body in parts
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


# Not compressed: each release of OpenCV has its own way for floats.
_UNCOMPRESSED = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
FLOATS = cv2.imencode('.tiff', np.zeros((4, 4, 3), np.float32), _UNCOMPRESSED)[1]


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (b'', 'is empty: the publisher could not compress it'),
        (b'\0\0\0\1gB\xc0\x1e' * 20, 'is corrupt, or no image file that is read here .* no video'),
        (b'\xff\xd8', 'is a JPEG that is cut off'),
        (forged_png(65500, 65500), 'claims 65500 x 65500 pixels; expected 1 to 67108864'),
        (forged_png(20000, 20000), 'claims 20000 x 20000 pixels; expected 1 to 67108864'),
        (forged_png(0, 5), 'claims 0 x 5 pixels; expected 1 to 67108864'),
        (FLOATS.tobytes(), 'float32'),
    ],
    ids=['empty', 'video', 'start only', 'absurd size', 'wrong size', 'no pixels', 'floats'],
)
def test_what_holds_no_picture_is_refused_with_its_format_and_size(data, reason):
    name = f"compressed image of format 'jpeg' and {len(data)} bytes"
    for kind in (bytes, lambda raw: array.array('B', raw), lambda raw: np.frombuffer(raw, 'u1')):
        with pytest.raises(ValueError, match=f'{name} .*{reason}'):
            compressed_to_rgb(StandIn('jpeg', kind(data)))


def test_a_written_picture_is_read_back_and_lies_in_every_kind_of_message():
    messages = [StandIn(), StandIn(data=np.empty(0, np.uint8))]
    messages += [CompressedImage()] if CompressedImage else []
    for message in messages:
        rgb_to_compressed(SMOOTH, message, quality=100)
        assert message.format == 'rgb8; jpeg compressed bgr8'
        assert type(message.data) is (np.ndarray if message is messages[1] else array.array)
        picture = compressed_to_rgb(message)
        assert np.abs(picture - SMOOTH.astype(int)).mean() < 3
        assert picture.dtype == np.uint8
        assert picture.flags.c_contiguous


def test_the_quality_of_the_jpeg_is_the_one_asked_for():
    sizes = []
    for quality in (1, 50, 90, 100):
        message = StandIn()
        rgb_to_compressed(SMOOTH, message, quality)
        sizes.append(len(message.data))
    assert sizes == sorted(set(sizes))
    for quality in (0, 101):
        with pytest.raises(ValueError, match=f'JPEG quality {quality} is not from 1 to 100'):
            rgb_to_compressed(SMOOTH, StandIn(), quality)
    with pytest.raises(ValueError, match=r'\(H, W, 3\) uint8 RGB array, not \(48, 64\)'):
        rgb_to_compressed(SMOOTH[..., 0], StandIn())


def test_without_a_quality_nothing_is_lost():
    noise = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)  # what JPEG keeps least of
    message = StandIn()
    rgb_to_compressed(noise, message, quality=None)
    assert 'png' in message.format
    assert np.array_equal(compressed_to_rgb(message), noise)
