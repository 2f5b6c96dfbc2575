# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from transformers import CLIPVisionConfig

from flash_vstream_ros.core.encoder import Encoder
from flash_vstream_ros.training.encoder_stage import (
    EncoderInTraining,
    PatrolFrames,
    distance_loss,
)
from flash_vstream_ros.training.labelled_frames import NO_EVENT, OBJECT_LABELS, FrameStore

VISION = CLIPVisionConfig(
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    image_size=32,
    patch_size=8,
)


@pytest.fixture(scope='module')
def frames(tmp_path_factory):
    encoder = Encoder(VISION, -1)
    store = FrameStore(tmp_path_factory.mktemp('frames'), 90.0, encoder, 4)
    return PatrolFrames(store, 7, 2, 50)


def maps_of(*values):
    """Maps (B, 4, 2) of one value each."""
    return torch.tensor(values)[:, None, None].expand(-1, 4, 2).contiguous()


def test_events_apart_and_quiet_frames_close_cost_nothing():
    events = torch.tensor([0, 0, 1, 1, NO_EVENT, NO_EVENT])
    maps = maps_of(2.0, 2.0, -2.0, -2.0, 0.0, 0.2)
    assert distance_loss(maps, events) == 0.0


@pytest.mark.parametrize(
    'values',
    [
        (2.0, 1.0, -2.0, -2.0, 0.0, 0.0),  # one event, two places
        (2.0, 2.0, 2.1, 2.1, 0.0, 0.0),  # two events, one place
        (2.0, 2.0, -2.0, -2.0, 0.0, 0.8),  # quiet frames far from each other
        (2.0, 2.0, -2.0, -2.0, 2.0, 2.0),  # an event where nothing happens
    ],
)
def test_what_would_be_remembered_badly_costs(values):
    events = torch.tensor([0, 0, 1, 1, NO_EVENT, NO_EVENT])
    assert distance_loss(maps_of(*values), events) > 0.01


def test_equal_maps_have_a_gradient():
    maps = torch.zeros(4, 4, 2, requires_grad=True)
    distance_loss(maps, torch.tensor([0, 0, NO_EVENT, NO_EVENT])).backward()
    assert maps.grad.isfinite().all()


def test_a_batch_keeps_the_events_of_different_patrols_apart(frames):
    items = [frames[0], frames[1], frames[2]]
    batch = PatrolFrames.collate(items)
    sizes = [len(item['events']) for item in items]
    parts = batch['events'].split(sizes)
    happening = [set(part[part != NO_EVENT].tolist()) for part in parts]
    assert sum(map(len, happening)) == len(set().union(*happening))
    for part, item in zip(parts, items, strict=True):
        assert torch.equal(part == NO_EVENT, item['events'] == NO_EVENT)


def test_the_same_item_shows_the_same_frames_and_others_differ(frames):
    once, again, other = frames[0], frames[0], frames[2]  # of one patrol
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(once['pixels'], other['pixels'])


def test_nothing_known_of_any_frame_is_no_nan(frames):
    batch = PatrolFrames.collate([frames[0]])
    batch['colour'].fill_(-100)
    batch['objects_known'].zero_()
    loss = EncoderInTraining(Encoder(VISION, -1), 4, 2)(batch)
    assert loss.total.isfinite()


def objects_loss(said: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> float:
    """Loss of what the read-out says of one frame's 16 cells."""
    model = EncoderInTraining(Encoder(VISION, -1), 4, 2)
    model.heads.objects = torch.nn.Identity()
    batch = {'objects': truth[None], 'objects_known': known[None]}
    return model._object_loss(said.unflatten(0, (4, 4))[None], batch).item()


@pytest.mark.parametrize('wrong', ['colour', 'shape', 'missed', 'imagined'])
def test_each_mistake_about_an_object_costs(wrong):
    """One object among 16 cells: its colour must not drown among the cells that hold nothing."""
    truth = torch.zeros(16, OBJECT_LABELS)
    truth[5, [2, 7, -1]] = 1.0
    right = 20.0 * truth - 10.0
    said = right.clone()
    if wrong == 'colour':
        said[5, [2, 3]] = said[5, [3, 2]]
    elif wrong == 'shape':
        said[5, [7, 9]] = said[5, [9, 7]]
    else:
        said[5 if wrong == 'missed' else 6, -1] *= -1.0
    known = torch.ones(16)
    assert objects_loss(right, truth, known) < 0.01
    assert objects_loss(said, truth, known) > 2.0
    known[[5, 6]] = 0.0
    assert objects_loss(said, truth, known) < 0.01


def test_training_lowers_the_loss(frames):
    torch.manual_seed(0)
    model = EncoderInTraining(Encoder(VISION, -1), 4, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = PatrolFrames.collate([frames[0], frames[1]])
    losses = []
    for _ in range(15):
        loss = model(batch)
        mean = loss.total / loss.labels
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        losses.append(mean.item())
    assert losses[-1] < 0.8 * losses[0]
