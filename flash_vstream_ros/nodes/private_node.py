# SPDX-License-Identifier: Apache-2.0
"""A node with a thread of its own, for clients that must work whoever spins, or nobody."""

import contextlib
import itertools
import threading
from collections.abc import Callable

import rclpy
from rclpy._rclpy_pybind11 import InvalidHandle
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from flash_vstream_ros.nodes.spinning import Spinning

JOIN_TIMEOUT_S = 5.0

# rclpy never gives back what this service takes, 90 KiB a node.
LEAN = [Parameter('start_type_description_service', value=False)]

_numbers = itertools.count(1)


class PrivateNode:
    """A node spun by a thread of its own. Everything with its entities is done by that thread.

    rclpy's action client can lose a response that arrives while another thread still notes that it
    waits for it (rclpy issue 1123); a thread that both sends and receives cannot.

    :param name: of the node, where it stands alone.
    :param beside: node whose context and namespace it shares; None: a context of its own, which
        reads the arguments of the process and leaves its signals alone.
    :param on_end: called by the thread when it ends, whatever the reason.
    """

    def __init__(self, name: str, beside: Node | None, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._has_ended = False
        self._lock = threading.Lock()
        self._own_context: Context | None = None
        if beside is None:
            self._own_context = context = Context()
            rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
            self.node = Node(name, context=context, enable_rosout=False, parameter_overrides=LEAN)
        else:
            context = beside.context
            self.node = Node(
                f'_{beside.get_name()}_{name}_{next(_numbers)}',  # hidden from `ros2 node list`
                context=context,
                namespace=beside.get_namespace(),
                use_global_arguments=False,  # a node renamed on the command line is not this one
                enable_rosout=False,
                start_parameter_services=False,
                parameter_overrides=LEAN,
            )
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._spinning = Spinning(self._executor)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, once all that it calls back is there."""
        self._thread.start()

    def post(self, work: Callable, *arguments: object) -> bool:
        """Let the thread do some work, soon; any thread may.

        :returns: False where the thread has ended, and the work is left undone.
        """
        with self._lock:
            # It is being closed, and its thread says that it has ended.
            with contextlib.suppress(InvalidHandle, AttributeError):
                if not self._has_ended:
                    self._executor.create_task(work, *arguments)
            return not self._has_ended

    def close(self) -> None:
        """End the thread and then the node; more than once does no harm."""
        self._spinning.end(self._thread, JOIN_TIMEOUT_S)
        for waitable in tuple(self.node.waitables):
            if isinstance(waitable, ActionClient):  # rclpy leaves it, and with it the participant
                waitable.destroy()
        self.node.destroy_node()
        if self._own_context is not None:
            self._own_context.try_shutdown()

    def _spin(self) -> None:
        try:
            with contextlib.suppress(ExternalShutdownException):
                self._spinning.spin()
        finally:
            with self._lock:
                self._has_ended = True
            self._on_end()
