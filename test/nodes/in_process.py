# SPDX-License-Identifier: Apache-2.0
"""Both nodes in the test's own process, for faults that only the process itself can make."""

import contextlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from own_nodes import FilmedBy, Planner
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from robots import wait_until

from flash_vstream_ros.nodes import frame_handler, question_handler
from flash_vstream_ros.nodes.frame_handler import FrameHandler
from flash_vstream_ros.nodes.running import initialised


class InProcess:
    """Both nodes, active and spun by a thread, with a camera and a planner.

    :param parameters: of both nodes.
    """

    def __init__(self, namespace: str, parameters: dict[str, object]) -> None:
        self._stack = contextlib.ExitStack()
        words = [w for name, value in parameters.items() for w in ('-p', f'{name}:={value}')]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', ['test', '--ros-args', '-r', f'__ns:={namespace}', *words])
            self._stack.enter_context(initialised(SignalHandlerOptions.NO))
        self.nodes = [frame_handler.make_node(), question_handler.make_node()]
        for node in self.nodes:
            node.start()
        self._executor = SingleThreadedExecutor()
        for node in self.nodes:
            self._executor.add_node(node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()
        self.planner = Planner(namespace)
        self.camera = FilmedBy(self.planner)
        wait_until(self.planner.asking.service_is_ready, 'the service')

    def _spin(self) -> None:
        while not self._ended.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    @property
    def frames(self) -> FrameHandler:
        """The work of the frame handler."""
        return self.nodes[0]._work

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for node in self.nodes:
            node.close()
            node.destroy_node()
        self.planner.close()
        self._stack.close()


def fail_once(
    patch: pytest.MonkeyPatch, owner: type, name: str, error: Exception, after: int = 0
) -> None:
    """Let one call of a method raise, after so many that go well."""
    original: Callable = getattr(owner, name)
    calls = []

    def method(*arguments: object, **options: object) -> object:
        calls.append(None)
        if len(calls) == after + 1:
            raise error
        return original(*arguments, **options)

    patch.setattr(owner, name, method)


def quoted(folder: Path) -> str:
    return f"'{folder}'"
