# SPDX-License-Identifier: Apache-2.0
"""What is done to objects: where the object is, and how much of it is seen, over the course."""

import numpy as np
import pytest

from flash_vstream_ros.simulator import drawing_actions, drawing_objects
from flash_vstream_ros.simulator.drawing_actions import (
    LET_GO,
    after_push,
    draw_object_action,
    draw_passing_robot,
)
from flash_vstream_ros.simulator.drawing_doors import draw_door_action
from flash_vstream_ros.simulator.drawing_objects import draw_object
from flash_vstream_ros.simulator.drawing_sheet import Sheet
from flash_vstream_ros.simulator.view import COLOURS, KINDS, ROOMS, SHAPES, Action, SeenObject

STEPS = np.linspace(0, 1, 9)


def canvas(height: int = 96, width: int = 128) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def of_red(picture: np.ndarray) -> np.ndarray:
    """Where a picture is the red of a red object."""
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return (red > 100) & (green < red * 0.35) & (blue < red * 0.4)


def middle(picture: np.ndarray) -> tuple[float, float, int]:
    """Of the red pixels: their middle (x, y) in picture widths and heights, and how many."""
    rows, columns = np.nonzero(of_red(picture))
    if not len(rows):
        return 0.0, 0.0, 0
    return columns.mean() / 128, rows.mean() / 96, len(rows)


def red_at(action: Action) -> tuple[float, float, int]:
    """Where the red object is while something is done to it."""
    picture = canvas()
    draw_object_action(picture, action, 1)
    return middle(picture)


def standing(thing: SeenObject) -> tuple[float, float, int]:
    picture = canvas()
    draw_object(picture, thing)
    return middle(picture)


def thing(shape: str = 'box', x: float = 0.45, size: float = 0.25) -> SeenObject:
    return SeenObject('red', shape, x, 0.88, size)


def test_what_is_put_down_sinks_to_its_place_and_stays_there():
    course = [red_at(Action('put down', p, thing())) for p in STEPS]
    heights = [y for _, y, _ in course]
    sinking = [y for p, y in zip(STEPS, heights, strict=True) if p <= LET_GO]
    assert (np.diff(sinking) > 0).all()
    assert sinking[-1] - sinking[0] > 0.15
    assert course[-1] == pytest.approx(standing(thing()), abs=0.01)


def test_what_is_picked_up_rises_and_is_seen_whole():
    course = [red_at(Action('picked up', p, thing())) for p in STEPS]
    assert (np.diff([y for _, y, _ in course]) < 0).all()
    assert course[0][1] - course[-1][1] > 0.2
    assert min(pixels for *_, pixels in course) > 0.97 * standing(thing())[2]


@pytest.mark.parametrize('x', [0.3, 0.45, 0.55, 0.7])
def test_what_is_pushed_slides_to_where_it_then_stands(x):
    pushed = thing(x=x)
    course = [red_at(Action('pushed', p, pushed)) for p in STEPS]
    steps = np.diff([middle for middle, *_ in course])
    assert (steps * np.sign(0.5 - x) > 0.015).all()
    assert np.ptp([y for _, y, _ in course]) < 0.02
    assert course[-1][0] == pytest.approx(standing(after_push(pushed))[0], abs=0.03)
    assert 0 < after_push(pushed).x < 1


@pytest.mark.parametrize('shape', SHAPES)
def test_what_is_covered_disappears_little_by_little(shape):
    whole = standing(thing(shape))[2]
    seen = [red_at(Action('covered', p, thing(shape)))[2] for p in (0.0, 0.25, 0.5, 0.7)]
    assert seen[0] > 0.5 * whole
    assert (np.diff(seen) < 0).all()
    assert seen[-1] > 0
    picture = canvas()
    draw_object_action(picture, Action('covered', 1.0, thing(shape)), 1)
    assert of_red(picture).sum() <= 0.03 * whole


def other_than_red(picture: np.ndarray) -> int:
    """How many pixels differ from the empty canvas and are not red."""
    return int(((np.abs(picture.astype(int) - 128).max(axis=2) > 20) & ~of_red(picture)).sum())


@pytest.mark.parametrize('name', ['put down', 'picked up', 'pushed', 'covered'])
@pytest.mark.parametrize('size', [0.12, 0.17, 0.25, 0.38, 0.53])
def test_whoever_does_it_is_seen_all_the_time(name, size, monkeypatch):
    """Guards against a hand, foot or gripper out of the picture at the ends of the course."""
    for module in (drawing_actions, drawing_objects):
        monkeypatch.setattr(module, 'draw_shadow', lambda *args: None)
    for x in (0.3, 0.5, 0.7):
        outline = canvas()
        draw_object(outline, thing('star', x, size))
        for progress in STEPS:
            picture = canvas()
            draw_object_action(picture, Action(name, progress, thing('star', x, size)), 1)
            doer = other_than_red(picture) - other_than_red(outline)
            assert doer > 0.025 * 96 * 128, (x, progress)


def test_every_kind_can_be_handled():
    for kind in KINDS:
        for name in ('put down', 'picked up', 'pushed', 'covered'):
            picture = canvas(48, 48)
            draw_object_action(picture, Action(name, 0.4, SeenObject(*kind, 0.5, 0.8, 0.3)), 0)
            assert (picture != 128).any()


@pytest.mark.parametrize('style', [0, 1])
def test_the_other_robot_crosses_and_is_always_half_in_the_picture(style):
    middles = []
    for progress in STEPS:
        picture = canvas()
        draw_passing_robot(picture, 'red', progress, style)
        columns = np.nonzero(of_red(picture))[1]
        assert len(columns) > 300
        middles.append(columns.mean() / 128)
    steps = np.diff(middles)
    assert (steps > 0).all() or (steps < 0).all()
    assert np.ptp(middles) > 0.6


def test_robots_of_all_colours_differ():
    pictures = []
    for colour in COLOURS:
        picture = canvas()
        draw_passing_robot(picture, colour, 0.5, 2)
        pictures.append(picture.astype(int))
    for index, first in enumerate(pictures):
        for second in pictures[index + 1 :]:
            assert (np.abs(first - second).max(axis=2) > 50).mean() > 0.03


def door(room: str, opens: bool, progress: float) -> np.ndarray:
    """The middle of the picture of a door's action."""
    picture = canvas()
    draw_door_action(Sheet(picture, (96, 96)), room, 3, opens, progress)
    return picture[14:70, 48:80]


@pytest.mark.parametrize('room', ROOMS)
def test_behind_an_opened_door_it_is_bright_and_a_closed_one_is_dark(room):
    for progress in (0.2, 0.5, 1.0):
        assert door(room, True, progress).mean() > 200
        assert door(room, False, progress).mean() < 110
    assert door(room, True, 0.0).mean() < door(room, True, 0.1).mean() < 215
    assert door(room, False, 0.0).mean() > door(room, False, 0.1).mean() > 60


def test_a_door_stands_still_after_its_swing():
    assert np.array_equal(door('office', True, 0.25), door('office', True, 1.0))
    assert np.array_equal(door('office', False, 0.25), door('office', False, 1.0))
