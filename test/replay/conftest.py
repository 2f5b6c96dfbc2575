# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of replay: a tiny model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint


@pytest.fixture(scope='session', autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors: threads only cost time here, and answers are compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_checkpoint(tmp_path_factory.mktemp('replay') / 'checkpoint', seed=3)


@pytest.fixture(scope='session')
def vstream(checkpoint: Path) -> FlashVStream:
    return FlashVStream.from_pretrained(checkpoint)
