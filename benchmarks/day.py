# SPDX-License-Identifier: Apache-2.0
"""A day of stream at 1 Hz through the frame handler, over DDS and faster than real time.

Each frame is shown when the memory has the one before. Needs the built package.
"""

import tempfile
import time
from itertools import cycle
from pathlib import Path

import numpy as np
from flash_vstream_ros.msg import MemorySnapshot
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from tqdm import trange

from benchmarks.ages import WARM_UP, describe, is_sample, lost
from benchmarks.measure import Figure
from benchmarks.running_nodes import (
    NS_PER_S,
    RELIABLE,
    START_LIMIT_S,
    Spinner,
    isolate,
    newest_stamp_ns,
    resident_mb,
)
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.nodes.conversions import ns_to_time
from flash_vstream_ros.nodes.image_conversions import rgb_to_image
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.running import initialised

FRAME_LIMIT_S = 60.0
PICTURES = 16  # shown again and again
SETTLE_S = 3.0  # the frame handler matches our reliability with another reader


def measure(frames: int) -> list[Figure]:
    """Show frames, one a second of their stamps, to a frame handler with a tiny random model.

    :raises TimeoutError: a frame did not come into the memory.
    """
    isolate()
    with tempfile.TemporaryDirectory() as folder, initialised():
        model = make_random_checkpoint(Path(folder) / 'model')
        parameters = {'model': model, 'device': 'cpu', 'publish_rate': 1000.0}
        day = Day()
        with NodeProcess(
            'frame_handler',
            parameters,
            environment={'OMP_NUM_THREADS': '1'},
            log=Path(folder) / 'log',
        ) as node:
            return day.show(frames, node.process.pid)


class Day:
    """A camera and the memories that its frame handler publishes."""

    def __init__(self) -> None:
        self._spinner = Spinner('day')
        node = self._spinner.node
        self._camera: Publisher = node.create_publisher(Image, 'image', RELIABLE)
        self._newest: MemorySnapshot | None = None
        node.create_subscription(MemorySnapshot, 'memory', self._receive, LATCHED)

    def _receive(self, memory: MemorySnapshot) -> None:
        self._newest = memory

    def show(self, frames: int, process_id: int) -> list[Figure]:
        """Show so many frames; the time of one is from its publication to the memory with it."""
        self._spinner.spin_until(
            lambda: self._newest and self._camera.get_subscription_count(),
            'a frame handler',
            START_LIMIT_S,
        )
        self._spinner.spin_for(SETTLE_S)
        seconds, resident, warm_up = np.ones(frames), [], min(WARM_UP, frames // 10)
        images = cycle(_images())
        for frame in trange(frames, unit='frame', leave=False, disable=None):
            seconds[frame] = self._show_one(next(images), (frame + 1) * NS_PER_S)
            if is_sample(frame, frames, warm_up):
                resident.append(resident_mb(process_id))
        newest = self._newest
        return [
            *describe('frame handler', seconds, resident, warm_up),
            lost('frame handler', frames, newest.frames_written, newest.temporal_weights),
        ]

    def _show_one(self, image: Image, stamp_ns: int) -> float:
        image.header.stamp = ns_to_time(stamp_ns)
        started = time.perf_counter()
        self._camera.publish(image)
        self._spinner.spin_until(
            lambda: newest_stamp_ns(self._newest) == stamp_ns,
            f'a memory of the frame at {stamp_ns} ns',
            FRAME_LIMIT_S,
        )
        return time.perf_counter() - started


def _images() -> list[Image]:
    random = np.random.default_rng(3)
    images = [Image() for _ in range(PICTURES)]
    for image in images:
        rgb_to_image(random.integers(0, 256, (48, 64, 3), np.uint8), image)
    return images
