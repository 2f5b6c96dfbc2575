# SPDX-License-Identifier: Apache-2.0
"""Feature buffer: a ring that never grows, compared with a list that does."""

import pytest
import torch

from flash_vstream_ros.core.feature_buffer import FeatureBuffer


def write(buffer: FeatureBuffer, frame: int, detail, coarse, accepted: bool = True) -> None:
    device = buffer.detail.device
    buffer.write(
        detail.to(device),
        coarse.to(device),
        torch.tensor(100 + frame, device=device),
        torch.tensor(frame, device=device),
        torch.tensor(accepted, device=device),
    )


def stream(frames: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    details = torch.randn(frames, 4, 3, generator=generator)
    return details, torch.randn(frames, 6, generator=generator)


@pytest.mark.parametrize('capacity', [1, 5, 7])
def test_the_ring_holds_the_newest_frames_in_order_after_every_write(capacity, device):
    details, coarse = stream(23)
    buffer = FeatureBuffer(capacity, (4, 3), 6, device)
    for frame in range(23):
        write(buffer, frame, details[frame], coarse[frame])
        for count in (1, 2, capacity, 100):
            slots = buffer.newest(count, frame + 1)
            held = list(range(frame + 1))[-min(count, capacity) :]
            assert buffer.stamps_ns[slots].tolist() == [100 + f for f in held]
            assert torch.equal(buffer.detail[slots].cpu(), details[held])
            assert torch.equal(buffer.coarse[slots].cpu(), coarse[held])


def test_nearest_equals_a_search_through_the_whole_history(device):
    details, coarse = stream(40)
    points = torch.randn(3, 6, generator=torch.Generator().manual_seed(9))
    buffer = FeatureBuffer(7, (4, 3), 6, device)
    for frame in range(40):
        write(buffer, frame, details[frame], coarse[frame])
        held = range(max(0, frame - 6), frame + 1)
        expected = [100 + min(held, key=lambda f, p=p: distance(p, coarse[f])) for p in points]
        found = buffer.nearest(points.to(device), frame + 1)
        assert buffer.stamps_ns[found].tolist() == expected


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return (first.double() - second.double()).square().sum().item()


@pytest.mark.parametrize('frames', [3, 5, 6, 8, 12])
def test_of_equally_near_frames_the_oldest_held_is_found(frames, device):
    """Also where the ring has wrapped around and the oldest lies behind the newest."""
    buffer = FeatureBuffer(5, (4, 3), 6, device)
    for frame in range(frames):
        write(buffer, frame, torch.zeros(4, 3), torch.ones(6))
    slot = buffer.nearest(torch.zeros(1, 6, device=device), frames)
    assert buffer.stamps_ns[slot].tolist() == [100 + max(0, frames - 5)]


def test_a_slot_not_yet_written_is_never_found():
    """Its zeros are nearer to the point than any frame."""
    buffer = FeatureBuffer(5, (4, 3), 6)
    write(buffer, 0, torch.zeros(4, 3), torch.full((6,), 9.0))
    assert buffer.nearest(torch.zeros(2, 6), 1).tolist() == [0, 0]
    assert buffer.newest(3, 1).tolist() == [0]
    assert buffer.newest(3, 0).tolist() == []


def test_distances_are_direct_differences():
    """The Gram form, |a|^2 - 2ab + |b|^2 in float32, cannot tell these two apart."""
    buffer = FeatureBuffer(40, (4, 3), 1)
    for frame in range(30):
        write(buffer, frame, torch.zeros(4, 3), torch.tensor([30_000.0 + frame]))
    # Of so many points torch would take the Gram form by itself.
    points = torch.tensor([[30_012.3]]).expand(30, 1)
    assert buffer.nearest(points, 30).tolist() == [12] * 30


@pytest.mark.parametrize('frames', [0, 2, 5, 9])
def test_a_refused_frame_changes_no_bit(frames):
    details, coarse = stream(frames + 1)
    buffer = FeatureBuffer(5, (4, 3), 6)
    for frame in range(frames):
        write(buffer, frame, details[frame], coarse[frame])
    before = {name: value.clone() for name, value in buffer.named_buffers()}
    nan = float('nan')
    write(buffer, frames, details[0] * nan, coarse[0] * nan, accepted=False)
    for name, value in buffer.named_buffers():
        assert torch.equal(value, before[name]), name
