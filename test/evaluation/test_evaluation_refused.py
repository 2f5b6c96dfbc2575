# SPDX-License-Identifier: Apache-2.0
"""What an evaluation refuses, by file and line, before or instead of answering."""

import json
import subprocess
import sys

import pytest
from evaluation_samples import entry, scenes, write_features, write_json

from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.data.tower import tower_id
from flash_vstream_ros.evaluation.evaluation import Evaluation


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'max_new_tokens': 7}, 'max_new_tokens: the results here were made with 6, not 7'),
        ({'path': 'whole', 'inputs': ('star',)}, "path: .* 'streaming', not 'whole'"),
        ({'dtype': 'bfloat16'}, 'dtype: .*float32.*, not .*bfloat16'),
    ],
)
def test_results_of_other_settings_are_not_mixed_in(configure, changes, message):
    Evaluation(configure()).run()
    with pytest.raises(ValueError, match=rf'run\.json: {message}.*choose another --out'):
        Evaluation(configure(**changes))


def test_results_of_another_model_are_not_mixed_in(configure, other_checkpoint):
    Evaluation(configure()).run()
    with pytest.raises(ValueError, match=r'run\.json: input star: weights: the results here'):
        Evaluation(configure(model=str(other_checkpoint)))


def test_results_of_other_questions_are_not_mixed_in(configure, data):
    Evaluation(configure()).run()
    write_json(data / 'questions.json', [entry(0, question='Another?')])
    with pytest.raises(ValueError, match=r'run\.json: data: the results here'):
        Evaluation(configure())


def test_a_damaged_run_file_is_named(configure):
    config = configure()
    Evaluation(config).run()
    (config.out / 'run.json').write_text('{"version": ')
    with pytest.raises(ValueError, match=r'run\.json: not the settings of an evaluation'):
        Evaluation(config)


