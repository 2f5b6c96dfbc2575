# SPDX-License-Identifier: Apache-2.0
"""Questions answered together: as if each were alone, in order, and a failure is no one else's."""

from collections import deque
from unittest.mock import Mock

import pytest
import torch
from flash_vstream_ros.msg import Answer
from rclpy.logging import get_logger
from rclpy.task import Future
from robots import S, picture

from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.nodes.answering import Answering
from flash_vstream_ros.nodes.conversions import answer_to_message, ros_text
from flash_vstream_ros.nodes.pending_question import PendingQuestion, Question


class Asked:
    """Questions to one memory, whose jobs the test runs one by one."""

    def __init__(self, vstream, size: int) -> None:
        self.vstream, self.jobs = vstream, deque()
        self.failures: list[tuple[str, str]] = []
        self.begun: list[tuple[str, bool]] = []  # and whether alone
        memory = vstream.new_memory()
        for second in (1, 2):
            vstream.write(memory, picture(second), second * S)
        self.snapshot = memory.snapshot()
        self.answering = Answering(
            vstream.new_batch() if size > 1 else None,
            size,
            self._start,
            lambda pending, answer: pending.finish(answer_to_message(answer)),
            self._fail,
            self.jobs.append,
            get_logger('answering'),
        )

    def _start(self, pending: PendingQuestion, batch: ContinuousBatch | None):
        if not pending.begin_work():
            return None
        self.begun.append((pending.question.text, batch is None))
        if pending.question.text == 'nonsense':
            raise ZeroDivisionError('of the model')
        return self.vstream.stream_answer(
            self.snapshot,
            pending.question.text,
            pending.question.choices,
            max_new_tokens=pending.question.max_new_tokens,
            cancelled=lambda: pending.is_finished,
            batch=batch,
        )

    def _fail(self, error: BaseException, pending: PendingQuestion) -> None:
        self.failures.append((pending.question.text, str(error)))
        pending.fail(Answer.MODEL_ERROR, str(error))

    def ask(self, text: str, tokens: int = 5, choices: tuple[str, ...] = ()) -> PendingQuestion:
        pending = PendingQuestion(Question(text, choices, '', 0, 30.0, tokens), Future())
        self.answering.take(pending)
        return pending

    def work(self, jobs: int = 1000) -> None:
        """Do so many jobs, or what there is."""
        while self.jobs and jobs:
            self.jobs.popleft()()
            jobs -= 1

    def alone(self, pending: PendingQuestion) -> str:
        question = pending.question
        options = {'max_new_tokens': question.max_new_tokens}
        return ros_text(
            self.vstream.answer(self.snapshot, question.text, question.choices, **options).text
        )


def answers(asked: list[PendingQuestion]) -> list[Answer]:
    return [pending.answered.result() for pending in asked]


@pytest.mark.parametrize('size', [1, 2, 8])
def test_each_gets_the_answer_it_would_get_alone(vstream, size):
    asked = Asked(vstream, size)
    pending = [asked.ask(f'Question {n}?', tokens=3 + 2 * n) for n in range(6)]
    pending.append(asked.ask('Is it?', choices=('yes', 'no')))
    asked.work()
    for one, answer in zip(pending, answers(pending), strict=True):
        assert (answer.status, answer.text) == (Answer.OK, asked.alone(one))
    assert asked.answering.most == min(size, 7)
    assert [text for text, _ in asked.begun] == [one.question.text for one in pending]
    assert {is_alone for _, is_alone in asked.begun} == {size == 1}


def test_the_next_begins_when_one_has_ended(vstream):
    asked = Asked(vstream, 2)
    short, long, third = asked.ask('a', tokens=2), asked.ask('b', tokens=9), asked.ask('c')
    asked.work(1)
    assert not short.answered.done()
    assert len(asked.begun) == 2
    asked.work(1)
    assert short.answered.done(), 'a token of each in a pass'
    assert asked.begun[2] == ('c', False), 'joins while another still speaks'
    asked.work()
    assert all(answer.status == Answer.OK for answer in answers([long, third]))


def test_all_that_join_share_a_pass(vstream, monkeypatch):
    asked = Asked(vstream, 8)
    passes = []
    forward = vstream.language_model.llama.forward
    for n in range(8):
        asked.ask(f'Question {n}?', tokens=5)
    monkeypatch.setattr(
        vstream.language_model.llama,
        'forward',
        lambda *a, **k: passes.append(1) or forward(*a, **k),
    )
    asked.work()
    assert len(passes) == 5


