# SPDX-License-Identifier: Apache-2.0
"""The verb ``evaluate``: wrong use, and a whole run with report, judge and exit status."""

import argparse
import json
import subprocess
import sys
import threading

import pytest
from judge_server import KEY, MODEL, serving

from flash_vstream_ros.evaluation.command import add_evaluate
from flash_vstream_ros.evaluation.inputs import INPUTS
from flash_vstream_ros.evaluation.job import parse_inputs


def evaluate(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_evaluate(parser.add_subparsers(dest='verb'))
    parsed = parser.parse_args(['evaluate', *map(str, arguments)])
    return parsed.run(parsed)


def test_inputs_are_read():
    assert parse_inputs([]) == {'star': None}
    assert parse_inputs(['star', 'uniform=runs/u', 'star']) == {'star': None, 'uniform': 'runs/u'}
    everything = parse_inputs(['all', 'uniform=runs/u'])
    assert list(everything) == list(INPUTS)
    assert everything == dict.fromkeys(INPUTS) | {'uniform': 'runs/u'}
    assert parse_inputs(['uniform=runs/u', 'all'])['uniform'] == 'runs/u'
    assert parse_inputs(['uniform=a=b'])['uniform'] == 'a=b'


@pytest.mark.parametrize('text', ['stars', 'star=', '', '=runs/u', 'all=runs/u'])
def test_inputs_that_do_not_exist_are_refused(text):
    with pytest.raises(ValueError, match='--input: expected NAME or NAME=MODEL'):
        parse_inputs([text])


def test_two_models_for_one_input_are_refused():
    with pytest.raises(ValueError, match='two models for uniform: a and b'):
        parse_inputs(['uniform=a', 'uniform=b'])


@pytest.mark.parametrize(
    'wrong',
    [
        ['--limit', '0'],
        ['--limit', 'all'],
        ['--judge', 'human'],
        ['--path', 'both'],
        ['--dtype', 'int8'],
        ['--quantization', 'int3'],
        ['--sample-rate', '-1'],
        ['--max-new-tokens', '0'],
    ],
)
def test_wrong_use_ends_with_2(options, wrong, capsys):
    with pytest.raises(SystemExit) as end:
        evaluate(*options, *wrong)
    assert end.value.code == 2
    assert wrong[1] in capsys.readouterr().err


def test_stored_features_have_no_topic(options, capsys):
    with pytest.raises(SystemExit) as end:
        evaluate(*options, '--topic', '/image')
    assert end.value.code == 2
    assert 'argument --topic: not allowed with argument --features' in capsys.readouterr().err


def test_answers_of_an_older_version_count_with_the_streams_of_the_others(options, tmp_path):
    assert evaluate(*options) == 0
    answers, results = tmp_path / 'out/answers.jsonl', tmp_path / 'out/results.json'
    before = json.loads(results.read_text())
    records = [json.loads(line) for line in answers.read_text().splitlines()]
    for record in records[::2]:
        del record['video_name']
    answers.write_text(''.join(f'{json.dumps(record)}\n' for record in records))
    assert evaluate(*options) == 0
    assert json.loads(results.read_text()) == before


def test_a_run_leaves_answers_report_and_plots(options, tmp_path):
    assert evaluate(*options, '--input', 'star', '--input', 'uniform') == 0
    out = tmp_path / 'out'
    names = {path.name for path in out.iterdir()}
    assert names == {
        *('answers.jsonl', 'run.json', 'report.md', 'results.json', '.lock'),
        *('accuracy_against_age.png', 'reliability.png'),
    }
    results = json.loads((out / 'results.json').read_text())
    lines = (out / 'answers.jsonl').read_text().splitlines()
    assert len(lines) == 20
    for name in ('star', 'uniform'):
        right = sum(r['correct'] for r in map(json.loads, lines) if r['input'] == name)
        assert results['inputs'][name]['overall']['right'] == right


def test_the_report_covers_inputs_of_earlier_runs(options, tmp_path):
    evaluate(*options, '--input', 'star')
    evaluate(*options, '--input', 'uniform')
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert list(results['inputs']) == ['star', 'uniform']
    assert results['inputs']['uniform']['star_minus_this']['n'] == 10


def test_the_report_of_a_few_more_questions_is_still_one_of_all(options, tmp_path):
    """One question looked at after a whole run must not be all that its report tells."""
    evaluate(*options, '--limit', 7)
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert (results['questions'], results['limit']) == (7, 7)
    evaluate(*options)
    evaluate(*options, '--limit', 1)
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert (results['questions'], results['limit']) == (10, 1)
    report = (tmp_path / 'out/report.md').read_text()
    assert 'judge of open answers exact, limit of the last run 1.' in report


def test_a_language_model_judges_the_open_answers(options, tmp_path, monkeypatch):
    monkeypatch.setenv('OPENAI_API_KEY', KEY)
    monkeypatch.setenv('OPENAI_MODEL', MODEL)
    with serving(lambda text: '{"pred": "yes", "score": 5}') as server:
        monkeypatch.setenv('OPENAI_BASE_URL', server.url)
        assert evaluate(*options, '--judge', 'llm') == 0
        assert evaluate(*options, '--judge', 'llm') == 0
    assert len(server.requests) == 1 + 2  # the first is a trial
    star = json.loads((tmp_path / 'out/results.json').read_text())['inputs']['star']
    assert (star['groups']['open']['right'], star['score']) == (2, 5.0)
    assert f'judge of open answers {MODEL}.' in (tmp_path / 'out/report.md').read_text()


def test_the_report_names_the_models(options, checkpoint, other_checkpoint, tmp_path):
    evaluate(*options, '--input', 'star', '--input', f'uniform={other_checkpoint}', '--limit', 1)
    inputs = json.loads((tmp_path / 'out/results.json').read_text())['inputs']
    report = (tmp_path / 'out/report.md').read_text()
    for name, model in (('star', checkpoint), ('uniform', other_checkpoint)):
        assert f'| {model} | {inputs[name]["weights"]} | {name} |' in report


def test_failed_judgements_end_with_1(options, tmp_path, monkeypatch):
    monkeypatch.setattr(threading.Event, 'wait', lambda self, _=None: self.is_set())
    monkeypatch.setenv('OPENAI_API_KEY', KEY)
    monkeypatch.setenv('OPENAI_MODEL', MODEL)
    with serving(lambda text: 'no idea') as server:
        monkeypatch.setenv('OPENAI_BASE_URL', server.url)
        assert evaluate(*options, '--judge', 'llm') == 1
    assert '2 x judgement failed' in (tmp_path / 'out/report.md').read_text()


def test_a_judge_without_a_name_is_said_before_the_work(options, tmp_path, monkeypatch):
    monkeypatch.delenv('OPENAI_MODEL', raising=False)
    with pytest.raises(ValueError, match='OPENAI_MODEL'):
        evaluate(*options, '--judge', 'llm')
    assert not (tmp_path / 'out').exists()


def test_a_missing_library_is_named_with_its_fix(options, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    with pytest.raises(ValueError, match=r'pip install -r requirements/evaluation\.txt'):
        evaluate(*options)
    assert not (tmp_path / 'out').exists()


def test_the_verb_is_quick_to_add():
    """Neither torch nor matplotlib nor openai for those who only want the help."""
    program = (
        'import sys\nfrom flash_vstream_ros.evaluation import command\n'
        'print([m for m in ("torch", "matplotlib", "openai", "transformers") if m in sys.modules])'
    )
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert done.stdout == '[]\n'
