# SPDX-License-Identifier: Apache-2.0
"""Abstract memory: streaming equals the trained, whole-video computation."""

import numpy as np
import pytest
import torch
from memory_samples import make_attention, make_naive, small

from flash_vstream_ros.core.abstract_memory import AbstractMemory, SemanticAttention, attend_video

LENGTHS = (10, 25, 26, 49, 50, 51, 75, 130, 333)


def write(memory: AbstractMemory, feature: torch.Tensor, frames: int, attention, accepted=True):
    device = memory.memory.device
    memory.write(
        feature.to(device),
        torch.tensor(frames, device=device),
        torch.tensor(accepted, device=device),
        attention,
    )


@pytest.mark.parametrize('length', LENGTHS)
def test_whole_video_equals_the_golden_data(length, golden_tensors, golden_vstream):
    tensors = golden_tensors('semantic_attention')
    features, expected = tensors[f'in_{length}'][:, 0], tensors[f'out_{length}'][:, 0]
    found = attend_video(features, golden_vstream.attention, 25, 0.2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize('length', LENGTHS)
def test_streaming_equals_the_golden_data(length, golden_tensors, golden_vstream, device):
    tensors = golden_tensors('semantic_attention')
    attention = SemanticAttention(40, 32)
    attention.load_state_dict(golden_vstream.attention.state_dict())
    attention.to(device)
    memory = AbstractMemory(25, 40, 0.2, device)
    for index, feature in enumerate(tensors[f'in_{length}'][:, 0]):
        write(memory, feature, index, attention)
    found = memory.read(length, attention).cpu()
    torch.testing.assert_close(found, tensors[f'out_{length}'][:, 0], atol=1e-4, rtol=0)


@pytest.mark.parametrize('slots', [1, 3, 4])
def test_after_every_frame_a_read_equals_a_naive_attention_over_the_whole_video(slots):
    naive = make_naive(small(abstract_slots=slots))
    attention = make_attention(6)
    memory = AbstractMemory(slots, 6, 0.2)
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    for index, feature in enumerate(features):
        write(memory, feature, index, attention)
        naive.whole.append(feature.double().numpy())
        found = memory.read(index + 1, attention)
        np.testing.assert_allclose(found, naive.abstract(), atol=1e-5)
        whole = attend_video(features[: index + 1], attention, slots, 0.2)
        torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)


def test_a_read_commits_nothing():
    attention, memory, unread = make_attention(6), *(AbstractMemory(4, 6, 0.2) for _ in range(2))
    for index, feature in enumerate(torch.randn(14, 6)):
        write(memory, feature, index, attention)
        write(unread, feature, index, attention)
        first, second = (memory.read(index + 1, attention) for _ in range(2))
        assert torch.equal(first, second)
    assert torch.equal(memory.memory, unread.memory)
    assert torch.equal(memory.pending, unread.pending)


def test_the_slots_stay_different_where_single_frames_would_make_them_equal():
    """Over a block of one frame the softmax is 1 for each slot: all become the same vector."""
    attention, memory = make_attention(6), AbstractMemory(5, 6, 0.2)
    features = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    faulty = features[:5]
    for index, feature in enumerate(features):
        write(memory, feature, index, attention)
        faulty = faulty if index < 5 else attention(faulty, feature[None], 0.2)
    found = memory.read(400, attention)
    assert torch.pdist(faulty).max() < 1e-6
    assert torch.pdist(found).max() > 1e-2
    assert torch.pdist(found).min() > 1e-5


@pytest.mark.parametrize('frames', [0, 1, 3, 4, 6, 7, 8, 11])
def test_a_refused_frame_changes_nothing_also_at_the_boundary_of_a_block(frames):
    attention, memory = make_attention(6), AbstractMemory(4, 6, 0.2)
    for index, feature in enumerate(torch.randn(frames, 6)):
        write(memory, feature, index, attention)
    before = memory.memory.clone(), memory.pending.clone()
    write(memory, torch.full((6,), float('nan')), frames, attention, accepted=False)
    assert torch.equal(memory.memory, before[0])
    assert torch.equal(memory.pending, before[1])


def test_a_read_is_a_copy():
    attention, memory = make_attention(6), AbstractMemory(4, 6, 0.2)
    for index, feature in enumerate(torch.randn(13, 6)):
        write(memory, feature, index, attention)
        read = memory.read(index + 1, attention)
        read.fill_(5.0)
        assert (memory.read(index + 1, attention) != 5.0).all()


def test_an_update_replaces_the_share_of_a_slot_that_the_ratio_says():
    memory, features = torch.zeros(4, 6), torch.ones(3, 6)
    updated = make_attention(6)(memory, features, 0.2)
    torch.testing.assert_close(updated, torch.full((4, 6), 0.2))


def test_scores_are_divided_by_the_root_of_the_width_of_the_queries():
    attention = SemanticAttention(4, hidden=16).requires_grad_(False)
    memory, features = torch.randn(2, 4), torch.randn(3, 4)
    query, key = attention.q_proj(memory), attention.k_proj(features)
    weights = 0.5 * torch.softmax(query @ key.T / 4.0, -1)
    expected = memory * 0.5 + weights @ features
    torch.testing.assert_close(attention(memory, features, 0.5), expected)


def test_the_update_is_differentiable_for_training():
    attention = SemanticAttention(6, hidden=8)
    features = torch.randn(11, 6, requires_grad=True)
    attend_video(features, attention, 4, 0.2).square().sum().backward()
    assert (features.grad.abs().sum(1) > 0).all(), 'every frame has a share'
    assert attention.q_proj.weight.grad.abs().sum() > 0
    assert attention.k_proj.weight.grad.abs().sum() > 0


def test_videos_are_attended_in_batches_as_one_by_one():
    attention = make_attention(6)
    memories, blocks = torch.randn(3, 4, 6), torch.randn(3, 5, 6)
    together = attention(memories, blocks, 0.2)
    for index in range(3):
        alone = attention(memories[index], blocks[index], 0.2)
        torch.testing.assert_close(together[index], alone)
