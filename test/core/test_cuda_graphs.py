# SPDX-License-Identifier: Apache-2.0
"""What is captured computes what it would have computed; where nothing can be, it is said once.

The parts that need a GPU are tested on one; what is around them with a capture that only calls.
"""

import copy

import pytest
import torch
from captures import Captured
from memory_samples import S, assert_same, fill, make_memory, recurring_scenes, state_bits

from flash_vstream_ros.core import cuda_graphs
from flash_vstream_ros.core.cuda_graphs import CapturedCall, capture
from flash_vstream_ros.core.encoder import Encoder
from flash_vstream_ros.core.star_memory import StarMemory

CPU = torch.device('cpu')
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='this machine has no CUDA device'
)


def fail(error):
    def failing(*_: object) -> None:
        raise error

    return failing


@pytest.fixture
def captures(monkeypatch):
    """Captures as far as that goes without a GPU; how many there were."""
    captures = Captured()
    monkeypatch.setattr(cuda_graphs, 'capture', captures)
    for owner in (StarMemory, Encoder):
        monkeypatch.setattr(owner, '_may_capture', property(lambda self: self.captures))
    return captures


@pytest.fixture
def captured(captures):
    """A memory whose writes are captured."""
    memory = make_memory()
    memory.captures = True
    return memory


@pytest.fixture
def encoder(golden_vstream, captures, monkeypatch):
    """An encoder whose passes are captured."""
    monkeypatch.setattr(golden_vstream.encoder, '_captured', {})
    monkeypatch.setattr(golden_vstream.encoder, 'captures', True)
    return golden_vstream.encoder


def test_capturing_leaves_the_memory_as_it_was(captured):
    plain, features = make_memory(), recurring_scenes(70)
    fill(plain, features)
    fill(captured, features)
    assert captured._captured.replay is not None
    assert state_bits(captured) == state_bits(plain)
    assert_same(captured.snapshot(), plain.snapshot())


def test_capturing_in_the_middle_of_a_stream_leaves_the_memory_as_it_was(captured):
    """As of a memory that was loaded; a frame refused before is reported all the same."""
    captured.captures = False
    plain, features = make_memory(), recurring_scenes(30)
    for memory in (plain, captured):
        fill(memory, features[:20])
        memory.refused_ns.fill_(7)
    captured.captures = True
    for memory in (plain, captured):
        fill(memory, features[20:], 21 * S)
        assert int(memory.refused_ns) == 7
        with pytest.raises(ValueError, match='stamped 7'):
            memory.snapshot()
    assert_same(captured.snapshot(), plain.snapshot())


ERRORS = [
    RuntimeError('operation not permitted'),
    TypeError('what'),
    torch.OutOfMemoryError('full'),
]


@pytest.mark.parametrize('error', ERRORS)
def test_what_cannot_be_captured_is_said_once_and_done_all_the_same(
    error, captured, monkeypatch, caplog
):
    monkeypatch.setattr(cuda_graphs, 'capture', fail(error))
    plain = make_memory()
    for memory in (captured, plain):
        fill(memory, recurring_scenes(12))
    assert_same(captured.snapshot(), plain.snapshot())
    assert caplog.text.count(f'no CUDA graph for the write of a memory ({error})') == 1


def test_a_device_that_was_full_is_tried_again_less_and_less_often(monkeypatch, caplog):
    monkeypatch.setattr(cuda_graphs, '_PATIENCE', 3)
    captures = Captured(torch.OutOfMemoryError('full'))
    monkeypatch.setattr(cuda_graphs, 'capture', captures)
    call, tried = CapturedCall('it'), []
    for number in range(30):
        if call.is_due():
            tried.append(number)
            call.capture(lambda: None, CPU)
    assert tried == [0, 4, 11, 24]
    assert caplog.text.count('no CUDA graph for it (full)') == 1
    captures.error = None
    while not call.is_due():
        pass
    call.capture(lambda: None, CPU)
    assert call.replay is not None
    assert not call.is_due()


def test_a_memory_and_an_encoder_are_captured_once_there_is_room(
    captured, encoder, captures, monkeypatch
):
    monkeypatch.setattr(cuda_graphs, '_PATIENCE', 2)
    captured._apply(lambda tensor: tensor)
    captures.error = torch.OutOfMemoryError('full')
    plain, features = make_memory(), recurring_scenes(12)
    frames = torch.zeros(2, encoder.image_size, encoder.image_size, 3, dtype=torch.uint8)
    fill(captured, features[:3])
    found = [encoder(frames) for _ in range(3)]
    assert captures.count == 2
    captures.error = None
    fill(captured, features[3:], 4 * S)
    found += [encoder(frames) for _ in range(3)]
    assert captures.count == 4
    assert captured._captured.replay is not None
    fill(plain, features)
    assert state_bits(captured) == state_bits(plain)
    assert all(torch.equal(each, found[0]) for each in found)


