# SPDX-License-Identifier: Apache-2.0
"""Four cameras of 720p at 30 Hz, and what one of 1080p costs its frame handler.

Frame handlers, their cameras and who listens are processes of their own, as on a robot; one frame
a second is memorised. Needs the built package.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from flash_vstream_ros.msg import MemorySnapshot

from benchmarks.measure import Figure
from benchmarks.running_nodes import (
    START_LIMIT_S,
    Spinner,
    isolate,
    newest_stamp_ns,
    processor_s,
)
from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.nodes.environment import (
    MALLOC_SETTINGS,
    PROFILE_VARIABLES,
    camera_environment,
)
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.running import initialised

MODEL = Path(__file__).resolve().parents[1] / 'models' / 'patrol-tiny'
CAMERA = Path(__file__).resolve().parent / 'camera_ends.py'
RATE_HZ = 1.0
STREAM_LIMIT_S = 15.0
LIMIT_S = 120.0  # beyond the time of the stream


class Watched:
    """A frame handler with a camera and who listens to its memories.

    :param bare: by default of the middleware, without what the package ships.
    """

    def __init__(self, stack: contextlib.ExitStack, namespace: str, bare: bool = False) -> None:
        self._namespace = namespace
        self._shipped = {} if bare else camera_environment()
        self.stamps_ns: list[int] = []
        self._spinner = Spinner('listener', namespace)
        self._spinner.node.create_subscription(MemorySnapshot, 'memory', self._receive, LATCHED)
        names = (*PROFILE_VARIABLES, *MALLOC_SETTINGS)
        settings = dict.fromkeys(names) if bare else {}
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.node = stack.enter_context(
            NodeProcess(
                'frame_handler',
                {'model': MODEL, 'device': 'cpu', 'sample_rate': RATE_HZ},
                namespace=namespace,
                environment={'OMP_NUM_THREADS': '1', **settings},
                log=Path(folder) / 'log',
            )
        )

    def _receive(self, memory: MemorySnapshot) -> None:
        if memory.frames_written:
            self.stamps_ns.append(newest_stamp_ns(memory))
        self.memory = memory

    def wait_until_it_serves(self) -> None:
        """Wait for the empty memory."""
        self._spinner.spin_until(lambda: hasattr(self, 'memory'), 'a frame handler', START_LIMIT_S)

    def start_camera(self, *options: str) -> subprocess.Popen:
        """Start a camera in front of it."""
        ours = {*PROFILE_VARIABLES, *MALLOC_SETTINGS}
        bare = {name: value for name, value in os.environ.items() if name not in ours}
        return subprocess.Popen(
            [sys.executable, str(CAMERA), self._namespace, *options],
            env=bare | self._shipped,
            stdout=subprocess.PIPE,
            text=True,
        )

    def listen(self, seconds: float) -> None:
        """Take memories for a time."""
        self._spinner.spin_for(seconds)

    def listen_until_it_streams(self) -> None:
        """Take memories until one has a frame, or for so long that none will come."""
        with contextlib.suppress(TimeoutError):
            self._spinner.spin_until(lambda: self.stamps_ns, 'a frame', STREAM_LIMIT_S)

    def missed(self, sent_ns: Sequence[int]) -> tuple[int, int]:
        """How many frames were due and not memorised, and how many were due.

        From the first one memorised: where an image is lost the next one takes its turn.
        """
        sampler = FrameSampler(RATE_HZ)
        seen = [stamp for stamp in sent_ns if stamp >= self.stamps_ns[0]]
        due = sum(sampler.decide(stamp) is Decision.TAKE for stamp in seen)
        return due - len(self.stamps_ns), due


def measure_four(seconds: float) -> list[Figure]:
    """Show four cameras to four frame handlers and count what is missing in the memories."""
    isolate()
    with contextlib.ExitStack() as stack:
        stack.enter_context(initialised())
        watched = [Watched(stack, f'/camera_{number}') for number in range(4)]
        for each in watched:
            each.wait_until_it_serves()
        cameras = [each.start_camera('--seconds', str(seconds)) for each in watched]
        before = [processor_s(each.node.process.pid) for each in watched]
        began, ends = time.monotonic(), time.monotonic() + seconds + LIMIT_S
        while any(camera.poll() is None for camera in cameras) and time.monotonic() < ends:
            for each in watched:
                each.listen(0.05)
        for each in watched:
            each.listen(1.0)
        passed = time.monotonic() - began
        used = [processor_s(each.node.process.pid) for each in watched]
        sent = [json.loads(camera.communicate(timeout=LIMIT_S)[0]) for camera in cameras]
    counts = [each.missed(stamps) for each, stamps in zip(watched, sent, strict=True)]
    missed, due = (sum(column) for column in zip(*counts, strict=True))
    rate = min(len(stamps) / ((stamps[-1] - stamps[0]) / 1e9) for stamps in sent)
    share = 100 * sum(a - b for a, b in zip(used, before, strict=True)) / passed
    return [
        Figure(f'4 cameras, 720p: of {due} frames that were due not memorised', missed, 'frames',
               at_most=0),
        Figure('4 cameras, 720p: images a second of the slowest', rate, 'Hz'),
        Figure('4 cameras, 720p: the four frame handlers', share, '% of a core'),
    ]  # fmt: skip


SETTINGS: Mapping[str, tuple[bool, str]] = {
    'default, reliable': (True, 'RELIABLE'),
    'default, best effort': (True, 'BEST_EFFORT'),
    'shipped, reliable': (False, 'RELIABLE'),
    'shipped, best effort': (False, 'BEST_EFFORT'),
}


def measure_one(seconds: float) -> list[Figure]:
    """Show a camera of 1080p to a frame handler, by default and with what the package ships."""
    isolate()
    figures = []
    for label, (bare, reliability) in SETTINGS.items():
        with contextlib.ExitStack() as stack:
            stack.enter_context(initialised())
            watched = Watched(stack, '/camera', bare)
            watched.wait_until_it_serves()
            figures += _share(f'1080p at 30 Hz, {label}', watched, reliability, seconds)
    return figures


def _share(label: str, watched: Watched, reliability: str, seconds: float) -> list[Figure]:
    process_id = watched.node.process.pid
    size = ('--size', '1920', '1080', '--seconds', str(seconds + 60.0))
    camera = watched.start_camera(*size, '--reliability', reliability)
    try:
        watched.listen_until_it_streams()
        seen, used, began = len(watched.stamps_ns), processor_s(process_id), time.monotonic()
        watched.listen(seconds)
        passed = time.monotonic() - began
        share = 100 * (processor_s(process_id) - used) / passed
        frames = len(watched.stamps_ns) - seen
    finally:
        camera.terminate()
        camera.communicate()
    target = {} if 'default' in label else {'at_most': 10.0}
    return [
        Figure(f'{label}: frame handler', share, '% of a core', **target),
        Figure(f'{label}: frames memorised in {seconds:g} s', frames, 'frames'),
    ]
