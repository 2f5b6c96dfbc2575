# SPDX-License-Identifier: Apache-2.0
"""Answers as they come: pieces, why they end, what is refused. The model is a scripted one."""

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from memory_samples import S

from flash_vstream_ros.core import answer as answer_module
from flash_vstream_ros.core.answer import Answer
from flash_vstream_ros.core.language_model import LanguageModel, Prefix
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.snapshot import MemorySnapshot

END = 2


class ScriptedModel:
    """Says what it is told to, and counts the tokens it computed."""

    def __init__(self, script: list[int], context: int = 2048) -> None:
        self.context = context
        self.script = script
        self.said = 0
        self.scored = 0

    def embed(self, token_ids: list[int]) -> torch.Tensor:
        return torch.zeros(len(token_ids), 64)

    def prefill_prefix(self, embeddings: torch.Tensor) -> Prefix:
        return Prefix(((embeddings[None, None],) * 2,))

    def prefill_question(self, prefix: Prefix, token_ids: list[int]) -> tuple:
        return torch.zeros(400), None

    def decode(self, logits, cache, sampling) -> Iterator[tuple[int, float]]:
        for token in self.script:
            self.said += 1
            yield token, -0.5

    speak, score_each = LanguageModel.speak, LanguageModel.score_each

    def score(self, logits, cache, answers: list[list[int]]) -> list[float]:
        self.scored += len(answers)
        return [-1.0 * len(token_ids) for token_ids in answers]


@pytest.fixture
def script(vstream, monkeypatch):
    """Let the model say a text: ``script('text')`` or ``script(ids)``."""

    def write(said: str | list[int], context: int = 2048) -> ScriptedModel:
        ids = [*vstream.prompt.choice(said)] if isinstance(said, str) else said
        model = ScriptedModel(ids, context)
        monkeypatch.setattr(vstream, 'language_model', model)
        return model

    yield write
    vstream.prefixes.clear()


@pytest.fixture
def snapshot(vstream) -> MemorySnapshot:
    memory = vstream.new_memory()
    memory.write(torch.randn(16, 16, 40), S)
    return memory.snapshot()


def stream(vstream: FlashVStream, *args, **options) -> tuple[list[str], Answer]:
    generator, pieces = vstream.stream_answer(*args, **options), []
    while True:
        try:
            pieces.append(next(generator))
        except StopIteration as end:
            return pieces, end.value


@pytest.mark.parametrize('text', ['It is on the table.', 'naïve 😀 机器', '👍🏽', '</s> is it'])
def test_pieces_join_to_the_answer_where_characters_are_split(text, vstream, snapshot, script):
    script(text)
    pieces, answer = stream(vstream, snapshot, 'What?')
    assert ''.join(pieces) == answer.text == text
    assert '' not in pieces
    assert answer.finish_reason == 'stop'
    assert answer.token_ids == tuple(vstream.prompt.choice(text))
    assert answer.answer_tokens == len(answer.token_ids)
    assert answer.mean_log_probability == pytest.approx(-0.5)


def test_an_answer_cut_inside_a_character_still_joins(vstream, snapshot, script):
    script('ok 😀')
    length = len(vstream.prompt.choice('ok 😀')) - 2
    pieces, answer = stream(vstream, snapshot, 'What?', max_new_tokens=length)
    assert ''.join(pieces) == answer.text
    assert answer.text.startswith('ok \ufffd')


def test_a_piece_comes_before_the_next_token_is_computed(vstream, snapshot, script):
    words = [i for i in range(259, vstream.prompt.vocabulary) if vstream.prompt.text([i]).strip()]
    model = script(words[:9])
    generator = vstream.stream_answer(snapshot, 'What?')
    for count in range(1, 5):
        next(generator)
        assert model.said == count


def test_the_answer_ends_at_its_length(vstream, snapshot, script):
    model = script('It is on the table.')
    answer = vstream.answer(snapshot, 'What?', max_new_tokens=3)
    assert (answer.finish_reason, answer.answer_tokens, model.said) == ('length', 3, 3)


def test_an_end_at_the_last_token_allowed_is_a_stop(vstream, snapshot, script):
    ids = vstream.prompt.choice('yes')
    script(ids)
    answer = vstream.answer(snapshot, 'What?', max_new_tokens=len(ids))
    assert (answer.finish_reason, answer.text) == ('stop', 'yes')


def test_an_end_at_once_is_an_empty_answer(vstream, snapshot, script):
    script([END])
    pieces, answer = stream(vstream, snapshot, 'What?')
    assert (pieces, answer.text, answer.token_ids) == ([], '', (END,))
    assert answer.finish_reason == 'stop'


def test_nothing_is_said_behind_the_end(vstream, snapshot, script):
    model = script([10, END, 11, 12])
    answer = vstream.answer(snapshot, 'What?')
    assert answer.token_ids == (10, END)
    assert model.said == 2


@pytest.mark.parametrize('after', [0, 1, 3])
def test_a_cancel_takes_effect_within_one_token(after, vstream, snapshot, script):
    model = script('It is on the table, behind the ball.')
    pieces, answer = stream(vstream, snapshot, 'What?', cancelled=lambda: model.said >= after)
    assert model.said == answer.answer_tokens == after
    assert answer.finish_reason == 'cancelled'
    assert answer.text == ''.join(pieces)


@pytest.mark.parametrize('after', [0, 2])
def test_a_deadline_takes_effect_within_one_token(after, vstream, snapshot, script, monkeypatch):
    model = script('It is on the table, behind the ball.')
    clock = SimpleNamespace(monotonic=lambda: 100.0 + model.said, perf_counter=time.perf_counter)
    monkeypatch.setattr(answer_module, 'time', clock)
    answer = vstream.answer(snapshot, 'What?', deadline=100.0 + after)
    assert (answer.finish_reason, answer.answer_tokens, model.said) == ('deadline', after, after)


