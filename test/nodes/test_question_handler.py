# SPDX-License-Identifier: Apache-2.0
"""The question handler as a process: every question gets an answer or a status that says why."""

import sys
from itertools import count
from uuid import uuid4

import pytest
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.srv import Ask
from rclpy.action import ActionClient
from robots import (
    AskAction,
    Goal,
    S,
    SpunNode,
    fill,
    image_message,
    picture,
    result_of,
    wait_until,
)

from flash_vstream_ros.core.time_range import LimitedSnapshot
from flash_vstream_ros.nodes import question_handler
from flash_vstream_ros.nodes.conversions import ns_to_time, ros_text, time_to_ns

LONG = 3000  # tokens: seconds of work, should nobody end it


@pytest.fixture
def busy(robot):
    """A robot with a memory, answering a question that takes long."""
    robot.see(3)
    goal = robot.begin('What happened?', max_new_tokens=LONG)
    wait_until(lambda: goal.feedback, 'the answer has begun')
    yield robot
    goal.cancel()
    goal.result()


def test_it_says_what_it_does(robot):
    log = robot.log('question_handler')
    assert f'for encoder {robot.memory.encoder_id} on cpu answers /robot/ask' in log


def test_before_the_first_frame_the_memory_is_empty(robot):
    answer = robot.ask('Where?')
    assert answer.status == Answer.MEMORY_EMPTY
    assert 'camera' in answer.message
    assert answer.text == ''
    status, answer = robot.begin('Where?').result()
    assert (status, answer.status) == (GoalStatus.STATUS_ABORTED, Answer.MEMORY_EMPTY)


def test_of_a_flood_every_question_gets_an_answer_or_is_told_busy(robot):
    robot.see(1)
    sent = [robot.send(f'Question {n}?', max_new_tokens=100) for n in range(50)]
    answers = [result_of(future).answer for future in sent]
    statuses = [answer.status for answer in answers]
    assert set(statuses) == {Answer.OK, Answer.BUSY}
    assert statuses.count(Answer.OK) >= 2, 'one at work and one in line'
    for answer in answers:
        assert bool(answer.text) == (answer.status == Answer.OK)
        assert ('queue_size 1' in answer.message) == (answer.status == Answer.BUSY)
    assert robot.ask('And now?', max_new_tokens=1).status == Answer.OK


def test_a_flood_of_goals_as_well(robot):
    robot.see(1)
    goals = [robot.begin(f'Question {n}?', max_new_tokens=200) for n in range(10)]
    ended = [goal.result() for goal in goals]
    assert {answer.status for _, answer in ended} == {Answer.OK, Answer.BUSY}
    for status, answer in ended:
        assert (status == GoalStatus.STATUS_SUCCEEDED) == (answer.status == Answer.OK)


def test_time_that_passes_in_line_is_a_timeout(busy):
    answer = busy.ask('Where?', timeout_s=0.1)
    assert answer.status == Answer.TIMEOUT
    assert answer.message == '0.1 s passed behind other questions'
    assert answer.text == ''
    assert answer.queue_time == pytest.approx(answer.total_time)


def test_time_that_passes_while_answering_keeps_what_was_said(robot, vstream):
    frames = robot.see(3)
    answer = robot.ask('What happened?', timeout_s=0.5, max_new_tokens=LONG)
    assert answer.status == Answer.TIMEOUT
    assert answer.finish_reason == 'deadline'
    assert answer.message == '0.5 s passed while answering; text holds what was said until then'
    memory = vstream.new_memory()
    for number, frame in enumerate(frames, start=1):
        vstream.write(memory, frame, number * S)
    whole = vstream.answer(memory.snapshot().to_float16(), 'What happened?', max_new_tokens=60)
    assert answer.text
    said = answer.text[:40]  # or less: a slow machine says less in that time
    assert said == ros_text(whole.text)[: len(said)]
    assert answer.frames_seen == 3
    assert answer.memory_id == robot.memory.memory_id


def test_a_cancelled_answer_ends_within_a_token_and_keeps_what_was_said(robot):
    robot.see(3)
    goal = robot.begin('What happened?', max_new_tokens=LONG)
    wait_until(lambda: len(goal.feedback) > 5, 'pieces')
    goal.cancel()
    status, answer = goal.result()
    assert (status, answer.status) == (GoalStatus.STATUS_CANCELED, Answer.CANCELLED)
    assert answer.finish_reason == 'cancelled'
    assert answer.message
    assert answer.frames_seen == 3
    pieces = [said.piece for said in goal.feedback]
    assert answer.text.startswith(''.join(pieces[:5]))
    # The next question begins at once, not after the thousands of tokens that were left.
    after = robot.ask('And now?', max_new_tokens=1, timeout_s=1.0)
    assert after.status == Answer.OK
    # One piece may be on its way either way when the answer is fixed.
    said = ''.join(said.piece for said in goal.feedback)
    assert said.startswith(answer.text[:-20])
    assert len(said) <= len(answer.text) + 20


