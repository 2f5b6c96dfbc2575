# SPDX-License-Identifier: Apache-2.0
"""Language model: prefix, question and decoding apart equal one pass over everything."""

import math
from itertools import islice, permutations

import pytest
import torch
from language_models import VOCABULARY, WIDTH, small_language_model
from torch import Tensor

from flash_vstream_ros.core.language_model import (
    GREEDY,
    LanguageModel,
    ModelError,
    Prefix,
    Sampling,
    in_groups,
)

PREFIX_TOKENS = 17
QUESTION = [5, 9, 3, 41, 7]


@pytest.fixture(scope='module')
def model() -> LanguageModel:
    return small_language_model()


@pytest.fixture(scope='module')
def embeddings() -> Tensor:
    """(N, E) of a prefix that is no text, as a memory is none."""
    return torch.randn(PREFIX_TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope='module')
def prefix(model, embeddings) -> Prefix:
    return model.prefill_prefix(embeddings)


def full_logits(model: LanguageModel, embeddings: Tensor, token_ids: list[int]) -> Tensor:
    """(N, V) of one pass of transformers' own model over the whole text, without a cache."""
    text = model.llama.get_input_embeddings()(torch.tensor(token_ids))
    whole = torch.cat([embeddings, text])[None]
    return model.llama(inputs_embeds=whole, use_cache=False).logits[0]


def copies(prefix: Prefix) -> list[Tensor]:
    return [tensor.clone() for layer in prefix.layers for tensor in layer]


def greedy(model: LanguageModel, prefix: Prefix, count: int) -> list[int]:
    logits, cache = model.prefill_question(prefix, QUESTION)
    return [token for token, _ in islice(model.decode(logits, cache, GREEDY), count)]


def test_a_prefix_holds_the_tokens_put_in(prefix, embeddings):
    assert prefix.length == len(embeddings) == PREFIX_TOKENS
    assert len(prefix.layers) == 2


def test_the_first_logits_equal_one_pass_over_everything(model, prefix, embeddings):
    found, _ = model.prefill_question(prefix, QUESTION)
    assert found.shape == (VOCABULARY,)
    torch.testing.assert_close(found, full_logits(model, embeddings, QUESTION)[-1])


def test_a_question_of_one_token_works_too(model, prefix, embeddings):
    found, _ = model.prefill_question(prefix, [8])
    torch.testing.assert_close(found, full_logits(model, embeddings, [8])[-1])


def test_greedy_tokens_equal_the_best_ones_of_full_passes(model, prefix, embeddings):
    said: list[int] = []
    for _ in range(30):
        said.append(full_logits(model, embeddings, QUESTION + said)[-1].argmax().item())
    assert greedy(model, prefix, 30) == said
    assert len(set(said)) > 5, 'a text that repeats one token proves little'


def test_greedy_tokens_equal_those_of_generate(model, prefix, embeddings):
    text = model.llama.get_input_embeddings()(torch.tensor(QUESTION))
    whole = torch.cat([embeddings, text])[None]
    mask = torch.ones(whole.shape[:2], dtype=torch.int64)
    expected = model.llama.generate(
        inputs_embeds=whole, attention_mask=mask, max_new_tokens=25, do_sample=False
    )
    assert greedy(model, prefix, 25) == expected[0].tolist()


def test_log_probabilities_are_those_of_the_full_passes(model, prefix, embeddings):
    logits, cache = model.prefill_question(prefix, QUESTION)
    said: list[int] = []
    for token, value in islice(model.decode(logits, cache, GREEDY), 12):
        expected = full_logits(model, embeddings, QUESTION + said)[-1].log_softmax(-1)[token]
        assert value == pytest.approx(expected.item(), abs=1e-5)
        said.append(token)


def test_a_sampled_tokens_log_probability_is_that_at_temperature_one(model, prefix):
    sampling = Sampling(3.0, 0.9, torch.Generator().manual_seed(3))
    logits, cache = model.prefill_question(prefix, QUESTION)
    token, value = next(model.decode(logits, cache, sampling))
    assert value == pytest.approx(logits.log_softmax(-1)[token].item(), abs=1e-5)


def test_using_a_prefix_does_not_change_it(model, prefix):
    before, first = copies(prefix), greedy(model, prefix, 20)
    logits, cache = model.prefill_question(prefix, [1, 2, 3, 4])
    model.score(logits, cache, [[7, 8, 9]])
    assert greedy(model, prefix, 20) == first
    assert all(torch.equal(a, b) for a, b in zip(before, copies(prefix), strict=True))


