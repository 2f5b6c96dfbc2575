# SPDX-License-Identifier: Apache-2.0
"""Passes of a fixed form say what plain ones say; where they cannot be made it is said once."""

import logging
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conversations import MOST, QUESTIONS, assert_equal, grow_by, read_prefix, speak
from language_models import VOCABULARY, WIDTH, small_language_model
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from flash_vstream_ros.core import static_passes
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.growing_cache import GrowingCache
from flash_vstream_ros.core.language_model import GREEDY, LanguageModel, ModelError
from flash_vstream_ros.core.static_passes import StaticPasses


@pytest.fixture(scope='module')
def model() -> LanguageModel:
    return small_language_model()


def fail_to_make(monkeypatch, error):
    """Let passes of a fixed form fail with an error, at whatever they are made by."""

    def made(*_: object) -> None:
        raise error

    monkeypatch.setattr(static_passes, 'compiled', lambda _: made)


@pytest.fixture(scope='module')
def compiled(model, tmp_path_factory) -> ContinuousBatch:
    if shutil.which('g++') is None:
        pytest.skip('torch.compile needs a C++ compiler here')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TORCHINDUCTOR_CACHE_DIR', default_cache_dir())  # as torch sets it
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield _compiled_batch(model)
        assert os.environ['TORCHINDUCTOR_CACHE_DIR'].startswith(os.environ['XDG_CACHE_HOME'])


def _compiled_batch(model) -> ContinuousBatch:
    batch = ContinuousBatch(model, StaticPasses(model, most=4, room=80, is_compiled=True))
    assert batch.decoding == 'compiled'
    return batch


@pytest.mark.parametrize('count', [1, 2, 3])
def test_compiled_passes_say_what_plain_ones_say(count, model, compiled):
    prefix, questions = read_prefix(model, 17), QUESTIONS[:count]
    assert_equal(speak(compiled, prefix, questions, 12), model, prefix, questions)


def test_what_was_compiled_is_kept_for_the_next_start(model, compiled):
    counts = torch._dynamo.utils.counters['inductor']
    before = counts['fxgraph_cache_hit']
    torch.compiler.reset()  # of a new process nothing is left but the files
    again = ContinuousBatch(model, StaticPasses(model, most=4, room=30, is_compiled=True))
    assert counts['fxgraph_cache_hit'] == before + 2
    prefix = read_prefix(model, 17)
    assert_equal(speak(again, prefix, QUESTIONS, 12), model, prefix, QUESTIONS)


def test_nothing_is_compiled_again_for_a_cache_that_grows(model, compiled, monkeypatch):
    grow_by(1, monkeypatch)
    before = torch._dynamo.utils.counters['stats']['unique_graphs']
    assert before >= 2, 'one for a single answer, one for any number of them'
    capacities = set()

    def converse() -> None:
        for tokens in (30, 60, 90):
            prefix = read_prefix(model, tokens)
            for count in (1, 2, 3):
                said = speak(compiled, prefix, QUESTIONS[:count], 10)
                assert_equal(said, model, prefix, QUESTIONS[:count])
            capacities.add(compiled._cache.capacity)

    with ThreadPoolExecutor(1) as worker:  # as a node's, which is made on another thread
        worker.submit(converse).result()
    assert len(capacities) > 1
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == before


@pytest.mark.parametrize('count', [1, 3, 4, 5])
def test_only_as_many_answers_as_a_pass_has_room_for_are_said_by_it(count, model, monkeypatch):
    static = StaticPasses(model, most=4, room=30)
    batch = ContinuousBatch(model, static)
    sizes, read = [], static.read

    def noted(*given):
        found = read(*given)
        sizes.append(len(found[0]))
        return found

    monkeypatch.setattr(static, 'read', noted)
    questions = [[1 + n, 2] for n in range(count)]
    prefix = read_prefix(model, 9)
    assert_equal(speak(batch, prefix, questions, 6), model, prefix, questions)
    assert sizes == ([count] * 5 if count <= 4 else []), 'questions of two tokens are read plainly'


def test_buffers_stay_between_conversations_but_for_giants(model, monkeypatch):
    grow_by(8, monkeypatch)
    batch = ContinuousBatch(model, StaticPasses(model, most=2, room=50))
    place = batch._cache.buffers[0][0].data_ptr()
    for seed in range(3):
        prefix = read_prefix(model, 20, seed)
        assert_equal(speak(batch, prefix, QUESTIONS[:2], 5), model, prefix, QUESTIONS[:2])
        assert batch._cache.buffers[0][0].data_ptr() == place
        assert batch.tokens == 0
    giant = read_prefix(model, model.context + 1)
    speak(batch, giant, [[1]], 2)
    assert batch._cache.capacity == 0
    prefix = read_prefix(model, 20)
    assert_equal(speak(batch, prefix, QUESTIONS[:2], 5), model, prefix, QUESTIONS[:2])


def test_nan_is_gone_once_all_have_left(model, monkeypatch):
    """What is hidden is read all the same, and nothing times NaN is NaN."""
    grow_by(8, monkeypatch)
    batch = ContinuousBatch(model, StaticPasses(model, most=2, room=30))
    broken = model.prefill_prefix(torch.full((40, WIDTH), math.nan))
    branch = batch.speak(broken, [1], GREEDY, MOST)
    batch.step()
    with pytest.raises(ModelError, match='NaN'):
        next(branch)
    branch.close()
    batch.speak(broken, [1], GREEDY, MOST).close()  # before any pass
    prefix = read_prefix(model, 9)  # much shorter: what it leaves as it was is read as well
    assert_equal(speak(batch, prefix, QUESTIONS[:2], 5), model, prefix, QUESTIONS[:2])


