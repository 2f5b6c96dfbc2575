# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from flash_vstream_ros.data.conversations import Example
from flash_vstream_ros.training.memory_loop import MemoryTokens
from flash_vstream_ros.training.sequences import (
    NO_LABEL,
    PADDING,
    TrainingPrompt,
    make_batch,
    make_sequence,
)

TURNS = (('Where is it?', 'There.'), ('Is it red?', 'no'))


@pytest.fixture(scope='module')
def prompt(checkpoint):
    return TrainingPrompt.from_file(checkpoint / 'tokenizer.model')


def example(independent=True, turns=TURNS):
    return Example('a', 1.0, turns, independent, 'here')


def test_independent_turns_each_begin_behind_the_memory(prompt):
    sequence = make_sequence(prompt, example(), 5, 500)
    before = prompt.before_memory()
    parts = [prompt.after_memory(q) + prompt.choice(a) for q, a in TURNS]
    prefix = len(before) + 5
    assert sequence.ids.tolist() == before + [0] * 5 + parts[0] + parts[1]
    expected = list(range(prefix))
    for part in parts:
        expected += range(prefix, prefix + len(part))
    assert sequence.positions.tolist() == expected
    turns = [0] * prefix + [1] * len(parts[0]) + [2] * len(parts[1])
    assert sequence.turns.tolist() == turns
    assert sequence.is_memory.nonzero().flatten().tolist() == list(range(len(before), prefix))
    assert sequence.cut == 0


def test_a_conversation_is_one_text(prompt):
    sequence = make_sequence(prompt, example(independent=False), 5, 500)
    assert sequence.positions.tolist() == list(range(len(sequence.ids)))
    assert not sequence.turns.any()
    text = prompt.text([i for i in sequence.ids.tolist() if i != prompt.end_id and i])
    assert text.endswith('Where is it? ASSISTANT: There. USER: Is it red? ASSISTANT: no')


@pytest.mark.parametrize('independent', [True, False])
def test_labels_are_the_answers_with_their_end(prompt, independent):
    sequence = make_sequence(prompt, example(independent), 5, 500)
    labels = sequence.labels[sequence.labels != NO_LABEL].tolist()
    assert labels == prompt.choice('There.') + prompt.choice('no')
    kept = sequence.labels != NO_LABEL
    assert torch.equal(sequence.ids[kept], sequence.labels[kept])


@pytest.mark.parametrize('independent', [True, False])
def test_what_does_not_fit_is_cut_and_counted(prompt, independent):
    whole = make_sequence(prompt, example(independent), 5, 500)
    assert make_sequence(prompt, example(independent), 5, int(whole.positions.max()) + 1).cut == 0
    for length in range(int(whole.positions.max()) + 1):
        sequence = make_sequence(prompt, example(independent), 5, length)
        prefix = len(prompt.before_memory()) + 5
        assert sequence.cut > 0
        assert sequence.positions.max() + 1 == max(length, prefix)
        kept = sequence.labels != NO_LABEL
        assert torch.equal(sequence.ids[kept], sequence.labels[kept])


def test_text_without_a_recording_has_no_memory(prompt):
    sequence = make_sequence(prompt, example(), 0, 500)
    assert not sequence.is_memory.any()


def test_shorter_sequences_are_padded_with_what_nobody_reads(prompt):
    sequences = [
        make_sequence(prompt, example(turns=TURNS[:n]), tokens, 500)
        for n, tokens in ((2, 3), (1, 7))
    ]
    memories = [MemoryTokens(torch.zeros(0, 4), torch.zeros(n, 4).half(), 0) for n in (3, 7)]
    batch = make_batch(sequences, memories)
    for row, sequence in enumerate(sequences):
        length = len(sequence.ids)
        for name in ('ids', 'labels', 'turns', 'positions', 'is_memory'):
            assert torch.equal(batch[name][row, :length], getattr(sequence, name))
        assert (batch['turns'][row, length:] == PADDING).all()
        assert (batch['labels'][row, length:] == NO_LABEL).all()
        assert not batch['is_memory'][row, length:].any()
    assert batch['is_memory'].sum() == 10
