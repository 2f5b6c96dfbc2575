# SPDX-License-Identifier: Apache-2.0
"""A question's way through ROS: what a planner waits beside the time of the model.

Frame handler, question handler, camera and planner are processes of their own, as on a robot. The
planner asks one question after the other, with a camera running and without. Needs the built
package.
"""

import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.srv import Ask

from benchmarks.cameras import Watched
from benchmarks.measure import Figure
from benchmarks.running_nodes import START_LIMIT_S, Spinner, isolate
from flash_vstream_ros.nodes.client import RESPONSES
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.running import initialised

MODEL = Path(__file__).resolve().parents[1] / 'models' / 'patrol-tiny'
NAMESPACE = '/robot'
PAUSE_S = (0.0, 0.2)  # between two questions; what the camera and the memory do meanwhile varies
LIMIT_S = 60.0
QUESTIONS = ('What is in front of the robot?', 'Which room was before this one?', 'Where is it?')
WARM_UP = 10


class Planner:
    """Who asks one question after the other."""

    def __init__(self) -> None:
        self._spinner = Spinner('planner', NAMESPACE)
        self._client = self._spinner.node.create_client(Ask, 'ask', qos_profile=RESPONSES)
        self._spinner.spin_until(
            self._client.service_is_ready, 'a question handler', START_LIMIT_S
        )
        self._pause = np.random.default_rng(0)

    def ask(self, count: int) -> list[tuple[float, Answer]]:
        """Ask so many questions.

        :returns: seconds from the request to its response, and the answer.
        """
        return [self._ask(QUESTIONS[number % len(QUESTIONS)]) for number in range(count)]

    def wait_for_a_memory(self) -> None:
        """Ask until there is an answer."""
        ends = time.monotonic() + START_LIMIT_S
        while self._ask(QUESTIONS[0])[1].status != Answer.OK:
            if time.monotonic() > ends:
                raise TimeoutError(f'{START_LIMIT_S:g} s passed without an answer')

    def _ask(self, question: str) -> tuple[float, Answer]:
        self._spinner.spin_for(self._pause.uniform(*PAUSE_S))
        began = time.monotonic()
        sent = self._client.call_async(Ask.Request(question=question))
        self._spinner.spin_until(sent.done, 'an answer', LIMIT_S)
        return time.monotonic() - began, sent.result().answer


def measure(quick: bool) -> list[Figure]:
    """Ask with a camera of 1280x720 at 30 Hz running, then without."""
    isolate()
    count = 20 if quick else 500
    with contextlib.ExitStack() as stack:
        stack.enter_context(initialised())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        watched = Watched(stack, NAMESPACE)
        watched.wait_until_it_serves()
        stack.enter_context(
            NodeProcess(
                'question_handler',
                {'model': MODEL, 'device': 'cpu'},
                namespace=NAMESPACE,
                environment={'OMP_NUM_THREADS': '1'},
                log=Path(folder) / 'log',
            )
        )
        planner = Planner()
        camera = watched.start_camera('--seconds', '3600')
        try:
            planner.wait_for_a_memory()
            planner.ask(WARM_UP)
            busy = planner.ask(count)
        finally:
            camera.terminate()
            camera.communicate()
        idle = planner.ask(count)
    return [*describe('a camera runs', busy), *describe('no camera', idle, has_target=False)]


def describe(
    label: str, asked: list[tuple[float, Answer]], has_target: bool = True
) -> list[Figure]:
    """Figures of the way and of the model.

    The model's time is what an answer itself says: from when its work began to its end.

    :param asked: seconds from request to response, and the answer.
    """
    model = 1e3 * np.array([answer.total_time - answer.queue_time for _, answer in asked])
    way = 1e3 * np.array([seconds for seconds, _ in asked]) - model
    failed = sum(answer.status != Answer.OK for _, answer in asked)
    ready = 100.0 * np.mean([answer.prefix_ready for _, answer in asked])
    low, median, high = np.percentile(way, [10, 50, 90])
    model_low, model_median, model_high = np.percentile(model, [10, 50, 90])
    median_target, late_target = ({'at_most': 5.0}, {'at_most': 20.0}) if has_target else ({}, {})
    return [
        Figure(f'{label}: of {len(asked)} questions not answered', failed, 'questions', at_most=0),
        Figure(f'{label}: way through ROS', median, 'ms', low, high, **median_target),
        Figure(
            f'{label}: way through ROS, 99th percentile',
            float(np.percentile(way, 99)),
            'ms',
            **late_target,
        ),
        Figure(f'{label}: time of the model', model_median, 'ms', model_low, model_high),
        Figure(f'{label}: memory read before the question came', float(ready), '%'),
    ]
