# SPDX-License-Identifier: Apache-2.0
"""Bytes of a CompressedImage give a picture or are refused, whatever is wrong with them."""

from types import SimpleNamespace

import cv2
import numpy as np
from damage import WILD_TEXT, damaged, outcome
from hypothesis import given
from hypothesis import strategies as st

from flash_vstream_ros.nodes.image_conversions import compressed_to_rgb, rgb_to_compressed
from flash_vstream_ros.nodes.image_files import MOST_PIXELS

RANDOM = np.random.default_rng(3)
COLOUR = RANDOM.integers(0, 256, (11, 14, 3), dtype=np.uint8)
PICTURES = (COLOUR, COLOUR[..., 0], COLOUR.astype(np.uint16) * 257)
KINDS = ('.jpg', '.png', '.tiff', '.webp', '.bmp')
PNG = cv2.imencode('.png', COLOUR)[1].tobytes()
BEGINNINGS = (b'\xff\xd8', b'\x89PNG\r\n\x1a\n', b'RIFF', b'BM', b'II*\0', b'MM\0*', b'')
FORMATS = st.sampled_from(
    ['jpeg', 'rgb8; jpeg compressed bgr8', 'bayer_rggb8; png compressed ', 'rgb8; tiff compressed']
)


def files() -> list[bytes]:
    """Every picture as each kind of file that can hold it."""
    written = []
    for kind in KINDS:
        for picture in PICTURES:
            if picture.dtype == np.uint16 and kind not in ('.png', '.tiff'):
                continue
            written.append(cv2.imencode(kind, picture)[1].tobytes())
    return written


def decode(data: bytes, text: str):
    return compressed_to_rgb(SimpleNamespace(format=text, data=data))


@given(
    damaged(files())
    | st.tuples(st.sampled_from(BEGINNINGS), st.binary(max_size=300)).map(b''.join),
    FORMATS | WILD_TEXT,
)
def test_a_file_is_decoded_or_refused(data, text):
    picture = outcome(decode, data, text, refused_by=ValueError)
    if isinstance(picture, ValueError):
        assert str(picture).startswith(('compressed image of ', 'image encoding ', 'bayer_'))
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert 1 <= picture.shape[0] * picture.shape[1] <= MOST_PIXELS


@given(damaged([PNG]))
def test_a_png_gives_the_picture_that_was_written_or_none(data):
    """It has checksums; a picture of other pixels would be a wrong answer that nobody sees."""
    picture = outcome(decode, data, 'png', refused_by=ValueError)
    if not isinstance(picture, ValueError):
        np.testing.assert_array_equal(picture, COLOUR[..., ::-1])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_picture_that_is_written_without_loss_comes_back(height, width, seed):
    frame = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    message = SimpleNamespace(format='', data=b'')
    rgb_to_compressed(frame, message, None)
    np.testing.assert_array_equal(compressed_to_rgb(message), frame)
