# SPDX-License-Identifier: Apache-2.0
"""Nothing stays of questions that have ended, whatever ended them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flash_vstream_ros.msg import Answer
from rclpy._rclpy_pybind11 import RCLError
from rclpy.action.client import ClientGoalHandle
from robots import wait_until
from spun_nodes import SpunNode
from stand_ins import StandIn

from flash_vstream_ros.nodes.ask_errors import AskError, ServerGone
from flash_vstream_ros.nodes.client import VStreamClient


def left_of(client: VStreamClient) -> list[object]:
    """What rclpy's action client still keeps of questions."""
    action = client._goals._action
    kept = [action._pending_goal_requests, action._pending_result_requests]
    kept += [action._goal_sequence_number_to_goal_id, action._result_sequence_number_to_goal_id]
    return [
        thing for table in (*kept, action._feedback_callbacks, action._futures) for thing in table
    ]


def test_nothing_stays_of_questions_that_were_answered(stand_in, namespace):
    stand_in.answer.set_result(Answer(text='yes'))
    with VStreamClient(namespace=namespace) as client:
        for _ in range(20):
            assert client.ask_async('What?').result().text == 'yes'
        wait_until(lambda: left_of(client) == [], 'nothing is left')


def test_nothing_stays_of_questions_whose_question_handler_has_gone(namespace):
    stand_in = StandIn(namespace)
    with VStreamClient(namespace=namespace) as client:
        asked = [client.ask_async('What?') for _ in range(3)]
        wait_until(lambda: len(stand_in.requests) == 3, 'the questions have arrived')
        assert left_of(client) != []
        stand_in.close()
        for pending in asked:
            with pytest.raises(ServerGone):
                pending.result()
        wait_until(lambda: left_of(client) == [], 'nothing is left')
        assert client._goals._action._goal_handles == {}


def test_an_answer_that_cannot_be_asked_for_is_an_error_of_its_question_only(
    stand_in, namespace, monkeypatch
):
    def refuse(goal: ClientGoalHandle) -> None:
        raise RCLError('no room')

    stand_in.answer.set_result(Answer(text='yes'))
    with VStreamClient(namespace=namespace) as client:
        with monkeypatch.context() as patched:
            patched.setattr(ClientGoalHandle, 'get_result_async', refuse)
            with pytest.raises(AskError, match='cannot be asked for: no room'):
                client.ask_async('What?').result()
        assert client.ask_async('What?').result().text == 'yes'


def test_whoever_asks_while_the_client_is_closed_gets_an_error_that_says_so(namespace):
    beside = SpunNode(namespace)

    def ask(client: VStreamClient, is_closed: threading.Event) -> None:
        while not is_closed.is_set():
            with pytest.raises(AskError):
                client.ask('What?', timeout_s=0.2)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(10):
            client = VStreamClient(beside.node, find_timeout_s=0.05)
            is_closed = threading.Event()
            asking = [threads.submit(ask, client, is_closed) for _ in range(4)]
            client.close()
            is_closed.set()
            for job in asking:
                job.result()
    beside.close()
