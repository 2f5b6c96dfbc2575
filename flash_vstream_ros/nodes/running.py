# SPDX-License-Identifier: Apache-2.0
"""How both nodes run: one thread for callbacks, one worker for the work."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future as Job
from concurrent.futures import ThreadPoolExecutor, wait

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import (
    SignalHandlerOptions,
    uninstall_signal_handlers,
)
from rclpy.task import Future
from rclpy.utilities import try_shutdown

from flash_vstream_ros.nodes.managed import MENDABLE, ManagedNode, explain

logger = logging.getLogger(__name__)

SIGNAL_PERIOD_S = 0.2  # a signal is seen when the executor has returned
FAREWELL_S = 0.3  # for what is still to be sent at the end


def run_node(make_node: Callable[[], ManagedNode]) -> int:
    """Run one node; see :func:`run_nodes`."""
    return run_nodes([make_node])


def run_nodes(makers: Sequence[Callable[[], ManagedNode]]) -> int:
    """Run nodes in this process until it is told to stop.

    Each configures and activates itself, unless its parameter ``autostart`` leaves that to a
    lifecycle manager.

    :returns: exit status: 0 after SIGINT or SIGTERM, 1 where a node could not start.
    """
    # Of other packages only what is wrong: each request to a server would be a line.
    logging.basicConfig(format='[%(levelname)s] [%(name)s]: %(message)s')
    for name in ('flash_vstream_ros', '__main__'):  # that is a node's module started with -m
        logging.getLogger(name).setLevel(logging.INFO)
    # rclpy's own handlers only wake an executor: until there is one, while a model loads, Python's
    # have to end it, also where a shell has started the node in the background, deaf to SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        nodes = []
        try:
            stack.enter_context(initialised(SignalHandlerOptions.NO))
            for make_node in makers:
                nodes.append(make_node())
                if nodes[-1].config.autostart:
                    nodes[-1].start()
        except KeyboardInterrupt:
            return 0
        except MENDABLE as error:
            logger.critical('cannot start: %s', explain(error))
            return 1
        _spin(nodes)
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


def _spin(nodes: Sequence[ManagedNode]) -> None:
    """Run callbacks until a signal; then end the work and let its last answers go out.

    rclpy's own signal handlers would end the context first, and with it every way to answer.
    """
    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # launch repeats them when it gets impatient
        signal.signal(number, lambda *_: told_to_stop.set())
    try:
        while not told_to_stop.is_set():
            executor.spin_once(timeout_sec=SIGNAL_PERIOD_S)
    except ExternalShutdownException:
        pass
    finally:
        with contextlib.ExitStack() as last:  # all of it, also where some of it fails
            for node in nodes:
                last.callback(node.destroy_node)
            if told_to_stop.is_set():  # and not an error of a callback
                last.callback(_say_farewell, executor)
            for node in nodes:
                last.callback(node.close)


def _say_farewell(executor: SingleThreadedExecutor) -> None:
    """Let out what the end of the work has answered."""
    ends = time.monotonic() + FAREWELL_S
    while rclpy.ok() and time.monotonic() < ends:
        executor.spin_once(timeout_sec=FAREWELL_S / 10)


class Worker:
    """One thread for the work of a node, so that nothing long runs among its callbacks.

    :param niceness: what it gives way to others by, where the system has that; 0: to nobody.
    """

    def __init__(self, node: Node, niceness: int = 0) -> None:
        self._node = node
        self._thread = ThreadPoolExecutor(
            max_workers=1,
            thread_name_prefix=node.get_name(),
            initializer=_give_way,
            initargs=(niceness,),
        )
        self._lock = threading.Lock()
        self._is_stopped = False

    def submit(self, work: Callable, *arguments: object) -> Job:
        """Put work at the end of the line; a worker that was stopped cancels it."""
        with self._lock:
            if not self._is_stopped:
                return self._thread.submit(work, *arguments)
        job = Job()
        job.cancel()
        job.set_running_or_notify_cancel()  # else who waits for it would wait for ever
        return job

    def run(self, work: Callable, *arguments: object) -> Future:
        """The same, for a callback to await."""
        future = awaitable(self._node)
        job = self.submit(work, *arguments)
        job.add_done_callback(lambda done: _pass_on(done, future))
        return future

    def finish(self) -> None:
        """Wait until all that was submitted is done."""
        wait([self.submit(lambda: None)])

    def stop(self) -> None:
        """Drop what waits, and wait for what runs."""
        with self._lock:
            self._is_stopped = True
        self._thread.shutdown(wait=True, cancel_futures=True)


def _give_way(niceness: int) -> None:
    """Lower the priority of this thread, and of those that its products will start."""
    if niceness and sys.platform == 'linux':  # elsewhere it would be the whole process's
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(now + niceness, 19))


def awaitable(node: Node) -> Future:
    """A future that a callback of the node can await and any thread can complete."""
    future = Future(executor=node.executor)
    # An executor looks at awaiting callbacks when it wakes; a callback of the future wakes it.
    future.add_done_callback(lambda _: None)
    return future


def _pass_on(job: Job, future: Future) -> None:
    if job.cancelled():
        future.set_exception(RuntimeError('the node is shutting down'))
    elif job.exception() is not None:
        future.set_exception(job.exception())
    else:
        future.set_result(job.result())
