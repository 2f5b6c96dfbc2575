# SPDX-License-Identifier: Apache-2.0
"""The names of the sets of a run, by which its answers are told apart."""

import json
from dataclasses import replace

import pytest
from test_evaluation_command import evaluate

from flash_vstream_ros.evaluation.evaluation import Evaluation


def forget_sets(out) -> None:
    """As a version has left it that did not note them."""
    noted = json.loads((out / 'run.json').read_text())
    del noted['sets']
    (out / 'run.json').write_text(json.dumps(noted))


def rename(data, name: str):
    """The same questions under another name."""
    return (data / 'questions.json').rename(data / f'{name}.json')


@pytest.mark.parametrize('is_old', [False, True])
def test_the_same_questions_under_another_name_are_refused(configure, data, is_old):
    """Each would be answered a second time, and no report could tell whose answers they are."""
    config = configure()
    Evaluation(config).run()
    if is_old:
        forget_sets(config.out)
    before = (config.out / 'answers.jsonl').read_bytes()
    path = rename(data, 'test')
    message = r"run\.json: sets: the results here were made with \['questions'\], not \['test'\]"
    with pytest.raises(ValueError, match=message):
        Evaluation(replace(config, data=path))
    assert (config.out / 'answers.jsonl').read_bytes() == before


def test_a_run_of_before_sets_were_noted_goes_on(configure):
    config = configure()
    Evaluation(replace(config, limit=3)).run()
    forget_sets(config.out)
    assert len(Evaluation(config).run()) == 30
    assert json.loads((config.out / 'run.json').read_text())['sets'] == ['questions']


def test_answers_of_other_sets_are_left_out_of_the_report(options, tmp_path, caplog):
    """A former version has answered the same questions under two names in one folder."""
    assert evaluate(*options) == 0
    out = tmp_path / 'out'
    before = json.loads((out / 'results.json').read_text())
    forget_sets(out)
    answers = (out / 'answers.jsonl').read_text()
    other = answers.replace('"set": "questions"', '"set": "vstream/questions"')
    (out / 'answers.jsonl').write_text(answers + other)
    caplog.clear()
    assert evaluate(*options) == 0
    assert json.loads((out / 'results.json').read_text()) == before
    assert caplog.text.count("answers of other sets are left out: ['vstream/questions']") == 1
