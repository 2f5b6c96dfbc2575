# SPDX-License-Identifier: Apache-2.0
"""Empty rooms, their textures and the sprites of objects."""

import colorsys

import numpy as np
import pytest

from flash_vstream_ros.simulator import drawing_textures as textures
from flash_vstream_ros.simulator.drawing_look import FLOOR, Look, paint_floor
from flash_vstream_ros.simulator.drawing_objects import (
    INKS,
    WIDTHS,
    height_px,
    object_sprite,
    shadow_sprite,
)
from flash_vstream_ros.simulator.drawing_rooms import FOREGROUND, PANORAMA, room_picture
from flash_vstream_ros.simulator.drawing_sheet import Sheet
from flash_vstream_ros.simulator.view import ROOMS, SHAPES, SeenObject

SIZE = (96, 96)


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_is_wider_than_the_picture_and_painted_all_over(room):
    picture = room_picture(room, 11, SIZE)
    assert picture.back.shape == (96, round(96 * PANORAMA), 3)
    assert picture.front_width == round(96 * FOREGROUND)
    assert (picture.back.max(axis=2) == 0).mean() < 0.01
    assert picture.back[:50].std() > 8
    assert picture.back[60:].std() > 8


@pytest.mark.parametrize('room', ROOMS)
def test_rooms_hold_little_of_the_objects_strong_colours(room):
    for style in range(6):
        back = room_picture(room, style, SIZE).back.astype(int)
        strong = back.max(axis=2) - back.min(axis=2) > 125
        assert strong.mean() < 0.02, style


def test_nearer_furniture_moves_faster_than_the_wall():
    assert FOREGROUND > PANORAMA


def test_the_floor_narrows_into_the_distance():
    pixels = np.zeros((200, 200, 3), np.uint8)
    stripes = textures.coloured((200, 200, 200), textures.stripes((100, 200), 20, 0.5))
    paint_floor(Sheet(pixels, (200, 200)), stripes)
    rows = pixels[[120, 198], :, 0] > 200
    far, near = np.count_nonzero(np.diff(rows, axis=1), axis=1)
    assert far > near * 1.3
    assert not pixels[: round(FLOOR * 200)].any()


def test_a_looks_choices_depend_on_room_and_style_and_not_on_the_textures_size():
    looks = [Look(room, style) for room, style in ((1, 2), (1, 2), (2, 1), (1, -2))]
    looks[0].grain.random(1000)
    values = [look.between(0, 1) for look in looks]
    assert values[0] == values[1]
    assert len(set(values)) == 3


@pytest.mark.parametrize('size', [(2, 2), (7, 31), (120, 200)])
def test_textures_have_the_size_asked_for_and_a_mean_near_one(size):
    rng = np.random.default_rng(0)
    made = [
        textures.speckle(size, rng),
        textures.wood(size, rng),
        textures.tiles(size, rng, (4, 6), bond=True),
        textures.stripes(size, 5, 0.1),
        textures.dots(size, (4, 6), 0.1),
    ]
    for texture in made:
        assert texture.shape == size
        assert texture.dtype == np.float32
        if size[0] > 100:
            assert 0.75 < texture.mean() < 1.15
            assert texture.std() > 0.01
    assert set(np.unique(textures.checks(size, (2, 2)))) <= {0.0, 1.0}


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('height', [2, 10, 40, 200])
def test_an_objects_sprite_has_its_height_stands_on_its_anchor_and_is_premultiplied(shape, height):
    sprite = object_sprite('green', shape, height)
    solid = sprite.keep[..., 0] < 128
    rows, columns = np.nonzero(solid)
    assert np.ptp(rows) + 1 == pytest.approx(height, abs=max(2, height * 0.12))
    assert rows.max() + 1 == pytest.approx(sprite.anchor[1], abs=max(1, height * 0.06))
    assert np.ptp(columns) + 1 == pytest.approx(WIDTHS[shape] * height, abs=max(2, height * 0.2))
    assert (sprite.colour <= 255 - sprite.keep.astype(int) + 1).all()


def test_the_inks_are_well_apart_in_hue_and_not_too_bright():
    hues = sorted(colorsys.rgb_to_hsv(*(c / 255 for c in ink))[0] * 360 for ink in INKS.values())
    gaps = np.diff([*hues, hues[0] + 360])
    assert gaps.min() > 22
    assert all(max(ink) <= 230 for ink in INKS.values())


def test_small_objects_of_one_colour_have_shapes_of_their_own():
    outlines = []
    for shape in SHAPES:
        canvas = np.full((20, 20, 3), 255, np.uint8)
        object_sprite('blue', shape, 12).paste(canvas, (10, 16))
        outlines.append(canvas.min(axis=2) < 128)
    for index, first in enumerate(outlines):
        for second in outlines[index + 1 :]:
            assert (first ^ second).sum() > 0.12 * (first | second).sum()


def test_a_shadow_darkens_more_the_stronger_it_is():
    means = [255 - shadow_sprite(30, strength).keep.mean() for strength in (1, 2, 3, 4)]
    assert (np.diff(means) > 0).all()


def test_heights_come_in_few_steps_close_to_what_is_asked():
    canvas = np.zeros((480, 640, 3), np.uint8)
    sizes = np.linspace(0.03, 0.6, 500)
    drawn = [height_px(canvas, SeenObject('red', 'box', 0.5, 0.5, size)) for size in sizes]
    assert np.abs(np.array(drawn) / (sizes * 480) - 1).max() < 0.05
    assert len(set(drawn)) < 90
