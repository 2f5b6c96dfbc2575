# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of the core: golden data, small models, devices."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint

GOLDEN = Path(__file__).resolve().parents[1] / 'golden'


@pytest.fixture(scope='session', autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors: threads only cost time here, and bits are compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=['cpu', 'cuda'])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device that a memory may live on; CUDA where there is one."""
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('this machine has no CUDA device')
    return torch.device(request.param)


@pytest.fixture(scope='session')
def golden() -> Path:
    """Folder of what the published code computed; without it nothing here proves anything."""
    assert (GOLDEN / 'checkpoint' / 'config.json').is_file(), f'{GOLDEN}: golden data is missing'
    return GOLDEN


@pytest.fixture(scope='session')
def golden_tensors(golden: Path) -> Callable[[str], dict[str, Tensor]]:
    """Read one of the golden files by its name."""
    return lambda name: load_file(golden / f'{name}.safetensors')


@pytest.fixture(scope='session')
def golden_answers(golden: Path) -> list[dict]:
    return json.loads((golden / 'answer.json').read_text())


@pytest.fixture(scope='session')
def safetensors_checkpoint(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint with its weights converted, over several files."""
    root = tmp_path_factory.mktemp('converted')
    folder = root / 'checkpoint'
    shutil.copytree(golden / 'checkpoint', folder, ignore=shutil.ignore_patterns('*.bin*'))
    shutil.copytree(golden / 'clip', root / 'clip')
    weight_map = {}
    for shard in sorted((golden / 'checkpoint').glob('*.bin')):
        name = f'{shard.stem}.safetensors'
        tensors = torch.load(shard, weights_only=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
    index = folder / 'model.safetensors.index.json'
    index.write_text(json.dumps({'weight_map': weight_map}))
    return folder


@pytest.fixture(scope='session')
def golden_vstream(golden: Path) -> FlashVStream:
    return FlashVStream.from_pretrained(golden / 'checkpoint')


@pytest.fixture(scope='session')
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint; copy it before changing it."""
    return make_random_checkpoint(tmp_path_factory.mktemp('tiny') / 'checkpoint', seed=5)


@pytest.fixture
def checkpoint_copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A random checkpoint of the test's own, in one safetensors file."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / 'checkpoint'))


@pytest.fixture
def vstream(golden_vstream: FlashVStream) -> FlashVStream:
    """The golden model with nothing prepared."""
    golden_vstream.prefixes.clear()
    return golden_vstream
