# SPDX-License-Identifier: Apache-2.0
"""The line of questions: order, bounds, stamps, deadlines, whatever the worker is doing."""

import threading

import pytest
import torch
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.msg import MemorySnapshot as Message
from robots import TIMEOUT_S, S, picture, result_of, wait_until

from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.nodes.conversions import snapshot_to_message
from flash_vstream_ros.nodes.memories import Memories
from flash_vstream_ros.nodes.pending_question import PendingQuestion, Question
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.question_queue import QuestionQueue


class Line:
    """A queue whose work the test holds up: a question is answered when the test lets it."""

    def __init__(self, spun, vstream, queue_size: int) -> None:
        self.spun, self.vstream = spun, vstream
        self.taken: list[str] = []  # by the worker, those that have their answer among them
        self.begun: list[str] = []
        self._let = threading.Semaphore(0)
        self._memory = vstream.new_memory()
        self._publisher = spun.node.create_publisher(Message, 'memory', LATCHED)
        self.queue = spun.call(
            self._make, QuestionHandlerConfig(queue_size=queue_size, batch_size=1)
        )

    def _make(self, config: QuestionHandlerConfig) -> QuestionQueue:
        node = self.spun.node
        encoder_id = self.vstream.encoder_id
        memories = Memories(node, ['memory'], encoder_id, lambda: self.queue.start_ready())
        self.inbox = memories.inbox('')
        queue = QuestionQueue(node, config, memories, self._work)
        queue.open()
        return queue

    def _work(self, pending: PendingQuestion) -> None:
        text = pending.question.text
        self.taken.append(text)
        if not pending.begin_work():
            return
        self.begun.append(text)
        assert self._let.acquire(timeout=TIMEOUT_S)
        if text == 'a bug':
            raise ZeroDivisionError('of the model')
        if text == 'too large':
            raise torch.OutOfMemoryError('tried to allocate 1 TiB')
        if text == 'a server':
            raise ValueError('half \ud800 a pair' + 'x' * 1_000_000)
        pending.finish(Answer(text=f'answer to {text}'))

    def ask(self, text: str, min_stamp_s: int = 0, timeout_s: float = TIMEOUT_S):
        question = Question(text, (), '', min_stamp_s * S, timeout_s, 1)
        return self.spun.call(self.queue.ask, question)

    def let(self, count: int = 1) -> None:
        """Let the worker go on with so many questions."""
        self._let.release(count)

    def see(self, stamp_s: int, encoder_id: str = '') -> None:
        """Publish a memory that has seen a stamp."""
        self.vstream.write(self._memory, picture(stamp_s), stamp_s * S)
        message = snapshot_to_message(self._memory.snapshot(), Message())
        message.encoder_id = encoder_id or message.encoder_id
        self._publisher.publish(message)

    def close(self) -> None:
        self.let(100)
        self.spun.call(self.queue.close)


@pytest.fixture
def line(spun, vstream):
    line = Line(spun, vstream, queue_size=2)
    yield line
    line.close()


def answer_of(pending: PendingQuestion) -> Answer:
    return result_of(pending.answered)


def test_questions_are_answered_one_after_the_other_in_order(line):
    asked = [line.ask(text) for text in ('one', 'two', 'three')]
    wait_until(lambda: line.begun == ['one'], 'work on the first')
    line.let()
    wait_until(lambda: line.begun == ['one', 'two'], 'work on the second')
    line.let(2)
    assert [answer_of(p).text for p in asked] == [
        'answer to one',
        'answer to two',
        'answer to three',
    ]


def test_one_question_more_than_the_line_holds_is_told_busy_at_once(line):
    for text in ('one', 'two', 'three'):
        line.ask(text)
    refused = answer_of(line.ask('four'))
    assert refused.status == Answer.BUSY
    assert 'queue_size 2' in refused.message
    assert refused.text == ''
    wait_until(lambda: line.begun == ['one'], 'work on the first')


def test_an_answer_makes_room_for_a_question(line):
    asked = [line.ask(text) for text in ('one', 'two', 'three')]
    line.let()
    answer_of(asked[0])
    last = line.ask('four')
    line.let(3)
    assert answer_of(last).text == 'answer to four'


def test_questions_that_wait_for_a_stamp_are_counted(line):
    for number in (1, 2, 3):
        line.ask('waiting', min_stamp_s=number)
    assert answer_of(line.ask('one more')).status == Answer.BUSY


def test_what_cannot_be_answered_is_refused_before_the_line(line):
    for text in ('one', 'two', 'three'):
        line.ask(text)
    refused = answer_of(line.ask(' '))
    assert refused.status == Answer.BAD_REQUEST
    assert 'question' in refused.message