def test_a_missing_stream_is_said_before_anything_is_answered(configure, data):
    (data / 'features/round.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match=r"questions\.json, line 7: .*'round' are missing"):
        Evaluation(configure())
    assert not configure().out.exists()


def test_a_question_beyond_the_stream_is_said_before_anything_is_answered(configure, data):
    write_features(data / 'features/round.safetensors', scenes(20))
    with pytest.raises(ValueError, match=r'questions\.json, line 10: asked at 25.5 s, which lies'):
        Evaluation(configure())
    assert not configure().out.exists()


def test_features_of_another_width_are_named(configure, data):
    write_features(data / 'features/walk.safetensors', scenes(40))
    write_features(data / 'features/round.safetensors', scenes(40))
    with pytest.raises(ValueError, match=r'line 2: .*walk.* width 6, but .* of width 40'):
        Evaluation(configure()).run()


def test_features_of_another_encoder_are_named(configure, data, checkpoint, vstream):
    features = scenes(40, vstream.geometry)
    path = data / 'features/walk.safetensors'
    write_features(path, features, encoder_id=tower_id(checkpoint))
    assert len(Evaluation(configure('same')).run()) == 30
    write_features(path, features, encoder_id='0123456789abcdef')
    with pytest.raises(ValueError, match=r'line 2: .*encoder 0123456789abcdef, but .*extract'):
        Evaluation(configure('other')).run()


def test_maps_that_do_not_fit_the_memory_are_named(configure, data, vstream):
    features = scenes(40, vstream.geometry)[:, :6, :6]
    for video in ('walk', 'round'):
        write_features(data / f'features/{video}.safetensors', features)
    with pytest.raises(ValueError, match=r'questions\.json, line 2: detail_side: expected a divi'):
        Evaluation(configure()).run()


def test_a_missing_model_is_named(configure):
    with pytest.raises(ValueError, match='nowhere: no such folder'):
        Evaluation(configure(model='nowhere'))


def test_models_of_another_budget_are_refused(configure, tmp_path):
    large = make_random_checkpoint(tmp_path / 'large')
    with pytest.raises(ValueError, match=r'equally many tokens.*checkpoint: 93, .*large: 681'):
        Evaluation(configure(inputs={'star': None, 'uniform': str(large)}))


def test_features_of_two_sides_are_refused(configure, data, vstream):
    """An input shows other tokens of the one than of the other, and no table could say which."""
    features = scenes(40, vstream.geometry)[:, :4, :4]
    write_features(data / 'features/round.safetensors', features)
    message = r'walk\.safetensors has 16 patches .* and .*round\.safetensors 4; .* one --side'
    with pytest.raises(ValueError, match=message):
        Evaluation(configure())
    assert not configure().out.exists()


def test_features_of_two_sample_rates_are_refused(configure, data, vstream):
    features = scenes(40, vstream.geometry)
    write_features(data / 'features/round.safetensors', features, sample_rate='0.5')
    with pytest.raises(ValueError, match=r'has 1.0 frames a second and .* 0.5; .* --sample-rate'):
        Evaluation(configure())


@pytest.mark.parametrize('change', ['metadata', 'length', 'stamps'])
def test_results_of_other_features_are_not_mixed_in(configure, data, vstream, change):
    Evaluation(configure()).run()
    frames = 41 if change == 'length' else 40
    about = {'source': 'another recording'} if change == 'metadata' else {}
    features = scenes(frames, vstream.geometry, seed=1)
    write_features(data / 'features/round.safetensors', features, change != 'stamps', **about)
    message = r'run\.json: features of questions/round: the results here'
    with pytest.raises(ValueError, match=message):
        Evaluation(configure())


def test_features_of_streams_that_are_asked_later_are_noted_then(configure):
    Evaluation(configure(limit=5)).run()
    Evaluation(configure()).run()
    noted = json.loads((configure().out / 'run.json').read_text())['features']
    assert list(noted) == ['questions/walk', 'questions/round']
    Evaluation(configure(limit=5))
    assert json.loads((configure().out / 'run.json').read_text())['features'] == noted


def test_the_sample_rate_is_that_of_the_features(configure, data, vstream):
    for number, video in enumerate(('walk', 'round')):
        features = scenes(40, vstream.geometry, seed=number)
        write_features(data / f'features/{video}.safetensors', features, sample_rate='0.5')
    Evaluation(configure())
    assert json.loads((configure().out / 'run.json').read_text())['sample_rate'] == 0.5


def test_a_run_of_before_features_were_noted_goes_on(configure, caplog):
    """Its inputs had neither a path of their model nor, of smaller maps, the right description."""
    config = configure()
    Evaluation(config).run()
    path = config.out / 'run.json'
    noted = json.loads(path.read_text())
    del noted['features'], noted['inputs']['star']['model']
    noted['inputs']['uniform']['description'] = 'evenly spaced 9 frames'
    path.write_text(json.dumps(noted))
    assert len(Evaluation(config).run()) == 30
    assert 'does not say of which features' in caplog.text
    again = json.loads(path.read_text())
    assert set(again['features']) == {'questions/walk', 'questions/round'}
    assert again['inputs']['star']['model'] == config.model


HOLDER = """
import sys
from pathlib import Path
from flash_vstream_ros.evaluation.run_folder import FolderLock
with FolderLock(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_two_evaluations_do_not_write_into_one_folder(configure):
    """Else each would answer what the other has not written yet, and questions counted twice."""
    config = configure()
    evaluation = Evaluation(config)
    child = subprocess.Popen(
        [sys.executable, '-c', HOLDER, str(config.out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout.readline() == b'held\n'
        with pytest.raises(ValueError, match='another evaluation writes here; wait'):
            Evaluation(config)
        with pytest.raises(ValueError, match='another evaluation writes here; wait'):
            evaluation.run()
    finally:
        child.kill()  # the kernel lets go of the lock
        child.communicate()
    assert len(evaluation.run()) == len(Evaluation(config).run()) == 30
