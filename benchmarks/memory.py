# SPDX-License-Identifier: Apache-2.0
"""Memory at the published sizes: what a write and a read cost, and whether that stays so."""

from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from benchmarks.kmeans import BROADCAST, PRODUCTS, KMeansMemory
from benchmarks.measure import Figure, interleave, milliseconds, ratio, resident_bytes
from flash_vstream_ros.core.abstract_memory import SemanticAttention
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.core.temporal_memory import TemporalMemory

PUBLISHED = MemoryGeometry(feature_width=1024)
YOUNG_FRAMES = 1000
NS_PER_S = 1_000_000_000
SCENES = 64  # features are used again and again: no write's cost depends on their values


def measure(frames: int, quick: bool, geometry: MemoryGeometry = PUBLISHED) -> list[Figure]:
    """Measure all of it.

    :param frames: age of the old memory.
    :param quick: few rounds, to see that it works.
    """
    figures = measure_temporal(geometry, rounds=3 if quick else 30)
    figures += measure_write(geometry, rounds=20 if quick else 200)
    return figures + measure_age(geometry, frames, rounds=20 if quick else 300)


def measure_temporal(geometry: MemoryGeometry, rounds: int) -> list[Figure]:
    """Temporal step: one exact merge against k-means from a random start."""
    slots, width = geometry.temporal_slots, geometry.temporal_side**2 * geometry.feature_width
    points = cycle(torch.randn(SCENES, width, generator=torch.Generator().manual_seed(1)))
    contenders = {
        'one merge': _merge_writer(TemporalMemory(slots, width)),
        'k-means, broadcast': KMeansMemory(slots, BROADCAST).write,
        'k-means, products': KMeansMemory(slots, PRODUCTS).write,
        'k-means, broadcast, until settled': KMeansMemory(slots, BROADCAST, 1e-4).write,
        'k-means, products, until settled': KMeansMemory(slots, PRODUCTS, 1e-4).write,
    }
    seconds = interleave(
        {name: lambda write=write: write(next(points)) for name, write in contenders.items()},
        rounds,
        warm_up=slots + 3,
    )
    merge = seconds['one merge']
    targets = {'k-means, broadcast': 100.0, 'k-means, products': 10.0}
    figures = [milliseconds(f'temporal step: {name}', s) for name, s in seconds.items()]
    alone = _merge_writer(TemporalMemory(slots, width))
    again = interleave({'alone': lambda: alone(next(points))}, 10 * rounds, warm_up=slots + 3)
    figures.append(milliseconds('temporal step: one merge, in a loop', again['alone']))
    for name in list(contenders)[1:]:
        target = {'at_least': targets[name]} if name in targets else {}
        figures.append(ratio(f'{name} / one merge', seconds[name], merge, **target))
    return figures


def _merge_writer(memory: TemporalMemory) -> Callable[[Tensor], None]:
    accepted = torch.tensor(True)
    stamp_ns = torch.tensor(0)

    def write(point: Tensor) -> None:
        stamp_ns.add_(NS_PER_S)
        memory.write(point, stamp_ns, stamp_ns.double(), accepted)

    return write


def measure_write(geometry: MemoryGeometry, rounds: int) -> list[Figure]:
    """A whole write against a feature buffer that is copied whole for each frame."""
    stream = Stream(geometry)
    detail = torch.randn(1, geometry.detail_side**2, geometry.feature_width)
    copies = CopiedBuffer(geometry.buffer_frames, detail)
    seconds = interleave(
        {'whole write': stream.write, 'copy of the buffer': lambda: copies.write(detail)},
        rounds,
        warm_up=geometry.buffer_frames,
    )
    write, copy = seconds.values()
    return [
        milliseconds('whole write', write, at_most=4.0),
        milliseconds('feature buffer alone, copied whole', copy),
        ratio('buffer copied whole / whole write', copy, write),
    ]


class CopiedBuffer:
    """Baseline: the newest frames in one tensor, made anew for each frame.

    :param detail: (1, P * P, D), what it is filled with.
    """

    def __init__(self, capacity: int, detail: Tensor) -> None:
        self.frames = detail.repeat(capacity, 1, 1)

    def write(self, detail: Tensor) -> None:
        """Drop the oldest frame and append one, (1, P * P, D)."""
        self.frames = torch.cat([self.frames[1:], detail])


class Stream:
    """A memory with an endless stream of random features."""

    def __init__(self, geometry: MemoryGeometry) -> None:
        generator = torch.Generator().manual_seed(2)
        side, width = geometry.feature_side, geometry.feature_width
        self.memory = StarMemory(geometry, SemanticAttention(width).requires_grad_(False))
        self._features = cycle(torch.randn(SCENES, side, side, width, generator=generator))
        self._stamps: Iterator[int] = iter(range(NS_PER_S, 2**62, NS_PER_S))

    def write(self) -> None:
        """Write the next frame."""
        self.memory.write(next(self._features), next(self._stamps))

    def write_until(self, frames: int) -> None:
        """Write until so many frames are in, reading once in a thousand."""
        start = self.memory.frames_written
        # Drawn on a terminal only.
        for frame in trange(start, frames, unit='frame', leave=False, disable=None):
            self.write()
            if frame % 1000 == 0:
                self.memory.snapshot()


def measure_age(geometry: MemoryGeometry, frames: int, rounds: int) -> list[Figure]:
    """An old memory against a young one, in turns, and what the old one grew by meanwhile."""
    old, young = Stream(geometry), Stream(geometry)
    young.write_until(YOUNG_FRAMES)
    old.write_until(YOUNG_FRAMES)
    before = resident_bytes()
    old.write_until(frames)
    growth = resident_bytes() - before
    writes = interleave({'young': young.write, 'old': old.write}, rounds)
    reads = interleave({'young': young.memory.snapshot, 'old': old.memory.snapshot}, rounds // 3)
    ages = {'young': f'{YOUNG_FRAMES:,}', 'old': f'{frames:,}'}
    state = sum(buffer.nbytes for buffer in old.memory.buffers())
    return [
        *(milliseconds(f'write at frame {ages[k]}', s, at_most=4.0) for k, s in writes.items()),
        *(milliseconds(f'read at frame {ages[k]}', s, at_most=15.0) for k, s in reads.items()),
        _growth_of('write', ages['old'], writes),
        _growth_of('read', ages['old'], reads),
        Figure('state of the memory', state / 1e6, 'MB'),
        Figure(f'growth of resident memory to frame {ages["old"]}', growth / 1e6, 'MB', at_most=5),
    ]


def _growth_of(what: str, age: str, seconds: dict[str, np.ndarray]) -> Figure:
    name = f'{what} at frame {age} / at frame {YOUNG_FRAMES:,}'
    return ratio(name, seconds['old'], seconds['young'], at_most=1.1)
