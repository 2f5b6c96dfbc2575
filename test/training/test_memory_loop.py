# SPDX-License-Identifier: Apache-2.0
import os
from dataclasses import replace

import pytest
import torch

from flash_vstream_ros.core.abstract_memory import SemanticAttention, attend_video
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.data.features import open_features
from flash_vstream_ros.evaluation.inputs import INPUTS, Source, make_input
from flash_vstream_ros.training import memory_loop
from flash_vstream_ros.training.memory_loop import MemoryLoop, attend_streams, round_to_float16


@pytest.fixture
def features(data):
    return open_features(data / 'features/one.safetensors')


@pytest.fixture(scope='module')
def geometry(vstream):
    return vstream.geometry


def whole(tokens, vstream):
    """All tokens, abstract memory as a model with the checkpoint's own attention adds it."""
    geometry = vstream.geometry
    abstract = attend_streams(
        [tokens.pooled], vstream.attention, geometry.abstract_slots, geometry.update_ratio
    )[0]
    return torch.cat([abstract.half(), tokens.fixed])


@pytest.mark.parametrize('frames', [1, 3, 4, 5, 8, 9, 23, 40])
def test_tokens_are_those_of_the_streaming_memory(vstream, features, geometry, tmp_path, frames):
    asked = sorted({7, frames, 31})
    tokens = MemoryLoop(geometry, 'star', tmp_path).tokens(features, frames, asked)
    memory = StarMemory(replace(geometry, feature_side=features.side), vstream.attention)
    for feature, stamp_ns in zip(features.read(frames), features.stamps_ns, strict=False):
        memory.write(feature, int(stamp_ns))
    expected = memory.snapshot().to_float16().tokens()
    found = whole(tokens, vstream)
    assert tokens.count == len(expected)
    slots = tokens.abstract_tokens
    # A value in the middle between two of float16 may be rounded either way.
    assert (found[:slots].float() - expected[:slots].float()).abs().max() < 2e-3
    assert torch.equal(found[slots:], expected[slots:])


@pytest.mark.parametrize('name', INPUTS)
def test_other_inputs_are_those_of_the_evaluation(vstream, features, geometry, name):
    tokens = MemoryLoop(geometry, name, None).tokens(features, 23, [23])
    source = Source(geometry, vstream.attention)
    reader = make_input(name, source, features.side)
    for feature, stamp_ns in zip(features.read(23).float(), features.stamps_ns, strict=False):
        reader.write(feature, int(stamp_ns))
    expected = reader.read().to_float16().tokens()
    assert tokens.count == len(expected)
    torch.testing.assert_close(whole(tokens, vstream), expected, atol=2e-3, rtol=0)


def test_a_stream_is_written_once_for_all_its_questions(features, geometry, tmp_path, monkeypatch):
    loop = MemoryLoop(geometry, 'star', tmp_path)
    expected = {frames: loop.tokens(features, frames, [5, 23, 40]) for frames in (5, 23, 40)}
    monkeypatch.setattr(MemoryLoop, '_compute', None)
    for frames, tokens in expected.items():
        again = MemoryLoop(geometry, 'star', tmp_path).tokens(features, frames, [5, 23, 40])
        assert torch.equal(again.fixed, tokens.fixed)
        assert torch.equal(again.pooled, tokens.pooled)
        assert len(again.pooled) == frames
    assert len(list(tmp_path.iterdir())) == 1


def test_memories_that_cannot_be_read_are_computed_again(features, geometry, tmp_path, caplog):
    loop = MemoryLoop(geometry, 'star', tmp_path)
    expected = loop.tokens(features, 23, [23])
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-10])
    again = loop.tokens(features, 23, [23])
    assert torch.equal(again.fixed, expected.fixed)
    assert torch.equal(again.pooled, expected.pooled)
    assert kept.read_bytes() == whole
    assert f'{kept}: cannot be read, and is computed again' in caplog.text


@pytest.mark.parametrize('asked', [[1], [5], [7, 23], [40]])
@pytest.mark.parametrize('buffer_frames', [2, 10, 300])
def test_no_more_frames_are_buffered_than_there_are(
    features, geometry, monkeypatch, asked, buffer_frames
):
    """An image among hundreds of thousands would cost a buffer of 300 frames; the values stay."""
    geometry = replace(geometry, buffer_frames=buffer_frames)
    loop, sizes = MemoryLoop(geometry, 'star', None), []

    def watched(name, source, side):
        sizes.append(source.geometry.buffer_frames)
        return make_input(name, source, side)

    monkeypatch.setattr(memory_loop, 'make_input', watched)
    found = [loop.tokens(features, frames, asked).fixed for frames in asked]
    monkeypatch.setattr(memory_loop, '_without_unused_buffer', lambda geometry, frames: geometry)
    expected = [loop.tokens(features, frames, asked).fixed for frames in asked]
    assert all(map(torch.equal, found, expected))
    assert sizes[: len(asked)] == [min(buffer_frames, frames) for frames in asked]


