# SPDX-License-Identifier: Apache-2.0
"""FlashVStream: golden answers of both checkpoint forms, prefixes reused, choices scored."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from memory_samples import S, assert_same

from flash_vstream_ros.core.checkpoint_files import CheckpointError
from flash_vstream_ros.core.config import MemoryGeometry
from flash_vstream_ros.core.language_model import Sampling
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.core.snapshot import MemorySnapshot

PARTS = ('abstract', 'temporal', 'retrieved', 'spatial')


@pytest.fixture(scope='module', params=['bin', 'safetensors'])
def loaded(request: pytest.FixtureRequest) -> FlashVStream:
    """The golden model, from the published form and from its conversion."""
    if request.param == 'bin':
        return request.getfixturevalue('golden_vstream')
    return FlashVStream.from_pretrained(request.getfixturevalue('safetensors_checkpoint'))


@pytest.fixture
def golden_snapshot(golden_tensors, golden_vstream):
    """Make a snapshot of one of the two golden memories."""
    tensors = golden_tensors('answer')

    def make(question: int) -> MemorySnapshot:
        parts = {part: tensors[f'{part}_{question}'] for part in PARTS}
        zeros = {k: np.zeros(k, np.int64) for k in (1, 3, 25)}
        return MemorySnapshot(
            encoder_id=golden_vstream.encoder_id,
            memory_id=1 + question,
            frames_written=25,
            oldest_stamp_ns=1,
            newest_stamp_ns=25,
            **parts,
            temporal_weights=np.ones(25, np.int64),
            temporal_first_stamps_ns=np.arange(1, 26),
            temporal_last_stamps_ns=np.arange(1, 26),
            temporal_mean_stamps_ns=np.arange(1, 26),
            retrieved_stamps_ns=zeros[3] + 1,
            spatial_stamps_ns=zeros[1] + 25,
        )

    return make


@pytest.fixture
def snapshot(vstream) -> MemorySnapshot:
    """Of a memory of three frames."""
    memory = vstream.new_memory()
    for index, frame in enumerate(frames(3)):
        vstream.write(memory, frame, S * (1 + index))
    return memory.snapshot()


def frames(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 48, 80, 3), dtype=np.uint8)


@pytest.fixture
def prefills(vstream, monkeypatch) -> list[int]:
    """Lengths of the prefixes computed."""
    done: list[int] = []
    real = vstream.language_model.prefill_prefix
    monkeypatch.setattr(
        vstream.language_model, 'prefill_prefix', lambda e: (done.append(len(e)), real(e))[1]
    )
    return done


@pytest.mark.parametrize('question', [0, 1])
def test_logits_equal_the_golden_ones(question, loaded, golden_snapshot, golden_tensors,
                                      golden_answers):  # fmt: skip
    asked = loaded.prompt.after_memory(golden_answers[question]['question'])
    prefix = loaded.prepare(golden_snapshot(question))
    found, _ = loaded.language_model.prefill_question(prefix, asked)
    expected = golden_tensors('answer')[f'logits_last_{question}']
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize('question', [0, 1])
def test_greedy_answers_equal_the_golden_ones(question, loaded, golden_snapshot, golden_answers):
    expected = golden_answers[question]
    answer = loaded.answer(golden_snapshot(question), expected['question'], max_new_tokens=24)
    assert list(answer.token_ids) == expected['answer_ids']
    assert answer.text == expected['answer']
    assert answer.finish_reason == 'stop'
    assert answer.prompt_tokens == expected['seq_len']
    assert answer.answer_tokens == len(expected['answer_ids'])


def test_both_forms_of_a_checkpoint_are_the_same_model(
    golden_vstream, safetensors_checkpoint, snapshot
):
    converted = FlashVStream.from_pretrained(safetensors_checkpoint)
    assert converted.encoder_id == golden_vstream.encoder_id
    assert torch.equal(converted.encode(frames(2)), golden_vstream.encode(frames(2)))
    first, second = (one.answer(snapshot, 'What?') for one in (golden_vstream, converted))
    assert first.token_ids == second.token_ids


def test_writing_frames_is_encoding_them_and_memorising_the_features(vstream):
    memories = [vstream.new_memory() for _ in range(3)]
    features = [vstream.encode(frame[None])[0] for frame in frames(8)]
    for index, frame in enumerate(frames(8)):
        vstream.write(memories[0], frame, S + index)
        memories[1].write(features[index], S + index)
        vstream.write(memories[2], torch.from_numpy(frame), S + index)
    for memory in memories[1:]:
        assert_same(memory.snapshot(), memories[0].snapshot())
    assert memories[0].snapshot().encoder_id == vstream.encoder_id
    assert len({memory.memory_id for memory in memories}) == 3


def test_a_saved_memory_is_loaded_by_the_same_model(vstream, snapshot, tmp_path):
    memory = vstream.new_memory()
    for index, frame in enumerate(frames(3)):
        vstream.write(memory, frame, S * (1 + index))
    memory.save(tmp_path / 'memory')
    loaded = vstream.load_memory(tmp_path / 'memory')
    assert_same(loaded.snapshot(), snapshot)
    assert vstream.answer(loaded.snapshot(), 'What?') is not None


def test_sizes_come_from_the_checkpoint(vstream):
    assert vstream.geometry == MemoryGeometry(feature_width=40)
    assert vstream.encode(frames(2)).shape == (2, 16, 16, 40)


def test_an_answer_does_not_depend_on_the_question_before(vstream, snapshot):
    asked = ('Where is the cup?', 'Is the door open?', 'Where is the cup?')
    first, _, again = (vstream.answer(snapshot, question, max_new_tokens=12) for question in asked)
    vstream.prefixes.clear()
    fresh = vstream.answer(snapshot, asked[0], max_new_tokens=12)
    assert first.token_ids == again.token_ids == fresh.token_ids
    assert first.mean_log_probability == again.mean_log_probability


def test_questions_on_one_snapshot_share_its_prefix(vstream, snapshot, prefills):
    for question in ('Where?', 'When?', 'Who?'):
        vstream.answer(snapshot, question, max_new_tokens=2)
    vstream.answer(snapshot, 'Which?', ['this', 'that'])
    vstream.prepare(snapshot)
    tokens = len(vstream.prompt.before_memory()) + len(snapshot.tokens())
    assert prefills == [tokens]


def test_two_reads_without_a_write_between_share_a_prefix(vstream, prefills):
    memory = vstream.new_memory()
    vstream.write(memory, frames(1)[0], S)
    for _ in range(2):
        vstream.answer(memory.snapshot(), 'Where?', max_new_tokens=1)
    assert len(prefills) == 1


def test_any_other_content_gets_a_prefix_of_its_own(vstream, snapshot, prefills):
    memory = vstream.new_memory()
    for index, frame in enumerate(frames(4, seed=3)):
        vstream.write(memory, frame, S * (1 + index))
    others = [
        snapshot,
        snapshot.to_float16(),
        replace(snapshot, memory_id=snapshot.memory_id % 99 + 1),
        memory.snapshot(),
        snapshot,
    ]
    for other in others:
        vstream.answer(other, 'Where?', max_new_tokens=1)
    assert len(prefills) == len(others)


def test_a_prefix_prepared_before_anyone_asks_is_used(vstream, snapshot, prefills):
    vstream.prepare(snapshot)
    vstream.answer(snapshot, 'Where?', max_new_tokens=1)
    assert len(prefills) == 1


def test_the_memory_decides_the_answer(vstream, golden_snapshot):
    """With the prefix of another snapshot the logits would be equal."""
    asked = vstream.prompt.after_memory('Where?')
    found = [
        vstream.language_model.prefill_question(vstream.prepare(golden_snapshot(q)), asked)[0]
        for q in (0, 1)
    ]
    assert (found[0] - found[1]).abs().max() > 1e-3


def naive_probabilities(vstream, snapshot, question: str, choices: list[str]) -> list[float]:
    """One full pass over everything for each choice, in float64 behind the model."""
    llama, text = vstream.language_model.llama, vstream.prompt
    memory = vstream.projector(snapshot.tokens())
    before, after = text.before_memory(), text.after_memory(question)
    scores = []
    for choice in choices:
        ids = text.choice(choice)
        embed = llama.get_input_embeddings()
        rows = [embed(torch.tensor(before)), memory, embed(torch.tensor(after + ids))]
        logits = llama(inputs_embeds=torch.cat(rows)[None], use_cache=False).logits[0].double()
        values = logits[-len(ids) - 1 : -1].log_softmax(-1)
        scores.append(sum(values[i, token].item() for i, token in enumerate(ids)))
    return torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()


CHOICES = ['yes', 'no', 'behind the green ball', 'I do not know']


def test_choices_get_the_probabilities_of_full_passes(vstream, snapshot):
    answer = vstream.answer(snapshot, 'Is it open?', CHOICES)
    expected = naive_probabilities(vstream, snapshot, 'Is it open?', CHOICES)
    assert answer.choice_probabilities == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert sum(answer.choice_probabilities) == pytest.approx(1.0)
    best = expected.index(max(expected))
    assert answer.text == CHOICES[best]
    assert answer.token_ids == tuple(vstream.prompt.choice(CHOICES[best]))
    assert answer.finish_reason == 'choice'


def test_the_order_of_choices_does_not_matter(vstream, snapshot):
    answer = vstream.answer(snapshot, 'Is it open?', CHOICES)
    turned = vstream.answer(snapshot, 'Is it open?', CHOICES[::-1])
    assert answer.text == turned.text
    assert answer.choice_probabilities == pytest.approx(turned.choice_probabilities[::-1])


def test_a_choices_mean_log_probability_is_over_its_tokens(vstream, snapshot):
    answer = vstream.answer(snapshot, 'Is it open?', ['yes'])
    logits, cache = vstream.language_model.prefill_question(
        vstream.prepare(snapshot), vstream.prompt.after_memory('Is it open?')
    )
    ids = vstream.prompt.choice('yes')
    (summed,) = vstream.language_model.score(logits, cache, [ids])
    assert answer.choice_probabilities == (1.0,)
    assert answer.mean_log_probability == pytest.approx(summed / len(ids))


def test_equal_choices_share_their_probability(vstream, snapshot):
    answer = vstream.answer(snapshot, 'Is it open?', ['yes', 'yes'])
    assert answer.choice_probabilities == (0.5, 0.5)


def test_sampling_is_repeated_by_its_seed(vstream, snapshot):
    def ask(seed: int) -> tuple[int, ...]:
        sampling = Sampling(1.5, 1.0, torch.Generator().manual_seed(seed))
        answer = vstream.answer(snapshot, 'Where?', max_new_tokens=16, sampling=sampling)
        return answer.token_ids

    assert ask(1) == ask(1)
    assert len({ask(seed) for seed in range(5)}) > 1


def test_half_a_model_says_what_it_lacks(golden, snapshot, tmp_path):
    perceiving = FlashVStream.from_pretrained(golden / 'checkpoint', parts=('vision',))
    assert perceiving.encoder_id == snapshot.encoder_id
    assert perceiving.encode(frames(1)).shape == (1, 16, 16, 40)
    with pytest.raises(RuntimeError, match=r"without its language part.*parts=\('language',\)"):
        perceiving.answer(snapshot, 'Where?')
    answering = FlashVStream.from_pretrained(golden / 'checkpoint', parts=('language',))
    assert answering.answer(snapshot, 'Where?', max_new_tokens=1).answer_tokens == 1
    for use in (
        answering.new_memory,
        lambda: answering.encode(frames(1)),
        lambda: answering.load_memory(tmp_path),
    ):
        with pytest.raises(RuntimeError, match='without its vision part'):
            use()


def test_a_checkpoint_without_its_tokenizer_is_refused_by_name(checkpoint_copy):
    (checkpoint_copy / 'tokenizer.model').unlink()
    with pytest.raises(CheckpointError, match=r'tokenizer\.model'):
        FlashVStream.from_pretrained(checkpoint_copy)
    FlashVStream.from_pretrained(checkpoint_copy, parts=('vision',))


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(tmp_path):
    """Such an id has no embedding: an error at some question, on CUDA the end of the process."""
    folder = make_random_checkpoint(tmp_path / 'model', overrides={'vocab_size': 300})
    with pytest.raises(CheckpointError, match=r'tokenizer\.model.*400.*300'):
        FlashVStream.from_pretrained(folder)


def test_what_was_loaded_is_said(golden: Path, caplog):
    with caplog.at_level(logging.INFO):
        FlashVStream.from_pretrained(golden / 'checkpoint')
    (line,) = [r.getMessage() for r in caplog.records if r.name.startswith('flash_vstream_ros')]
    for word in ('checkpoint', 'encoder', 'language model', 'GB', 'cpu', ' s', 'float32'):
        assert word in line
