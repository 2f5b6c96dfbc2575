# SPDX-License-Identifier: Apache-2.0
"""The table of encodings against the list in sensor_msgs, and what each refusal says.

Guards against an encoding that is forgotten, one that is let in without a meaning, and messages
whose sizes do not fit.
"""

from dataclasses import dataclass

import pytest

from flash_vstream_ros.nodes.image_encodings import (
    ENCODINGS,
    check_layout,
    check_sides,
    find_encoding,
    is_depth,
)

# sensor_msgs/image_encodings.hpp of Kilted, in its order; Jazzy has all but nv12.
PICTURES = [
    'rgb8', 'rgba8', 'rgb16', 'rgba16', 'bgr8', 'bgra8', 'bgr16', 'bgra16', 'mono8', 'mono16',
    'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8',
    'bayer_rggb16', 'bayer_bggr16', 'bayer_gbrg16', 'bayer_grbg16',
    'uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2', 'nv12', 'nv21', 'nv24',
]  # fmt: skip
NUMBERS = [
    f'{kind}C{channels}'
    for kind in ('8U', '8S', '16U', '16S', '32S', '32F', '64F')
    for channels in (1, 2, 3, 4)
]


@dataclass
class StandIn:
    """What is looked at of sensor_msgs/Image."""

    encoding: str
    height: int
    width: int
    step: int
    data: bytes


def test_every_encoding_that_shows_a_picture_is_accepted_and_no_other():
    assert sorted(ENCODINGS) == sorted(PICTURES)


@pytest.mark.parametrize('name', NUMBERS)
def test_bare_numbers_are_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=f"image encoding '{name}' (says the type|is a depth)"):
        find_encoding(name)


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('16UC1', 'is a depth image, not a picture: subscribe to the colour image'),
        ('32FC1', 'is a depth image'),
        ('8UC3', r'says the type .* not which of them is which colour: .* \(bgr8, rgb8, mono8\)'),
        ('32F', 'says the type of its numbers'),
        ('BGR8', "must be written 'bgr8'"),
        ('jpeg', 'is not known as a picture by sensor_msgs/image_encodings'),
        ('', 'is not known as a picture'),
    ],
)
def test_a_refusal_names_the_encoding_the_reason_and_all_that_is_accepted(name, reason):
    with pytest.raises(ValueError, match=f'image encoding {name!r} {reason}.*; accepted') as error:
        find_encoding(name)
    listed = str(error.value).partition('accepted encodings: ')[2].split(', ')
    assert sorted(listed) == sorted(PICTURES)


def test_measurements_are_told_from_what_may_be_a_picture_in_a_file():
    assert {name for name in NUMBERS if not is_depth(name)} == {f'8UC{n}' for n in (1, 2, 3, 4)}
    assert not any(is_depth(name) for name in [*PICTURES, '', 'jpeg'])


@pytest.mark.parametrize('name', PICTURES)
def test_pictures_without_pixels_are_refused(name):
    for height, width in [(0, 6), (6, 0), (0, 0)]:
        with pytest.raises(ValueError, match=f'{name} image of {width} x {height} pixels'):
            check_sides(name, height, width)
    check_sides(name, 6, 6)


@pytest.mark.parametrize(
    ('name', 'height', 'width'),
    [
        ('uyvy', 2, 3), ('yuv422', 2, 3), ('yuyv', 1, 1), ('yuv422_yuy2', 2, 5),
        ('nv12', 2, 3), ('nv12', 3, 2), ('nv21', 2, 3), ('nv21', 3, 2),
        ('bayer_rggb8', 2, 8), ('bayer_grbg16', 8, 2),
    ],
)  # fmt: skip
def test_sides_that_split_a_group_of_pixels_are_refused(name, height, width):
    with pytest.raises(ValueError, match=f'{name} image of {width} x {height} pixels: .* must be'):
        check_sides(name, height, width)


@pytest.mark.parametrize(
    ('name', 'row_bytes', 'rows'),
    [
        ('mono8', 8, 6), ('bgr8', 24, 6), ('rgba8', 32, 6), ('mono16', 16, 6), ('rgb16', 48, 6),
        ('bgra16', 64, 6), ('bayer_gbrg8', 8, 6), ('bayer_gbrg16', 16, 6), ('uyvy', 16, 6),
        ('yuv422_yuy2', 16, 6), ('nv12', 8, 9), ('nv21', 8, 9), ('nv24', 8, 18),
    ],
)  # fmt: skip
def test_step_and_data_must_hold_all_rows(name, row_bytes, rows):
    for padding in (0, 3):
        step = row_bytes + padding
        check_layout(StandIn(name, 6, 8, step, bytes(step * rows - padding)))
        with pytest.raises(ValueError, match=f'takes {step * rows - padding} bytes, but its data'):
            check_layout(StandIn(name, 6, 8, step, bytes(step * rows - padding - 1)))
    with pytest.raises(ValueError, match=f'step {row_bytes - 1}, .* at least {row_bytes} bytes'):
        check_layout(StandIn(name, 6, 8, row_bytes - 1, bytes(1000)))


def test_absurd_sizes_are_refused_before_anything_is_allocated():
    largest = 2**32 - 1
    with pytest.raises(ValueError, match='but its data has 3'):
        check_layout(StandIn('rgb8', largest, largest // 3, largest, bytes(3)))
    with pytest.raises(ValueError, match='has step 3'):
        check_layout(StandIn('rgb8', largest, largest, 3, bytes(3)))
