# SPDX-License-Identifier: Apache-2.0
"""Whole frames: equal for equal views, different where something else is seen."""

from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest

from flash_vstream_ros.simulator.drawing import ACTIONS, draw
from flash_vstream_ros.simulator.drawing_objects import object_sprite
from flash_vstream_ros.simulator.drawing_rooms import room_picture
from flash_vstream_ros.simulator.view import (
    COLOURS,
    KINDS,
    OBJECT_ACTIONS,
    ROBOT_ACTIONS,
    ROOMS,
    Action,
    SeenObject,
    View,
)

SIZE = (96, 96)
THING = SeenObject('red', 'ball', 0.5, 0.85, 0.2)


def action(name: str, progress: float = 0.5, thing: SeenObject = THING) -> Action:
    done_to = thing if name in OBJECT_ACTIONS else None
    return Action(name, progress, done_to, 'blue' if name in ROBOT_ACTIONS else '')


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean difference, after a blur that takes most of the sensor's noise out."""
    smooth = [cv2.blur(frame, (3, 3)).astype(float) for frame in (first, second)]
    return float(np.abs(smooth[0] - smooth[1]).mean())


def changed(first: np.ndarray, second: np.ndarray, over: float = 40.0) -> float:
    """Share of pixels that differ clearly."""
    smooth = [cv2.blur(frame, (3, 3)).astype(float) for frame in (first, second)]
    return float((np.abs(smooth[0] - smooth[1]).max(axis=2) > over).mean())


def everything(name: str) -> View:
    return View(
        'lounge', 5, 0.3, 0.9, 1.1, (THING,), action(name), motion=0.03, occluder=0.2, noise=9
    )


@pytest.mark.parametrize('name', ACTIONS)
def test_equal_views_make_equal_frames_even_when_nothing_is_cached(name):
    view = everything(name)
    first = draw(view, SIZE)
    room_picture.cache_clear()
    object_sprite.cache_clear()
    draw(View('garage', 1, noise=4), SIZE)
    assert np.array_equal(draw(view, SIZE), first)


@pytest.mark.parametrize(
    'size', [(16, 16), (32, 32), (33, 47), (200, 40), (40, 200), (160, 120), (640, 480)]
)
def test_draws_at_any_size(size):
    for name in ACTIONS:
        frame = draw(everything(name), size)
        assert frame.shape == (size[1], size[0], 3)
        assert frame.dtype == np.uint8
        assert frame.flags['C_CONTIGUOUS']
        assert frame.std() > 10


def test_a_frame_is_the_callers_own():
    view = View('office', 1, objects=(THING,))
    first = draw(view, SIZE)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(draw(view, SIZE), kept)


def test_a_frame_shows_the_same_at_another_size():
    view = replace(everything('put down'), motion=0.0, style=8)
    for room in ROOMS:
        small = draw(replace(view, room=room), SIZE)
        large = draw(replace(view, room=room), (384, 384))
        shrunk = cv2.resize(large, SIZE, interpolation=cv2.INTER_AREA)
        assert difference(small, shrunk) < 9
        assert difference(small, draw(replace(view, room=room, style=9), SIZE)) > 12


@pytest.mark.parametrize(
    'size', [(15, 96), (96, 0), (-3, 5), (96.0, 96), (9000, 96), (96,), (1, 2, 3)]
)
def test_a_size_that_cannot_be_drawn_is_refused_by_name(size):
    with pytest.raises(ValueError, match='width, height') as refusal:
        draw(View('office', 1), size)
    assert repr(size) in str(refusal.value)


