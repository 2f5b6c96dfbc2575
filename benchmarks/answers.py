# SPDX-License-Identifier: Apache-2.0
"""Answers on the CPU: the first token of a second question on one snapshot against the first's."""

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from benchmarks.measure import Figure, interleave, milliseconds, ratio
from flash_vstream_ros.core.answer import finish_together
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.pipeline import Answer, FlashVStream
from flash_vstream_ros.core.random_checkpoint import random_vstream
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.star_memory import StarMemory

ROUNDS = {'tiny': 7, '100m': 7, '1b': 3}  # of each size
QUICK_SIZES = ('tiny', '100m')
QUESTIONS = ('What is on the table?', 'Where was the red cup?')  # of one length
YOUNGEST = 25  # frames that fill the temporal memory
PLACES = ('first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'last')
CHOICES = ('yes', 'no', 'on the table', 'behind the door', 'red', 'green', 'three', 'it is not')
NS_PER_S = 1_000_000_000


def measure(quick: bool) -> list[Figure]:
    """Measure models of random weights: what they say means nothing, what it costs does."""
    rounds = dict.fromkeys(QUICK_SIZES, 2) if quick else ROUNDS
    return [figure for size, count in rounds.items() for figure in measure_size(size, count)]


def measure_size(size: str, rounds: int, max_new_tokens: int = 32) -> list[Figure]:
    """Ask twice on each of some snapshots.

    :param rounds: snapshots.
    :param max_new_tokens: tokens of the second answer.
    """
    vstream = random_vstream(size, torch.device('cpu'), torch.float32)
    memory = filled_memory(vstream)
    answers: list[tuple[Answer, Answer]] = []
    for _ in range(1 + rounds):  # the first one warms up
        write_random(vstream, memory, frames=1)
        snapshot = memory.snapshot()
        first = vstream.answer(snapshot, QUESTIONS[0], max_new_tokens=1)
        second = vstream.answer(snapshot, QUESTIONS[1], max_new_tokens=max_new_tokens)
        answers.append((first, second))
    firsts, seconds = (
        np.array([answer.time_to_first_token for answer in column])
        for column in zip(*answers[1:], strict=True)
    )
    parameters = sum(p.numel() for p in vstream.language_model.parameters())
    label = f'{parameters / 1e6:.3g} M parameters, {answers[0][0].prompt_tokens} tokens of prompt'
    return [
        milliseconds(f'{label}: first token of the first question', firsts),
        milliseconds(f'{label}: first token of the second question', seconds),
        ratio(f'{label}: first question / second question', firsts, seconds),
        Figure(f'{label}: decoding', decoding_rate([a for _, a in answers[1:]]), 'tokens/s'),
        *measure_choices(vstream, memory, label, rounds),
        *measure_together(vstream, memory, label, rounds),
    ]


def measure_choices(
    vstream: FlashVStream, memory: StarMemory, label: str, rounds: int
) -> list[Figure]:
    """Score the same choices in one pass and one after the other, in turn."""
    model, prompt = vstream.language_model, vstream.prompt
    ids = [prompt.choice(choice) for choice in CHOICES]
    prefix = vstream.prepare(memory.snapshot())
    logits, cache = model.prefill_question(prefix, prompt.after_memory(QUESTIONS[0]))
    times: list[tuple[float, float]] = []
    for _ in range(1 + rounds):  # the first one warms up
        marks = [time.perf_counter()]
        model.score(logits, cache, ids)
        marks.append(time.perf_counter())
        for answer in ids:
            model.score(logits, cache, [answer])
        marks.append(time.perf_counter())
        times.append((marks[1] - marks[0], marks[2] - marks[1]))
    together, alone = (np.array(column) for column in zip(*times[1:], strict=True))
    return [
        milliseconds(f'{label}: {len(CHOICES)} choices in one pass', together),
        milliseconds(f'{label}: {len(CHOICES)} choices one by one', alone),
        ratio(f'{label}: choices one by one / in one pass', alone, together),
    ]


def measure_ages(oldest: int, quick: bool) -> list[Figure]:
    """Answer from memories of ever longer streams, in turn: nothing of an answer may grow.

    :param oldest: frames of the longest stream.
    """
    vstream = random_vstream('tiny', torch.device('cpu'), torch.float32)
    memory, snapshots = vstream.new_memory(), {}
    for age in sorted({YOUNGEST, min(1000, oldest), min(10_000, oldest), oldest}):
        write_random(vstream, memory, age - memory.frames_written)
        snapshots[age] = memory.snapshot()

    def answer(snapshot: MemorySnapshot) -> None:
        vstream.prefixes.clear()
        vstream.answer(snapshot, QUESTIONS[0], max_new_tokens=32)

    contenders = {str(age): partial(answer, snapshot) for age, snapshot in snapshots.items()}
    seconds = interleave(contenders, rounds=3 if quick else 300)
    medians = [float(np.median(seconds[str(age)])) for age in snapshots]
    return [
        *(milliseconds(f'answer after {age:,} frames', seconds[str(age)]) for age in snapshots),
        Figure('slowest / quickest', max(medians) / min(medians), 'times', at_most=1.05),
    ]


def measure_together(
    vstream: FlashVStream,
    memory: StarMemory,
    label: str,
    rounds: int,
    tokens: int = 32,
    **target: float,
) -> list[Figure]:
    """Answer as many questions in a batch and one after the other, in turn.

    :param tokens: of each answer; fewer where it ends before, the same in both.
    :param target: of how many times faster the batch is.
    """
    snapshot = memory.snapshot()
    vstream.prepare(snapshot)
    batch = ContinuousBatch(vstream.language_model)
    questions = [f'What is on the {place} table?' for place in PLACES]
    times: list[tuple[float, float]] = []
    for _ in range(1 + rounds):  # the first one warms up
        marks = [time.perf_counter()]
        said = ask_together(vstream, batch, snapshot, questions, tokens)
        marks.append(time.perf_counter())
        alone = [vstream.answer(snapshot, text, max_new_tokens=tokens) for text in questions]
        marks.append(time.perf_counter())
        times.append((marks[1] - marks[0], marks[2] - marks[1]))
    together, one_by_one = (np.array(column) for column in zip(*times[1:], strict=True))
    differ = sum(a.token_ids != b.token_ids for a, b in zip(said, alone, strict=True))
    count = len(questions)
    return [
        milliseconds(f'{label}: {count} answers at once', together),
        milliseconds(f'{label}: {count} answers one by one', one_by_one),
        ratio(f'{label}: answers one by one / at once', one_by_one, together, **target),
        Figure(f'{label}: answers that differ from those one by one', differ, 'answers'),
    ]


def ask_together(
    vstream: FlashVStream,
    batch: ContinuousBatch,
    snapshot: MemorySnapshot,
    questions: Sequence[str],
    tokens: int,
) -> list[Answer]:
    """Answer questions in one batch."""
    answers = {
        text: vstream.stream_answer(snapshot, text, max_new_tokens=tokens, batch=batch)
        for text in questions
    }
    done = finish_together(batch, answers)
    return [done[text] for text in questions]


def filled_memory(vstream: FlashVStream, frames: int = 60) -> StarMemory:
    """A memory whose every slot is filled."""
    memory = vstream.new_memory()
    write_random(vstream, memory, frames)
    return memory


def write_random(vstream: FlashVStream, memory: StarMemory, frames: int) -> None:
    """Write random features, a second apart."""
    side, width = vstream.geometry.feature_side, vstream.geometry.feature_width
    for _ in range(frames):
        feature = torch.randn(side, side, width, device=vstream.device)
        memory.write(feature, memory.newest_stamp_ns + NS_PER_S)


def decoding_rate(answers: list[Answer]) -> float:
    """Median tokens per second behind the first token.

    :param answers: of at least two tokens each.
    """
    rates = [
        (answer.answer_tokens - 1) / (answer.total_time - answer.time_to_first_token)
        for answer in answers
        if answer.answer_tokens > 1
    ]
    return float(np.median(rates)) if rates else float('nan')