@pytest.mark.parametrize('fields', [{}, {'min_stamp_ns': 99 * S}])
def test_a_waiting_question_can_be_cancelled(busy, fields):
    goal = busy.begin('And then?', **fields)
    goal.cancel()
    status, answer = goal.result()
    assert (status, answer.status) == (GoalStatus.STATUS_CANCELED, Answer.CANCELLED)
    assert answer.text == ''
    assert goal.feedback == []


def test_a_goal_cancelled_before_its_work_begins_ends_too(robot):
    """Goal and cancellation arrive together: the second before the work on the first begins."""
    robot.see(1)
    cancelling = robot.station.node.create_client(CancelGoal, 'ask/_action/cancel_goal')
    wait_until(cancelling.service_is_ready, 'the service')
    for _ in range(20):
        request = CancelGoal.Request()
        request.goal_info.goal_id.uuid = list(uuid4().bytes)
        asked = fill(AskAction.Goal(), 'What happened?', max_new_tokens=LONG)
        sent = robot.acting.send_goal_async(asked, goal_uuid=request.goal_info.goal_id)
        cancelling.call_async(request)
        handle = result_of(sent)
        handle.cancel_goal_async()  # the other one may have come too early
        result = result_of(handle.get_result_async())
        assert result.status == GoalStatus.STATUS_CANCELED
        assert result.result.answer.status == Answer.CANCELLED


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'question': ''}, ['question', 'expected some text']),
        ({'question': ' \n '}, ['question', 'expected some text']),
        ({'question': 'Open?', 'choices': ['yes', '']}, ['choices', 'expected some text']),
        ({'question': 'Open?', 'timeout_s': -1.0}, ['timeout', '-1.0']),
        ({'question': 'Open?', 'min_stamp_ns': -S}, ['min_stamp', '-1000000000']),
        ({'question': 'Open?', 'camera': 'rear'}, ['camera', "'rear'", "'camera'"]),
        ({'question': 'Open? ' * 5000}, ['question', '4096', 'shorter']),
        ({'question': 'Open?', 'choices': ['yes', 'no ' * 9000]}, ['choices', 'expected at most']),
        (
            {'question': 'Where?', 'choices': [f'in room {number}' for number in range(101)]},
            ['choices', 'expected at most 100, got 101'],
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(robot, fields, words):
    robot.see(1)
    answer = robot.ask(**fields)
    assert answer.status == Answer.BAD_REQUEST
    for word in words:
        assert word in answer.message
    assert answer.text == ''
    assert robot.begin(**fields).result()[0] == GoalStatus.STATUS_ABORTED


@pytest.mark.parametrize('camera', ['', 'camera'])
def test_the_camera_may_be_named(robot, camera):
    robot.see(1)
    assert robot.ask('Open?', camera=camera, max_new_tokens=1).status == Answer.OK


def test_a_question_waits_until_the_memory_has_seen_its_stamp(robot):
    robot.see(1)
    waiting = robot.send('And then?', min_stamp_ns=3 * S, max_new_tokens=4)
    robot.see(1, start_s=2)
    assert robot.ask('And now?', max_new_tokens=1).frames_seen == 2
    assert not waiting.done()
    robot.see(1, start_s=3)
    answer = result_of(waiting).answer
    assert answer.status == Answer.OK
    assert (answer.frames_seen, time_to_ns(answer.newest_stamp)) == (3, 3 * S)


def test_a_stamp_that_does_not_come_is_a_timeout_that_says_so(robot):
    robot.see(2)
    answer = robot.ask('And then?', min_stamp_ns=3 * S, timeout_s=0.2)
    assert answer.status == Answer.TIMEOUT
    assert 'has not seen min_stamp 3000000000 ns' in answer.message
    assert 'newest frame: 2000000000 ns' in answer.message


def test_an_answer_is_stale_when_no_memory_has_come_for_long(robot):
    robot.see(1)
    assert not robot.ask('Where?', max_new_tokens=1).stale
    ages = iter(lambda: robot.ask('Where?', max_new_tokens=1), None)
    stale = wait_until(lambda: (answer := next(ages)).stale and answer, 'a stale answer')
    assert stale.status == Answer.OK
    assert stale.memory_age > 1.0
    robot.see(1, start_s=2)
    assert not robot.ask('Where?', max_new_tokens=1).stale


def test_a_long_answer_is_not_stale_while_frames_go_on(robot):
    """stale_after is 1 s here, and the answer takes longer: the camera is well all the same."""
    robot.see(1)
    answering = robot.send('What happened?', max_new_tokens=LONG, timeout_s=1.5)
    stamps = count(2)
    while not answering.done():
        number = next(stamps)
        robot.show(image_message(picture(number), number * S))
    answer = result_of(answering).answer
    assert answer.status == Answer.TIMEOUT
    assert answer.memory_age > 1.0
    assert not answer.stale


def test_who_asks_and_dies_harms_nobody(robot):
    robot.see(1)
    victim = SpunNode('/robot', 'victim')
    service = victim.node.create_client(Ask, 'ask')
    action = victim.call(ActionClient, victim.node, AskAction, 'ask')
    wait_until(lambda: service.service_is_ready() and action.server_is_ready(), 'the server')
    asked = fill(AskAction.Goal(), 'What happened?', max_new_tokens=500)
    goal = Goal(action, asked, robot.said)
    wait_until(lambda: goal.feedback, 'the answer has begun')
    service.call_async(fill(Ask.Request(), 'And then?', max_new_tokens=1))
    wait_until(lambda: robot.ask('Busy?').status == Answer.BUSY, 'both questions have arrived')
    victim.close()
    wait_until(lambda: robot.ask('And now?', max_new_tokens=1).text, 'an answer')
    assert not robot.processes['question_handler'].has_ended


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (["model:=''"], ['model', 'folder', 'hub id', 'none']),
        (['model:=/nowhere/at/all'], ['/nowhere/at/all', 'no such folder']),
        (['queue_size:=0'], ['queue_size', '0', '1000']),
        (['queue_size:=1.5'], ['queue_size', '1.5', 'int']),
        (['temperature:=hot'], ['temperature', "'hot'", 'float']),
        (['dtype:=float8'], ['dtype', "'float8'", 'bfloat16']),
        # Said before the weights are read.
        (['model:=/nowhere', 'device:=cpu', 'decoding:=graph'], ['decoding', 'cpu', 'compiled']),
    ],
)
def test_what_makes_a_start_impossible_is_named(monkeypatch, caplog, arguments, words):
    given = [word for argument in arguments for word in ('-p', argument)]
    monkeypatch.setattr(sys, 'argv', ['question_handler', '--ros-args', *given])
    monkeypatch.setattr('signal.signal', lambda *_: None)  # they stay pytest's
    assert question_handler.main() == 1
    assert len(caplog.records) == 1
    for word in words:
        assert word in caplog.text


