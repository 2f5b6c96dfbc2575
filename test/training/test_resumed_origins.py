# SPDX-License-Identifier: Apache-2.0
"""A run goes on with what it began with."""

import json
import shutil

import pytest

from flash_vstream_ros.data.features import open_features, write_features


@pytest.fixture
def source(data, tmp_path):
    """A source whose questions are the test's own."""
    shutil.copy(data / 'questions.json', tmp_path / 'q.json')
    return {'questions': str(tmp_path / 'q.json'), 'features': str(data / 'features')}


def change(path, old, new):
    text = path.read_text()
    path.write_text(text.replace(old, new))
    assert path.read_text() != text


def test_other_questions_are_refused_by_name(run, source, tmp_path):
    begin, end = {'data': [source], 'stop_at': 1}, {'data': [source], 'stop_at': 2}
    run('run', **begin)
    change(tmp_path / 'q.json', 'a red cup', 'a blue cup')
    words = rf'{tmp_path}/q\.json: changed since the run in {tmp_path}/run began.* put back'
    with pytest.raises(ValueError, match=words):
        run('run', **end)
    change(tmp_path / 'q.json', 'a blue cup', 'a red cup')
    run('run', **end)


def test_features_that_were_extracted_again_are_refused_by_name(run, source, data, tmp_path):
    features = shutil.copytree(data / 'features', tmp_path / 'features')
    source |= {'features': str(features)}
    run('run', data=[source], stop_at=1)
    whole = (features / 'one.safetensors').read_bytes()
    opened = open_features(features / 'one.safetensors')
    about = opened.about | {'source': 'another'}
    write_features(opened.path, opened.read(40).flatten(1, 2), opened.stamps_ns.tolist(), about)
    with pytest.raises(ValueError, match=rf'{features}: changed since the run'):
        run('run', data=[source], stop_at=2)
    opened.path.write_bytes(whole)
    run('run', data=[source], stop_at=2)


def test_another_model_to_start_from_is_refused_by_name(run, checkpoint, tmp_path):
    init = shutil.copytree(checkpoint, tmp_path / 'start')
    run('run', init=str(init), stop_at=1)
    change(init / 'config.json', '"compress_size": 4', '"compress_size": 4, "note": 1')
    shutil.rmtree(tmp_path / 'run/checkpoint')
    with pytest.raises(ValueError, match=rf'{init}: changed since the run'):
        run('run', init=str(init), stop_at=2)


def test_a_state_that_does_not_say_what_it_learned_from_goes_on(run, source, tmp_path):
    run('run', data=[source], stop_at=1)
    about = tmp_path / 'run/state/step-00000001/run.json'
    noted = json.loads(about.read_text())
    assert str(tmp_path / 'q.json') in noted.pop('origins')
    about.write_text(json.dumps(noted))
    change(tmp_path / 'q.json', 'a red cup', 'a blue cup')
    run('run', data=[source], stop_at=2)
    assert 'origins' in (tmp_path / 'run/state/step-00000002/run.json').read_text()
