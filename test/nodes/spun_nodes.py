# SPDX-License-Identifier: Apache-2.0
"""A node of the test's own process, and waiting for what other threads and processes do."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from flash_vstream_ros.nodes.spinning import Spinning

TIMEOUT_S = 30.0  # nobody waits this long but a test that fails


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Wait until a condition holds and return its value; ``what`` is said where it never does."""
    until = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f'{timeout_s:g} s passed without: {what}'
        time.sleep(0.005)


def result_of(future: Future, timeout_s: float = TIMEOUT_S) -> Any:
    """Wait for a future that another thread completes."""
    wait_until(future.done, 'a response', timeout_s)
    return future.result()


class SpunNode:
    """A node of this process in a context of its own, spun by a thread.

    :param domain_id: ROS domain; None: that of this process.
    """

    def __init__(self, namespace: str, name: str = 'test', domain_id: int | None = None) -> None:
        self.context = Context()
        rclpy.init(
            args=[],
            context=self.context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node = Node(
            name, context=self.context, namespace=namespace, use_global_arguments=False
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._spinning = Spinning(self.executor)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            with contextlib.suppress(ExternalShutdownException):
                self._spinning.spin()
        except Exception as error:  # noqa: BLE001 - of a callback; the test ends with it
            self._failure = error

    def call(self, function: Callable, *arguments: Any) -> Any:
        """Run a function among the node's callbacks and return its value."""
        return result_of(self.executor.create_task(function, *arguments))

    def close(self) -> None:
        """End the node.

        :raises Exception: what a callback raised, and nothing was called back since.
        """
        self._spinning.end(self._thread)
        self.node.destroy_node()
        self.context.try_shutdown()
        if self._failure is not None:
            raise self._failure
