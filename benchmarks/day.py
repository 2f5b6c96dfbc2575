# SPDX-License-Identifier: Apache-2.0
"""A day of stream at 1 Hz through the frame handler, over DDS and faster than real time.

Each frame is shown when the memory has the one before. Needs the built package.
"""

import contextlib
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
from benchmarks.measure import Figure, interleave, ratio
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
TURNS = 1000
SETTLE_S = 3.0  # the frame handler matches our reliability with another reader


def measure(frames: int) -> list[Figure]:
    """Show frames, one a second of their stamps, to a frame handler with a tiny random model.

    At the end it takes turns with one that has just begun, so that whatever else the machine does
    hits both.

    :raises TimeoutError: a frame did not come into the memory.
    """
    isolate()
    warm_up = min(WARM_UP, frames // 10)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(initialised())
        model = make_random_checkpoint(folder / 'model')
        old = stack.enter_context(Day('/old', model, folder))
        seconds, resident = old.show(frames, warm_up)
        young = stack.enter_context(Day('/young', model, folder))
        young.show(warm_up, warm_up)
        contenders = {'young': young.show_next, 'old': old.show_next}
        turns = interleave(contenders, rounds=min(frames // 10, TURNS))
        weights = old.newest.temporal_weights
        return [
            *describe('frame handler', seconds, resident, warm_up),
            ratio('frame handler: old / young, in turns', turns['old'], turns['young'],
                  at_most=1.1),
            lost('frame handler', old.shown, old.newest.frames_written, weights),
        ]  # fmt: skip


class Day:
    """A frame handler, its camera and its memories. A context manager.

    :param folder: for the log.
    """

    def __init__(self, namespace: str, model: Path, folder: Path) -> None:
        self._spinner = Spinner('day', namespace)
        node = self._spinner.node
        self._camera: Publisher = node.create_publisher(Image, 'image', RELIABLE)
        self._images = cycle(_images())
        self.shown = 0
        self.newest: MemorySnapshot | None = None
        node.create_subscription(MemorySnapshot, 'memory', self._receive, LATCHED)
        self._handler = NodeProcess(
            'frame_handler',
            {'model': model, 'device': 'cpu', 'publish_rate': 1000.0},
            namespace=namespace,
            environment={'OMP_NUM_THREADS': '1'},
            log=folder / f'{namespace[1:]}.log',
        )

    def __enter__(self) -> 'Day':
        self._handler.__enter__()
        self._spinner.spin_until(
            lambda: self.newest and self._camera.get_subscription_count(),
            'a frame handler',
            START_LIMIT_S,
        )
        self._spinner.spin_for(SETTLE_S)
        return self

    def __exit__(self, *exception: object) -> None:
        self._handler.stop()

    def _receive(self, memory: MemorySnapshot) -> None:
        self.newest = memory

    def show(self, frames: int, warm_up: int) -> tuple[np.ndarray, list[float]]:
        """Show so many frames.

        :returns: the seconds of each from its publication to the memory with it, (frames,), and
            the MB that the frame handler held from frame ``warm_up`` on.
        """
        seconds, resident = np.ones(frames), []
        for frame in trange(frames, unit='frame', leave=False, disable=None):
            started = time.perf_counter()
            self.show_next()
            seconds[frame] = time.perf_counter() - started
            if is_sample(frame, frames, warm_up):
                resident.append(resident_mb(self._handler.process.pid))
        return seconds, resident

    def show_next(self) -> None:
        """Show one frame and wait for the memory with it."""
        self.shown += 1
        image, stamp_ns = next(self._images), self.shown * NS_PER_S
        image.header.stamp = ns_to_time(stamp_ns)
        self._camera.publish(image)
        self._spinner.spin_until(
            lambda: newest_stamp_ns(self.newest) == stamp_ns,
            f'a memory of the frame at {stamp_ns} ns',
            FRAME_LIMIT_S,
        )


def _images() -> list[Image]:
    random = np.random.default_rng(3)
    images = [Image() for _ in range(PICTURES)]
    for image in images:
        rgb_to_image(random.integers(0, 256, (48, 64, 3), np.uint8), image)
    return images
