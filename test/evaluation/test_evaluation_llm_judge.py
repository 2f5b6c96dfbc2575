# SPDX-License-Identifier: Apache-2.0
"""The language-model judge, against a real server that speaks the interface."""

import time
from email.utils import formatdate

import pytest
from judge_server import KEY, MODEL, YES, judge_at, serving

from flash_vstream_ros.evaluation.llm_judge import (
    ATTEMPTS,
    LONGEST_PAUSE_S,
    LanguageModelJudge,
    Verdict,
    parse_verdict,
)


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
        '{"pred": "yes", "score": ' + 400 * '9' + '}',
        '{pred: yes, score: 3}',
        '{"pred": "yes", "score": [1]}',
    ],
)
def test_what_is_no_verdict_is_refused(text):
    with pytest.raises(ValueError, match='expected'):
        parse_verdict(text)


def test_a_reply_that_was_cut_off_is_said_to_be():
    message = {'role': 'assistant', 'content': '{"pred": "y'}
    choices = [{'index': 0, 'message': message, 'finish_reason': 'length'}]
    with serving(lambda text: {'id': '1', 'choices': choices}) as server:
        verdict = LanguageModelJudge(MODEL, server.url, KEY, 0.0, max_tokens=7).judge('', '', '')
    assert [request['max_tokens'] for request in server.requests] == [7] * ATTEMPTS
    for words in ('cut off after 7 tokens', 'finish_reason length', '--judge-tokens'):
        assert words in verdict.message


def test_a_model_that_knows_only_the_newer_options_is_asked_by_these():
    def reply(body):
        if 'max_tokens' in body or 'temperature' in body:
            return 400, 'unsupported_parameter', "'max_tokens' is not supported with this model"
        return YES

    with serving(lambda text: reply) as server:
        judge = judge_at(server)
        assert judge.judge('', '', '') == judge.judge('', '', '') == Verdict(True, 4.0, 1)
    options = [sorted(set(r) - {'model', 'messages'}) for r in server.requests]
    newer = ['max_completion_tokens']
    assert options == [['max_tokens', 'temperature'], newer, newer]


def test_a_model_that_refuses_these_options_too_is_said():
    refusal = (400, None, 'temperature: max_completion_tokens is not known either')
    with serving(lambda text: refusal) as server, pytest.raises(ValueError, match='not known'):
        judge_at(server).judge('', '', '')
    assert len(server.requests) == 2


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


@pytest.mark.parametrize('status', [400, 422])
def test_a_refused_request_ends_the_job(status):
    """The same would be refused for each answer, three times."""
    with (
        serving(lambda text: status) as server,
        pytest.raises(ValueError, match=r'refuses model .* check OPENAI_BASE_URL'),
    ):
        judge_at(server).judge('?', 'a', 'b')
    assert len(server.requests) == 1


@pytest.mark.parametrize('code', ['content_filter', 'context_length_exceeded'])
def test_a_text_that_is_refused_is_a_failed_judgement(code):
    """Others are not: the job goes on, and the answer is counted as not judged."""
    with serving(lambda text: (400, code)) as server:
        verdict = judge_at(server).judge('?', 'a', 'b')
    assert (verdict.correct, verdict.attempts) == (None, 1)
    assert verdict.message.startswith('BadRequestError: ')


@pytest.mark.parametrize(
    ('told', 'low', 'high'),
    [
        ('7', 7.0, 7.0),
        ('0.5', 0.5, 0.5),
        ('86400', LONGEST_PAUSE_S, LONGEST_PAUSE_S),
        ('-1', 0.0, 0.0),
        ('nan', 0.0, 0.0),
        ('soon', 0.0, 0.0),
        ('Mon, 01 Jan 99999999999999 00:00:00 GMT', 0.0, 0.0),
    ],
)
def test_an_endpoint_is_left_alone_for_as_long_as_it_asks(monkeypatch, told, low, high):
    assert low <= pause_asked_for(told, monkeypatch) <= high


@pytest.mark.parametrize(('ahead_s', 'low', 'high'), [(200.0, 20.0, 200.0), (-20.0, 0.0, 0.0)])
def test_an_endpoint_is_left_alone_until_when_it_asks(monkeypatch, ahead_s, low, high):
    told = formatdate(time.time() + ahead_s, usegmt=True)
    assert low <= pause_asked_for(told, monkeypatch) <= high


def pause_asked_for(told: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds that a judge waits where an endpoint says Retry-After once."""
    replies, pauses = [429, YES], []
    with serving(lambda text: replies.pop(0), {'Retry-After': told}) as server:
        judge = judge_at(server)
        monkeypatch.setattr(judge._closed, 'wait', pauses.append)
        assert judge.judge('?', 'a', 'b') == Verdict(True, 4.0, 2)
    (pause_s,) = pauses
    return pause_s


def test_a_closed_judge_makes_no_further_attempt():
    with serving(lambda text: 500) as server:
        judge = judge_at(server, pause_s=1000.0)
        judge.close()
        verdict = judge.judge('?', 'a', 'b')
    assert (verdict.correct, verdict.attempts) == (None, 0)
    assert server.requests == []


def test_the_environment_names_the_judge(monkeypatch):
    monkeypatch.delenv('OPENAI_MODEL', raising=False)
    monkeypatch.setenv('OPENAI_API_KEY', KEY)
    with pytest.raises(ValueError, match='set OPENAI_MODEL '):
        LanguageModelJudge.from_environment()
    with serving(lambda text: YES) as server:
        monkeypatch.setenv('OPENAI_MODEL', MODEL)
        monkeypatch.setenv('OPENAI_BASE_URL', server.url)
        assert LanguageModelJudge.from_environment().judge('?', 'a', 'b').correct is True
