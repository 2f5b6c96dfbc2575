# SPDX-License-Identifier: Apache-2.0
"""A saved memory that is damaged is refused; one that is forged is, too, or can be lived with."""

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from damage import damaged, outcome
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.memory_file import MemoryFileError, write_memory_file
from flash_vstream_ros.core.star_memory import StarMemory

GEOMETRY = MemoryGeometry(
    feature_width=4,
    feature_side=4,
    abstract_slots=3,
    temporal_slots=3,
    temporal_side=2,
    retrieved_slots=2,
    spatial_slots=1,
    detail_side=4,
    buffer_frames=5,
)
S = 1_000_000_000
ATTENTION = SemanticAttention(GEOMETRY.feature_width, hidden=4).requires_grad_(False)
SCRATCH = TemporaryDirectory()
PATH = Path(SCRATCH.name) / 'memory.safetensors'
ABOUT = {'encoder_id': 'encoder', 'geometry': json.dumps(asdict(GEOMETRY))}
EXTREMES = (0, 1, -1, 2, 5, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -1.0, 1.0, 1e-30, 65504.0, 65520.0, 1e38, float('inf'), float('-inf'), float('nan'))


def feature(seed: int) -> Tensor:
    shape = (GEOMETRY.feature_side, GEOMETRY.feature_side, GEOMETRY.feature_width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def memory_of(frames: int) -> StarMemory:
    memory = StarMemory(GEOMETRY, ATTENTION, 'encoder')
    for number in range(frames):
        memory.write(feature(number), (1 + number) * S)
    return memory


def saved(frames: int) -> bytes:
    memory_of(frames).save(PATH)
    return PATH.read_bytes()


def load(path: Path = PATH) -> StarMemory:
    return StarMemory.load(path, GEOMETRY, ATTENTION, 'encoder')


def bits(memory: StarMemory) -> dict[str, bytes]:
    state = memory.state_dict().items()
    return {name: value.reshape(-1).view(torch.uint8).numpy().tobytes() for name, value in state}


MEMORIES = {frames: memory_of(frames) for frames in (0, 2, 9)}
SAVED = {frames: saved(frames) for frames in MEMORIES}
WRITTEN = [bits(memory) for memory in MEMORIES.values()]


@given(damaged(list(SAVED.values())) | st.binary(max_size=300))
def test_a_damaged_file_gives_the_memory_that_was_written_or_none(data):
    PATH.unlink(missing_ok=True)  # to write over a file would wait for the disk each time
    PATH.write_bytes(data)
    memory = outcome(load, refused_by=MemoryFileError)
    if isinstance(memory, StarMemory):
        assert bits(memory) in WRITTEN
    else:
        assert str(memory).startswith(str(PATH))


@st.composite
def forged(draw) -> dict[str, Tensor]:
    """The state of a memory with some of its numbers changed."""
    memory = draw(st.sampled_from(list(MEMORIES.values())))
    state = {name: value.clone() for name, value in memory.state_dict().items()}
    for _ in range(draw(st.integers(1, 3))):
        values = state[draw(st.sampled_from(sorted(state)))].view(-1)
        numbers = FLOATS if values.is_floating_point() else EXTREMES
        place = draw(st.integers(0, len(values) - 1))
        near = values[place].item()
        values[place] = draw(
            st.sampled_from(numbers)
            if values.is_floating_point()
            else st.sampled_from(numbers)
            | st.integers(max(-(2**63), near - 3), min(2**63 - 1, near + 3))
        )
    return state


@given(forged())
def test_a_file_whose_content_was_forged_is_refused_or_can_be_lived_with(state):
    """Its checksum is right: what it says is read, published and written on, or refused."""
    write_memory_file(PATH, state, ABOUT)
    memory = outcome(load, refused_by=MemoryFileError)
    if not isinstance(memory, StarMemory):
        assert str(memory).startswith(f'{PATH}: damaged: ')
        return
    if memory.refused_ns:  # what a GPU left out is said once, by the first read
        assert 'was left out' in str(outcome(memory.snapshot, refused_by=ValueError))
    snapshot = memory.snapshot().to_float16()
    assert snapshot.tokens().isfinite().all()
    if memory.newest_stamp_ns >= 2**63 - 3 * S:  # no later stamp can be written down
        return
    for number in range(3):
        memory.write(feature(number), memory.newest_stamp_ns + S)
    after = memory.snapshot().to_float16()
    assert after.frames_written == snapshot.frames_written + 3
    assert after.tokens().isfinite().all()
