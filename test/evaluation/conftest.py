# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of the evaluation: a tiny model and a little data set."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from evaluation_samples import entry, scenes, write_features, write_json

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.evaluation.evaluation import EvaluationConfig

# A short memory and a small map, so that a test answers in milliseconds.
OVERRIDES = {
    'video_long_memory_length': 6,
    'video_Turing_memory_length': 5,
    'compress_size': 4,
    'compress_long_memory_size': 2,
    'video_feature_buffer_length': 16,
}


@pytest.fixture(scope='session', autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors: threads only cost time here, and answers are compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('evaluation') / 'checkpoint'
    return make_random_checkpoint(folder, seed=3, overrides=OVERRIDES)


@pytest.fixture(scope='session')
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another encoder and language model of the same geometry."""
    folder = tmp_path_factory.mktemp('evaluation') / 'other'
    return make_random_checkpoint(folder, seed=4, overrides=OVERRIDES)


@pytest.fixture(scope='session')
def vstream(checkpoint: Path) -> FlashVStream:
    return FlashVStream.from_pretrained(checkpoint)


@pytest.fixture
def data(tmp_path: Path, vstream: FlashVStream) -> Path:
    """Two streams of 40 frames as features, and five questions to each."""
    folder, entries = tmp_path / 'data', []
    for number, video in enumerate(('walk', 'round')):
        features = scenes(40, vstream.geometry, seed=number)
        write_features(folder / 'features' / f'{video}.safetensors', features)
        for index, at_s in enumerate((3.5, 10.0, 10.0, 25.5, 40.0)):
            entries.append(entry(index, video, end_time=at_s, event_times=[[0.0, 3.0]]))
    entries[1] |= {'choices': [], 'answer_type': 'Action Description', 'answer': 'In the kitchen.'}
    entries[7] |= {'choices': [], 'answer_type': 'Scene Summary', 'answer': 'A red cup.'}
    write_json(folder / 'questions.json', entries)
    return folder


@pytest.fixture
def configure(checkpoint, data, tmp_path):
    def make(
        out: str = 'out', inputs=('star', 'uniform', 'question_only'), **changes
    ) -> EvaluationConfig:
        values = {'model': str(checkpoint), 'data': data, 'out': tmp_path / out}
        values |= {'features': data / 'features', 'device': 'cpu', 'max_new_tokens': 6}
        chosen = dict(inputs) if isinstance(inputs, dict) else dict.fromkeys(inputs)
        return EvaluationConfig(inputs=chosen, **(values | changes))

    return make


@pytest.fixture
def options(checkpoint, data, tmp_path) -> list:
    """Of the command line."""
    options = ['--model', checkpoint, '--data', data, '--out', tmp_path / 'out']
    options += ['--features', data / 'features', '--device', 'cpu', '--max-new-tokens', '6']
    return options
