# SPDX-License-Identifier: Apache-2.0
"""A language-model judge that refuses us: known before the answers, or else told in the report."""

import json

import pytest
from judge_server import KEY, MODEL, YES, serving
from test_evaluation_command import evaluate

from flash_vstream_ros.evaluation.evaluation import Evaluation


def judge_by(monkeypatch, server, model: str = MODEL) -> list:
    monkeypatch.setenv('OPENAI_API_KEY', KEY)
    monkeypatch.setenv('OPENAI_MODEL', model)
    monkeypatch.setenv('OPENAI_BASE_URL', server.url)
    return ['--judge', 'llm']


def test_a_judge_that_refuses_us_is_known_before_the_answers(options, monkeypatch):
    monkeypatch.setattr(Evaluation, 'run', lambda *_: pytest.fail('questions are answered'))
    with serving(lambda text: YES) as server:
        with pytest.raises(ValueError, match="refuses model 'nobody'"):
            evaluate(*options, *judge_by(monkeypatch, server, 'nobody'))
        assert len(server.requests) == 1


def test_the_trial_is_neither_counted_nor_kept(options, tmp_path, monkeypatch):
    with serving(lambda text: YES) as server:
        assert evaluate(*options, *judge_by(monkeypatch, server)) == 0
        assert len(server.requests) == 1 + 2
    kept = (tmp_path / 'out/judgements.jsonl').read_text().splitlines()
    assert [json.loads(line)['set'] for line in kept] == ['questions'] * 2


def test_nothing_is_tried_where_nothing_is_left_to_judge(options, monkeypatch):
    with serving(lambda text: YES) as server:
        first = ['--limit', 1]  # a closed question
        assert evaluate(*options, *judge_by(monkeypatch, server), *first) == 0
        assert not server.requests
        assert evaluate(*options, '--judge', 'exact') == 0
        assert evaluate(*options, '--judge', 'llm') == 0
        assert len(server.requests) == 3
        assert evaluate(*options, '--judge', 'llm') == 0
        assert len(server.requests) == 3


def test_a_judge_that_refuses_later_leaves_a_report_by_words(options, tmp_path, monkeypatch):
    assert evaluate(*options) == 0
    by_words = json.loads((tmp_path / 'out/results.json').read_text())
    with serving(lambda text: YES if 'The cup was red.' in text else 400) as server:
        assert evaluate(*options, *judge_by(monkeypatch, server)) == 1
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert results['inputs'] == by_words['inputs']
    assert 'refuses model' in results['judge_failure']
    report = (tmp_path / 'out/report.md').read_text()
    assert 'No model has judged, open answers are compared by their words: --judge llm: ' in report
    assert 'judge of open answers exact' in report
