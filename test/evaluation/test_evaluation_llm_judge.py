# SPDX-License-Identifier: Apache-2.0
"""The language-model judge, against a real server that speaks the interface."""

import json

import pytest
from evaluation_samples import record
from judge_server import KEY, MODEL, serving

from flash_vstream_ros.evaluation.json_lines import JsonLines
from flash_vstream_ros.evaluation.llm_judge import (
    ATTEMPTS,
    LanguageModelJudge,
    Verdict,
    judge_answers,
    parse_verdict,
    with_verdicts,
)

YES, NO = '{"pred": "yes", "score": 4}', '{"pred": "no", "score": 1}'


def open_record(number: int, **changes):
    return record(number, group='open', answer=f'answer {number}', correct=False, **changes)


def judge_at(server, model: str = MODEL, key: str = KEY) -> LanguageModelJudge:
    return LanguageModelJudge(model, server.url, key, pause_s=0.0)


def by_number(text: str) -> str:
    """Right is what has an even number."""
    number = int(text.split('Answer of the program: answer ')[1].split()[0])
    return NO if number % 2 else YES


@pytest.mark.parametrize(
    ('text', 'verdict'),
    [
        (YES, (True, 4.0)),
        ("{'pred': 'no', 'score': 0}", (False, 0.0)),
        ('Here it is:\n```json\n{"pred": "Yes", "score": "5"}\n```', (True, 5.0)),
        ('{"pred": "yes", "score": 4.8}', (True, 4.8)),
        ('{"why": "x"} {"score": 3, "pred": "no"}', (False, 3.0)),
    ],
)
def test_a_verdict_is_read(text, verdict):
    assert parse_verdict(text) == verdict


@pytest.mark.parametrize(
    'text',
    [
        'yes',
        '',
        '{"pred": "yes"}',
        '{"pred": "maybe", "score": 3}',
        '{"pred": "yes", "score": 6}',
        '{"pred": "yes", "score": NaN}',
        '{pred: yes, score: 3}',
        '{"pred": "yes", "score": [1]}',
    ],
)
def test_what_is_no_verdict_is_refused(text):
    with pytest.raises(ValueError, match='expected'):
        parse_verdict(text)


def test_question_truth_and_answer_reach_the_judge():
    with serving(lambda text: YES) as server:
        verdict = judge_at(server).judge('What {is} it?', 'A cup.', 'a mug "red"')
    assert verdict == Verdict(True, 4.0, 1)
    (request,) = server.requests
    assert (request['model'], request['temperature']) == (MODEL, 0.0)
    text = request['messages'][-1]['content']
    for part in ('Question: What {is} it?', 'True answer: A cup.', 'program: a mug "red"'):
        assert part in text


@pytest.mark.parametrize('first', [500, 429, 'well, hard to say', ''])
def test_a_failed_judgement_is_tried_again(first):
    replies = [first, YES]
    with serving(lambda text: replies.pop(0)) as server:
        assert judge_at(server).judge('?', 'a', 'b') == Verdict(True, 4.0, 2)


@pytest.mark.parametrize('reply', [500, 'well, hard to say'])
def test_a_judgement_that_fails_for_good_says_why(reply):
    with serving(lambda text: reply) as server:
        verdict = judge_at(server).judge('?', 'a', 'b')
    assert (verdict.correct, verdict.score, verdict.attempts) == (None, None, ATTEMPTS)
    assert ('overloaded' if reply == 500 else 'hard to say') in verdict.message
    assert len(server.requests) == ATTEMPTS


@pytest.mark.parametrize('reply', [{}, {'choices': []}, {'choices': [{'index': 0}]}], ids=str)
def test_a_reply_that_is_no_completion_is_a_failed_judgement(reply):
    with serving(lambda text: reply) as server:
        verdict = judge_at(server).judge('?', 'a', 'b')
    assert verdict.correct is None
    assert 'the reply holds no text' in verdict.message


def test_an_endpoint_that_is_not_there_is_a_failed_judgement():
    with serving(lambda text: YES) as server:
        pass
    verdict = judge_at(server).judge('?', 'a', 'b')
    assert verdict.correct is None
    assert 'Connection' in verdict.message


@pytest.mark.parametrize('wrong', [{'key': 'guessed'}, {'model': 'nobody'}])
def test_a_refused_key_or_model_ends_the_job(wrong):
    with (
        serving(lambda text: YES) as server,
        pytest.raises(ValueError, match=r'refuses model .* check OPENAI_BASE_URL'),
    ):
        judge_at(server, **wrong).judge('?', 'a', 'b')
    assert len(server.requests) == 1


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
            assert len(kept.records) == 5
            verdicts = judge_answers(judge_at(server), records, kept)
            assert len(kept.records) == 12
    assert [verdicts['star', 'questions', r['id']].correct for r in records] == [True, False] * 6


def test_another_judge_judges_anew(tmp_path):
    records = [open_record(0)]
    with serving(by_number) as server, JsonLines(tmp_path / 'j.jsonl') as kept:
        kept.append(
            {'judge': 'another', 'input': 'star', 'set': 'questions', 'id': 'walk_00'}
            | {'correct': False, 'score': 0.0, 'attempts': 1, 'message': ''}
        )
        verdicts = judge_answers(judge_at(server), records, kept)
    assert verdicts == {('star', 'questions', 'walk_00'): Verdict(True, 4.0, 1)}


def test_the_environment_names_the_judge(monkeypatch):
    monkeypatch.delenv('OPENAI_MODEL', raising=False)
    monkeypatch.setenv('OPENAI_API_KEY', KEY)
    with pytest.raises(ValueError, match='set OPENAI_MODEL '):
        LanguageModelJudge.from_environment()
    with serving(lambda text: YES) as server:
        monkeypatch.setenv('OPENAI_MODEL', MODEL)
        monkeypatch.setenv('OPENAI_BASE_URL', server.url)
        assert LanguageModelJudge.from_environment().judge('?', 'a', 'b').correct is True
