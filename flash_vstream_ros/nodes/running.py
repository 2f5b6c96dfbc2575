# SPDX-License-Identifier: Apache-2.0
"""How both nodes run: one thread for callbacks, one worker for the work."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future as Job
from concurrent.futures import ThreadPoolExecutor

import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import (
    SignalHandlerOptions,
    install_signal_handlers,
    uninstall_signal_handlers,
)
from rclpy.task import Future
from rclpy.utilities import try_shutdown

logger = logging.getLogger(__name__)


class WorkingNode(Node):
    """A node with work of its own, which ends before the node does."""

    def close(self) -> None:
        """End the work. Not called for a node that could not be made: it is whole here."""
        raise NotImplementedError


def run_node(make_node: Callable[[], WorkingNode]) -> int:
    """Run a node until it is told to stop.

    :returns: exit status: 0 after SIGINT or SIGTERM, 1 where the node could not start.
    """
    logging.basicConfig(level=logging.INFO, format='[%(levelname)s] [%(name)s]: %(message)s')
    # rclpy's own handlers only wake an executor: until there is one, while a model loads, Python's
    # have to end it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(initialised(SignalHandlerOptions.NO))
            node = make_node()
        except KeyboardInterrupt:
            return 0
        except (ValueError, OSError, ParameterException, RCLError) as error:
            # What the user can mend is said in one line; anything else keeps its traceback.
            logger.critical('cannot start: %s', str(error))
            return 1
        _spin(node)
    return 0


@contextlib.contextmanager
def initialised(signals: SignalHandlerOptions = SignalHandlerOptions.ALL) -> Iterator[None]:
    """What `with rclpy.init()` does from ROS 2 Kilted on; Jazzy's is no context manager.

    :param signals: which signals rclpy handles.
    """
    rclpy.init(signal_handler_options=signals)
    try:
        yield
    finally:
        uninstall_signal_handlers()
        try_shutdown()


def _spin(node: WorkingNode) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        install_signal_handlers(SignalHandlerOptions.ALL)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        uninstall_signal_handlers()
        for again in (signal.SIGINT, signal.SIGTERM):  # launch repeats them when it gets impatient
            signal.signal(again, signal.SIG_IGN)
        node.close()
        node.destroy_node()


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
