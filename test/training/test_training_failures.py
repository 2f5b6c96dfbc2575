# SPDX-License-Identifier: Apache-2.0
"""What a run says where it cannot go on, or where a limit of the system is low."""

import logging
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DistributedType
from training_processes import limit_open_files, start_verb

from flash_vstream_ros.data.features import open_features, write_features
from flash_vstream_ros.training import accelerating, loop
from flash_vstream_ros.training.accelerating import make_accelerator
from flash_vstream_ros.training.config import read_training_config
from flash_vstream_ros.training.loop import TrainingError


def test_workers_need_no_open_file_for_each_tensor(write_config):
    """A step of 32 items has 224 tensors, and each one cost a descriptor until it was over."""
    values = {'workers': 2, 'global_batch': 32, 'turns_per_sequence': 1, 'steps': 2}
    config = write_config('limited', **values)
    process = start_verb(
        ['train', '--stage', '1', '--config', str(config)], before=partial(limit_open_files, 128)
    )
    process.join()
    assert process.exitcode == 0


@pytest.fixture
def spoiled(data, tmp_path, write_json):
    """A source whose first question is answerable, with features that are no numbers later on."""
    features = open_features(data / 'features/one.safetensors')
    maps = features.read(40).flatten(1, 2).clone()
    maps[30] = torch.nan
    write_features(tmp_path / 'f/one.safetensors', maps, features.stamps_ns.tolist(), {})
    entry = {'video_name': 'one', 'question': 'q', 'answer': 'a', 'end_time': 35.0}
    return {'questions': str(write_json([entry])), 'features': str(tmp_path / 'f')}


@pytest.mark.parametrize('workers', [0, 1])
def test_an_item_that_cannot_be_read_is_said_in_its_own_words(run, spoiled, workers):
    with pytest.raises(ValueError, match=r'^[^\n]*one\.safetensors: frame 31: [^\n]*$'):
        run('spoiled', data=[spoiled], workers=workers)


def test_features_that_are_cut_off_in_a_run_are_said_by_name(run, spoiled, tmp_path, monkeypatch):
    path = tmp_path / 'f/one.safetensors'
    reading = loop.Training.run

    def cut(self):
        path.write_bytes(path.read_bytes()[:-10])
        reading(self)

    monkeypatch.setattr(loop.Training, 'run', cut)
    with pytest.raises(ValueError, match=r'^[^\n]*one\.safetensors: no file of features'):
        run('cut', data=[spoiled], workers=1)


def test_fp16_is_refused_where_it_has_no_effect(run):
    with pytest.raises(ValueError, match='precision: expected bf16 or no on a CPU, got fp16'):
        run('half', precision='fp16')


@pytest.fixture
def skip(monkeypatch):
    """Let the optimizer say which steps it has left out, as with the scaler of fp16."""

    def skip(steps):
        said = iter(steps)
        was_skipped = property(lambda self: next(said))
        monkeypatch.setattr(AcceleratedOptimizer, 'step_was_skipped', was_skipped)

    return skip


def test_a_run_whose_steps_are_all_left_out_stops(run, skip, tmp_path):
    skip([True] * 5 + [False] + [True] * 40)
    with pytest.raises(TrainingError, match=r'step 26: 20 steps in a row were left out'):
        run('skipped', steps=40, global_batch=1, micro_batch=1, save_every=0)
    assert not (tmp_path / 'skipped/checkpoint').exists()


def test_steps_that_were_left_out_are_counted(run, skip, caplog):
    skip([True, True, False, True])
    with caplog.at_level(logging.WARNING):
        run('counted', log_every=3)
    counted = [line for line in caplog.messages if 'steps were left out' in line]
    assert [line.split()[0] for line in counted] == ['2', '1']


def test_deepspeed_is_told_what_the_configuration_says(write_config, monkeypatch):
    """It is not there to be run; what is checked is what it would read."""
    plugin = SimpleNamespace(deepspeed_config={'zero_optimization': {'stage': 3}})
    accelerator = SimpleNamespace(
        device=torch.device('cuda'),
        num_processes=2,
        distributed_type=DistributedType.DEEPSPEED,
        state=SimpleNamespace(deepspeed_plugin=plugin),
    )
    monkeypatch.setattr(accelerating, 'Accelerator', lambda **values: accelerator)
    path = write_config('deep', max_grad_norm=0.25, global_batch=12, micro_batch=2)
    make_accelerator(read_training_config(path, {}))
    assert plugin.deepspeed_config == {
        'train_micro_batch_size_per_gpu': 2,
        'gradient_accumulation_steps': 3,
        'gradient_clipping': 0.25,
        'zero_optimization': {'stage': 3, 'stage3_gather_16bit_weights_on_model_save': True},
    }


@pytest.mark.parametrize(('has', 'precision'), [(False, 'bf16'), (True, 'bf16'), (False, 'no')])
def test_a_precision_that_the_cpu_is_slow_in_is_said(
    write_config, monkeypatch, caplog, has, precision
):
    accelerator = SimpleNamespace(
        device=torch.device('cpu'),
        num_processes=1,
        distributed_type=DistributedType.NO,
        is_main_process=True,
    )
    monkeypatch.setattr(accelerating, 'Accelerator', lambda **values: accelerator)
    monkeypatch.setattr(accelerating, 'multiplies_bfloat16', lambda device: has)
    make_accelerator(read_training_config(write_config('slow', precision=precision), {}))
    is_said = 'give --set precision=no' in caplog.text
    assert is_said == (not has and precision == 'bf16')
