# SPDX-License-Identifier: Apache-2.0
"""The sheet's relative coordinates, and sprites pasted over the edges."""

import numpy as np
import pytest

from flash_vstream_ros.simulator.drawing_sheet import (
    Sheet,
    Sprite,
    mixed,
    moved,
    shaded,
    unit_vector,
)

INK = (200, 100, 50)


def blank(height: int = 20, width: int = 40, channels: int = 3) -> Sheet:
    return Sheet(np.zeros((height, width, channels), np.uint8), (width, height))


def test_a_rectangle_covers_its_share_of_the_sheet():
    sheet = blank()
    sheet.rectangle(0.25, 0.5, 0.75, 1.0, INK)
    assert (sheet.pixels[11:, 11:29] == INK).all()
    assert not sheet.pixels[:8].any()  # edges are soft for a pixel or two
    assert not sheet.pixels[:, :8].any()
    assert not sheet.pixels[:, 32:].any()


def test_round_things_are_round_on_a_wide_sheet():
    sheet = blank(60, 180)
    sheet.oval((0.5, 0.5), (0.3, 0.3), INK)
    rows, columns = np.nonzero(sheet.pixels[..., 0] > 100)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
    assert abs(np.ptp(rows) - 36) <= 2


def test_edges_on_an_empty_sheet_are_premultiplied():
    sheet = blank(40, 40, 4)
    sheet.oval((0.5, 0.5), (0.4, 0.4), (255, 255, 255))
    assert np.array_equal(sheet.pixels[..., 0], sheet.pixels[..., 3])
    assert len(np.unique(sheet.pixels[..., 3])) > 10  # soft


@pytest.mark.parametrize('shift', [(0, 0), (-0.6, 0.3), (0.7, -0.8), (2, 2), (-3, 0)])
def test_a_blend_mixes_and_stays_on_the_sheet(shift):
    sheet = blank()
    sheet.pixels[:] = 100
    x, y = shift
    sheet.blend([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)], (200, 200, 200), 0.5)
    inside = np.zeros((20, 40), bool)
    rows = slice(max(round(y * 20), 0), max(round(y * 20) + 20, 0))
    inside[rows, max(round(x * 40), 0) : max(round(x * 40) + 40, 0)] = True
    away = np.abs(sheet.pixels[..., 0].astype(int) - np.where(inside, 150, 100))
    assert (away <= 1).mean() > 0.9
    assert away.max() <= 50


def test_a_pattern_moves_with_what_it_fills():
    pattern = np.random.default_rng(1).integers(0, 255, (4, 4, 3), np.uint8)
    fills = []
    for x in (0.1, 0.3):
        sheet = blank()
        sheet.fill([(x, 0.2), (x + 0.5, 0.2), (x + 0.5, 0.8), (x, 0.8)], pattern)
        fills.append(sheet.pixels)
    assert fills[0].any()
    assert np.array_equal(fills[0][:, :-8], fills[1][:, 8:])


def test_a_pattern_out_of_the_sheet_is_cut():
    pattern = np.full((2, 2, 3), 9, np.uint8)
    sheet = blank()
    sheet.fill([(-1, -1), (0.5, -1), (0.5, 0.5), (-1, 0.5)], pattern)
    sheet.fill([(3, 3), (4, 3), (4, 4)], pattern)
    assert (sheet.pixels[:9, :19] == 9).all()
    assert not sheet.pixels[12:].any()


def naive_paste(canvas: np.ndarray, sprite: Sprite, place: tuple[int, int]) -> np.ndarray:
    result = canvas.astype(float)
    for row in range(sprite.colour.shape[0]):
        for column in range(sprite.colour.shape[1]):
            y, x = place[1] - sprite.anchor[1] + row, place[0] - sprite.anchor[0] + column
            if 0 <= y < canvas.shape[0] and 0 <= x < canvas.shape[1]:
                kept = result[y, x] * sprite.keep[row, column] / 255
                result[y, x] = np.minimum(kept.round() + sprite.colour[row, column], 255)
    return result


@pytest.mark.parametrize('place', [(10, 8), (0, 0), (29, 19), (-4, 25), (-40, 5), (10, 99)])
def test_a_sprite_is_laid_over_the_canvas_and_cut_at_its_edges(place):
    rng = np.random.default_rng(3)
    opacity = rng.integers(0, 256, (9, 13, 1))
    pixels = np.concatenate([rng.integers(0, 256, (9, 13, 3)) * opacity // 255, opacity], axis=2)
    sprite = Sprite.cut(pixels.astype(np.uint8), (6, 4))
    canvas = rng.integers(0, 256, (20, 30, 3), np.uint8)
    expected = naive_paste(canvas, sprite, place)
    sprite.paste(canvas, place)
    assert np.abs(canvas - expected).max() <= 1


def test_a_sprite_is_cut_smaller_and_without_its_empty_rim():
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[10:, 30:50] = 200
    sprite = Sprite.cut(pixels, (30, 20), 10)
    assert sprite.colour.shape == sprite.keep.shape == (3, 2, 3)
    assert (sprite.keep == 55).all()
    canvas = np.full((10, 10, 3), 255, np.uint8)
    canvas[..., 0] = 0
    sprite.paste(canvas, (5, 5))
    assert np.array_equal(np.argwhere(canvas[..., 0]), [(y, x) for y in (4, 5, 6) for x in (5, 6)])


def test_an_empty_sprite_draws_nothing():
    sprite = Sprite.cut(np.zeros((8, 8, 4), np.uint8), (4, 4))
    canvas = np.full((10, 10, 3), 7, np.uint8)
    sprite.paste(canvas, (5, 5))
    assert (canvas == 7).all()


def test_colours_are_darkened_lightened_and_mixed():
    assert shaded(INK, 0.5) == (100, 50, 25)
    assert shaded(INK, 2.0) == (255, 255, 255)
    assert shaded(INK, 1.0) == INK
    assert mixed((0, 0, 0), INK, 0.5) == (100, 50, 25)


def test_vectors():
    assert unit_vector(3, -4) == (0.6, -0.8)
    assert moved((1.0, 2.0), (0.5, -1.0), 4) == (3.0, -2.0)
