# SPDX-License-Identifier: Apache-2.0
"""The verb `ask` against live nodes: answers, streams, ends when the question handler is gone."""

import os
import signal
import subprocess
import sys

import pytest
from robots import wait_until
from stand_ins import StandIn

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


@pytest.mark.parametrize('words', [[], ['--stream']])
def test_a_question_handler_that_is_gone_ends_the_waiting(namespace, words):
    """A service call has no timeout of its own: it would wait for ever."""
    stand_in = StandIn(namespace)
    process = ask('What is it?', *words, namespace=namespace)
    wait_until(lambda: stand_in.requests, 'the question has arrived')
    stand_in.close()
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert 'ask: the question handler has gone' in err


@pytest.mark.parametrize('words', [[], ['--stream']])
def test_no_answer_is_a_status_with_its_message(robot, words):
    process = ask('What is it?', *words, namespace=robot.namespace)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (1, '')
    assert err.startswith('flash_vstream ask: MEMORY_EMPTY: no frame memorised yet')


def test_ctrl_c_cancels_what_is_being_spoken(robot):
    robot.see(2)
    before = len(robot.said)
    process = ask('What is it?', '--stream', namespace=robot.namespace)
    wait_until(lambda: len(robot.said) > before, 'the answer has begun')
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, 'ask: CANCELLED: cancelled as asked' in err) == (1, True), err
