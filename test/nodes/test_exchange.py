# SPDX-License-Identifier: Apache-2.0
"""Questions that get no answer: real nodes that refuse, hang, die or are not there."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from action_msgs.msg import GoalStatus
from asking import LONG, ways
from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.msg import Answer, MemorySnapshot
from rclpy.parameter import Parameter
from rclpy.task import Future
from robots import S, wait_until
from stand_ins import StandIn

from flash_vstream_ros.nodes.ask_errors import (
    AnswerTimeout,
    AskError,
    BadRequest,
    MemoryEmpty,
    ServerGone,
    ServerNotFound,
)
from flash_vstream_ros.nodes.client import VStreamClient
from flash_vstream_ros.nodes.exchange import Exchange
from flash_vstream_ros.nodes.goals import _finish
from flash_vstream_ros.nodes.processes import NodeProcess
from flash_vstream_ros.nodes.qos import LATCHED


@pytest.mark.parametrize('way', ['service', 'action'])
def test_every_status_is_an_exception_with_its_answer(robot, client, way):
    ask = ways(client)[way]
    with pytest.raises(MemoryEmpty, match=r'MEMORY_EMPTY: .*camera') as error:
        ask('What?')
    assert error.value.answer.status == Answer.MEMORY_EMPTY
    robot.see(1)
    with pytest.raises(BadRequest, match='question: expected some text'):
        ask(' ')
    with pytest.raises(AnswerTimeout, match='min_stamp') as error:
        ask('What?', min_stamp_ns=9 * S, timeout_s=8.0)  # half a second of it is the margin
    assert error.value.answer.status == Answer.TIMEOUT, 'the word of the question handler'
    with pytest.raises(AnswerTimeout) as error:
        ask('What?', max_new_tokens=LONG, timeout_s=1.0)
    assert error.value.answer.text, 'what was said until then'


@pytest.mark.parametrize('way', ['service', 'action'])
def test_a_status_that_is_not_known_is_an_error_of_no_kind(stand_in, namespace, way):
    stand_in.answer.set_result(Answer(status=99, message='of the future'))
    with (
        VStreamClient(namespace=namespace) as client,
        pytest.raises(AskError, match=r'^status 99: of the future$') as error,
    ):
        ways(client)[way]('What?')
    assert type(error.value) is AskError
    assert error.value.answer.status == 99


def test_where_nobody_serves_it_says_who_does(robot, namespace):
    with VStreamClient(namespace=namespace, find_timeout_s=10.0) as client:
        for ask in ways(client).values():
            with pytest.raises(ServerNotFound, match=f'nobody answers {namespace}/ask; ') as error:
                ask('What?')
            assert robot.namespace in error.value.namespaces
            assert f'namespace {error.value.namespaces[0]} has one' in str(error.value)
        assert not client.is_served()


def test_timeouts_hold_under_simulated_time_without_a_clock(namespace, spun):
    spun.node.set_parameters([Parameter('use_sim_time', value=True)])
    with VStreamClient(spun.node, namespace) as client, pytest.raises(ServerNotFound):
        client.ask('What?', timeout_s=0.2)


def test_the_timeout_holds_where_the_question_handler_is_killed(
    robot, checkpoint, spun, namespace, tmp_path
):
    """In the midst of an answer: for a while it looks alive to all others."""
    robot.see(1)
    spun.node.create_publisher(MemorySnapshot, 'memory', LATCHED).publish(robot.memory)
    with (
        NodeProcess(
            'question_handler',
            {'model': checkpoint},
            namespace=namespace,
            environment={'OMP_NUM_THREADS': '1'},
            log=tmp_path / 'log',
        ) as handler,
        VStreamClient(namespace=namespace, find_timeout_s=90.0) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        assert client.ask('What?', min_stamp_ns=S, max_new_tokens=1, timeout_s=90.0).text
        pending = client.ask_async('What?', max_new_tokens=LONG, timeout_s=10.0)
        pieces = pending.pieces()
        assert next(pieces), 'the answer has begun'
        in_line = thread.submit(client.ask, 'And?', timeout_s=10.0)
        handler.process.kill()
        handler.process.wait()
        for end in (pending.result, lambda: list(pieces), in_line.result):
            with pytest.raises(AnswerTimeout, match='10 s passed without a word') as error:
                end()
            assert error.value.answer is None


@pytest.mark.parametrize('way', ['service', 'action'])
def test_the_timeout_holds_where_the_question_handler_hangs(robot, client, way):
    robot.see(1)
    assert client.ask('What?', min_stamp_ns=S, max_new_tokens=1).text is not None
    process = robot.processes['question_handler'].process
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(AnswerTimeout, match='1 s passed without a word'):
            ways(client)[way]('What?', timeout_s=1.0)
        for ask in ways(client).values():  # they would all be taken up when it goes on
            with pytest.raises(ServerNotFound, match='does not answer; does it hang'):
                ask('And now?', timeout_s=0.2)
    finally:
        process.send_signal(signal.SIGCONT)
    assert client.ask('What?', max_new_tokens=1).status == Answer.OK


@pytest.mark.parametrize('way', ['service', 'action'])
def test_without_a_timeout_the_end_of_the_question_handler_ends_the_waiting(namespace, way):
    stand_in = StandIn(namespace)
    with VStreamClient(namespace=namespace) as client:
        job = ThreadPoolExecutor(1).submit(ways(client)[way], 'What?', timeout_s=None)
        wait_until(lambda: stand_in.requests, 'the question has arrived')
        assert stand_in.requests[0].timeout.sec == 0, "the question handler's default"
        stand_in.close()
        with pytest.raises(ServerGone, match='has gone'):
            job.result()


def an_exchange(find_servers, timeout_s=None):
    """An exchange with somebody who has been met."""
    met = SimpleNamespace(is_met=lambda: True, is_served=lambda: True, forget=Mock())
    return Exchange(SimpleNamespace(timeout_s=timeout_s), met, print, 1.0, str, find_servers)


@pytest.mark.parametrize('is_taken_up', [False, True])
def test_after_a_question_that_nobody_took_up_the_next_waits_for_a_handshake(is_taken_up):
    exchange = an_exchange(lambda age_s: frozenset(), timeout_s=1e-9)
    exchange.look()
    if is_taken_up:
        exchange.accept(Mock(accepted=True))
    exchange.look()
    with pytest.raises(AnswerTimeout):
        exchange.answered.result(0)
    assert exchange._handshake.forget.called != is_taken_up
    late = Mock(accepted=True)
    assert exchange.accept(late), 'its result is waited for, or rclpy keeps its feedback for ever'
    assert late.cancel_goal_async.called


def test_a_question_handler_that_does_not_know_the_goal_was_started_anew():
    """It answers with an empty answer, whose status reads as OK."""
    exchange = an_exchange(lambda age_s: frozenset())
    done = Future()
    response = AskAction.Impl.GetResultService.Response(status=GoalStatus.STATUS_UNKNOWN)
    assert response.result.answer.status == Answer.OK
    done.set_result(response)
    _finish(exchange, done)
    with pytest.raises(ServerGone, match='started anew'):
        exchange.answered.result(0)


def test_another_question_handler_in_the_place_of_a_killed_one_ends_the_waiting():
    """It serves, and knows nothing of what was asked before."""
    servers = [frozenset([b'killed'])]
    exchange = an_exchange(lambda age_s: servers[-1])
    exchange.look()
    servers.append(frozenset([b'killed', b'new']))  # listed until it is missed
    exchange.look()
    assert not exchange.answered.done()
    servers.append(frozenset([b'new']))
    exchange.look()
    with pytest.raises(ServerGone, match='has gone'):
        exchange.answered.result(0)


def test_the_first_of_two_ends_on_two_threads_counts(monkeypatch):
    """The end of the client comes on any thread, also in the midst of another one."""
    exchange = an_exchange(lambda age_s: frozenset())
    begun = threading.Event()
    begin = exchange.answered.set_running_or_notify_cancel

    def slowly() -> bool:
        begun.set()
        time.sleep(0.2)
        return begin()

    monkeypatch.setattr(exchange.answered, 'set_running_or_notify_cancel', slowly)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(exchange.fail, AskError('first'))
        assert begun.wait(10.0)
        second = threads.submit(exchange.fail, AskError('second'))
        for job in (first, second):
            job.result()
    with pytest.raises(AskError, match='first'):
        exchange.answered.result()