@pytest.mark.parametrize(
    ('view', 'named'),
    [
        (View('cellar', 1), 'cellar'),
        (View('office', 1, objects=(replace(THING, colour='pink'),)), 'pink'),
        (View('office', 1, objects=(replace(THING, shape='ring'),)), 'ring'),
        (View('office', 1, action=Action('eaten', 0.5, THING)), 'eaten'),
        (View('office', 1, action=Action('pushed', 0.5)), 'pushed'),
        (View('office', 1, action=Action('passed', 0.5)), "''"),
        (View('office', 1, action=Action('covered', 0.5, replace(THING, shape='hat'))), 'hat'),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(view, named):
    with pytest.raises(ValueError, match=named):
        draw(view, SIZE)


def test_rooms_differ_from_each_other_and_styles_of_one_room_differ_too():
    frames = {room: [draw(View(room, style), SIZE) for style in (2, 4)] for room in ROOMS}
    for first, second in combinations(ROOMS, 2):
        assert difference(frames[first][0], frames[second][0]) > 15, (first, second)
    for room in ROOMS:
        assert difference(*frames[room]) > 8, room


def test_the_camera_pans_over_the_room():
    for room in ROOMS:
        left, middle, right = (draw(View(room, 3, pan=pan), SIZE) for pan in (0.0, 0.5, 1.0))
        assert difference(left, right) > 10
        assert difference(left, middle) > 5
        assert np.array_equal(draw(View(room, 3, pan=1.7), SIZE), right)


def test_every_kind_of_object_differs_from_every_other_beyond_noise():
    frames, again = {}, {}
    for kind in KINDS:
        view = View('office', 1, objects=(SeenObject(*kind, 0.5, 0.9, 0.16),), noise=1)
        frames[kind] = draw(view, SIZE)
        again[kind] = draw(replace(view, noise=2), SIZE)
    noise = max(difference(frames[kind], again[kind]) for kind in KINDS)
    for first, second in combinations(KINDS, 2):
        assert difference(frames[first], again[second]) > noise * 1.15, (first, second)
        assert changed(frames[first], again[second]) > 0.003, (first, second)


@pytest.mark.parametrize('gain', [(0.5, 0.8), (1.0, 1.0), (1.3, 1.4)])
@pytest.mark.parametrize('room', ROOMS)
def test_an_objects_colour_is_told_by_its_hue_in_any_light(room, gain):
    """Guards against orange that turns yellow in strong light, or red in weak light."""
    for style, colour in enumerate(COLOURS):
        thing = SeenObject(colour, 'box', 0.5, 0.85, 0.3)
        view = View(room, style, light=gain[0], exposure=gain[1], objects=(thing,))
        face = draw(view, (96, 96))[64:79, 36:54].reshape(-1, 3).mean(axis=0)
        inks = {'red': 0, 'orange': 26, 'yellow': 51, 'green': 133, 'blue': 218, 'purple': 289}
        hue = 2 * float(cv2.cvtColor(np.uint8([[face]]), cv2.COLOR_RGB2HSV)[0, 0, 0])
        away = {name: abs((hue - ink + 180) % 360 - 180) for name, ink in inks.items()}
        assert min(away, key=away.get) == colour, (hue, face)


@pytest.mark.parametrize('name', ACTIONS)
@pytest.mark.parametrize('progress', [0.0, 0.1, 0.5, 0.8, 1.0])
def test_an_action_shows_at_every_moment_of_its_course(name, progress):
    for room in ROOMS:
        idle = draw(View(room, 7, objects=(THING,)), SIZE)
        others = () if name in OBJECT_ACTIONS else (THING,)
        frame = draw(View(room, 7, objects=others, action=action(name, progress)), SIZE)
        assert changed(idle, frame, 25) > 0.02, room


@pytest.mark.parametrize('progress', [0.0, 0.3, 0.6, 1.0])
def test_actions_differ_from_each_other_at_every_moment(progress):
    frames = {
        name: draw(View('bedroom', 3, action=action(name, progress)), SIZE) for name in ACTIONS
    }
    for first, second in combinations(ACTIONS, 2):
        assert changed(frames[first], frames[second], 25) > 0.04, (first, second)


def test_light_and_exposure_brighten_and_do_so_alike():
    view = View('office', 1, objects=(THING,))
    dark, normal, bright = (draw(replace(view, light=light), SIZE) for light in (0.5, 1.0, 1.3))
    assert dark.mean() < normal.mean() * 0.8
    assert bright.mean() > normal.mean() * 1.08
    assert np.array_equal(draw(replace(view, exposure=1.3), SIZE), bright)
    assert draw(replace(view, light=0.0), SIZE).mean() < 5


def test_motion_smears_upright_edges():
    view = View('kitchen', 1)
    still, moved = (draw(replace(view, motion=motion), SIZE).astype(float) for motion in (0, 0.06))
    edges = [np.abs(np.diff(frame, axis=1)).mean() for frame in (still, moved)]
    assert edges[1] < edges[0] * 0.75


def test_what_stands_before_the_camera_hides_what_is_behind():
    bare = View('garage', 1, occluder=0.5)
    small = replace(THING, shape='bottle', size=0.15)
    hidden = draw(replace(bare, objects=(small,)), SIZE)
    assert np.array_equal(hidden[:, 44:53], draw(bare, SIZE)[:, 44:53])
    assert changed(draw(View('garage', 1), SIZE), draw(bare, SIZE), 20) > 0.05
    assert np.array_equal(draw(bare, SIZE)[:, :40], draw(View('garage', 1), SIZE)[:, :40])


def test_what_stands_at_the_very_left_edge_is_drawn_too():
    at_edge, bare = (draw(View('garage', 1, occluder=x), SIZE) for x in (0.0, None))
    assert changed(at_edge[:, :5], bare[:, :5], 20) > 0.3


def test_noise_depends_on_its_seed_only():
    view = View('office', 1)
    frames = [draw(replace(view, noise=seed), SIZE).astype(float) for seed in range(6)]
    for first, second in combinations(frames, 2):
        assert 2 < (first - second).std() < 8
