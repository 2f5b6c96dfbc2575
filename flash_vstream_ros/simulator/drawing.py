# SPDX-License-Identifier: Apache-2.0
"""Draws what the camera of the simulated patrol sees."""

import numpy as np

from flash_vstream_ros.simulator.drawing_actions import (
    ROBOT_Y,
    draw_object_action,
    draw_passing_robot,
)
from flash_vstream_ros.simulator.drawing_camera import add_noise, blur, draw_occluder, expose
from flash_vstream_ros.simulator.drawing_doors import draw_door_action
from flash_vstream_ros.simulator.drawing_objects import draw_object
from flash_vstream_ros.simulator.drawing_rooms import room_picture
from flash_vstream_ros.simulator.drawing_sheet import Sheet
from flash_vstream_ros.simulator.view import (
    COLOURS,
    DOOR_ACTIONS,
    OBJECT_ACTIONS,
    ROBOT_ACTIONS,
    ROOMS,
    SHAPES,
    View,
)

ACTIONS = OBJECT_ACTIONS + DOOR_ACTIONS + ROBOT_ACTIONS
SMALLEST_PX = 16
LARGEST_PX = 8192


def draw(view: View, size: tuple[int, int]) -> np.ndarray:
    """Draw one frame; equal views of equal size make equal frames.

    :param view: what is seen.
    :param size: of the frame in pixels, (width, height), each SMALLEST_PX to LARGEST_PX.
    :returns: (H, W, 3) uint8 RGB, contiguous, the caller's own.
    :raises ValueError: if the size cannot be drawn, or the view holds an unknown room, object or
        action.
    """
    width, height = _checked_size(size)
    _check_view(view)
    canvas = room_picture(view.room, view.style, (width, height)).look_at(view.pan, width)
    _draw_scene(canvas, view)
    canvas = expose(canvas, view.room, view.style, view.light * view.exposure)
    if view.occluder is not None:
        draw_occluder(canvas, view.room, view.style, view.occluder)
    return add_noise(blur(canvas, view.motion), view.noise)


def _draw_scene(canvas: np.ndarray, view: View) -> None:
    """Draw the door, the objects and what happens on the picture of the room."""
    name = view.action.name if view.action else ''
    sheet = Sheet(canvas, (canvas.shape[0], canvas.shape[0]))
    if name in DOOR_ACTIONS:
        progress = view.action.progress
        draw_door_action(sheet, view.room, view.style, name == 'opened', progress)
    passes = name in ROBOT_ACTIONS
    for thing in view.objects:
        if not passes or thing.y <= ROBOT_Y:
            draw_object(canvas, thing)
    if passes:
        draw_passing_robot(canvas, view.action.colour, view.action.progress, view.style)
        for thing in view.objects:
            if thing.y > ROBOT_Y:
                draw_object(canvas, thing)
    if name in OBJECT_ACTIONS:
        draw_object_action(canvas, view.action, view.style)


def _check_view(view: View) -> None:
    """Raise ValueError for what nobody taught us to draw."""
    _check_name('room', view.room, ROOMS)
    things = view.objects
    if view.action is not None:
        _check_name('action', view.action.name, ACTIONS)
        if view.action.name in OBJECT_ACTIONS:
            if view.action.thing is None:
                raise ValueError(f'action {view.action.name!r} needs the object it is done to')
            things = (*things, view.action.thing)
        elif view.action.name in ROBOT_ACTIONS:
            _check_name('colour of a robot', view.action.colour, COLOURS)
    for thing in things:
        _check_name('colour', thing.colour, COLOURS)
        _check_name('shape', thing.shape, SHAPES)


def _check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f'{what} {name!r} is unknown, expected one of: {", ".join(known)}')


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size as two ints."""
    whole = len(size) == 2 and all(isinstance(side, int | np.integer) for side in size)
    if not whole or not all(SMALLEST_PX <= side <= LARGEST_PX for side in size):
        raise ValueError(
            f'size {size!r} of a frame: expected (width, height) in pixels, whole numbers from '
            f'{SMALLEST_PX} to {LARGEST_PX}'
        )
    return int(size[0]), int(size[1])