def test_a_question_whose_time_passes_in_line_is_not_worked_on(line):
    first = line.ask('one')
    late = answer_of(line.ask('two', timeout_s=0.05))
    assert late.status == Answer.TIMEOUT
    assert late.message == '0.05 s passed behind other questions'
    line.let(2)
    answer_of(first)
    third = line.ask('three')
    assert answer_of(third).text == 'answer to three'
    assert line.begun == ['one', 'three']


def test_a_deadline_is_kept_while_the_worker_is_stuck(line):
    late = line.ask('stuck', timeout_s=0.05)
    assert answer_of(late).status == Answer.TIMEOUT
    assert line.begun == ['stuck']


def test_deadlines_are_kept_again_after_a_time_without_questions(line):
    """The timer sleeps while nothing is pending."""
    for _ in range(2):
        line.let()
        answer_of(line.ask('quick'))
        assert answer_of(line.ask('late', min_stamp_s=9, timeout_s=0.05)).status == Answer.TIMEOUT


def test_a_question_waits_until_the_memory_has_seen_its_stamp(line):
    waiting = line.ask('later', min_stamp_s=5)
    line.see(4)
    wait_until(lambda: line.inbox.newest, 'a memory')
    line.let(2)
    assert answer_of(line.ask('now')).text == 'answer to now'
    assert not waiting.is_finished
    line.see(5)
    assert answer_of(waiting).text == 'answer to later'


def test_a_question_does_not_wait_for_what_the_memory_has_seen_already(line):
    line.see(5)
    wait_until(lambda: line.inbox.newest, 'a memory')
    line.let()
    assert answer_of(line.ask('now', min_stamp_s=5)).text == 'answer to now'


@pytest.mark.parametrize('seen_s', [0, 4])
def test_a_stamp_that_does_not_come_is_named_with_what_there_is(line, seen_s):
    if seen_s:
        line.see(seen_s)
        wait_until(lambda: line.inbox.newest, 'a memory')
    late = answer_of(line.ask('later', min_stamp_s=5, timeout_s=0.05))
    assert late.status == Answer.TIMEOUT
    assert 'has not seen min_stamp 5000000000 ns' in late.message
    assert (f'{seen_s * S} ns' if seen_s else 'there is none') in late.message
    line.see(6)
    line.let()
    assert answer_of(line.ask('now', min_stamp_s=6)).text == 'answer to now'
    assert line.taken == ['now'], 'it is forgotten when its stamp comes too late'


def test_a_memory_that_cannot_be_used_ends_the_wait_for_a_stamp(line):
    """What is worked on then finds out why; waiting on would only end in a timeout."""
    waiting = line.ask('later', min_stamp_s=5)
    line.let()
    line.see(1, encoder_id='another')
    assert answer_of(waiting).text == 'answer to later'


@pytest.mark.parametrize('min_stamp_s', [0, 5])
def test_a_cancelled_question_is_not_worked_on(line, min_stamp_s):
    line.ask('one')
    second = line.ask('two', min_stamp_s=min_stamp_s)
    line.spun.call(line.queue.cancel, second)
    assert answer_of(second).status == Answer.CANCELLED
    line.see(6)
    line.let(2)
    assert answer_of(line.ask('three')).text == 'answer to three'
    assert line.begun == ['one', 'three']
    assert ('two' in line.taken) == (min_stamp_s == 0), 'it no longer waits for its stamp'


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('a bug', ['ZeroDivisionError: of the model', 'see the log']),
        ('too large', ['OutOfMemoryError', '1 TiB', 'smaller dtype']),
        ('a server', ['ValueError: half \\ud800 a pairxxx', '...; see the log']),
    ],
)
def test_a_failure_of_the_model_fails_its_question_alone(line, capfd, text, words):
    failing, next_one = line.ask(text), line.ask('next')
    line.let(2)
    failed = answer_of(failing)
    assert failed.status == Answer.MODEL_ERROR
    for word in words:
        assert word in failed.message
    assert failed.text == ''
    assert len(failed.message) < 1000
    assert answer_of(next_one).text == 'answer to next'
    assert words[0] in capfd.readouterr().err


def test_the_end_of_the_node_ends_every_question(spun, vstream):
    line = Line(spun, vstream, queue_size=2)
    asked = [line.ask('running'), line.ask('in line'), line.ask('for a stamp', min_stamp_s=5)]
    wait_until(lambda: line.begun, 'work')
    closing = spun.executor.create_task(line.queue.stop)
    for pending in asked:
        answer = answer_of(pending)
        assert answer.status == Answer.CANCELLED
        assert 'shutting down' in answer.message
    assert not closing.done(), 'it waits for the worker'
    line.let()
    result_of(closing)
    assert line.begun == ['running']
    assert answer_of(line.ask('too late')).status == Answer.CANCELLED
