# SPDX-License-Identifier: Apache-2.0
"""The verb `ask` against live nodes: answers, streams, ends when the question handler is gone."""

import os
import subprocess
import sys

import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from flash_vstream_ros.nodes.ask import _wait
from flash_vstream_ros.nodes.running import initialised

ASK = [sys.executable, '-m', 'flash_vstream_ros', 'ask']
TIMEOUT_S = 60.0


def ask(*words: str, namespace: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*ASK, *words, '--namespace', namespace],
        env=os.environ | {'PYTHONSAFEPATH': '1', 'PYTHONUNBUFFERED': '1', 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors='replace',
    )


@pytest.mark.parametrize('words', [[], ['--stream'], ['--choice', 'yes', '--choice', 'no']])
def test_it_prints_the_answer(robot, words):
    robot.see(2)
    process = ask('What is it?', *words, namespace=robot.namespace)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    assert out.strip()
    assert 'frames seen' in err
    if '--choice' in words:
        shares = [float(line.split('%')[0]) for line in out.splitlines()[1:]]
        assert sum(shares) == pytest.approx(100.0, abs=0.2)


def test_nobody_to_ask_is_said_with_where_there_is_somebody(robot):
    process = ask('What is it?', namespace='/nowhere')
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert f'--namespace {robot.namespace}' in err
    assert 'Traceback' not in err


def test_a_question_handler_that_is_gone_ends_the_waiting(namespace):
    """A service call has no timeout of its own: it would wait for ever."""
    served = iter([True, True])
    with initialised(SignalHandlerOptions.NO):
        node = rclpy.create_node('ask', namespace=namespace)
        with pytest.raises(ConnectionError, match='the question handler has gone'):
            _wait(node, Future(), lambda: next(served, False))
        node.destroy_node()
    assert next(served, None) is None, 'it waited while there was somebody'
