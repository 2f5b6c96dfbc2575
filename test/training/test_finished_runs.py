# SPDX-License-Identifier: Apache-2.0
"""A run that is done, started again; and runs that have nothing to learn from."""

import re
import shutil

import pytest
import torch

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.core.checkpoint import TOWER
from flash_vstream_ros.core.checkpoint_files import read_tensors
from flash_vstream_ros.data.trained_input import read_trained_input
from flash_vstream_ros.training.config import read_training_config
from flash_vstream_ros.training.loop import TrainingError
from flash_vstream_ros.training.meter import Counts
from flash_vstream_ros.training.tuning import TuningJob


def weights(folder):
    return {key: tensor for key, tensor, _ in read_tensors(folder / 'checkpoint')}


def test_a_checkpoint_that_lacks_is_written_from_the_state(run):
    out = run('run', steps=1)
    before = weights(out)
    assert read_trained_input(out / 'checkpoint') == 'star'
    shutil.rmtree(out / 'checkpoint')
    run('run', steps=1)
    after = weights(out)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_another_type_that_is_asked_for_later_is_written(run):
    out = run('run', steps=1, memory_input='uniform')
    before = weights(out)
    run('run', steps=1, memory_input='uniform', save_dtype='bfloat16')
    trained = {key: t for key, t in weights(out).items() if not key.startswith(TOWER)}
    assert {tensor.dtype for tensor in trained.values()} == {torch.bfloat16}
    assert all(torch.equal(before[key].bfloat16(), tensor) for key, tensor in trained.items())
    assert read_trained_input(out / 'checkpoint') == 'uniform'


def test_a_checkpoint_that_is_whole_is_left_alone(run, monkeypatch):
    run('run', steps=1)
    monkeypatch.setattr(TuningJob, 'save', None)
    run('run', steps=1)


def test_a_length_in_which_no_answer_fits_is_refused_before_the_work(run, tmp_path):
    words = r'max_length: expected more than (\d+) \(memory (\d+), prompt (\d+), .*got 20'
    with pytest.raises(ValueError, match=words) as caught:
        run('short', max_length=20)
    least, memory, prompt = map(int, re.search(words, str(caught.value)).groups())
    assert least == memory + prompt
    with pytest.raises(ValueError, match=f'got {least}'):
        run('short', max_length=least)
    assert not (tmp_path / 'short/checkpoint').exists()


def test_a_step_without_a_label_is_an_error(run, monkeypatch):
    monkeypatch.setattr(TuningJob, 'count', lambda *_: Counts(labels=0, tokens=9))
    words = 'step 1: no token to learn from in the whole global batch: .* larger max_length'
    with pytest.raises(TrainingError, match=words):
        run('empty', steps=1)


def test_a_file_of_settings_that_lacks_is_said_with_advice(tmp_path, capsys):
    path = tmp_path / 'my.yaml'
    words = f'{path}: no such file; begin from config/training or models/patrol-tiny/'
    with pytest.raises(FileNotFoundError, match=words):
        read_training_config(path, {})
    assert main(['train', '--stage', '1', '--config', str(path)]) != 0
    assert words in capsys.readouterr().err
