# SPDX-License-Identifier: Apache-2.0
"""Which features an example is trained with."""

import shutil

import pytest

from flash_vstream_ros.training.config import DataSource, TrainingConfig
from flash_vstream_ros.training.dataset import TrainingData
from flash_vstream_ros.training.sequences import TrainingPrompt

ENTRY = {'question': 'q', 'answer': 'a', 'end_time': 30.0}


@pytest.fixture
def load(checkpoint, vstream, data, tmp_path, write_json):
    shutil.copytree(data / 'features', tmp_path / 'f')
    prompt = TrainingPrompt.from_file(checkpoint / 'tokenizer.model')

    def load(**names):
        path = write_json([ENTRY | names])
        source = DataSource(questions=str(path), features=str(tmp_path / 'f'))
        config = TrainingConfig(init='-', out='-', data=(source,))
        return TrainingData(config, vstream.geometry, prompt, '')

    return load


@pytest.mark.parametrize(
    'names',
    [
        {'video_id': 'one', 'video_name': 'three'},
        {'video_id': 'clip', 'video_name': 'one'},
    ],
)
def test_the_stream_is_that_of_its_id_or_else_of_its_name(load, names):
    """Only the stream of 40 s can be asked at 30 s."""
    assert len(load(**names)) == 1


def test_features_outside_their_folder_are_not_read(load, tmp_path):
    words = rf"entries\.json, line \d+: '{tmp_path}/f/one': expected a name below"
    with pytest.raises(ValueError, match=words):
        load(video_name=f'{tmp_path}/f/one')
