# SPDX-License-Identifier: Apache-2.0
"""How both nodes run: one thread for callbacks, one worker for the work."""

import logging
from collections.abc import Callable
from concurrent.futures import Future as Job
from concurrent.futures import ThreadPoolExecutor

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

logger = logging.getLogger(__name__)


def run_node(make_node: Callable[[], Node]) -> int:
    """Run a node until it is told to stop.

    :returns: exit status: 0 after SIGINT or SIGTERM, 1 where the node could not start.
    """
    logging.basicConfig(level=logging.INFO, format='[%(levelname)s] [%(name)s]: %(message)s')
    with rclpy.init():
        try:
            node = make_node()
        except (ValueError, OSError, ParameterException) as error:
            # What the user can mend is said in one line; anything else keeps its traceback.
            logger.critical('cannot start: %s', error)
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            executor.spin()
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        finally:
            node.destroy_node()
    return 0


class Worker:
    """One thread for the work of a node, so that nothing long runs among its callbacks."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=node.get_name())

    def submit(self, work: Callable, *arguments: object) -> Job:
        """Put work at the end of the line."""
        return self._thread.submit(work, *arguments)

    def run(self, work: Callable, *arguments: object) -> Future:
        """The same, for a callback to await."""
        future = awaitable(self._node)
        job = self.submit(work, *arguments)
        job.add_done_callback(lambda done: _pass_on(done, future))
        return future

    def stop(self) -> None:
        """Drop what waits, and wait for what runs."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def awaitable(node: Node) -> Future:
    """A future that a callback of the node can await and any thread can complete."""
    future = Future(executor=node.executor)
    # An executor looks at awaiting callbacks when it wakes; a callback of the future wakes it.
    future.add_done_callback(lambda _: None)
    return future


def _pass_on(job: Job, future: Future) -> None:
    if job.cancelled():
        future.cancel()
    elif job.exception() is not None:
        future.set_exception(job.exception())
    else:
        future.set_result(job.result())
