# SPDX-License-Identifier: Apache-2.0
"""Frames of simulated patrols with what they show: what stage 0 teaches the encoder."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from flash_vstream_ros.core.encoder import Encoder
from flash_vstream_ros.core.memory_file import write_atomically
from flash_vstream_ros.simulator.description import VERSION
from flash_vstream_ros.simulator.drawing import draw
from flash_vstream_ros.simulator.view import (
    COLOURS,
    DOOR_ACTIONS,
    OBJECT_ACTIONS,
    ROBOT_ACTIONS,
    ROOMS,
    SHAPES,
    View,
)
from flash_vstream_ros.simulator.world import ASPECT, SEEN, Patrol

ACTIONS = ('', *OBJECT_ACTIONS, *DOOR_ACTIONS, *ROBOT_ACTIONS)  # '': nothing happens
CLASSES = {'room': ROOMS, 'action': ACTIONS, 'colour': COLOURS, 'shape': SHAPES}
OBJECT_LABELS = len(COLOURS) + len(SHAPES) + 1  # of one cell of the picture; last: any object
COLOUR_LABELS = slice(0, len(COLOURS))
SHAPE_LABELS = slice(len(COLOURS), len(COLOURS) + len(SHAPES))

# Of the cameras, in one aspect. A larger picture that is made smaller has less noise.
SIZES = ((128, 96), (320, 240), (128, 96), (640, 480))
FRAMES_AN_EVENT = 3
QUIET_FRAMES = 50  # of each patrol
NO_EVENT = -1
COVERED_FROM = 0.72  # progress of 'covered' from which the object cannot be seen any more


@dataclass(frozen=True)
class LabelledFrames:
    """Frames of one patrol, F of them, and their labels.

    :param pixels: (F, S, S, 3) uint8 RGB.
    :param labels: by the names of :data:`CLASSES` (F,) int64 numbers of classes, -100 where there
        is none or it cannot be seen.
    :param objects: (F, Q * Q, OBJECT_LABELS) float32 0 or 1: colours and shapes that stand in
        each of Q x Q cells of the picture.
    :param objects_known: (F, Q * Q) float32, 0 where an object is cut or hidden.
    :param events: (F,) int64 number of the event in the patrol, or :data:`NO_EVENT`.
    """

    pixels: Tensor
    labels: dict[str, Tensor]
    objects: Tensor
    objects_known: Tensor
    events: Tensor


def label_view(view: View) -> dict[str, int]:
    """Classes of what a view shows, by the names of :data:`CLASSES`."""
    action = view.action
    labels = {'room': ROOMS.index(view.room), 'action': 0, 'colour': -100, 'shape': -100}
    if action is None:
        return labels
    labels['action'] = ACTIONS.index(action.name)
    is_hidden = action.name == 'covered' and action.progress > COVERED_FROM
    if action.thing is not None and not is_hidden:
        labels['colour'] = COLOURS.index(action.thing.colour)
        labels['shape'] = SHAPES.index(action.thing.shape)
    elif action.colour:
        labels['colour'] = COLOURS.index(action.colour)
    return labels


def label_objects(view: View, side: int) -> tuple[np.ndarray, np.ndarray]:
    """What stands in each cell of the square that the encoder sees, Q cells along a side.

    :returns: (Q * Q, OBJECT_LABELS) and (Q * Q,) float32; see :class:`LabelledFrames`.
    """
    objects = np.zeros((side, side, OBJECT_LABELS), np.float32)
    known = np.full((side, side), float(view.action is None), np.float32)
    for thing in view.objects:
        x = (thing.x - 0.5) * ASPECT[0] / ASPECT[1] + 0.5
        if not -0.1 < x < 1.1:
            continue
        middle = thing.y - 0.5 * thing.size
        row, column = (min(max(int(place * side), 0), side - 1) for place in (middle, x))
        if view.hides(thing) or not SEEN[0] < thing.x < SEEN[1]:
            known[:, column] = 0.0
        cell = objects[row, column]
        cell[COLOURS.index(thing.colour)] = 1.0
        cell[len(COLOURS) + SHAPES.index(thing.shape)] = 1.0
        cell[-1] = 1.0
    return objects.reshape(side * side, -1), known.reshape(-1)


def draw_labelled(
    seed: int, seconds: float, encoder: Encoder, size: tuple[int, int], cells: int
) -> LabelledFrames:
    """Draw frames of all events of a patrol, and of moments between them.

    :param encoder: resizes and crops them.
    :param size: width and height in pixels of the pictures that the camera takes.
    :param cells: Q, cells along a side for the labels of objects.
    """
    random = np.random.default_rng((seed, 2))
    patrol = Patrol(seed, seconds)
    moments = [
        (float(at_s), number)
        for number, event in enumerate(patrol.events)
        for at_s in random.uniform(event.start_s, event.end_s, FRAMES_AN_EVENT)
    ]
    while len(moments) < len(patrol.events) * FRAMES_AN_EVENT + QUIET_FRAMES:
        at_s = float(random.uniform(0.0, patrol.seconds))
        if patrol.event_at(at_s) is None:
            moments.append((at_s, NO_EVENT))
    views = [patrol.view_at(at_s) for at_s, _ in moments]
    pixels = [encoder.square(draw(view, size)).byte().permute(1, 2, 0) for view in views]
    labels = [label_view(view) for view in views]
    objects, known = zip(*(label_objects(view, cells) for view in views), strict=True)
    return LabelledFrames(
        pixels=torch.stack(pixels),
        labels={name: torch.tensor([item[name] for item in labels]) for name in CLASSES},
        objects=torch.from_numpy(np.stack(objects)),
        objects_known=torch.from_numpy(np.stack(known)),
        events=torch.tensor([number for _, number in moments]),
    )


class FrameStore:
    """Labelled frames of many patrols, drawn when first asked for and kept on disk.

    :param folder: made where it does not exist.
    :param seconds: length of each patrol.
    :param encoder: resizes and crops the frames.
    :param cells: Q, cells along a side for the labels of objects.
    """

    def __init__(self, folder: Path, seconds: float, encoder: Encoder, cells: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._seconds = folder, seconds
        self._encoder, self._cells = encoder, cells
        cv2.setNumThreads(1)

    def get(self, seed: int) -> LabelledFrames:
        """Frames of one patrol; patrols in turn have cameras of all sizes."""
        size = SIZES[seed % len(SIZES)]
        side = self._encoder.image_size
        about = f'v{VERSION}-{seed}-{self._seconds:g}-{size[0]}x{size[1]}-{side}-{self._cells}'
        path = self._folder / f'{about}.pt'
        if path.exists():
            return _load(path)
        frames = draw_labelled(seed, self._seconds, self._encoder, size, self._cells)
        _save(path, frames)
        return frames


def _save(path: Path, frames: LabelledFrames) -> None:
    buffer = io.BytesIO()
    torch.save(vars(frames), buffer)
    write_atomically(path, buffer.getvalue())


def _load(path: Path) -> LabelledFrames:
    return LabelledFrames(**torch.load(path, weights_only=True))


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(F, S, S, 3) uint8 or float of 0 to 255 -> (F, 3, S, S) float32, as the encoder takes it."""
    values = pixels.permute(0, 3, 1, 2).float() / 255.0
    return (values - values.new_tensor(mean).view(3, 1, 1)) / values.new_tensor(std).view(3, 1, 1)