def test_a_question_about_a_stretch_of_time_sees_nothing_else(robot, vstream):
    frames = robot.see(12)
    memory = vstream.new_memory()
    for second, frame in enumerate(frames, 1):
        vstream.write(memory, frame, second * S)
    limited = LimitedSnapshot(memory.snapshot().to_float16(), 9 * S, 10 * S)
    stretch = {'from_stamp': ns_to_time(9 * S), 'to_stamp': ns_to_time(10 * S)}
    answer = robot.ask('What is there?', max_new_tokens=6, **stretch)
    expected = vstream.answer(limited, 'What is there?', max_new_tokens=6)
    assert (answer.status, answer.text) == (Answer.OK, expected.text)
    assert answer.prompt_tokens == expected.prompt_tokens
    assert {time_to_ns(stamp) for stamp in answer.key_stamps} <= {9 * S, 10 * S}
    whole = robot.ask('What is there?', max_new_tokens=6)
    assert whole.prompt_tokens > answer.prompt_tokens


def test_a_stretch_of_which_nothing_is_known_or_that_is_none_is_told(robot):
    robot.see(3)
    answer = robot.ask('What?', from_stamp=ns_to_time(50 * S))
    assert answer.status == Answer.MEMORY_EMPTY
    assert f'from {S} to {3 * S} ns, got from {50 * S} to {3 * S} ns' in answer.message
    backwards = {'from_stamp': ns_to_time(5 * S), 'to_stamp': ns_to_time(4 * S)}
    answer = robot.ask('What?', **backwards)
    assert answer.status == Answer.BAD_REQUEST
    assert 'to_stamp: expected 0 or at least 5000000000 ns, got 4000000000 ns' in answer.message
