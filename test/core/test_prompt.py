# SPDX-License-Identifier: Apache-2.0
"""Prompt: the published conversation, and text that stays text."""

import random

import pytest

from flash_vstream_ros.core.checkpoint_files import CheckpointError
from flash_vstream_ros.core.prompt import Prompt, TextStream

IMAGE = -200  # the place of the memory in the golden ids
MARKS = ('</s>', '<s>', '<unk>', '<image>', '<0x0A>', '{question}', '{0}', '%s')
TEXTS = (
    'Where is the cup?',
    'naïve café',
    '机器人在哪里',
    'ok 😀👍🏽 ok',
    'a\tb\nc',
    '  two  spaces ',
    'Ω',
    '😀',
    'Ünïcödé ß',
    '\u200b',
    'e\u0301 combined',
)


@pytest.fixture
def prompt(golden_vstream) -> Prompt:
    return golden_vstream.prompt


@pytest.mark.parametrize('question', [0, 1])
def test_ids_equal_the_golden_ones(question, prompt, golden_tensors, golden_answers):
    expected = golden_tensors('answer')[f'input_ids_{question}'].tolist()
    asked = golden_answers[question]['question']
    assert [*prompt.before_memory(), IMAGE, *prompt.after_memory(asked)] == expected


@pytest.mark.parametrize('question', [0, 1])
def test_text_equals_the_golden_prompt(question, prompt, golden_answers):
    expected = golden_answers[question]['prompt'].split('<image>')
    before = prompt.text(prompt.before_memory()[1:])
    after = prompt.text(prompt.after_memory(golden_answers[question]['question']))
    assert [before, after] == expected


def test_the_beginning_of_text_stands_once_at_the_very_start(prompt):
    before, after = prompt.before_memory(), prompt.after_memory('What is it?')
    assert before[0] == 1
    assert 1 not in before[1:] + after + prompt.choice('yes')


@pytest.mark.parametrize('mark', MARKS)
def test_special_tokens_in_a_question_are_plain_text(mark, prompt):
    """An id of them would end the prompt, or stand where nothing was asked."""
    ids = prompt.after_memory(f'What does {mark} mean?')
    assert not set(ids) & {0, 1, 2, IMAGE}
    assert prompt.text(ids) == f'\nWhat does {mark} mean? ASSISTANT:'


@pytest.mark.parametrize('mark', MARKS)
def test_special_tokens_in_a_choice_are_plain_text(mark, prompt):
    ids = prompt.choice(mark)
    assert not set(ids[:-1]) & {0, 1, 2}
    assert ids[-1] == 2
    assert prompt.text(ids) == mark


@pytest.mark.parametrize('text', TEXTS)
def test_any_text_is_tokenised_and_comes_back(text, prompt):
    assert prompt.text(prompt.after_memory(text)) == f'\n{text} ASSISTANT:'
    assert prompt.text(prompt.choice(text)) == text.strip()


@pytest.mark.parametrize('text', ['', ' ', '\n\t '])
def test_empty_text_is_refused_with_it(text, prompt):
    with pytest.raises(ValueError, match='question: expected some text') as error:
        prompt.after_memory(text)
    assert repr(text) in str(error.value)
    with pytest.raises(ValueError, match='choices: expected some text in each') as error:
        prompt.choice(text)
    assert repr(text) in str(error.value)


def test_half_a_surrogate_pair_is_refused_as_a_wrong_question(prompt):
    """What Python makes of a byte on the command line that is no UTF-8."""
    with pytest.raises(ValueError, match='question'):
        prompt.after_memory('where is \udce4 it?')


def test_ids_the_tokenizer_does_not_know_become_replacement_characters(prompt):
    known = prompt.choice('cup')[:-1]
    assert prompt.text([*known, prompt.vocabulary, prompt.vocabulary + 7]) == 'cup\ufffd\ufffd'
    assert prompt.text([prompt.vocabulary]) == '\ufffd'
    assert prompt.text([]) == ''


@pytest.mark.parametrize('question', [0, 1])
def test_the_golden_answers_read_as_published(question, prompt, golden_answers):
    expected = golden_answers[question]
    assert prompt.text(expected['answer_ids']) == expected['answer']


def pieces_of(prompt: Prompt, ids: list[int]) -> list[str]:
    stream = TextStream(prompt)
    return [*(stream.add(token_id) for token_id in ids), stream.finish()]


@pytest.mark.parametrize('text', TEXTS)
def test_streamed_pieces_of_text_join_to_it_and_hold_no_half_character(text, prompt):
    ids = prompt.choice(text)[:-1]
    pieces = pieces_of(prompt, ids)
    assert ''.join(pieces) == text.strip()
    assert '\ufffd' not in ''.join(pieces)


def test_a_character_of_several_bytes_comes_whole_with_its_last_byte(prompt):
    ids = prompt.choice('😀')[:-1]
    assert len(ids) >= 4, 'one id for each of its bytes'
    pieces = pieces_of(prompt, ids)
    assert pieces[-2] == '😀'
    assert ''.join(pieces[:-2]) == ''


def test_a_character_that_is_never_finished_comes_at_the_end(prompt):
    ids = prompt.choice('ok 😀')[:-2]
    pieces = pieces_of(prompt, ids)
    assert ''.join(pieces) == prompt.text(ids)
    assert pieces[-1].startswith('\ufffd')


@pytest.mark.parametrize('seed', range(40))
def test_pieces_of_any_ids_join_to_their_text(seed, prompt):
    """What is said is never taken back, whatever a model says: broken bytes, strange ids."""
    noise = random.Random(seed)
    bytes_and_words = [*range(3, 259)] if seed % 2 else [*range(prompt.vocabulary + 2)]
    ids = [noise.choice(bytes_and_words) for _ in range(25)]
    stream, said = TextStream(prompt), ''
    for count, token_id in enumerate(ids, 1):
        said += stream.add(token_id)
        assert prompt.text(ids[:count]).startswith(said)
    assert said + stream.finish() == prompt.text(ids)


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r'tokenizer\.model: the tokenizer is missing'):
        Prompt.from_file(tmp_path / 'tokenizer.model')


@pytest.mark.parametrize('content', [b'', b'not a model' * 9, bytes(500)])
def test_a_damaged_tokenizer_is_named(content, tmp_path):
    path = tmp_path / 'tokenizer.model'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'tokenizer\.model: expected a SentencePiece model'):
        Prompt.from_file(path)


def test_a_tokenizer_cut_off_is_named(tmp_path, golden):
    path = tmp_path / 'tokenizer.model'
    path.write_bytes((golden / 'checkpoint' / 'tokenizer.model').read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r'tokenizer\.model'):
        Prompt.from_file(path)