def test_two_questions_on_one_prefix_may_take_turns(model, prefix):
    alone = greedy(model, prefix, 10)
    streams = []
    for _ in range(2):
        logits, cache = model.prefill_question(prefix, QUESTION)
        streams.append(model.decode(logits, cache, GREEDY))
    together = [[next(stream)[0] for stream in streams] for _ in range(10)]
    assert [list(said) for said in zip(*together, strict=True)] == [alone, alone]


def test_no_token_is_computed_before_it_is_asked_for(model, prefix, monkeypatch):
    """What makes a cancel take effect within one token."""
    passes = []
    real = model._forward
    monkeypatch.setattr(model, '_forward', lambda *a: (passes.append(1), real(*a))[1])
    logits, cache = model.prefill_question(prefix, QUESTION)
    tokens = model.decode(logits, cache, GREEDY)
    assert len(passes) == 1
    next(tokens)
    assert len(passes) == 1, 'the first token comes from the logits of the question'
    next(tokens)
    next(tokens)
    assert len(passes) == 3


@pytest.mark.parametrize('answer', [[4], [4, 2], [30, 31, 32, 33, 34, 2]])
def test_a_score_equals_the_sum_of_a_full_pass(answer, model, prefix, embeddings):
    logits, cache = model.prefill_question(prefix, QUESTION)
    every = full_logits(model, embeddings, QUESTION + answer).log_softmax(-1)
    start = PREFIX_TOKENS + len(QUESTION) - 1
    expected = sum(every[start + i, token].item() for i, token in enumerate(answer))
    assert model.score(logits, cache, [answer]) == [pytest.approx(expected, abs=1e-4)]


def test_answers_scored_together_get_the_scores_they_get_alone(model, prefix):
    answers = [[4, 2], [30, 31, 32, 2], [9], [30, 31, 5, 2]]
    logits, cache = model.prefill_question(prefix, QUESTION)
    alone = [model.score(logits, cache, [answer])[0] for answer in answers]
    for order in permutations(range(4)):
        scores = model.score(logits, cache, [answers[i] for i in order])
        assert scores == pytest.approx([alone[i] for i in order], abs=1e-4)
        assert cache.get_seq_length() == PREFIX_TOKENS + len(QUESTION)


def test_answers_are_grouped_in_order_and_each_group_is_bounded():
    answers = [[1] * size for size in (200, 300, 20, 600, 1, 511)]
    groups = list(in_groups(answers))
    assert [[len(answer) for answer in group] for group in groups] == [
        [200, 300],
        [20],
        [600],
        [1, 511],
    ]
    assert list(in_groups([])) == []


def test_choices_cost_one_pass(model, prefix, monkeypatch):
    logits, cache = model.prefill_question(prefix, QUESTION)
    passes = []
    real = model.llama.forward
    monkeypatch.setattr(model.llama, 'forward', lambda **k: (passes.append(1), real(**k))[1])
    model.score(logits, cache, [[4, 2], [30, 31, 32, 2], [9], [30, 31, 5, 2]])
    assert len(passes) == 1
    model.score(logits, cache, [[4], [9]])
    assert len(passes) == 1, 'answers of one token need none'


def test_a_position_counts_behind_the_prefix(model, prefix, embeddings):
    """Rotary positions that began anew at the question would give other logits."""
    shifted = model.prefill_prefix(embeddings[3:])
    first, _ = model.prefill_question(shifted, QUESTION)
    torch.testing.assert_close(first, full_logits(model, embeddings[3:], QUESTION)[-1])
    assert not torch.allclose(first, model.prefill_question(prefix, QUESTION)[0], atol=1e-2)


def test_bfloat16_keeps_rotary_frequencies_and_logits_in_float32(model, embeddings):
    low = LanguageModel(model.llama.config).eval().requires_grad_(False)
    low.load_state_dict(model.state_dict())
    low.to(torch.bfloat16).restore_buffers(torch.device('cpu'))
    rotary = low.llama.model.rotary_emb
    assert rotary.inv_freq.dtype == torch.float32
    torch.testing.assert_close(rotary.inv_freq, model.llama.model.rotary_emb.inv_freq)
    found, _ = low.prefill_question(low.prefill_prefix(embeddings.bfloat16()), QUESTION)
    assert found.dtype == torch.float32
    expected = full_logits(model, embeddings, QUESTION)[-1]
    assert (found - expected).abs().mean() < 0.1 * expected.abs().mean()


