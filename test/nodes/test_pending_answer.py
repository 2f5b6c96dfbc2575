# SPDX-License-Identifier: Apache-2.0
"""Answers that are still to come, of real nodes: read as they are spoken, awaited, cancelled."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from action_msgs.msg import GoalStatus, GoalStatusArray
from asking import LONG, caught, wait_until_spoken
from flash_vstream_ros.msg import Answer
from rclpy.qos import qos_profile_action_status_default
from robots import S, wait_until

from flash_vstream_ros.nodes import client as client_module
from flash_vstream_ros.nodes.ask_errors import AskError, Busy, Cancelled
from flash_vstream_ros.nodes.client import VStreamClient


@pytest.fixture
def busy(robot, client):
    """A question handler at work on a question that takes long."""
    robot.see(2)
    before = len(robot.said)
    pending = client.ask_async('What happened?', min_stamp_ns=2 * S, max_new_tokens=LONG)
    wait_until_spoken(robot, before)
    yield pending
    pending.cancel()
    with pytest.raises(AskError):
        pending.result()


@pytest.fixture
def goals(robot, spun):
    """Status of each goal of the robot's question handler, by its identity."""
    status = {}
    spun.node.create_subscription(
        GoalStatusArray,
        f'{robot.namespace}/ask/_action/status',
        lambda goals: status.update(
            {bytes(goal.goal_info.goal_id.uuid): goal.status for goal in goals.status_list}
        ),
        qos_profile_action_status_default,
    )
    return status


def test_a_coroutine_that_is_cancelled_cancels_its_question(robot, client, goals):
    robot.see(1)
    before = set(robot.said)

    async def ask():
        pending = client.ask_async('What?', min_stamp_ns=S, max_new_tokens=LONG)
        await asyncio.to_thread(wait_until_spoken, robot, len(before))
        await asyncio.wait_for(pending, 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    (goal,) = set(robot.said) - before
    wait_until(lambda: goals.get(goal) == GoalStatus.STATUS_CANCELED, 'the goal is cancelled')


def test_the_answer_can_be_read_as_it_is_spoken(robot, client):
    robot.see(2)
    pending = client.ask_async('What is it?', min_stamp_ns=2 * S, max_new_tokens=40)
    pieces = list(pending.pieces())
    assert len(pieces) > 3
    assert ''.join(pieces) == pending.result().text
    assert pending.result().text == robot.ask('What is it?', max_new_tokens=40).text
    assert list(pending.pieces()) == [pending.result().text], 'it has been spoken already'


def test_of_choices_the_answer_is_the_only_piece(robot, client):
    robot.see(1)
    pending = client.ask_async('Is it day?', ['yes', 'no'], min_stamp_ns=S)
    assert list(pending.pieces()) == [pending.result().text]


def test_whoever_stops_reading_cancels_the_question(robot, client):
    robot.see(1)
    pending = client.ask_async('What?', min_stamp_ns=S, max_new_tokens=LONG)
    pieces = pending.pieces()
    first = next(pieces)
    pieces.close()
    with pytest.raises(Cancelled) as error:
        pending.result()
    assert error.value.answer.status == Answer.CANCELLED
    assert error.value.answer.text.startswith(first)


def test_a_question_is_cancelled_from_another_thread(busy):
    reader = ThreadPoolExecutor(1).submit(lambda: list(busy.pieces()))
    busy.cancel()
    with pytest.raises(Cancelled, match='CANCELLED: '):
        reader.result()


def test_a_question_is_cancelled_before_it_is_sent(namespace):
    with VStreamClient(namespace=namespace) as client:
        pending = client.ask_async('What?')
        pending.cancel()
        with pytest.raises(Cancelled, match='before it was sent'):
            pending.result()
        with pytest.raises(Cancelled):
            next(pending.pieces())


def test_a_client_that_is_closed_cancels_what_the_robot_works_on(robot, goals):
    robot.see(1)
    before = set(robot.said)
    with VStreamClient(namespace=robot.namespace) as client:
        client.ask_async('What?', min_stamp_ns=S, max_new_tokens=LONG)
        wait_until_spoken(robot, len(before))
    (goal,) = set(robot.said) - before
    wait_until(lambda: goals.get(goal) == GoalStatus.STATUS_CANCELED, 'the goal is cancelled')


def test_a_client_that_is_closed_cancels_what_was_not_yet_accepted(robot, goals, monkeypatch):
    monkeypatch.setattr(client_module, 'CLOSE_TIMEOUT_S', 60.0)
    robot.see(1)
    client = VStreamClient(namespace=robot.namespace)
    client.ask('What?', min_stamp_ns=S, max_new_tokens=1)  # they have met: now it sends at once
    former = robot.begin('And now?', max_new_tokens=1)
    former.result()
    wait_until(lambda: bytes(former.handle.goal_id.uuid) in goals, 'what was before')
    before = set(goals)
    process = robot.processes['question_handler'].process
    process.send_signal(signal.SIGSTOP)
    try:
        client.ask_async('What happened?', max_new_tokens=LONG)
        closing = ThreadPoolExecutor(1).submit(client.close)
        wait([closing], 0.5)
    finally:
        process.send_signal(signal.SIGCONT)
    closing.result()
    wait_until(lambda: set(goals) - before, 'the goal')
    (goal,) = set(goals) - before
    wait_until(lambda: goals[goal] == GoalStatus.STATUS_CANCELED, 'the goal is cancelled')


def test_a_question_too_many_is_told_busy(busy, client):
    asked = [client.ask_async('And?', max_new_tokens=1) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        ended = [threads.submit(caught, pending.result) for pending in asked]
        wait_until(lambda: any(job.done() for job in ended), 'one is refused')
        busy.cancel()
    errors = [job.result() for job in ended if isinstance(job.result(), Busy)]
    assert len(errors) == 1
    assert 'queue_size 1' in str(errors[0])
