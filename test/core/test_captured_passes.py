# SPDX-License-Identifier: Apache-2.0
"""Passes that are captured as CUDA graphs, on a GPU and as far as that goes without one."""

import math

import pytest
import torch
from captures import Captured
from conversations import MOST, QUESTIONS, assert_equal, grow_by, read_prefix, speak
from language_models import WIDTH, small_language_model

from flash_vstream_ros.core import static_passes
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.language_model import GREEDY, LanguageModel, ModelError
from flash_vstream_ros.core.static_passes import StaticPasses


@pytest.fixture(scope='module')
def model() -> LanguageModel:
    return small_language_model()


def captured_batch(model, monkeypatch, captures, most=5) -> ContinuousBatch:
    """A batch whose passes are captured, as far as that goes without a GPU."""
    monkeypatch.setattr(static_passes, 'capture', captures)
    grow_by(8, monkeypatch)
    static = StaticPasses(model, most=most, room=60)
    static._is_captured, static._sizes = True, static_passes.doubled(most)
    return ContinuousBatch(model, static)


def test_graphs_are_captured_of_few_sizes_and_filled_up(model, monkeypatch):
    batch = captured_batch(model, monkeypatch, captures := Captured())
    assert [len(each[0]) for each in captures.outputs] == [1, 2, 4, 5]
    prefix = read_prefix(model, 20)
    for count in (1, 2, 3, 5):
        questions = [[1 + n, 2] for n in range(count)]
        assert_equal(speak(batch, prefix, questions, 8), model, prefix, questions)
        assert batch.tokens == 0
    assert captures.count == 4
    scored = batch.score_each(prefix, [3], [[1], [2, 4]])  # one token: read by such a pass
    speaker = batch.speak(prefix, [3], GREEDY, MOST)
    batch.step()
    found = next(scored)
    assert found == pytest.approx(
        next(iter(model.score_each(prefix, [3], [[1], [2, 4]]))), abs=1e-4
    )
    assert next(speaker)


def test_where_a_graph_has_no_room_tokens_are_plain_until_the_next_conversation(
    model, monkeypatch, caplog
):
    captures = Captured(torch.OutOfMemoryError('full'))
    batch = captured_batch(model, monkeypatch, captures, most=1)
    prefix = read_prefix(model, 20)
    branch = batch.speak(prefix, QUESTIONS[0], GREEDY, MOST)
    said = []
    for _ in range(9):
        batch.step()
        said.append(next(branch))
    assert batch.decoding == 'graph, plain for want of room: 1 tokens'
    branch.close()
    assert_equal([said], model, prefix, QUESTIONS[:1])
    assert captures.count == 2, 'at the start and in the conversation, not for each token'
    assert 'no room for a CUDA graph of 1 tokens: full' in caplog.text
    captures.error = None
    assert_equal(speak(batch, prefix, QUESTIONS[:1], 9), model, prefix, QUESTIONS[:1])
    assert captures.count == 3
    assert batch.decoding == 'graph'


def test_nan_of_what_fills_a_graph_up_is_gone_once_all_have_left(model, monkeypatch):
    """It is written behind all that the cache holds."""
    batch = captured_batch(model, monkeypatch, Captured())
    broken = model.prefill_prefix(torch.full((9, WIDTH), math.nan))
    branches = [batch.speak(broken, [1 + n], GREEDY, MOST) for n in range(3)]  # of a graph of 4
    batch.step()
    for branch in branches:
        with pytest.raises(ModelError, match='NaN'):
            next(branch)
        branch.close()
    prefix = read_prefix(model, 4)
    assert_equal(speak(batch, prefix, QUESTIONS[:2], 4), model, prefix, QUESTIONS[:2])


def test_a_graph_of_nothing_is_noticed(model, monkeypatch):
    """As of another device's stream: its replay leaves the outputs of the capture as they were."""

    def capture_nothing(function, device):
        outputs = function()
        return lambda: outputs

    batch = captured_batch(model, monkeypatch, capture_nothing)
    assert 'from those of a plain pass' in batch.decoding


@pytest.mark.skipif(not torch.cuda.is_available(), reason='this machine has no CUDA device')
@pytest.mark.parametrize('is_compiled', [False, True], ids=['graph', 'compiled'])
def test_captured_passes_say_what_plain_ones_say(is_compiled, monkeypatch):
    model = small_language_model().cuda()
    batch = ContinuousBatch(model, StaticPasses(model, 4, 30, is_compiled=is_compiled))
    grow_by(1, monkeypatch)
    for tokens in (17, 60):
        prefix = read_prefix(model, tokens)
        for count in (1, 3):
            said = speak(batch, prefix, QUESTIONS[:count], 20)
            assert_equal(said, model, prefix, QUESTIONS[:count])
    assert batch.decoding == ('compiled' if is_compiled else 'graph')
