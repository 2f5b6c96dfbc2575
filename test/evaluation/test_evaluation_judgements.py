# SPDX-License-Identifier: Apache-2.0
"""Judgements of many answers: each once, kept, and gone on with."""

import json
import threading

import pytest
from evaluation_samples import record
from judge_server import MODEL, NO, YES, judge_at, serving

from flash_vstream_ros.evaluation.json_lines import JsonLines
from flash_vstream_ros.evaluation.judgements import judge_answers, with_verdicts
from flash_vstream_ros.evaluation.llm_judge import Verdict


def open_record(number: int, **changes):
    values = {'group': 'open', 'answer': f'answer {number}', 'correct': False}
    return record(number, **(values | changes))


def by_number(text: str) -> str:
    """Right is what has an even number."""
    number = int(text.split('Answer of the program: answer ')[1].split()[0])
    return NO if number % 2 else YES


def test_open_answers_are_judged_once_and_verdicts_kept(tmp_path):
    records = [*(open_record(n) for n in range(20)), record(20), record(21, group='unanswerable')]
    with serving(by_number) as server, JsonLines(tmp_path / 'j.jsonl') as kept:
        verdicts = judge_answers(judge_at(server), records, kept)
        assert len(server.requests) == len(verdicts) == len(kept.records) == 20
        again = judge_answers(judge_at(server), records, kept)
        assert again == verdicts
        assert len(server.requests) == 20
    judged = with_verdicts(records, verdicts)
    assert [r['correct'] for r in judged[:4]] == [True, False, True, False]
    assert [r['score'] for r in judged[:2]] == [4.0, 1.0]
    assert [r['judgement'] for r in judged[-3:]] == ['model', 'words', 'words']
    assert judged[20]['correct'] is True
    assert records[0]['correct'] is False  # what was written stays as it was


def test_failed_judgements_are_kept_shown_and_tried_again_by_the_next_run(tmp_path):
    records = [open_record(n) for n in range(6)]

    def fails_on_3(text: str) -> str | int:
        return 503 if 'answer 3' in text else by_number(text)

    with serving(fails_on_3) as server, JsonLines(tmp_path / 'j.jsonl') as kept:
        verdicts = judge_answers(judge_at(server), records, kept)
        judged = with_verdicts(records, verdicts)
        assert [r['judgement'] for r in judged] == ['model'] * 3 + ['failed'] + ['model'] * 2
        assert judged[3]['correct'] is False
        asked = len(server.requests)
        server.reply = by_number
        verdicts = judge_answers(judge_at(server), records, kept)
        assert len(server.requests) == asked + 1
    assert verdicts[('star', 'questions', 'walk_03')] == Verdict(False, 1.0, 1)
    lines = [json.loads(line) for line in (tmp_path / 'j.jsonl').read_text().splitlines()]
    assert len(lines) == 7  # the failure stays on record


def test_an_interrupted_judging_goes_on(tmp_path):
    records = [open_record(n) for n in range(12)]

    class Interrupted(Exception):
        pass

    def stop_after_5(verdicts):
        for number, verdict in enumerate(verdicts):
            if number == 5:
                raise Interrupted
            yield verdict

    with serving(by_number) as server:
        with JsonLines(tmp_path / 'j.jsonl') as kept, pytest.raises(Interrupted):
            judge_answers(judge_at(server), records, kept, stop_after_5)
        with JsonLines(tmp_path / 'j.jsonl') as kept:
            assert 5 <= len(kept.records) <= 12
            verdicts = judge_answers(judge_at(server), records, kept)
            assert len(kept.records) == 12
    assert [verdicts['star', 'questions', r['id']].correct for r in records] == [True, False] * 6


def test_another_judge_judges_anew(tmp_path):
    records = [open_record(0)]
    with serving(by_number) as server, JsonLines(tmp_path / 'j.jsonl') as kept:
        kept.append(
            records[0]
            | {'judge': 'another'}
            | {'correct': False, 'score': 0.0, 'attempts': 1, 'message': ''}
        )
        verdicts = judge_answers(judge_at(server), records, kept)
    assert verdicts == {('star', 'questions', 'walk_00'): Verdict(True, 4.0, 1)}


def test_what_was_not_answered_is_not_judged(tmp_path):
    """A judge may be kind to an empty answer."""
    records = [
        open_record(0, answer=''),
        open_record(1, answer=' '),
        open_record(2, status='BAD_REQUEST'),
        open_record(3),
    ]
    with serving(lambda text: YES) as server, JsonLines(tmp_path / 'j.jsonl') as kept:
        for item in records[:3]:  # an older run has asked about them
            kept.append({'judge': MODEL, 'correct': True, 'score': 5.0, 'attempts': 1} | item)
        verdicts = judge_answers(judge_at(server), records, kept)
        assert len(server.requests) == 1
    judged = with_verdicts(records, verdicts)
    assert [r['correct'] for r in judged] == [False, False, False, True]
    assert [r['score'] for r in judged] == [None, None, None, 4.0]


@pytest.mark.parametrize('name', ['question', 'truth', 'answer'])
def test_a_verdict_is_of_the_answer_that_it_judged(tmp_path, name):
    """Answers of a run begun anew must not be judged by what was said of others."""
    with serving(lambda text: YES) as server, JsonLines(tmp_path / 'j.jsonl') as kept:
        before = judge_answers(judge_at(server), [open_record(0)], kept)
        assert list(before.values()) == [Verdict(True, 4.0, 1)]
        server.reply = lambda text: NO
        now = [open_record(0, **{name: 'another'})]
        assert list(judge_answers(judge_at(server), now, kept).values()) == [
            Verdict(False, 1.0, 1)
        ]
        assert judge_answers(judge_at(server), [open_record(0)], kept) == before
    assert len(server.requests) == 2


def test_ctrl_c_keeps_what_is_judged_and_waits_for_nothing(tmp_path):
    """Four verdicts come before the interrupt, one of them seen by the progress bar."""
    records = [open_record(n) for n in range(40)]
    come, may_go = threading.Semaphore(0), threading.Event()

    def reply(text: str) -> str:
        if int(text.split('program: answer ')[1].split()[0]) < 4:
            return YES
        come.release()
        assert may_go.wait(60.0), 'the judging has waited for its requests'
        return YES

    def interrupt(futures):
        yield next(futures)
        for _ in range(8):  # as many as there are at once: the first four are through
            come.acquire()
        raise KeyboardInterrupt

    with serving(reply) as server:
        try:
            with JsonLines(tmp_path / 'j.jsonl') as kept:
                judge = judge_at(server)
                with pytest.raises(KeyboardInterrupt):
                    judge_answers(judge, records, kept, interrupt)
                assert not may_go.is_set()
                assert [r['correct'] for r in kept.records] == [True] * 4
        finally:
            may_go.set()
    assert judge.judge('?', 'a', 'b').correct is None  # closed
    assert len(server.requests) == 12


def test_a_refusal_keeps_what_is_judged(tmp_path):
    records = [open_record(n) for n in range(30)]

    def refuses_the_last(text: str) -> str | int:
        return 400 if 'answer 29' in text else YES

    with serving(refuses_the_last) as server, JsonLines(tmp_path / 'j.jsonl') as kept:
        with pytest.raises(ValueError, match='refuses model'):
            judge_answers(judge_at(server), records, kept)
        assert len(kept.records) >= 20