def test_a_memory_that_moves_and_a_copy_are_captured_anew(captures, captured):
    plain, features = make_memory(), recurring_scenes(40)
    fill(plain, features)
    fill(captured, features[:20])
    assert captures.count == 1
    copied = copy.deepcopy(captured)
    captured.to('cpu')
    for memory in (captured, copied):
        fill(memory, features[20:], 21 * S)
        assert_same(memory.snapshot(), plain.snapshot())
    assert captures.count == 3


def test_a_memory_moves_with_all_that_it_computes_in():
    memory = make_memory().to('meta')
    tensors = [value for part in memory.modules() for value in vars(part).values()]
    tensors += memory.buffers()
    assert {t.device.type for t in tensors if isinstance(t, torch.Tensor)} == {'meta'}


def test_a_model_captures_where_it_is_told_to(captures, golden_vstream, monkeypatch):
    side, width = golden_vstream.geometry.feature_side, golden_vstream.geometry.feature_width
    for captured, expected in ((False, 0), (True, 1)):
        monkeypatch.setattr(golden_vstream.encoder, 'captures', captured)
        memory = golden_vstream.new_memory()
        memory.write(torch.ones(side, side, width), S)
        assert captures.count == expected


def test_an_encoder_captures_each_number_of_frames_up_to_a_few(encoder, captures):
    generator = torch.Generator().manual_seed(0)
    size = encoder.image_size
    for count in (1, 2, 1, 3, 2, 5, 7, 6, 1, 7):
        frames = torch.randint(
            0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator
        )
        found = encoder(frames)
        kept = found.clone()
        pixels = torch.stack([encoder.preprocess(frame) for frame in frames])
        with torch.no_grad():
            assert torch.equal(found, encoder.encode(pixels))
        encoder(torch.zeros_like(frames))
        assert torch.equal(found, kept), 'a later pass does not change what was returned'
    assert captures.count == 4
    encoder.to('cpu')  # as if it had moved
    encoder(frames)
    assert captures.count == 5


def test_an_encoder_that_cannot_be_captured_encodes(encoder, monkeypatch, caplog):
    monkeypatch.setattr(cuda_graphs, 'capture', fail(RuntimeError('no')))
    frames = torch.zeros(2, encoder.image_size, encoder.image_size, 3, dtype=torch.uint8)
    found = [encoder(frames) for _ in range(3)]
    monkeypatch.setattr(encoder, 'captures', False)
    assert all(torch.equal(each, encoder(frames)) for each in found)
    assert caplog.text.count('no CUDA graph for an encoder pass of 2') == 1


@needs_gpu
def test_a_graph_does_again_what_was_captured():
    device = torch.device('cuda')
    given, total = torch.ones(3, device=device), torch.zeros(3, device=device)
    replay = capture(lambda: total.copy_(2.0 * given), device)
    for value in (1.0, 5.0):
        given.fill_(value)
        assert replay().tolist() == [2.0 * value] * 3
    before = torch.cuda.current_stream()
    call = CapturedCall('a wait')
    call.capture(lambda: total.sum().item(), device)
    assert call.replay is None
    assert torch.cuda.current_stream() == before
    torch.cuda.empty_cache()
    assert capture(lambda: total.copy_(given), device)().tolist() == given.tolist()


@needs_gpu
def test_writes_on_a_gpu_are_captured_and_equal_those_of_the_cpu():
    memory, plain = make_memory(device='cuda'), make_memory()
    memory.captures = True
    features = recurring_scenes(70)
    fill(memory, features.cuda())
    fill(plain, features)
    assert memory._captured.replay is not None
    found, expected = memory.snapshot(), plain.snapshot()
    assert found.temporal_weights.tolist() == expected.temporal_weights.tolist()
    torch.testing.assert_close(found.temporal.cpu(), expected.temporal, rtol=1e-4, atol=1e-5)


@needs_gpu
def test_an_encoder_on_a_gpu_is_captured_and_encodes_the_same(golden_vstream):
    encoder = golden_vstream.encoder.cuda()
    encoder.captures = True
    try:
        frames = torch.randint(0, 256, (2, 80, 90, 3), dtype=torch.uint8)
        for _ in range(2):
            found = encoder(frames)
        pixels = torch.stack([encoder.preprocess(frame) for frame in frames])
        with torch.no_grad():
            expected = encoder.encode(pixels)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert len(encoder._captured) == 1
    finally:
        encoder.captures = False
        encoder.cpu()