def test_the_cache_knows_what_its_memories_depend_on(features, geometry, tmp_path):
    """Another input, other sizes, other moments, another file: another entry each time."""
    asked = [5, 40]
    MemoryLoop(geometry, 'star', tmp_path).tokens(features, 5, asked)
    MemoryLoop(geometry, 'uniform', tmp_path).tokens(features, 5, asked)
    smaller = replace(geometry, temporal_slots=5)
    MemoryLoop(smaller, 'star', tmp_path).tokens(features, 5, asked)
    MemoryLoop(geometry, 'star', tmp_path).tokens(features, 5, [5])
    os.utime(features.path, (1, 1))
    MemoryLoop(geometry, 'star', tmp_path).tokens(features, 5, asked)
    assert len(list(tmp_path.iterdir())) == 5


def test_the_trained_attention_changes_nothing_in_the_cache(features, geometry, tmp_path):
    """What is kept holds no trained weight; the ratio of its update neither."""
    MemoryLoop(geometry, 'star', tmp_path).tokens(features, 5, [5])
    other = replace(geometry, update_ratio=0.5)
    MemoryLoop(other, 'star', tmp_path).tokens(features, 5, [5])
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('lengths', [(1,), (4,), (3, 9, 4, 17, 17, 8), (0, 5), (), (1999, 7, 380)])
def test_several_streams_at_once_are_each_as_alone(lengths):
    generator = torch.Generator().manual_seed(1)
    attention = SemanticAttention(6, 5)
    streams = [torch.randn(length, 6, generator=generator) for length in lengths]
    together = attend_streams(streams, attention, 4, 0.2)
    for stream, memory in zip(streams, together, strict=True):
        alone = attend_video(stream, attention, 4, 0.2) if len(stream) else stream
        torch.testing.assert_close(memory, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('frames', [121, 122, 123])
def test_the_place_of_a_tensor_in_memory_changes_no_bit(frames):
    """safetensors reads to addresses that nothing else has."""
    generator = torch.Generator().manual_seed(1)
    attention = SemanticAttention(40, 40)
    stream = torch.randn(frames, 40, generator=generator)
    for shift in (1, 2, 7, 14):
        moved = torch.empty(stream.numel() + shift)[shift:].view_as(stream)
        moved.copy_(stream)
        for one, other in zip(
            attend_streams([stream, stream[:30]], attention, 4, 0.2),
            attend_streams([moved, moved[:30]], attention, 4, 0.2),
            strict=True,
        ):
            assert torch.equal(one, other)


def test_gradients_of_several_streams_are_the_sums_of_each_alone():
    attention = SemanticAttention(6, 5)
    streams = [torch.randn(length, 6) for length in (13, 5, 22)]
    weights = [torch.randn(4, 6) for _ in streams]
    gradients = []
    for memories in (
        attend_streams(streams, attention, 4, 0.2),
        [attend_video(stream, attention, 4, 0.2) for stream in streams],
    ):
        attention.zero_grad()
        sum((m * w).sum() for m, w in zip(memories, weights, strict=True)).backward()
        gradients.append(attention.k_proj.weight.grad.clone())
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_rounding_is_that_of_float16_and_lets_the_gradient_through():
    values = torch.tensor([0.1, -3.00001, 1234.567], requires_grad=True)
    rounded = round_to_float16(values)
    assert torch.equal(rounded, values.detach().half().float())
    (rounded * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert values.grad.tolist() == [1.0, 2.0, 3.0]


def test_features_of_another_geometry_are_refused(features, geometry):
    with pytest.raises(ValueError, match=r'width 40.*geometry of width 41'):
        MemoryLoop(replace(geometry, feature_width=41), 'star', None).check(features)
    with pytest.raises(ValueError, match=r'side 4.*details of 8'):
        MemoryLoop(replace(geometry, detail_side=8), 'star', None).check(features)


def test_an_unknown_input_is_refused(geometry):
    with pytest.raises(ValueError, match='memory_input: expected one of'):
        MemoryLoop(geometry, 'sta', None)