def draws(sampling: Sampling, logits: Tensor, count: int) -> Tensor:
    """(V,) shares of the tokens drawn."""
    tokens = torch.stack([sampling.choose(logits) for _ in range(count)])
    return tokens.bincount(minlength=len(logits)) / count


LOGITS = torch.tensor([1.0, 3.0, 2.0, -1.0, 2.5])


@pytest.mark.parametrize('temperature', [1e-30, 1e-38, 1e-40, 1e-320])
def test_next_to_no_temperature_takes_the_most_probable_token(temperature):
    """Divided by it, logits became infinite, and any token was as good as another."""
    sampling = Sampling(temperature, 1.0, torch.Generator().manual_seed(0))
    assert draws(sampling, 100.0 * LOGITS, 50)[1] == 1.0


def test_no_temperature_takes_the_most_probable_token():
    assert GREEDY.choose(LOGITS) == 1
    assert Sampling(0.0, 0.1).choose(LOGITS) == 1


def test_equal_seeds_draw_equal_tokens():
    first, second = (Sampling(1.0, 1.0, torch.Generator().manual_seed(4)) for _ in range(2))
    assert [first.choose(LOGITS).item() for _ in range(50)] == [
        second.choose(LOGITS).item() for _ in range(50)
    ]


@pytest.mark.parametrize('temperature', [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_their_probability_says(temperature):
    sampling = Sampling(temperature, 1.0, torch.Generator().manual_seed(0))
    expected = (LOGITS / temperature).softmax(-1)
    deviation = (expected * (1 - expected) / 4000).sqrt()
    found = draws(sampling, LOGITS, 4000)
    assert ((found - expected).abs() <= 4 * deviation + 1e-3).all()


@pytest.mark.parametrize(
    ('top_p', 'kept'),
    [(0.01, [1]), (0.4, [1]), (0.6, [1, 4]), (0.85, [1, 2, 4]), (0.96, [0, 1, 2, 4])],
)
def test_top_p_draws_from_the_smallest_set_that_holds_it(top_p, kept):
    """Probabilities: 0.46 of token 1, 0.28 of 4, 0.17 of 2, 0.06 of 0, 0.01 of 3."""
    sampling = Sampling(1.0, top_p, torch.Generator().manual_seed(0))
    probabilities = LOGITS.softmax(-1)
    expected = torch.zeros(5)
    expected[kept] = probabilities[kept] / probabilities[kept].sum()
    found = draws(sampling, LOGITS, 2000)
    assert found.nonzero().flatten().tolist() == kept
    assert (found - expected).abs().max() < 0.05


def test_a_small_top_p_is_greedy_at_any_temperature(model, prefix):
    logits, cache = model.prefill_question(prefix, QUESTION)
    sampling = Sampling(2.0, 1e-6, torch.Generator().manual_seed(0))
    found = [token for token, _ in islice(model.decode(logits, cache, sampling), 15)]
    assert found == greedy(model, prefix, 15)


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'temperature': -0.1}, r'temperature: expected 0 or more, got -0\.1'),
        ({'temperature': math.nan}, 'temperature: expected 0 or more, got nan'),
        ({'top_p': 0.0}, r'top_p: .*got 0\.0'),
        ({'top_p': 1.1}, r'top_p: .*got 1\.1'),
        ({'top_p': math.nan}, 'top_p: .*got nan'),
        ({'temperature': 1.0}, r'generator: expected a torch\.Generator'),
    ],
)
def test_impossible_sampling_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Sampling(**options)


def test_it_answers_on_its_device(device, model, embeddings, prefix):
    there = LanguageModel(model.llama.config).eval().requires_grad_(False)
    there.load_state_dict(model.state_dict())
    there.to(device)
    found = greedy(there, there.prefill_prefix(embeddings.to(device)), 5)
    assert found == greedy(model, prefix, 5)


@pytest.mark.parametrize('temperature', [0.0, 0.7])
def test_a_model_that_computes_nan_fails_and_says_what_to_do(model, temperature):
    """In float16 a sum can overflow; the answer made of it would look like any other."""
    prefix = model.prefill_prefix(torch.full((3, WIDTH), math.nan))
    logits, cache = model.prefill_question(prefix, QUESTION)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ModelError, match=r'NaN.*bfloat16'):
        next(model.decode(logits, cache, Sampling(temperature, 0.9, generator)))
    with pytest.raises(ModelError, match=r'NaN.*bfloat16'):
        model.score(logits, cache, [[1, 2]])
