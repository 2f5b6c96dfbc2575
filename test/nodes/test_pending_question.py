# SPDX-License-Identifier: Apache-2.0
"""One question on its way: read with defaults, faults by name, answered exactly once."""

import threading
import time

import pytest
from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.srv import Ask
from rclpy.task import Future
from robots import S, fill, picture

from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.nodes.memory_inbox import ReceivedMemory
from flash_vstream_ros.nodes.pending_question import PendingQuestion, Question

CONFIG = QuestionHandlerConfig(default_timeout=12.0, max_new_tokens=34)
ASKED = Question('Where?', (), '', 0, 5.0, 16)


@pytest.fixture
def pending():
    return PendingQuestion(ASKED, Future())


@pytest.fixture
def memory(vstream):
    memory = vstream.new_memory()
    for number in (1, 2):
        vstream.write(memory, picture(number), number * S)
    return ReceivedMemory(memory.snapshot(), 'camera', time.monotonic() - 3.0)


@pytest.mark.parametrize('request_type', [Ask.Request, AskAction.Goal])
def test_a_request_is_read_as_it_is(request_type):
    request = fill(
        request_type(),
        'Is it open?',
        choices=['yes', 'no'],
        camera='front',
        min_stamp_ns=7 * S + 1,
        timeout_s=1.25,
        max_new_tokens=9,
    )
    question = Question.from_request(request, CONFIG)
    assert question == Question('Is it open?', ('yes', 'no'), 'front', 7 * S + 1, 1.25, 9)


@pytest.mark.parametrize('request_type', [Ask.Request, AskAction.Goal])
def test_zeros_stand_for_the_defaults_of_the_node(request_type):
    question = Question.from_request(request_type(question='Where?'), CONFIG)
    assert question == Question('Where?', (), '', 0, 12.0, 34)


@pytest.mark.parametrize(
    ('values', 'fault'),
    [
        ({'question': ''}, 'question'),
        ({'question': ' \n'}, 'question'),
        ({'question': 'Open?', 'choices': ['yes', ' ']}, 'choices'),
        ({'question': 'Open?', 'choices': ['yes', 'no', 'yes ']}, 'choices'),
        ({'question': 'Open?', 'min_stamp_ns': -1}, 'min_stamp'),
        ({'question': 'Open?', 'timeout_s': -0.5}, 'timeout'),
    ],
)
def test_what_cannot_be_answered_is_told_by_name(values, fault):
    question = Question.from_request(fill(Ask.Request(), **values), CONFIG)
    assert question.fault().startswith(f'{fault}: expected')


def test_what_can_be_answered_has_no_fault():
    assert ASKED.fault() == ''
    assert Question('Open?', ('yes', 'no'), '', S, 0.001, 1).fault() == ''


def test_the_first_answer_counts(pending):
    assert not pending.is_finished
    assert pending.finish(Answer(text='first'))
    assert pending.is_finished
    assert not pending.finish(Answer(text='second'))
    assert not pending.fail(Answer.TIMEOUT, 'too late')
    assert pending.answered.result().text == 'first'


def test_of_many_threads_one_answers(pending):
    ready = threading.Barrier(8)
    won = []

    def answer(number: int) -> None:
        ready.wait()
        if pending.finish(Answer(text=str(number))):
            won.append(number)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert pending.answered.result().text == str(won[0])


def test_a_failure_keeps_what_was_said_and_says_why_apart_from_it(pending):
    pending.begin_work()
    pending.say('on the')
    pending.say(' table')
    assert pending.fail(Answer.TIMEOUT, pending.why_late())
    answer = pending.answered.result()
    assert (answer.status, answer.text) == (Answer.TIMEOUT, 'on the table')
    assert answer.finish_reason == 'deadline'
    assert answer.message == '5 s passed while answering; text holds what was said until then'


def test_a_question_that_nobody_took_up_was_late_behind_others(pending):
    assert pending.why_late() == '5 s passed behind other questions'
    pending.fail(Answer.TIMEOUT, pending.why_late())
    assert pending.answered.result().text == ''


@pytest.mark.parametrize(
    ('status', 'reason'),
    [(Answer.CANCELLED, 'cancelled'), (Answer.TIMEOUT, 'deadline'), (Answer.BUSY, '')],
)
def test_a_failure_names_how_it_ended_as_the_model_does(pending, status, reason):
    pending.fail(status, 'why')
    assert pending.answered.result().finish_reason == reason


def test_pieces_are_passed_on_until_the_answer(memory):
    said = []
    pending = PendingQuestion(ASKED, Future(), lambda text, piece: said.append((text, piece)))
    pending.say('on')
    pending.say(' the\0')
    pending.fail(Answer.CANCELLED, 'as asked')
    pending.say(' table')
    assert said == [('on', 'on'), ('on the\ufffd', ' the\ufffd')]


def test_work_begins_only_while_there_is_no_answer(pending):
    assert pending.begin_work()
    pending.fail(Answer.CANCELLED, 'as asked')
    assert not pending.begin_work()


def test_the_time_in_line_is_part_of_the_times(pending):
    pending.asked -= 2.0
    pending.begin_work()
    pending.finish(Answer(answer_tokens=3, time_to_first_token=0.25, total_time=0.5))
    answer = pending.answered.result()
    assert answer.queue_time >= 2.0
    assert answer.time_to_first_token == pytest.approx(answer.queue_time + 0.25)
    assert answer.total_time >= answer.queue_time


def test_without_a_token_there_is_no_time_to_the_first(pending):
    pending.asked -= 2.0
    pending.fail(Answer.TIMEOUT, 'too late')
    answer = pending.answered.result()
    assert answer.time_to_first_token == 0.0
    assert answer.queue_time == pytest.approx(answer.total_time)
    assert answer.total_time >= 2.0


@pytest.mark.parametrize('stale_after', [1.0, 60.0])
@pytest.mark.parametrize('status', [Answer.OK, Answer.TIMEOUT, Answer.CANCELLED])
def test_an_answer_names_its_memory_however_it_ended(pending, memory, status, stale_after):
    pending.begin_work()
    pending.read(memory, 'camera', stale_after)
    pending.finish(Answer()) if status == Answer.OK else pending.fail(status, 'why')
    answer = pending.answered.result()
    assert answer.frames_seen == 2
    assert answer.memory_id == memory.snapshot.memory_id
    assert len(answer.key_stamps) == 2
    assert answer.stale == (stale_after == 1.0)
    assert answer.memory_age >= 3.0


def test_a_question_that_read_no_memory_names_none(pending):
    pending.fail(Answer.MEMORY_EMPTY, 'no frame memorised yet')
    answer = pending.answered.result()
    assert (answer.frames_seen, answer.memory_id, answer.stale) == (0, 0, False)
