# SPDX-License-Identifier: Apache-2.0
"""Answers in a batch are the answers that each question gets alone."""

import math
import random

import pytest
import torch
from conversations import MOST, alone, assert_said, grow_by
from language_models import VOCABULARY, WIDTH, small_language_model

from flash_vstream_ros.core import continuous_batch, language_model
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.language_model import GREEDY, LanguageModel, ModelError, Sampling
from flash_vstream_ros.core.static_passes import StaticPasses


@pytest.fixture(scope='module')
def model() -> LanguageModel:
    return small_language_model()


@pytest.fixture(scope='module')
def prefixes(model):
    """Of three memories, of different lengths."""
    generator = torch.Generator().manual_seed(1)
    return [
        model.prefill_prefix(torch.randn(tokens, WIDTH, generator=generator))
        for tokens in (17, 9, 30)
    ]


@pytest.fixture(params=['plain', 'static'])
def batch(request, model):
    """Passes as they come, and tokens of answers in passes of a fixed form."""
    if request.param == 'plain':
        return ContinuousBatch(model)
    grow_by(8, request.getfixturevalue('monkeypatch'))
    return ContinuousBatch(model, StaticPasses(model, most=8, room=40))


def question(seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 9))]


@pytest.mark.parametrize('size', [1, 2, 8])
def test_each_is_told_what_it_would_be_told_alone(size, model, prefixes, batch):
    prefix = prefixes[0]
    branches = [batch.speak(prefix, question(seed), GREEDY, MOST) for seed in range(size)]
    said = [[] for _ in branches]
    for _ in range(12):
        assert all(next(branch) is None for branch in branches), 'nothing before the pass'
        batch.step()
        for branch, tokens in zip(branches, said, strict=True):
            tokens.append(next(branch))
    for seed, tokens in enumerate(said):
        assert_said(tokens, alone(model, prefix, question(seed), 12))


@pytest.mark.parametrize('seed', range(20))
def test_questions_about_any_memory_come_and_go_at_any_time(seed, model, prefixes, batch):
    draw = random.Random(seed)
    running, done = [], 0
    while done < 25:
        while len(running) < 6 and draw.random() < 0.6:
            about, ids = draw.choice(prefixes), question(draw.randrange(1000))
            branch = batch.speak(about, ids, GREEDY, MOST)
            running.append((branch, [], alone(model, about, ids, draw.randint(1, 15))))
        batch.step()
        for entry in running.copy():
            branch, said, expected = entry
            said.append(next(branch))
            if len(said) == len(expected):
                assert_said(said, expected)
                branch.close()
                running.remove(entry)
                done += 1
    assert len(batch) == len(running)


@pytest.mark.parametrize('bound', [512, 5, 1])
def test_given_answers_get_the_scores_they_get_alone(bound, model, prefixes, batch, monkeypatch):
    monkeypatch.setattr(language_model, 'MOST_BRANCH_TOKENS', bound)
    answers = [[3], [4, 5, 6], [7, 8], [3, 9], [1, 1, 1, 1, 1]]
    asked = [(prefixes[place % 3], question(place)) for place in range(4)]
    talker = batch.speak(prefixes[0], question(9), GREEDY, MOST)
    scored = [batch.score_each(prefix, ids, answers) for prefix, ids in asked]
    found, said = [[] for _ in scored], []
    while len(found[0]) < len(answers):
        batch.step()
        said.append(next(talker))
        for scores, one in zip(found, scored, strict=True):
            scores += next(one)
    for (prefix, ids), scores in zip(asked, found, strict=True):
        expected = [score for group in model.score_each(prefix, ids, answers) for score in group]
        assert scores == pytest.approx(expected, abs=1e-4)
    assert_said(said, alone(model, prefixes[0], question(9), len(said)))
    with pytest.raises(StopIteration):
        next(scored[0])


def test_nothing_is_computed_behind_the_last_token(prefixes, batch):
    short, long = (batch.speak(prefixes[0], [1, 2], GREEDY, most) for most in (2, 3))
    for _ in range(3):
        batch.step()
        next(long)
        next(short, None)
    assert batch.tokens == prefixes[0].length + 3 + 4
    with pytest.raises(StopIteration):
        next(short)


def test_nothing_is_held_once_all_have_left(prefixes, batch):
    branches = [batch.speak(prefix, [1], GREEDY, MOST) for prefix in prefixes]
    batch.step()
    assert batch.tokens
    for branch in branches:
        branch.close()
    assert batch.tokens == 0


def test_one_pass_answers_all(model, prefixes, batch, monkeypatch):
    passes = []
    forward = model.llama.forward
    monkeypatch.setattr(
        model.llama, 'forward', lambda *a, **k: passes.append(1) or forward(*a, **k)
    )
    for seed in range(8):
        batch.speak(prefixes[0], question(seed), GREEDY, MOST)
        batch.score_each(prefixes[1], question(seed), [[1, 2], [3, 4]])
    batch.step()
    assert len(passes) == 1


