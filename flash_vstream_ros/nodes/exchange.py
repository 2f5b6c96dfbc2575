# SPDX-License-Identifier: Apache-2.0
"""One question on its way to the question handler and back, as its client sees it."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from rclpy._rclpy_pybind11 import RCLError
from rclpy.action.client import ClientGoalHandle

from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.ask_errors import (
    AnswerTimeout,
    AskError,
    Cancelled,
    ServerGone,
    ServerNotFound,
    check_answer,
)
from flash_vstream_ros.nodes.asked import Asked
from flash_vstream_ros.nodes.handshake import Handshake
from flash_vstream_ros.srv import Ask as AskService

SERVERS_PERIOD_S = 1.0


class Exchange:
    """A question until it has its answer or an error. Only the thread of the client works it.

    :param handshake: knows whether somebody is there, and whether answers arrive.
    :param send: sends it.
    :param find_timeout_s: seconds to look for somebody.
    :param nobody: makes the error for when it finds nobody.
    :param find_servers: identities of those who may answer, as they were at most so many seconds
        ago; one that was killed is among them until the middleware misses it.
    """

    def __init__(
        self,
        asked: Asked,
        handshake: Handshake,
        send: Callable[['Exchange'], None],
        find_timeout_s: float,
        nobody: Callable[[], ServerNotFound],
        find_servers: Callable[[float], frozenset[bytes]],
    ) -> None:
        now = time.monotonic()
        self.asked = asked
        self.answered: Future[Answer] = Future()
        self._texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # None: the end
        self.answered.add_done_callback(lambda _: self._texts.put(None))
        self._ends = None if asked.timeout_s is None else now + asked.timeout_s
        self._find_ends = now + min(find_timeout_s, asked.timeout_s or find_timeout_s)
        self._handshake = handshake
        self._send = send
        self._nobody = nobody
        self._find_servers = find_servers
        self._servers: frozenset[bytes] = frozenset()  # when it was sent
        self._ending = threading.Lock()  # the end of the client comes on any thread
        self._is_sent = False
        self._goal: ClientGoalHandle | None = None
        self._is_cancelled = False

    def look(self) -> None:
        """Do what time asks for: send it once somebody is there, end it when its time is over."""
        now = time.monotonic()
        if self.answered.done():
            return
        if not self._is_sent and self._handshake.is_met():
            self._start()
        elif not self._is_sent and now >= self._find_ends:
            self.fail(self._nobody())
        elif self._ends is not None and now >= self._ends:
            self._cancel_goal()
            if self._goal is None:  # nobody has taken it up: the next is not sent into the blue
                self._handshake.forget()
            self.fail(
                AnswerTimeout(
                    f'{self.asked.timeout_s:g} s passed without a word from the question '
                    f'handler; is it alive?'
                )
            )
        elif self._is_sent and not (self._handshake.is_served() and self._is_still_there()):
            self.fail(ServerGone('the question handler has gone; start it and ask again'))

    def _is_still_there(self) -> bool:
        """Whether one of those is there who were when it was sent: others know nothing of it."""
        return not self._servers or bool(self._servers & self._find_servers(SERVERS_PERIOD_S))

    def _start(self) -> None:
        self._is_sent = True
        self._servers = self._find_servers(0.0)
        try:
            self._send(self)
        except RCLError as error:
            self.fail(AskError(f'the question cannot be sent: {error}'))

    def fill(
        self, request: AskService.Request | AskAction.Goal
    ) -> AskService.Request | AskAction.Goal:
        """Fill a request that is sent now."""
        left_s = None if self._ends is None else max(self._ends - time.monotonic(), 1e-3)
        return self.asked.fill(request, left_s)

    def accept(self, goal: ClientGoalHandle) -> bool:
        """Note the goal that the question has become.

        :returns: whether to wait for its result.
        """
        self._goal = goal
        if not goal.accepted:
            self.fail(AskError('the question handler refuses the question; its log says why'))
        elif self._is_cancelled or self.answered.done():
            self._cancel_goal()
        return goal.accepted  # also one that came too late: until then rclpy keeps its feedback

    def say(self, text: str) -> None:
        """Note the answer so far."""
        self._texts.put(text)

    def next_text(self) -> str | None:
        """Wait for the answer so far, whenever it has grown; None: there is no more to come."""
        text = self._texts.get()
        if text is None:
            self._texts.put(None)  # for whoever reads once more
        return text

    def finish(self, answer: Answer) -> None:
        """End with an answer, or with the error that it stands for."""
        try:
            self._end(check_answer(answer), None)
        except AskError as error:
            self.fail(error)

    def fail(self, error: AskError) -> None:
        """End without an answer."""
        self._end(None, error)

    def cancel(self) -> None:
        """Cancel it: at once where it was not sent, else as soon as the question handler says."""
        self._is_cancelled = True
        if not self._is_sent:
            self.fail(Cancelled('cancelled before it was sent'))
        else:
            self._cancel_goal()

    def _cancel_goal(self) -> None:
        if self._goal is not None and self._goal.accepted:
            with contextlib.suppress(RCLError):
                self._goal.cancel_goal_async()

    def _end(self, answer: Answer | None, error: AskError | None) -> None:
        """The first end counts; asyncio cancels the future on a thread of its own."""
        with self._ending:
            is_over = self.answered.done() or self.answered.running()
            if is_over or not self.answered.set_running_or_notify_cancel():
                return
        if error is None:
            self.answered.set_result(answer)
        else:
            self.answered.set_exception(error)
