# SPDX-License-Identifier: Apache-2.0
"""An executor that a thread spins, and that another thread ends."""

import threading

from rclpy.executors import Executor


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