def test_who_is_cancelled_leaves_and_makes_room(vstream):
    asked = Asked(vstream, 2)
    first, second = asked.ask('a', tokens=500), asked.ask('b', tokens=6)
    third, fourth = asked.ask('c'), asked.ask('d')
    asked.work(2)
    first.fail(Answer.CANCELLED, 'by the test')
    third.fail(Answer.CANCELLED, 'while it waited')
    asked.work()
    assert [answer.status for answer in answers([second, fourth])] == [Answer.OK, Answer.OK]
    assert ('c', False) not in asked.begun
    assert fourth.answered.result().text == asked.alone(fourth)
    assert not asked.jobs, 'nothing is left to do'


def break_passes(monkeypatch, count: int) -> None:
    """Let the next passes of a batch fail."""
    step, left = ContinuousBatch.step, [count]

    def broken(batch: ContinuousBatch) -> None:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError('full')
        step(batch)

    monkeypatch.setattr(ContinuousBatch, 'step', broken)


def test_where_a_pass_of_several_fails_each_is_answered_alone(vstream, monkeypatch):
    asked = Asked(vstream, 4)
    pending = [asked.ask(f'Question {n}?') for n in range(4)]
    late = asked.ask('And now?')
    break_passes(monkeypatch, 1)
    asked.work()
    for one, answer in zip([*pending, late], answers([*pending, late]), strict=True):
        assert (answer.status, answer.text) == (Answer.OK, asked.alone(one))
    alone = {text for text, is_alone in asked.begun if is_alone}
    assert alone == {one.question.text for one in pending}
    assert not asked.failures


def test_what_was_said_cannot_be_taken_back(vstream, monkeypatch):
    asked = Asked(vstream, 4)
    talking = asked.ask('a', tokens=50)
    asked.work(4)
    assert talking.text
    fresh = asked.ask('b')
    break_passes(monkeypatch, 1)
    asked.work()
    assert talking.answered.result().status == Answer.MODEL_ERROR
    assert talking.answered.result().text, 'what was said is kept'
    assert fresh.answered.result().status == Answer.OK


def test_a_question_that_fails_alone_has_failed(vstream, monkeypatch):
    asked = Asked(vstream, 4)
    break_passes(monkeypatch, 1)
    lost = asked.ask('a')
    asked.work()
    assert asked.failures == [('a', 'full')]
    assert lost.answered.result().status == Answer.MODEL_ERROR
    after = asked.ask('b')
    asked.work()
    assert after.answered.result().status == Answer.OK


def test_a_question_that_cannot_be_asked_harms_no_other(vstream):
    """Its fault shows only when its work begins."""
    asked = Asked(vstream, 4)
    talking = asked.ask('a', tokens=20)
    asked.work(4)
    assert talking.text
    lost = asked.ask('word ' * 20_000)
    asked.work()
    assert 'do not fit' in lost.answered.result().message
    assert talking.answered.result().status == Answer.OK
    assert talking.answered.result().text == asked.alone(talking)


def test_a_question_whose_memory_cannot_be_read_is_tried_once(vstream, monkeypatch):
    asked = Asked(vstream, 4)
    talking = asked.ask('a', tokens=20)
    asked.work(4)
    prepare = vstream.prepare
    monkeypatch.setattr(vstream, 'prepare', _full)
    lost = asked.ask('b')
    monkeypatch.setattr(vstream, 'prepare', prepare)
    asked.work()
    assert asked.failures == [('b', 'full')]
    assert lost.answered.result().status == Answer.MODEL_ERROR
    assert talking.answered.result().status == Answer.OK


def _full(snapshot):
    raise torch.OutOfMemoryError('full')


@pytest.mark.parametrize('error', [torch.OutOfMemoryError('full'), ValueError('half \ud800')])
def test_a_fault_of_ours_lets_the_others_go_on(vstream, monkeypatch, error):
    """Also one whose words no log takes."""
    asked = Asked(vstream, 4)
    first, second = asked.ask('a', tokens=2), asked.ask('b', tokens=6)
    monkeypatch.setattr(first, 'finish', Mock(side_effect=error))
    asked.work()
    assert second.answered.result().status == Answer.OK


@pytest.mark.parametrize('size', [1, 4])
def test_a_question_that_cannot_begin_fails_and_the_others_go_on(vstream, size):
    asked = Asked(vstream, size)
    before, lost, after = asked.ask('a'), asked.ask('nonsense'), asked.ask('b')
    asked.work()
    assert asked.failures == [('nonsense', 'of the model')]
    assert [answer.status for answer in answers([before, lost, after])] == [
        Answer.OK,
        Answer.MODEL_ERROR,
        Answer.OK,
    ]
