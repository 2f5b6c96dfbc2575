# SPDX-License-Identifier: Apache-2.0
"""A device that is full while a question joins: those who are being answered go on."""

import itertools

import pytest
import torch
from conversations import MOST, alone, grow_by
from language_models import WIDTH, small_language_model
from torch.utils._python_dispatch import TorchDispatchMode

from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.language_model import GREEDY
from flash_vstream_ros.core.static_passes import StaticPasses

TOKENS = (17, 9)  # of the memories: that of the running answer, that of the one that joins


class FullDevice(TorchDispatchMode):
    """Lets one operation that allocates fail.

    :param after: so many that go well.
    """

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after
        self.has_failed = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(returned.alias_info is None for returned in function._schema.returns):
            self._left -= 1
            if self._left < 0 and not self.has_failed:
                self.has_failed = True
                raise torch.OutOfMemoryError('full')
        return function(*args, **kwargs or {})


@pytest.fixture(scope='module')
def model():
    return small_language_model()


@pytest.fixture(scope='module')
def prefixes(model):
    generator = torch.Generator().manual_seed(1)
    return [
        model.prefill_prefix(torch.randn(tokens, WIDTH, generator=generator)) for tokens in TOKENS
    ]


def speak_on(batch, branch, count):
    said = []
    for _ in range(count):
        batch.step()
        said.append(next(branch))
    return [token for token, _ in said]


@pytest.mark.parametrize('is_static', [False, True], ids=['plain', 'static'])
@pytest.mark.parametrize('has_dead', [False, True], ids=['append', 'drop and append'])
def test_who_is_being_answered_goes_on_wherever_the_joining_of_another_fails(
    model, prefixes, has_dead, is_static, monkeypatch
):
    """A layer that was longer than another one spoilt the answers of all."""
    grow_by(1, monkeypatch)  # it grows as it joins
    expected = [token for token, _ in alone(model, prefixes[0], [1, 2], 9)]
    for after in itertools.count():
        batch = ContinuousBatch(model, StaticPasses(model, 2, 1) if is_static else None)
        running = batch.speak(prefixes[0], [1, 2], GREEDY, MOST)
        if has_dead:
            dead = batch.speak(prefixes[0], [3], GREEDY, MOST)
        said = speak_on(batch, running, 3)
        if has_dead:
            dead.close()
        device = FullDevice(after)
        try:
            with device:
                joined = batch.speak(prefixes[1], [4, 5], GREEDY, MOST)
        except torch.OutOfMemoryError:
            joined = None
        assert said + speak_on(batch, running, 6) == expected, f'operation {after}'
        if not device.has_failed:
            break
        assert joined is None
        joined = batch.speak(prefixes[1], [4, 5], GREEDY, MOST)
        found = speak_on(batch, joined, 5)
        assert found == [token for token, _ in alone(model, prefixes[1], [4, 5], 5)]
    assert after > 4, 'both layers have grown'
