# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of training: a tiny random checkpoint, made-up features."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.data.features import write_features
from flash_vstream_ros.training.config import read_training_config
from flash_vstream_ros.training.tuning import train

S = 1_000_000_000
# A small memory: abstract 4, temporal 6 of 2x2, retrieved 2 and spatial 1 of 4x4
SIZES = {
    'compress_size': 4,
    'compress_long_memory_size': 2,
    'video_long_memory_length': 6,
    'video_Turing_memory_length': 4,
    'video_retrieved_memory_length': 2,
    'max_position_embeddings': 512,
}
SIDE = 4
WIDTH = 40


@pytest.fixture(scope='session', autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors: threads only cost time here, and bits are compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint; nobody changes it."""
    folder = tmp_path_factory.mktemp('model') / 'checkpoint'
    return make_random_checkpoint(folder, seed=3, overrides=SIZES)


@pytest.fixture(scope='session')
def vstream(checkpoint: Path) -> FlashVStream:
    return FlashVStream.from_pretrained(checkpoint)


@pytest.fixture(scope='session')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three streams' features and of questions about them."""
    folder = tmp_path_factory.mktemp('data')
    generator = torch.Generator().manual_seed(0)
    questions = []
    for video, frames in (('one', 40), ('two', 23), ('three', 3)):
        feature = torch.randn(frames, SIDE**2, WIDTH, generator=generator)
        stamps_ns = [5 * S + i * S for i in range(frames)]
        about = {'sample_rate': '1.0', 'start_ns': str(5 * S)}
        write_features(folder / 'features' / f'{video}.safetensors', feature, stamps_ns, about)
        questions += [_question(video, k, frames) for k in range(10)]
    (folder / 'questions.json').write_text(json.dumps(questions, indent=1))
    return folder


def _question(video: str, number: int, frames: int) -> dict:
    return {
        'id': f'{video}_{number}',
        'video_id': video,
        'video_name': video,
        'question': f'What is number {number}?',
        'answer': 'a red cup' if number % 3 else 'I have not seen it.',
        'answer_type': 'Scene Summary',
        'start_time': 0.0,
        'end_time': float(frames if number % 2 else frames // 2),
    }


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Accelerate keeps its state per process, and a test is no process."""
    yield
    forget_accelerator()


def forget_accelerator() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture
def write_config(checkpoint, data, tmp_path):
    """Write a configuration file; ``out`` is the folder of that name in the test's own."""

    def write(out: str, **changes) -> Path:
        source = {'questions': str(data / 'questions.json'), 'features': str(data / 'features')}
        values = {
            'init': str(checkpoint),
            'data': [source],
            'out': str(tmp_path / out),
            'stage': 2,
            'global_batch': 4,
            'micro_batch': 4,
            'turns_per_sequence': 2,
            'learning_rate': 1e-3,
            'max_length': 512,
            'steps': 4,
            'save_every': 2,
            'log_every': 1,
        }
        path = tmp_path / f'{out}.yaml'
        path.write_text(yaml.safe_dump(values | changes))
        return path

    return write


@pytest.fixture
def run(write_config):
    """Train in this process; returns the folder of the run."""

    def run(out: str, **changes) -> Path:
        config = read_training_config(write_config(out, **changes), {})
        try:
            train(config)
        finally:
            forget_accelerator()
        return Path(config.out)

    return run
