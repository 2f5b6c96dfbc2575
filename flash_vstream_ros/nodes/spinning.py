# SPDX-License-Identifier: Apache-2.0
"""An executor that a thread spins, and what another thread does with it."""

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.executors import Executor
from rclpy.task import Future

RETRY_S = 10.0


def insist(
    ask: Callable[[], Future], wait: Callable[[Future, float], Any], timeout_s: float
) -> Any:
    """Ask a service until it answers: DDS loses a response whose receiver is not found yet.

    :param ask: sends what may be asked twice. Requests are taken in their order, so that with the
        answer to the newest one all have been done.
    :param wait: waits for a response so many seconds.
    :raises TimeoutError: it never answers.
    """
    ends = time.monotonic() + timeout_s
    while True:
        try:
            return wait(ask(), min(RETRY_S, timeout_s))
        except TimeoutError:
            if time.monotonic() > ends:
                raise


class Spinning:
    """Spins an executor until it is told to end.

    rclpy's ``shutdown`` takes away the guard condition that would wake the executor: a thread that
    is just about to wait then waits for ever. Here the thread ends first.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._is_ended = threading.Event()

    def spin(self) -> None:
        """Run callbacks until the end, in the thread that calls.

        :raises ExternalShutdownException: the context has ended.
        """
        while not self._is_ended.is_set():
            self._executor.spin_once()

    def end(self, thread: threading.Thread, timeout_s: float | None = None) -> None:
        """End the thread that spins, then the executor; more than once does no harm.

        :param timeout_s: seconds to wait for the callback that runs; None: as long as it takes.
        """
        self._is_ended.set()
        if thread.is_alive():
            self._executor.create_task(lambda: None)  # else it would go on waiting
            thread.join(timeout_s)
        self._executor.shutdown()
