# SPDX-License-Identifier: Apache-2.0
"""Many planners in a process of their own: `planner_ends.py PLANNERS SECONDS`.

Each has one question under way at a time and asks the next one when it has its answer; one that
is told BUSY waits before it asks again. Prints a line when they begin, and at the end as JSON how
often each status came, the seconds of the answers that are OK, and how many questions got no
response at all.
"""

import json
import sys
import time
from collections import Counter

from flash_vstream_ros.msg import Answer
from flash_vstream_ros.srv import Ask
from rclpy.client import Client
from rclpy.task import Future

from benchmarks.running_nodes import Spinner
from flash_vstream_ros.nodes.client import RESPONSES
from flash_vstream_ros.nodes.running import initialised

PATIENCE_S = 1.0  # of one that was told BUSY
TIMEOUT_S = 30
SETTLE_S = 3.0  # between two greetings
BEGIN = 'asking'  # printed when they begin
FAREWELL_S = 60.0  # for the answers that are still to come at the end
STATUSES = {
    getattr(Answer, name): name
    for name in ('OK', 'MEMORY_EMPTY', 'BUSY', 'TIMEOUT', 'CANCELLED', 'BAD_REQUEST',
                 'MODEL_ERROR', 'INACTIVE')
}  # fmt: skip
QUESTIONS = ('What is in front of the robot?', 'Which room was before this one?', 'Where is it?')


class Planner:
    """Who asks one question after the other.

    :param client: of all planners of this process. With one for each every response would come
        to all of them, and rclpy looks at each: a hundred in one process could not keep up.
    :param answered: counts the statuses that came.
    """

    def __init__(self, client: Client, number: int, answered: Counter[str]) -> None:
        self._client = client
        self._number, self._answered = number, answered
        self._began = 0.0
        self._resumes = time.monotonic()
        self._waiting: Future | None = None
        self.asked = 0
        self.seconds: list[float] = []

    @property
    def is_waiting(self) -> bool:
        """Whether a response is still to come."""
        return self._waiting is not None

    def look(self) -> None:
        """Ask, where it is time to."""
        now = time.monotonic()
        if self.is_waiting and now > self._began + TIMEOUT_S + PATIENCE_S:
            self._client.remove_pending_request(self._waiting)  # it is lost
            self._waiting = None
        if self.is_waiting or now < self._resumes:
            return
        question = QUESTIONS[(self._number + self.asked) % len(QUESTIONS)]
        request = Ask.Request(question=question)
        request.timeout.sec = TIMEOUT_S
        self.asked, self._began = self.asked + 1, now
        self._waiting = self._client.call_async(request)
        self._waiting.add_done_callback(self._receive)

    def _receive(self, done: Future) -> None:
        answer, now = done.result().answer, time.monotonic()
        self._waiting = None
        self._answered[STATUSES[answer.status]] += 1
        if answer.status == Answer.OK:
            self.seconds.append(now - self._began)
        self._resumes = now + (PATIENCE_S if answer.status == Answer.BUSY else 0.0)


def greet(spinner: Spinner, client: Client) -> None:
    """Ask nothing until a response says that the question handler knows us."""
    answers: list[Future] = []
    while not any(answer.done() for answer in answers):
        answers.append(client.call_async(Ask.Request()))
        spinner.spin_for(SETTLE_S)


def main() -> int:
    """Be all of them."""
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    with initialised():
        spinner, answered = Spinner('planners'), Counter()
        client = spinner.node.create_client(Ask, 'ask', qos_profile=RESPONSES)
        spinner.spin_until(client.service_is_ready, 'a question handler', 90.0)
        greet(spinner, client)
        planners = [Planner(client, n, answered) for n in range(count)]
        print(BEGIN, flush=True)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends or (
            any(p.is_waiting for p in planners) and time.monotonic() < ends + FAREWELL_S
        ):
            if time.monotonic() < ends:
                for planner in planners:
                    planner.look()
            spinner.spin_for(0.02)
    took = [second for planner in planners for second in planner.seconds]
    asked = sum(planner.asked for planner in planners)
    lost = asked - answered.total()
    print(json.dumps({'asked': asked, 'statuses': answered, 'seconds': took, 'lost': lost}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
