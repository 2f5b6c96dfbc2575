# SPDX-License-Identifier: Apache-2.0
"""Streams that are kept for validation and tests are not trained on unseen."""

import json

import pytest

from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.training.held_out import check_trained_on, is_named_held_out


def describe(path, seed):
    PatrolDescription(seed, 60.0, 1.0, (64, 48)).write(path)
    return path


def test_a_description_of_a_stream_that_is_kept_is_refused(tmp_path):
    check_trained_on([describe(tmp_path / 'a.json', 999_999), tmp_path / 'gone.mp4'])
    check_trained_on([describe(tmp_path / 'a.json', 3_000_000)])
    for seed, split in ((1_000_000, 'validation'), (2_000_007, 'test')):
        path = describe(tmp_path / 'a.json', seed)
        words = rf'{path}: expected a seed that is trained on, 0 to 999999, got {seed}.*{split}'
        with pytest.raises(ValueError, match=words):
            check_trained_on([path])


def test_the_name_of_a_stream_tells_its_seed():
    names = ['patrol_2000000', 'x/patrol_1000001.mp4', 'patrol_5', 'patrol_2000000_b', 'kitchen']
    assert list(map(is_named_held_out, names)) == [True, True, False, False, False]


@pytest.fixture
def source(data, tmp_path):
    """Questions to a stream of features that is named as one of the tests."""
    features = tmp_path / 'features'
    features.mkdir()
    name = 'patrol_2000003'
    (features / f'{name}.safetensors').symlink_to(data / 'features/one.safetensors')
    entry = {'video_name': name, 'question': 'q', 'answer': 'a', 'end_time': 5.0}
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set/questions.json').write_text(json.dumps([entry]))
    return {'questions': str(tmp_path / 'set/questions.json'), 'features': str(features)}


def test_training_warns_by_the_name_and_refuses_by_the_description(run, source, tmp_path, caplog):
    run('run', data=[source], steps=1)
    assert '1 streams have the names of seeds that are kept' in caplog.text
    describe(tmp_path / 'set/patrol_2000003.json', 2_000_003)
    with pytest.raises(ValueError, match='got 2000003, which is kept for test'):
        run('other', data=[source], steps=1)
