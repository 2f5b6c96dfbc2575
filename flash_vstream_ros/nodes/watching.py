# SPDX-License-Identifier: Apache-2.0
"""Standing questions: asked again at each new memory until an answer is probable enough."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rclpy._rclpy_pybind11 import RCLError
from rclpy.action import CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from flash_vstream_ros.action import Watch
from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.action_servers import make_action_server
from flash_vstream_ros.nodes.memories import Memories
from flash_vstream_ros.nodes.pending_question import PendingQuestion, Question
from flash_vstream_ros.nodes.question_queue import ENDING, QuestionQueue
from flash_vstream_ros.nodes.running import awaitable
from flash_vstream_ros.nodes.times import NS_PER_S, time_to_ns

TICK_S = 0.02
USUAL_RATE_HZ = 1.0
MOST_WATCHES = 64
PASSING = (Answer.OK, Answer.MEMORY_EMPTY, Answer.BUSY, Answer.TIMEOUT)  # the watch goes on


@dataclass
class _Watch:
    """A standing question on its way."""

    goal: ServerGoalHandle
    question: Question
    deadline: float
    period_s: float
    due: float = 0.0  # when it may be asked again
    seen: tuple[int, int] | None = None  # memory_id and frames of what it was asked about last
    asked: int = 0
    wake: Future | None = None
    pending: PendingQuestion | None = None


class Watching:
    """The action ``watch``.

    Costs less than asking in a loop: nothing is computed while the memory is the same, and all
    questions about one memory share its prefix.

    :param queue: answers; a watch stands in line as any other question does.
    :param on_refusal: called with the answer to each goal that is not taken.
    """

    def __init__(
        self,
        node: Node,
        config: QuestionHandlerConfig,
        memories: Memories,
        queue: QuestionQueue,
        on_refusal: Callable[[Answer], None],
    ) -> None:
        self._node = node
        self._config = config
        self._memories = memories
        self._queue = queue
        self._on_refusal = on_refusal
        self._watches: list[_Watch] = []
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(TICK_S, self._tick, clock=steady)
        self._timer.cancel()  # runs only while something is watched
        self._server = make_action_server(
            node, Watch, 'watch', self._on_goal, lambda _: CancelResponse.ACCEPT
        )

    def __len__(self) -> int:
        """Watches on their way."""
        return len(self._watches)

    def end(self) -> None:
        """End all of them: nothing is answered any more."""
        for watch in self._watches:
            if watch.wake is not None and not watch.wake.done():
                watch.wake.set_result((Answer.CANCELLED, ENDING))

    async def _on_goal(self, goal: ServerGoalHandle) -> Watch.Result:
        question = self._question(goal.request)
        why = self._why_not(goal.request, question)
        if why is not None:
            self._on_refusal(why)
            goal.abort()
            return Watch.Result(answer=why)
        watch = self._begin(goal, question)
        logger = self._node.get_logger()
        logger.info(f'watch begins, {len(self)} now: {quote(goal.request.question)}')
        try:
            answer = await self._until_reached(watch)
        finally:
            self._watches.remove(watch)
            logger.info(f'watch ends, {len(self)} go on: {quote(goal.request.question)}')
        reached = _is_reached(goal.request, answer)
        if reached:
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return Watch.Result(reached=reached, answer=answer, asked=watch.asked)

    def _why_not(self, request: Watch.Goal, question: Question) -> Answer | None:
        """The answer to a goal that is not taken; None: it is."""
        fault = question.fault() or _fault(request)
        if fault:
            return Answer(status=Answer.BAD_REQUEST, message=fault)
        if len(self) >= MOST_WATCHES:
            busy = f'{len(self)} watches are on their way; cancel some, or give them a timeout'
            return Answer(status=Answer.BUSY, message=busy)
        return None

    def _begin(self, goal: ServerGoalHandle, question: Question) -> _Watch:
        request = goal.request
        timeout_s = time_to_ns(request.timeout) / NS_PER_S
        watch = _Watch(
            goal,
            question,
            deadline=time.monotonic() + timeout_s if timeout_s else float('inf'),
            period_s=1.0 / (request.max_rate or USUAL_RATE_HZ),
        )
        self._watches.append(watch)
        if self._timer.is_canceled():
            self._timer.reset()
        return watch

    def _question(self, request: Watch.Goal) -> Question:
        return Question(
            text=request.question,
            choices=tuple(request.choices),
            camera=request.camera,
            min_stamp_ns=0,
            timeout_s=self._config.default_timeout,
            max_new_tokens=1,
        )

    async def _until_reached(self, watch: _Watch) -> Answer:
        """Ask until the answer is there, or there is no point in going on.

        :returns: the newest answer; where the threshold was not reached it says why.
        """
        newest = Answer()
        while True:
            why = await self._wait(watch)
            if why is None:
                answer = await self._ask(watch)
                if _is_reached(watch.goal.request, answer):
                    return answer
                if answer.status == Answer.OK:
                    newest = answer
                elif answer.status not in PASSING:
                    why = answer.status, answer.message
            if why is not None:
                newest.status, newest.message = why
                return newest
            if time.monotonic() < watch.deadline:  # behind it only the result is to come
                with contextlib.suppress(RCLError):  # a reader too slow, or a node that is ending
                    watch.goal.publish_feedback(Watch.Feedback(answer=answer))

    async def _wait(self, watch: _Watch) -> tuple[int, str] | None:
        """Wait until it is to be asked; otherwise returned are status and message of its end."""
        if not self._queue.is_open:
            return None  # the queue says at once why it answers nothing
        watch.wake = awaitable(self._node)
        return await watch.wake

    async def _ask(self, watch: _Watch) -> Answer:
        now = time.monotonic()
        watch.due = now + watch.period_s
        left_s = min(watch.question.timeout_s, watch.deadline - now)
        watch.pending = self._queue.ask(replace(watch.question, timeout_s=max(left_s, 0.0)))
        answer = await watch.pending.answered
        watch.pending = None
        if answer.status == Answer.OK:
            watch.asked += 1
            # A newer one, where one came before the work began
            watch.seen = (answer.memory_id, answer.frames_seen)
        elif answer.status in (Answer.BUSY, Answer.TIMEOUT):
            watch.seen = None  # the same memory is worth another try
        return answer

    def _tick(self) -> None:
        """Wake the watches that have something to do, in the order in which they are due.

        No more of them at a time than are answered at once: the places of the line are for others.
        """
        now = time.monotonic()
        asking = sum(watch.wake is not None and watch.wake.done() for watch in self._watches)
        room = self._config.batch_size - asking
        for watch in sorted(self._watches, key=lambda watch: watch.due):
            if watch.goal.is_cancel_requested and watch.pending is not None:
                self._queue.cancel(watch.pending)
            if watch.wake is None or watch.wake.done():
                continue
            if watch.goal.is_cancel_requested:
                watch.wake.set_result((Answer.CANCELLED, 'cancelled as asked'))
            elif now >= watch.deadline:
                why = f'timeout passed; asked {watch.asked} times, threshold not reached'
                watch.wake.set_result((Answer.TIMEOUT, why))
            elif room > 0 and now >= watch.due and self._has_something_to_ask(watch):
                watch.wake.set_result(None)
                room -= 1
        if not self._watches:
            self._timer.cancel()

    def _has_something_to_ask(self, watch: _Watch) -> bool:
        """Whether there is another memory than it was asked about last, or never will be one."""
        memory = self._memories.newest(watch.question.camera)
        if memory is None:
            return self._memories.is_in_vain(watch.question.camera)  # the answer says why
        content = (memory.snapshot.memory_id, memory.snapshot.frames_written)
        is_new = content != watch.seen
        watch.seen = content
        return is_new


def _fault(request: Watch.Goal) -> str:
    """Say what more is impossible about a goal, by name; nothing where it can be watched."""
    choices = list(request.choices)
    if len(choices) < 2:
        return f'choices: expected two or more, got {quote(choices)}'
    if request.until not in choices:
        return f'until: expected one of {quote(choices)}, got {quote(request.until)}'
    if not 0.0 < request.threshold <= 1.0:
        return f'threshold: expected above 0, at most 1, got {request.threshold}'
    if not 0.0 <= request.max_rate <= 1000.0:
        return f'max_rate: expected 0 to 1000 per second, got {request.max_rate}'
    if time_to_ns(request.timeout) < 0:
        return f'timeout: expected 0 or more, got {time_to_ns(request.timeout)} ns'
    return ''


def _is_reached(request: Watch.Goal, answer: Answer) -> bool:
    if answer.status != Answer.OK or not answer.choice_probabilities:
        return False
    place = list(request.choices).index(request.until)
    return answer.choice_probabilities[place] >= request.threshold
