# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from transformers import CLIPVisionConfig

from flash_vstream_ros.core.encoder import Encoder
from flash_vstream_ros.simulator.view import COLOURS, ROOMS, SHAPES, Action, SeenObject, View
from flash_vstream_ros.training import labelled_frames
from flash_vstream_ros.training.labelled_frames import (
    ACTIONS,
    NO_EVENT,
    FrameStore,
    draw_labelled,
    label_objects,
    label_view,
)

CUP = SeenObject('blue', 'cup', 0.5, 0.84, 0.4)


@pytest.fixture(scope='module')
def encoder():
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    return Encoder(config, -1)


def test_a_view_is_labelled_by_what_happens():
    view = View('office', 0, action=Action('pushed', 0.5, CUP))
    assert label_view(view) == {
        'room': ROOMS.index('office'),
        'action': ACTIONS.index('pushed'),
        'colour': COLOURS.index('blue'),
        'shape': SHAPES.index('cup'),
    }


@pytest.mark.parametrize(
    ('action', 'colour'),
    [(None, -100), (Action('opened', 0.5), -100), (Action('passed', 0.5, colour='red'), 0)],
)
def test_what_has_no_object_has_no_shape(action, colour):
    labels = label_view(View('office', 0, action=action))
    assert labels['shape'] == -100
    assert labels['colour'] == colour


@pytest.mark.parametrize(('progress', 'is_seen'), [(0.5, True), (0.9, False)])
def test_a_covered_object_cannot_be_told_in_the_end(progress, is_seen):
    labels = label_view(View('office', 0, action=Action('covered', progress, CUP)))
    assert labels['action'] == ACTIONS.index('covered')
    assert (labels['colour'] >= 0) is (labels['shape'] >= 0) is is_seen


def test_an_object_is_labelled_in_the_cell_of_its_middle():
    thing = SeenObject('red', 'star', 0.5 + 0.25 * 0.75, 0.9, 0.2)  # x is 0.75 of the square
    objects, known = label_objects(View('office', 0, objects=(thing,)), 4)
    assert known.all()
    cell = 3 * 4 + 3
    assert np.flatnonzero(objects.any(1)).tolist() == [cell]
    expected = [COLOURS.index('red'), len(COLOURS) + SHAPES.index('star'), 12]
    assert np.flatnonzero(objects[cell]).tolist() == expected


@pytest.mark.parametrize(('x', 'occluder'), [(0.14, None), (0.5, 0.55)])
def test_what_is_cut_or_hidden_is_not_known(x, occluder):
    thing = SeenObject('red', 'star', x, 0.9, 0.2)
    _, known = label_objects(View('office', 0, objects=(thing,), occluder=occluder), 4)
    assert 0 < known.sum() < known.size


def test_while_something_happens_objects_are_not_asked_for():
    _, known = label_objects(View('office', 0, action=Action('opened', 0.5)), 4)
    assert not known.any()


def test_frames_show_every_event_and_quiet_moments(encoder):
    frames = draw_labelled(5, 90.0, encoder, (48, 36), 4)
    count = len(frames.events)
    assert frames.pixels.shape == (count, 32, 32, 3)
    assert frames.pixels.dtype == torch.uint8
    assert (frames.events == NO_EVENT).sum() == labelled_frames.QUIET_FRAMES
    quiet = frames.labels['action'] == 0
    assert torch.equal(quiet, frames.events == NO_EVENT)
    for event in range(int(frames.events.max()) + 1):
        of_it = frames.labels['action'][frames.events == event]
        assert len(of_it) == labelled_frames.FRAMES_AN_EVENT
        assert len(of_it.unique()) == 1


def test_the_store_draws_once(encoder, tmp_path, monkeypatch):
    store = FrameStore(tmp_path, 60.0, encoder, 4)
    first = store.get(4)

    def refuse(*_):
        raise AssertionError('drawn a second time')

    monkeypatch.setattr(labelled_frames, 'draw_labelled', refuse)
    again = store.get(4)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.objects, again.objects)
    assert first.labels.keys() == again.labels.keys()


def test_patrols_have_cameras_of_different_sizes(encoder, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        labelled_frames, 'draw_labelled', lambda *values: sizes.append(values[3]) or first
    )
    first = draw_labelled(0, 60.0, encoder, (48, 36), 4)
    store = FrameStore(tmp_path, 60.0, encoder, 4)
    for seed in range(4):
        store.get(seed)
    assert len(set(sizes)) >= 3
