# SPDX-License-Identifier: Apache-2.0
"""Small memories and streams of features for the tests."""

from dataclasses import replace

import numpy as np
import torch
from naive_memory import NaiveStarMemory
from torch import Tensor

from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.star_memory import StarMemory

# A few slots, a ring that wraps around soon, and sides that all differ.
SMALL = MemoryGeometry(
    feature_width=6,
    feature_side=8,
    abstract_slots=4,
    temporal_slots=5,
    temporal_side=2,
    retrieved_slots=3,
    spatial_slots=2,
    detail_side=4,
    buffer_frames=16,
)
# The published slots on a narrow feature.
PUBLISHED = MemoryGeometry(feature_width=3, feature_side=8, buffer_frames=40)
S = 1_000_000_000
TENSORS = ('abstract', 'temporal', 'retrieved', 'spatial')
ARRAYS = (
    'temporal_weights',
    'temporal_first_stamps_ns',
    'temporal_last_stamps_ns',
    'temporal_mean_stamps_ns',
    'retrieved_stamps_ns',
    'spatial_stamps_ns',
)
NUMBERS = ('encoder_id', 'frames_written', 'oldest_stamp_ns', 'newest_stamp_ns')


def make_attention(width: int, device: torch.device | str = 'cpu') -> SemanticAttention:
    """Semantic attention sharp enough for the slots to differ."""
    generator = torch.Generator().manual_seed(11)
    module = SemanticAttention(width, hidden=8)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7, generator=generator)
    return module.requires_grad_(False).to(device)


def make_memory(
    geometry: MemoryGeometry = SMALL, device: torch.device | str = 'cpu'
) -> StarMemory:
    return StarMemory(geometry, make_attention(geometry.feature_width, device), 'encoder', device)


def make_naive(geometry: MemoryGeometry = SMALL) -> NaiveStarMemory:
    weights = make_attention(geometry.feature_width).state_dict()
    return NaiveStarMemory(geometry, {name: value.numpy() for name, value in weights.items()})


def random_features(count: int, geometry: MemoryGeometry = SMALL, seed: int = 0) -> Tensor:
    """(count, P, P, D) without any order in them."""
    shape = (count, geometry.feature_side, geometry.feature_side, geometry.feature_width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def recurring_scenes(count: int, geometry: MemoryGeometry = SMALL, seed: int = 0) -> Tensor:
    """A robot's rounds: a few places, each seen for some frames, again and again, with noise."""
    random = np.random.default_rng(seed)
    places = random_features(9, geometry, seed)
    visits: list[int] = []
    while len(visits) < count:
        visits += [int(random.integers(len(places)))] * int(random.integers(1, 12))
    noise = random_features(count, geometry, seed + 1)
    return places[torch.tensor(visits[:count], dtype=torch.int64)] + 0.2 * noise


def random_stamps(count: int, start_ns: int = 5 * S, seed: int = 0) -> list[int]:
    """Growing stamps with gaps of a few milliseconds to two seconds."""
    gaps = np.random.default_rng(seed).integers(3_000_000, 2 * S, count)
    return (start_ns + gaps.cumsum()).tolist()


def fill(memory: StarMemory, features: Tensor, first_stamp_ns: int = S) -> None:
    """Write frames a second apart."""
    for index, feature in enumerate(features):
        memory.write(feature, first_stamp_ns + index * S)


def assert_same(first: MemorySnapshot, second: MemorySnapshot) -> None:
    """Equal bit by bit in everything but ``memory_id``."""
    for name in TENSORS:
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), name)
    for name in NUMBERS:
        assert getattr(first, name) == getattr(second, name), name


def small(**changes: int | float) -> MemoryGeometry:
    """The small geometry with some sizes changed."""
    return replace(SMALL, **changes)


def state_bits(memory: StarMemory) -> dict[str, bytes]:
    """The whole state, bit by bit; row N of the temporal memory is scratch and left out."""
    bits = {'newest_stamp_ns': str(memory.newest_stamp_ns).encode()}
    rows = memory.geometry.temporal_slots
    for name, value in memory.state_dict().items():
        if name.startswith('temporal.'):
            value = value[:rows, :rows] if name == 'temporal.costs' else value[:rows]
        bits[name] = value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return bits
