# SPDX-License-Identifier: Apache-2.0
"""Makes sure that answers arrive before the first question is sent."""

import contextlib
import time
from collections import deque
from collections.abc import Callable

from rclpy._rclpy_pybind11 import RCLError
from rclpy.client import Client
from rclpy.task import Future

from flash_vstream_ros.srv import Ask

PERIOD_S = 0.5
MAX_PENDING = 40  # 20 seconds of them


class Handshake:
    """Sends an empty question, which is refused at once, until an answer to one has arrived.

    That we see a question handler does not mean that it has found us, and a response to somebody
    it has not found is thrown away after a tenth of a second. Readers are announced in the order
    in which they were made: whoever answers the last one has found all of them.

    :param service: the client of the service, made after all other entities of its node.
    :param is_served: whether a question handler is there.
    :param on_met: called when an answer has arrived.
    """

    def __init__(
        self, service: Client, is_served: Callable[[], bool], on_met: Callable[[], None]
    ) -> None:
        self._service = service
        self._is_served = is_served
        self._on_met = on_met
        self._is_met = False
        self._pending: deque[Future] = deque()  # an answer may take longer than a period
        self._next = 0.0  # when to ask again

    def is_served(self) -> bool:
        """Whether a question handler is there."""
        is_served = self._is_served()
        self._is_met &= is_served  # one that comes back is met anew
        return is_served

    def is_met(self) -> bool:
        """Whether a question handler is there and its answers arrive."""
        if self.is_served() and not self._is_met and time.monotonic() >= self._next:
            self._ask()
        return self._is_met

    def forget(self) -> None:
        """Ask again before the next question is sent: the last one was not taken up."""
        self._is_met = False

    def _ask(self) -> None:
        self._next = time.monotonic() + PERIOD_S
        while len(self._pending) >= MAX_PENDING:
            self._service.remove_pending_request(self._pending.popleft())
        with contextlib.suppress(RCLError):  # the next one may get out
            answered = self._service.call_async(Ask.Request())
            self._pending.append(answered)
            answered.add_done_callback(self._on_answer)

    def _on_answer(self, answered: Future) -> None:
        for pending in self._pending:
            if pending is not answered:
                self._service.remove_pending_request(pending)
        self._pending.clear()
        self._is_met = True
        self._next = 0.0
        self._on_met()
