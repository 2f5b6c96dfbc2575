# SPDX-License-Identifier: Apache-2.0
"""Light, motion blur, noise and what stands in the way, against naive references."""

import numpy as np
import pytest

from flash_vstream_ros.simulator.drawing_camera import (
    HEADROOM,
    KNEE,
    LIGHT_EXPONENT,
    UNIT_GAIN,
    add_noise,
    blur,
    draw_occluder,
    expose,
    light_map,
    noise_field,
    tone_curve,
)
from flash_vstream_ros.simulator.view import ROOMS

SIZE = (48, 36)


def some_picture() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 200, (SIZE[1], SIZE[0], 3), np.uint8)


@pytest.mark.parametrize('gain', [0.3, 1.0, 1.8])
def test_exposure_multiplies_and_bends_only_what_is_bright(gain):
    picture = some_picture()
    light = light_map('office', 3, SIZE).astype(float) / UNIT_GAIN
    linear = picture * light * gain**LIGHT_EXPONENT
    exposed = expose(picture, 'office', 3, gain).astype(float)
    below = linear < KNEE - 2
    assert np.abs(exposed - linear)[below].max() <= HEADROOM
    above = (linear > KNEE + 5) & (linear < HEADROOM * 250)
    assert (exposed[above] < linear[above] + HEADROOM).all()
    assert (exposed[above] >= KNEE).all()


def test_the_tone_curve_never_falls():
    steps = np.diff(tone_curve().astype(int))
    assert (steps >= 0).all()
    assert tone_curve()[0] == 0
    assert tone_curve()[-1] > 250


def test_light_falls_differently_in_each_room_and_style():
    maps = [light_map(room, style, SIZE).astype(int) for room in ROOMS for style in (1, 2)]
    for index, first in enumerate(maps):
        for second in maps[index + 1 :]:
            assert np.abs(first - second).mean() > 2


@pytest.mark.parametrize('motion', [0.0, 0.02, 0.1, -0.1, 0.5, 3.0])
def test_motion_blur_is_the_mean_along_the_row(motion):
    picture = some_picture()
    reach = max(round(abs(motion) * SIZE[0]), 1)
    padded = np.pad(picture.astype(float), ((0, 0), (reach, reach), (0, 0)), 'edge')
    start = reach - reach // 2
    expected = sum(padded[:, start + k : start + k + SIZE[0]] for k in range(reach)) / reach
    assert np.abs(blur(picture, motion) - expected).max() <= 1


def test_noise_is_centred_and_of_the_field():
    grey = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    for seed in (0, 1, 2**40, -7):
        noise = add_noise(grey, seed).astype(int) - 128
        assert abs(noise.mean()) < 0.6
        assert 2 < noise.std() < 6
    field = noise_field(SIZE)
    with pytest.raises(ValueError, match='read-only'):
        field[0] = 0


def test_noise_does_not_wrap_around_at_black_and_white():
    for value in (0, 255):
        flat = np.full((SIZE[1], SIZE[0], 3), value, np.uint8)
        assert np.abs(add_noise(flat, 4).astype(int) - value).max() < 40


@pytest.mark.parametrize('room', ROOMS)
@pytest.mark.parametrize('x', [-0.5, 0.0, 0.3, 1.0])
def test_the_occluder_stands_where_it_is_told(room, x):
    canvas = np.full((96, 128, 3), 255, np.uint8)
    draw_occluder(canvas, room, 1, x)
    columns = np.flatnonzero((canvas < 250).any(axis=(0, 2)))
    if x == -0.5:
        assert not len(columns)
        return
    assert columns.min() >= (x - 0.07) * 128 - 1
    assert columns.max() <= (x + 0.07) * 128 + 1
    solid = np.flatnonzero((canvas < 250).any(axis=2).all(axis=0))
    assert len(solid) >= 0.08 * 128 * (1 if 0 < x < 1 else 0.5)