def test_a_prefix_is_held_once_and_what_nobody_sees_is_dropped(prefixes, batch):
    first = batch.speak(prefixes[0], [1, 2], GREEDY, MOST)
    batch.speak(prefixes[0], [3], GREEDY, MOST)
    batch.step()
    assert batch.tokens == prefixes[0].length + 3
    first.close()
    for number in range(2000):
        branch = batch.speak(prefixes[number % 2], [1, 2, 3], GREEDY, MOST)
        batch.step()
        assert next(branch) is not None
        branch.close()
    most = sum(prefix.length for prefix in prefixes[:2]) + 2000 + 2  # the second one still speaks
    assert batch.tokens < most + 600


def test_an_equal_prefix_read_anew_is_another_one(model, batch):
    embeddings = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(5))
    prefix = model.prefill_prefix(embeddings)
    expected = alone(model, prefix, [1, 2], 1)
    talker = batch.speak(prefix, [4], GREEDY, MOST)
    batch.step()
    del prefix
    branch = batch.speak(model.prefill_prefix(embeddings), [1, 2], GREEDY, MOST)
    batch.step()
    assert_said([next(branch)], expected)
    talker.close()


def test_after_a_failure_it_begins_anew(model, prefixes, batch, monkeypatch):
    branch = batch.speak(prefixes[0], [1, 2], GREEDY, MOST)
    batch.step()
    with monkeypatch.context() as patch:
        patch.setattr(model.llama.model.layers[1], 'forward', _out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            batch.step()
    batch.clear()
    branch.close()
    branch = batch.speak(prefixes[0], [1, 2], GREEDY, MOST)
    batch.step()
    assert_said([next(branch)], alone(model, prefixes[0], [1, 2], 1))


def _out_of_memory(*_: object, **__: object):
    raise torch.OutOfMemoryError('full')


def test_nan_is_refused_and_gone_once_the_batch_is_cleared(model, prefixes, batch):
    """What one has read others do not see, but NaN times nothing is NaN."""
    broken = model.prefill_prefix(torch.full((4, WIDTH), math.nan))
    lost = batch.speak(broken, [1], GREEDY, MOST)
    scored = batch.score_each(broken, [1], [[1], [2, 3]])
    batch.step()
    with pytest.raises(ModelError, match='NaN'):
        next(lost)
    with pytest.raises(ModelError, match='NaN'):
        next(scored)
    batch.clear()
    fine = batch.speak(prefixes[0], [1, 2], GREEDY, MOST)
    batch.step()
    assert_said([next(fine)], alone(model, prefixes[0], [1, 2], 1))


def test_each_answer_is_drawn_its_own_way(model, prefixes, batch):
    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        hot = Sampling(1.5, 1.0, generator)
        branches = [batch.speak(prefixes[0], [1, 2], how, MOST) for how in (hot, GREEDY)]
        said = []
        for _ in range(8):
            batch.step()
            said.append([next(branch)[0] for branch in branches])
        for branch in branches:
            branch.close()
        return said

    first, again, other = draw(0), draw(0), draw(1)
    assert first == again
    assert first != other
    greedy = [token for token, _ in alone(model, prefixes[0], [1, 2], 8)]
    assert [row[1] for row in first] == greedy == [row[1] for row in other]


def test_a_pass_has_a_bound_and_nobody_waits_long(model, prefixes, batch, monkeypatch):
    """Many choices at once: the tokens of a pass stay bounded, and who spoke before speaks on."""
    monkeypatch.setattr(continuous_batch, 'MOST_BRANCH_TOKENS', 40)
    monkeypatch.setattr(language_model, 'MOST_BRANCH_TOKENS', 40)
    sizes, read = [], model.llama.forward

    def forward(**given):
        sizes.append(given['input_ids'].shape[1] if 'input_ids' in given else 0)  # 0: the oracle's
        return read(**given)

    monkeypatch.setattr(model.llama, 'forward', forward)
    prefix = prefixes[0]
    choices = [[question(10 * n + m) + [3] * 12 for m in range(4)] for n in range(6)]
    speaker = batch.speak(prefix, question(1), GREEDY, MOST)
    scored = [batch.score_each(prefix, question(n), c) for n, c in enumerate(choices)]
    said, scores = [], [[] for _ in scored]
    passes = 0
    while min(map(len, scores)) < 4:
        batch.step()
        passes += 1
        said.append(next(speaker))
        for branch, found in zip(scored, scores, strict=True):
            found += next(branch, None) or []
    assert max(sizes) <= 40 + 40 + 9, 'one answer beyond the bound, with its question'
    spoken = [each for each in said if each is not None]
    assert len(spoken) >= passes / 8
    assert_said(spoken, alone(model, prefix, question(1), len(spoken)))
    for n, found in enumerate(scores):
        groups = model.score_each(prefix, question(n), choices[n])
        assert found == pytest.approx([score for group in groups for score in group], abs=1e-3)
