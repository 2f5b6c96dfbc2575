# SPDX-License-Identifier: Apache-2.0
"""A hundred planners that ask at once, all the time, while the robot goes on memorising.

Every question gets an answer or a status, and what is asked must not delay what is seen. Needs
the built package.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flash_vstream_ros.msg import MemorySnapshot
from sensor_msgs.msg import Image

from benchmarks.measure import Figure
from benchmarks.running_nodes import (
    RELIABLE,
    START_LIMIT_S,
    Spinner,
    isolate,
    newest_stamp_ns,
)
from flash_vstream_ros.nodes.conversions import ns_to_time
from flash_vstream_ros.nodes.image_conversions import rgb_to_image
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.running import initialised

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / 'models' / 'patrol-tiny'
ENDS = Path(__file__).resolve().parent / 'planner_ends.py'
PROCESSES = 4  # of the planners
RATE_HZ = 4.0  # so that a 99th percentile means something
SETTLE_S = 3.0
LAST_S = 10.0  # within which the last frames must be there
NS_PER_S = 1_000_000_000


def measure(planners: int, seconds: float, idle_s: float) -> list[Figure]:
    """Show frames while nobody asks, then while all do.

    :param planners: a multiple of :data:`PROCESSES`.
    """
    isolate()
    model = {'model': MODEL, 'device': 'cpu'}
    threads = {'OMP_NUM_THREADS': '1'}
    with tempfile.TemporaryDirectory() as folder, initialised():
        logs = Path(folder)
        frames = NodeProcess(
            'frame_handler',
            model | {'sample_rate': RATE_HZ},
            environment=threads,
            log=logs / 'frames',
        )
        questions = NodeProcess(
            'question_handler', model, environment=threads, log=logs / 'questions'
        )
        with frames, questions:
            eyes = Eyes()
            idle = eyes.show(idle_s)
            asking = [start_planners(planners // PROCESSES, seconds) for _ in range(PROCESSES)]
            try:
                for process in asking:
                    process.stdout.readline()  # they begin
                busy = eyes.show(seconds)
                missing = eyes.missing
                said = [json.loads(p.communicate(timeout=seconds + 120.0)[0]) for p in asking]
            finally:
                for process in asking:
                    process.kill()
    return describe(planners, idle, busy, missing, together(said))


def together(said: Sequence[dict]) -> dict:
    """Sum up what the processes of the planners said."""
    statuses = sum((Counter(one['statuses']) for one in said), Counter())
    return {
        'asked': sum(one['asked'] for one in said),
        'lost': sum(one['lost'] for one in said),
        'seconds': [second for one in said for second in one['seconds']],
        'statuses': dict(statuses),
    }


def start_planners(count: int, seconds: float) -> subprocess.Popen:
    """Start them in a process of their own."""
    path = os.pathsep.join([os.environ.get('PYTHONPATH', ''), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, str(ENDS), str(count), str(seconds)],
        env=os.environ | {'PYTHONPATH': path},
        stdout=subprocess.PIPE,
        text=True,
    )


class Eyes:
    """A camera, and when its frames are in the memory."""

    def __init__(self) -> None:
        self._spinner = Spinner('eyes')
        node = self._spinner.node
        self._camera = node.create_publisher(Image, 'image', RELIABLE)
        self._arrived: dict[int, float] = {}
        self._stamp_ns, self._written = 0, 0
        node.create_subscription(MemorySnapshot, 'memory', self._receive, LATCHED)
        self._spinner.spin_until(
            self._camera.get_subscription_count, 'a frame handler', START_LIMIT_S
        )
        self._spinner.spin_for(SETTLE_S)

    def _receive(self, memory: MemorySnapshot) -> None:
        self._arrived[newest_stamp_ns(memory)] = time.monotonic()
        self._written = memory.frames_written

    @property
    def missing(self) -> int:
        """Frames shown that the newest memory does not know of."""
        return round(self._stamp_ns * RATE_HZ / NS_PER_S) - self._written

    def show(self, seconds: float) -> list[float]:
        """Show frames at a steady rate; returns the delay of each in seconds.

        inf: its memory was published together with the next one's.
        """
        random, began, sent = np.random.default_rng(4), time.monotonic(), {}
        for index in range(round(seconds * RATE_HZ)):
            self._spinner.spin_for(began + index / RATE_HZ - time.monotonic())
            image = Image()
            rgb_to_image(random.integers(0, 256, (240, 320, 3), np.uint8), image)
            self._stamp_ns += round(NS_PER_S / RATE_HZ)
            image.header.stamp = ns_to_time(self._stamp_ns)
            sent[self._stamp_ns] = time.monotonic()
            self._camera.publish(image)
        ends = time.monotonic() + LAST_S
        while not sent.keys() <= self._arrived.keys() and time.monotonic() < ends:
            self._spinner.spin_for(0.1)
        # One that was published together with the next ones arrived with the first of them.
        known = sorted(self._arrived.items())
        return [
            min((at for stamp, at in known if stamp >= wanted), default=np.inf) - began
            for wanted, began in sent.items()
        ]


def describe(
    planners: int, idle: Sequence[float], busy: Sequence[float], missing: int, said: dict
) -> list[Figure]:
    """Figures of a run.

    :param idle: delays in seconds while nobody asks; ``busy``: while all do.
    :param missing: frames that are not in the memory.
    :param said: what the planners printed.
    """
    label, delays = f'{planners} planners', {'nobody asks': idle, 'all ask': busy}
    figures = [
        Figure(f'{label}: questions asked', said['asked'], 'questions'),
        Figure(f'{label}: without answer or status', said['lost'], 'questions', at_most=0),
        *(Figure(f'{label}: {name}', n, 'questions') for name, n in said['statuses'].items()),
    ]
    if said['seconds']:
        low, median, high = np.percentile(said['seconds'], [10, 50, 90])
        figures.append(Figure(f'{label}: asked to answered, OK', median, 's', low, high))
    name = f'{label}: of {len(idle) + len(busy)} frames not memorised'
    figures.append(Figure(name, missing, 'frames', at_most=0))
    late = {}
    for name, seconds in delays.items():
        kept = 1e3 * np.array([s for s in seconds if np.isfinite(s)])
        low, median, high = np.percentile(kept, [10, 50, 90])
        late[name] = float(np.percentile(kept, 99))
        figures.append(Figure(f'frame to memory, {name}: median', median, 'ms', low, high))
        figures.append(Figure(f'frame to memory, {name}: 99th percentile', late[name], 'ms'))
    both = late['all ask'] / late['nobody asks']
    figures.append(Figure('99th percentile, all ask / nobody asks', both, 'times', at_most=2.0))
    return figures
