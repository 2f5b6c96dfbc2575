# SPDX-License-Identifier: Apache-2.0
"""A million frames through the core: it may neither grow, slow down, nor lose one."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import trange

from benchmarks.measure import Figure, interleave, milliseconds, ratio, resident_bytes
from benchmarks.memory import Stream
from flash_vstream_ros.core.config import MemoryGeometry

SMALL = MemoryGeometry(feature_width=16, feature_side=4, detail_side=4, temporal_side=2)
WARM_UP = 1000
SAMPLES = 50  # of the resident memory


def measure(frames: int, geometry: MemoryGeometry = SMALL) -> list[Figure]:
    """Write frames to a memory of small sizes and read it once in a thousand, on one thread."""
    torch.set_num_threads(1)  # of products so small a second one only waits
    stream, warm_up = Stream(geometry), min(WARM_UP, frames // 10)
    seconds = np.ones(frames)  # touched now, so that it does not count as growth
    resident = []
    for frame in trange(frames, unit='frame', leave=False, disable=None):
        started = time.perf_counter()
        stream.write()
        seconds[frame] = time.perf_counter() - started
        if frame % 1000 == 0:
            stream.memory.snapshot()
        if is_sample(frame, frames, warm_up):
            resident.append(resident_bytes() / 1e6)
    young = Stream(geometry)
    young.write_until(warm_up)
    turns = interleave({'young': young.write, 'old': stream.write}, min(frames // 10, 2000))
    snapshot = stream.memory.snapshot()
    written = frames + len(turns['old']) + 2  # those to warm up
    return [
        *describe('core', seconds, resident, warm_up),
        ratio('core: old memory / young one, in turns', turns['old'], turns['young'], at_most=1.1),
        lost('core', written, snapshot.frames_written, snapshot.temporal_weights),
    ]


def is_sample(frame: int, frames: int, warm_up: int) -> bool:
    """Whether to look at the resident memory after this frame."""
    distance = max((frames - warm_up) // SAMPLES, 1)
    return frame >= warm_up and (frame - warm_up) % distance == 0


def describe(
    label: str, seconds: np.ndarray, resident: Sequence[float], warm_up: int
) -> list[Figure]:
    """Whether a process stayed as it was: how long a frame took, and what it held.

    :param seconds: of each frame, (frames,).
    :param resident: MB held at even distances, first at frame ``warm_up``.
    :param warm_up: frames before, not counted.
    """
    tenth = max((len(seconds) - warm_up) // 10, 1)
    young, old = seconds[warm_up : warm_up + tenth], seconds[-tenth:]
    growth = max(resident) - resident[0]
    return [
        milliseconds(f'{label}: a frame, first tenth after {warm_up:,}', young),
        milliseconds(f'{label}: a frame, last tenth of {len(seconds):,}', old),
        ratio(f'{label}: last tenth / first tenth', old, young, at_most=1.1),
        Figure(f'{label}: resident memory at frame {warm_up:,}', resident[0], 'MB'),
        Figure(f'{label}: most that it grew by afterwards', growth, 'MB', at_most=10),
    ]


def lost(label: str, shown: int, written: int, weights: Sequence[int]) -> Figure:
    """How many frames the memory does not know of, or does not weigh as one each."""
    wrong = max(abs(shown - int(written)), abs(shown - int(sum(weights))))
    return Figure(
        f'{label}: of {shown:,} frames lost or weighed wrong', wrong, 'frames', at_most=0
    )
