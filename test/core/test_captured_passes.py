# SPDX-License-Identifier: Apache-2.0
"""Passes that are captured as CUDA graphs, on a GPU and as far as that goes without one."""

import math

import pytest
import torch
from captures import Captured
from conversations import MOST, QUESTIONS, assert_equal, grow_by, read_prefix, speak
from language_models import WIDTH, small_language_model

from flash_vstream_ros.core import cuda_graphs, pipeline, static_passes
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.language_model import GREEDY, LanguageModel, ModelError
from flash_vstream_ros.core.static_passes import StaticPasses


@pytest.fixture(scope='module')
def model() -> LanguageModel:
    return small_language_model()


def captured_batch(model, monkeypatch, captures, most=5, room=80, **kind) -> ContinuousBatch:
    """A batch whose passes are captured, as far as that goes without a GPU."""
    monkeypatch.setattr(static_passes, 'capture', captures)
    grow_by(8, monkeypatch)
    static = StaticPasses(model, most=most, room=room, **kind)
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


def burst(batch, model, tokens, at_once, questions, answer=9):
    """Ask questions, each about a memory of so many tokens of its own, one every few passes."""
    running, asked, said = [], 0, []
    while running or asked < questions:
        if asked < questions and len(running) < at_once:
            prefix = read_prefix(model, tokens, asked)
            branch = batch.speak(prefix, QUESTIONS[asked % 3], GREEDY, MOST)
            said.append((prefix, QUESTIONS[asked % 3], []))
            running.append((branch, said[-1][2]))
            asked += 1
        for _ in range(3):
            batch.step()
            for branch, found in running:
                found.append(next(branch))
        for branch, _ in [each for each in running if len(each[1]) == answer]:
            branch.close()
        running = [each for each in running if len(each[1]) < answer]
    for prefix, ids, found in said:
        assert_equal([found], model, prefix, [ids])


def test_bursts_of_questions_capture_nothing_anew(monkeypatch):
    model = small_language_model()
    model.llama.config.max_position_embeddings = 512
    batch = captured_batch(model, monkeypatch, captures := Captured(), most=4, room=160)
    assert captures.count == 3, 'of 1, 2 and 4 tokens'
    for _ in range(3):
        burst(batch, model, tokens=20, at_once=4, questions=12)
        assert batch._cache.capacity == 160
    assert captures.count == 3
    for _ in range(3):  # once it needs more it has as much as is ever kept
        burst(batch, model, tokens=60, at_once=4, questions=8)
        assert batch._cache.capacity == 512
    assert captures.count <= 6


@pytest.mark.parametrize(('context', 'room'), [(10_000, None), (128, 128)])
def test_a_model_makes_room_for_questions_about_two_memories(context, room, vstream, monkeypatch):
    monkeypatch.setattr(static_passes, 'compiled', lambda plain: plain)
    monkeypatch.setattr(vstream.language_model.llama.config, 'max_position_embeddings', context)
    prefix = len(vstream.prompt.before_memory()) + vstream.geometry.tokens
    batch = vstream.new_batch(3, 'compiled')
    assert batch._cache.capacity == (room or 2 * prefix + 3 * (64 + 128))


def test_int8_is_refused_before_anything_is_captured(vstream, monkeypatch):
    monkeypatch.setattr(pipeline, 'quantization_of', lambda model: 'int8')
    monkeypatch.setattr(vstream, 'device', torch.device('cuda'))
    with pytest.raises(ValueError, match='decoding: graph cannot capture int8 layers'):
        vstream.new_batch(8, 'graph')


def test_nothing_is_captured_of_a_giant_that_is_not_kept(monkeypatch):
    model = small_language_model()
    model.llama.config.max_position_embeddings = 256
    batch = captured_batch(model, monkeypatch, captures := Captured(), most=4, room=160)
    running = [batch.speak(read_prefix(model, 200, n), [n], GREEDY, MOST) for n in range(2)]
    before = captures.count
    assert batch._cache.capacity > 256
    for _ in range(3):
        batch.step()
        assert all(next(branch) for branch in running)
    assert captures.count == before
    for branch in running:
        branch.close()
    burst(batch, model, tokens=20, at_once=4, questions=12)
    assert batch._cache.capacity == 160
    assert captures.count <= before + 3


def test_others_may_capture_while_a_pass_is_compiled(model, monkeypatch):
    """It takes minutes; the frame handler's first frame would wait for it in one process."""
    was_locked, captures = [], Captured()

    def compiled(plain):
        def read(*given):
            was_locked.append(cuda_graphs._lock.locked())
            return plain(*given)

        return read

    def capture_alone(function, device):
        with cuda_graphs._lock:
            return captures(function, device)

    monkeypatch.setattr(static_passes, 'compiled', compiled)
    batch = captured_batch(model, monkeypatch, capture_alone, most=1, is_compiled=True)
    assert not batch._static.fault
    assert captures.count == 1
    assert was_locked[0] is False
    assert True in was_locked


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