def test_buffers_that_a_full_device_left_uneven_are_not_kept(model, monkeypatch):
    grow_by(8, monkeypatch)
    batch = ContinuousBatch(model, StaticPasses(model, most=2, room=30))
    branch = batch.speak(read_prefix(model, 9), [1], GREEDY, MOST)
    batch._cache.layers[0].grow(batch._cache.capacity + 1)
    batch.step()
    assert next(branch)
    branch.close()
    assert batch._cache.capacity == 0


def test_what_cannot_be_made_is_said_once_and_answers_are_plain(model, monkeypatch, caplog):
    grow_by(8, monkeypatch)
    fail_to_make(monkeypatch, RuntimeError('no compiler\nand much more'))
    caplog.set_level(logging.INFO)
    batch = ContinuousBatch(model, StaticPasses(model, most=4, room=30, is_compiled=True))
    for tokens in (20, 10):
        prefix = read_prefix(model, tokens)
        assert_equal(speak(batch, prefix, QUESTIONS, 5), model, prefix, QUESTIONS)
    assert batch.decoding == 'plain, not compiled: RuntimeError: no compiler'
    assert [record.levelname for record in caplog.records] == ['WARNING']
    assert 'no passes of a fixed form (RuntimeError: no compiler)' in caplog.text
    assert batch._cache.capacity == 0, 'nothing is held for them'


def test_a_device_that_is_full_from_the_start_leaves_plain_passes(model, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(GrowingCache, 'reserve', _out_of_memory)
        batch = ContinuousBatch(model, StaticPasses(model, most=4, room=30))
    assert batch.decoding == 'plain, not graph: OutOfMemoryError: full'
    assert caplog.text.count('tokens come by plain ones') == 1
    prefix = read_prefix(model, 20)
    assert_equal(speak(batch, prefix, QUESTIONS, 5), model, prefix, QUESTIONS)


def test_passes_that_compute_something_else_are_not_used(model, monkeypatch):
    def off(plain):
        return lambda *given: (plain(*given)[0] + 0.5, plain(*given)[1])

    monkeypatch.setattr(static_passes, 'compiled', off)
    batch = ContinuousBatch(model, StaticPasses(model, most=4, room=30, is_compiled=True))
    assert 'its logits are 0.5 from those of a plain pass' in batch.decoding
    prefix = read_prefix(model, 20)
    assert_equal(speak(batch, prefix, QUESTIONS, 5), model, prefix, QUESTIONS)


def test_a_device_that_is_full_ends_the_answer_and_not_the_passes(model, monkeypatch):
    batch = ContinuousBatch(model, StaticPasses(model, most=4, room=30))
    prefix = read_prefix(model, 20)
    branch = batch.speak(prefix, [1, 2], GREEDY, MOST)
    batch.step()
    assert next(branch)
    with monkeypatch.context() as patch:
        patch.setattr(model.llama.model.layers[1], 'forward', _out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            batch.step()
    batch.clear()
    assert batch.decoding == 'graph'
    assert_equal(speak(batch, prefix, QUESTIONS, 5), model, prefix, QUESTIONS)


def _out_of_memory(*_: object, **__: object):
    raise torch.OutOfMemoryError('full')


def test_a_pass_that_fails_later_is_given_up_and_the_answer_goes_on(model, caplog):
    batch = ContinuousBatch(model, StaticPasses(model, most=2, room=30))
    prefix = read_prefix(model, 20)
    branch = batch.speak(prefix, [1, 2], GREEDY, MOST)
    said = []
    for number in range(6):
        if number == 3:
            batch._static._passes = dict.fromkeys((1, 2), lambda: 1 / 0)
        batch.step()
        said.append(next(branch))
    assert_equal([said], model, prefix, [[1, 2]])
    assert batch.decoding == 'plain, not graph: ZeroDivisionError: division by zero'
    assert caplog.text.count('tokens come by plain ones') == 1


def test_tokens_see_their_own_segment_and_those_before_it():
    owners = torch.tensor([1, 1, 2, 3, static_passes.NOBODY])
    lines = torch.tensor([[2, 3], [1, 1], [1, 2]])  # own, and two before it; a column a token
    hidden = static_passes.hide(owners, lines, torch.float32)
    assert (hidden == 0).tolist() == [
        [True, True, True, False, False],
        [True, True, True, True, False],
    ]
    assert hidden.min() == torch.finfo(torch.float32).min
    assert max(map(max, QUESTIONS)) < VOCABULARY


@pytest.mark.parametrize('is_ours', [True, False])
def test_what_a_kill_left_half_compiled_is_compiled_again(
    is_ours, model, monkeypatch, tmp_path, caplog
):
    """Else each later start would answer by plain passes."""
    library = tmp_path / 'flash_vstream_ros' / 'compiled' / 'ab' / 'cab.main.so'
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path if is_ours else tmp_path / 'other'))
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(library.parents[1]))

    def load(plain):
        def loaded(*given):
            if library.exists():  # as torch says it
                raise ImportError(f'{library}: file too short')
            return plain(*given)

        return loaded

    monkeypatch.setattr(static_passes, 'compiled', load)
    batch = ContinuousBatch(model, StaticPasses(model, most=4, room=30, is_compiled=True))
    assert library.exists() != is_ours
    assert ('compiled again' in caplog.text) == is_ours
    assert (batch.decoding == 'compiled') == is_ours
    prefix = read_prefix(model, 20)
    assert_equal(speak(batch, prefix, QUESTIONS, 5), model, prefix, QUESTIONS)
