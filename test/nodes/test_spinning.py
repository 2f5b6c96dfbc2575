# SPDX-License-Identifier: Apache-2.0
"""A thread that spins ends whenever it is told to, also just before it would wait."""

import threading
import time

import pytest
from rclpy.executors import SingleThreadedExecutor

from flash_vstream_ros.nodes import spinning
from flash_vstream_ros.nodes.spinning import Spinning, insist

BEGUN_S = 0.3  # within which an end that has been asked for has got as far as it can


class AboutToWait(SingleThreadedExecutor):
    """Stops where it has looked whether it was shut down, and not yet begun to wait."""

    def __init__(self, **options: object) -> None:
        self.is_there, self.may_go = threading.Event(), threading.Event()
        super().__init__(**options)

    def get_nodes(self) -> list:
        nodes = super().get_nodes()
        self.is_there.set()
        assert self.may_go.wait(30.0)
        return nodes


@pytest.fixture
def executor(spun):
    spun.executor.remove_node(spun.node)
    executor = AboutToWait(context=spun.context)
    executor.add_node(spun.node)
    return executor


def test_a_thread_that_is_about_to_wait_ends(executor):
    turning = Spinning(executor)
    thread = threading.Thread(target=turning.spin, daemon=True)
    thread.start()
    assert executor.is_there.wait(30.0)
    ending = threading.Thread(target=turning.end, args=(thread,), daemon=True)
    ending.start()
    time.sleep(BEGUN_S)
    executor.may_go.set()
    ending.join(30.0)
    assert not thread.is_alive()
    assert not ending.is_alive()
    turning.end(thread)


def test_what_runs_for_too_long_is_left_behind(executor):
    turning = Spinning(executor)
    thread = threading.Thread(target=turning.spin, daemon=True)
    thread.start()
    assert executor.is_there.wait(30.0)
    turning.end(thread, timeout_s=0.01)
    assert thread.is_alive()
    executor.may_go.set()


def test_a_response_that_gets_lost_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(spinning, 'RETRY_S', 0.0)
    asked = []

    def wait(number: int, timeout_s: float) -> str:
        if number < 3:
            raise TimeoutError('lost')
        return f'answer {number}'

    assert insist(lambda: asked.append(1) or len(asked), wait, 60.0) == 'answer 3'
    with pytest.raises(TimeoutError, match='lost'):
        insist(lambda: 0, wait, 0.0)
