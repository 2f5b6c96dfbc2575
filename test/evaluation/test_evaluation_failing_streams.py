# SPDX-License-Identifier: Apache-2.0
"""Streams that cannot be read: said before the work, or passed over in the midst of it."""

import json

import pytest
from evaluation_bags import T0, write_bag
from evaluation_samples import S, entry, write_json
from test_evaluation_command import evaluate

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.evaluation.evaluation import Evaluation


@pytest.fixture
def options(checkpoint, tmp_path) -> list:
    """Two questions each to three bags of 10 s; the stamps of ``broken`` jump back after 5."""
    data, steps = tmp_path / 'bags', {'broken': [*range(5), *range(5)]}
    for name in ('broken', 'walk', 'round'):
        stamps_ns = [T0 + n * S for n in steps.get(name, range(10))]
        write_bag(data / name, stamps_ns)
    write_questions(data)
    options = ['--model', checkpoint, '--data', data, '--out', tmp_path / 'out']
    return [*options, '--device', 'cpu', '--max-new-tokens', '6']


def write_questions(data, **changes) -> None:
    about = {'duration': None, 'event_times': []} | changes
    names = ('broken', 'walk', 'round')
    entries = [
        entry(n, v, **({'end_time': at} | about)) for v in names for n, at in ((0, 2), (1, 9))
    ]
    write_json(data / 'questions.json', entries)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_stream_that_fails_is_passed_over_and_named(options, tmp_path, caplog):
    assert evaluate(*options) == 1
    asked = [(r['video'], r['at']) for r in lines(tmp_path / 'out/answers.jsonl')]
    assert asked == [('broken', 2), ('walk', 2), ('walk', 9), ('round', 2), ('round', 9)]
    assert 'questions/broken failed, what is left of it is not answered: ' in caplog.text
    assert 'the stamps jump back' in caplog.text
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert (results['questions'], results['unanswered']) == (5, {'questions/broken': 1})
    report = (tmp_path / 'out/report.md').read_text()
    assert 'The stream questions/broken failed: 1 of its questions without an answer.' in report
    assert 'every question was answered' not in report


def test_the_same_command_tries_again_what_failed(options, tmp_path):
    assert evaluate(*options) == 1
    before = lines(tmp_path / 'out/answers.jsonl')
    (tmp_path / 'bags/broken').rename(tmp_path / 'broken')
    write_bag(tmp_path / 'bags/broken', [T0 + n * S for n in range(10)])
    assert evaluate(*options) == 0
    (new,) = lines(tmp_path / 'out/answers.jsonl')[len(before) :]
    assert (new['video'], new['at'], new['frames_seen']) == ('broken', 9, 10)
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert (results['questions'], results['unanswered']) == (6, {})
    assert 'every question was answered' in (tmp_path / 'out/report.md').read_text()


def test_a_stream_fails_for_the_inputs_of_all_encoders_and_its_questions_count_once(
    options, other_checkpoint, tmp_path
):
    inputs = ['--input', 'star', '--input', f'uniform={other_checkpoint}']
    assert evaluate(*options, *inputs) == 1
    assert len(lines(tmp_path / 'out/answers.jsonl')) == 2 * 5
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert results['unanswered'] == {'questions/broken': 1}


def test_where_all_streams_fail_there_is_no_report(options, tmp_path, caplog):
    write_questions(tmp_path / 'bags', end_time=9)
    assert evaluate(*options, '--limit', 2) == 1
    assert 'no answer to report of' in caplog.text
    assert not (tmp_path / 'out/report.md').exists()


def refuse_to_load(*_: object, **__: object) -> None:
    raise AssertionError('weights were read')


def test_a_recording_that_cannot_be_opened_is_said_before_the_work(
    options, configure, tmp_path, monkeypatch
):
    monkeypatch.setattr(FlashVStream, 'from_pretrained', refuse_to_load)
    (tmp_path / 'bags/round/metadata.yaml').unlink()
    next((tmp_path / 'bags/round').iterdir()).write_bytes(b'no bag')
    with pytest.raises(ValueError, match=r'questions\.json, line 6: .*round'):
        Evaluation(configure(data=tmp_path / 'bags', features=None))
    assert not configure().out.exists()


def test_a_question_beyond_a_recording_is_said_before_the_work(
    options, configure, tmp_path, monkeypatch
):
    monkeypatch.setattr(FlashVStream, 'from_pretrained', refuse_to_load)
    write_questions(tmp_path / 'bags', end_time=30.0)
    with pytest.raises(ValueError, match=r"questions\.json, line 2: asked at 30 s.*'broken'"):
        Evaluation(configure(data=tmp_path / 'bags', features=None))


@pytest.mark.parametrize('place', ['', 'results/test'])
def test_a_file_in_the_place_of_the_results_is_said_before_the_work(
    configure, tmp_path, monkeypatch, place
):
    monkeypatch.setattr(FlashVStream, 'from_pretrained', refuse_to_load)
    (tmp_path / 'file').write_text('notes')
    with pytest.raises(NotADirectoryError, match=r'/file: expected a folder for the results'):
        Evaluation(configure(f'file/{place}'.rstrip('/')))
    assert (tmp_path / 'file').read_text() == 'notes'