def test_a_deadline_already_past_computes_no_prefix(vstream, snapshot, script, monkeypatch):
    """A question that waited too long in a queue must not cost the next one a prefill."""
    model = script('It is on the table.')
    monkeypatch.setattr(model, 'prefill_prefix', lambda _: pytest.fail('a prefix was computed'))
    answer = vstream.answer(snapshot, 'What?', deadline=time.monotonic() - 1.0)
    assert answer.finish_reason == 'deadline'


def test_choices_are_cancelled_between_two_passes(vstream, snapshot, script, monkeypatch):
    monkeypatch.setattr('flash_vstream_ros.core.language_model.MOST_BRANCH_TOKENS', 1)
    model = script([END])
    answer = vstream.answer(snapshot, 'What?', ['a', 'b', 'c'], cancelled=lambda: model.scored > 1)
    assert (answer.finish_reason, answer.text, answer.token_ids) == ('cancelled', '', ())
    assert answer.choice_probabilities == ()
    assert model.scored == 2


def test_a_cancel_seen_once_ends_choices_with_its_reason(vstream, snapshot, script):
    script([END])
    seen = iter([False, True])
    answer = vstream.answer(
        snapshot, 'What?', ['a', 'b', 'c'], cancelled=lambda: next(seen, False)
    )
    assert answer.finish_reason == 'cancelled'


def test_choices_are_streamed_as_one_piece(vstream, snapshot, script):
    script([END])
    pieces, answer = stream(vstream, snapshot, 'What?', ['behind the door', 'no'])
    assert pieces == [answer.text] == ['no'], 'the shorter one scores better here'


def test_the_context_ends_an_answer(vstream, snapshot, script):
    prompt_tokens = vstream.answer(snapshot, 'What?', max_new_tokens=1).prompt_tokens
    vstream.prefixes.clear()
    script('It is on the table.', context=prompt_tokens + 4)
    answer = vstream.answer(snapshot, 'What?', max_new_tokens=100)
    assert (answer.finish_reason, answer.answer_tokens) == ('length', 4)
    assert answer.prompt_tokens == prompt_tokens


def test_a_question_longer_than_the_context_is_refused_with_the_numbers(vstream, snapshot):
    with pytest.raises(ValueError, match=r'question: \d+ tokens behind \d+ .*2048; ask a shorter'):
        vstream.answer(snapshot, 'where is the cup ' * 800)
    assert vstream.answer(snapshot, 'Where?', max_new_tokens=1).answer_tokens == 1


def test_a_choice_longer_than_the_context_is_refused_with_the_numbers(vstream, snapshot):
    with pytest.raises(ValueError, match=r'choices: expected at most \d+ tokens, got \d+'):
        vstream.answer(snapshot, 'Where?', ['here', 'where is the cup ' * 800])


@pytest.mark.parametrize(
    ('question', 'options', 'said'),
    [
        ('', {}, 'question: expected some text'),
        (' \n', {}, 'question: expected some text'),
        ('What?', {'choices': ['yes', '']}, 'choices: expected some text in each'),
        ('What?', {'choices': 'yes'}, "choices: expected a list of answers, got the text 'yes'"),
        ('What?', {'max_new_tokens': 0}, 'max_new_tokens: expected at least 1, got 0'),
        ('What?', {'max_new_tokens': -3}, 'max_new_tokens: expected at least 1, got -3'),
    ],
)
def test_a_request_that_cannot_be_served_is_refused(question, options, said, vstream, snapshot):
    for ask in (vstream.answer, vstream.check_request):
        with pytest.raises(ValueError, match=said):
            ask(snapshot, question, **options)


def test_an_empty_list_of_choices_is_no_choice(vstream, snapshot, script):
    script('yes')
    answer = vstream.answer(snapshot, 'What?', [])
    assert (answer.text, answer.choice_probabilities) == ('yes', ())


def test_a_snapshot_of_another_encoder_is_refused_with_both_names(vstream, snapshot):
    with pytest.raises(ValueError, match=f'encoder {vstream.encoder_id}, got one of other'):
        vstream.answer(replace(snapshot, encoder_id='other'), 'What?')


def test_an_empty_memory_is_refused(vstream):
    with pytest.raises(ValueError, match='expected a memory with frames'):
        vstream.answer(vstream.new_memory().snapshot(), 'What?')


@pytest.mark.parametrize('mark', ['</s>', '<s>', '<unk>', '<image>'])
def test_special_tokens_in_a_question_neither_stop_nor_break_the_answer(mark, vstream, snapshot):
    """The real model: the same prompt but for the text, and no place taken for the memory."""
    plain = vstream.answer(snapshot, 'What does it mean?', max_new_tokens=4)
    answer = vstream.answer(snapshot, f'What does {mark} mean?', max_new_tokens=4)
    spelled = len(vstream.prompt.after_memory(f'What does {mark} mean?'))
    assert answer.prompt_tokens - plain.prompt_tokens == spelled - len(
        vstream.prompt.after_memory('What does it mean?')
    )
    assert answer.answer_tokens >= 1
    assert vstream.answer(snapshot, 'Which?', [mark, 'no']).text in (mark, 'no')


def test_times_grow_and_are_seconds_from_the_call(vstream, snapshot):
    before = time.perf_counter()
    answer = vstream.answer(snapshot, 'What?', max_new_tokens=5)
    assert 0 < answer.time_to_first_token <= answer.total_time <= time.perf_counter() - before
