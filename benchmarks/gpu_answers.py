# SPDX-License-Identifier: Apache-2.0
"""Answers of the whole model on one device: cold and prepared, one and eight at once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from benchmarks.answers import (
    PLACES,
    QUESTIONS,
    ask_together,
    decoding_rate,
    filled_memory,
    write_random,
)
from benchmarks.floors import Rates, cache_bytes, parameter_bytes, prefill_operations
from benchmarks.measure import Figure, interleave, milliseconds, ratio
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.pipeline import Answer, FlashVStream
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.core.star_memory import StarMemory


@dataclass(frozen=True)
class AnswerBench:
    """How answers of one model are timed.

    :param tokens: of each answer; fewer where it ends before.
    """

    vstream: FlashVStream
    dtype: torch.dtype
    rates: Rates
    rounds: int
    tokens: int

    def measure(self, batch: ContinuousBatch) -> list[Figure]:
        """Answers on snapshots nobody has asked about, on prepared ones, and eight at once."""
        vstream, memory = self.vstream, filled_memory(self.vstream)
        cold, prepared, preparing = [], [], []
        for _ in range(1 + self.rounds):  # the first one warms up
            cold.append(self._ask(batch, self._new_snapshot(memory)))
            snapshot = self._new_snapshot(memory)
            prepare = {'prepare': partial(vstream.prepare, snapshot)}
            seconds = interleave(prepare, 1, warm_up=0, device=vstream.device)
            preparing.append(seconds['prepare'][0])
            prepared.append(self._ask(batch, snapshot))
        prefix = vstream.prepare(snapshot).length
        prefill, question, token = self._floors_ms(prefix, prepared[0].prompt_tokens)
        answers, label = cold[1:] + prepared[1:], batch.decoding
        shortest = min(answer.answer_tokens for answer in answers)
        return [
            milliseconds(f'{label}: prepare {prefix} tokens', np.array(preparing[1:]),
                         floor=prefill),
            *self._latencies(f'{label}: cold', cold[1:], prefill + question, token),
            *self._latencies(f'{label}: prepared', prepared[1:], question, token),
            self._of_weights(label, prepared[1:]),
            Figure(f'{label}: decoding', decoding_rate(answers), 'tokens/s', floor=1e3 / token),
            Figure(f'{label}: tokens of the shortest answer', shortest, 'tokens',
                   at_least=self.tokens),
            *self._together(batch, snapshot),
        ]  # fmt: skip

    def _ask(self, batch: ContinuousBatch, snapshot: MemorySnapshot) -> Answer:
        return ask_together(self.vstream, batch, snapshot, QUESTIONS[:1], self.tokens)[0]

    def _new_snapshot(self, memory: StarMemory) -> MemorySnapshot:
        write_random(self.vstream, memory, frames=1)
        return memory.snapshot()

    def _weight_bytes(self) -> int:
        """Weights that a token reads."""
        llama = self.vstream.language_model.llama
        return parameter_bytes(llama.model.layers) + parameter_bytes(llama.lm_head)

    def _floors_ms(self, prefix: int, prompt: int) -> tuple[float, float, float]:
        """Prefill of the prefix, prefill of the question, one token behind it."""
        config, llama = self.vstream.config.language, self.vstream.language_model.llama
        read = self._weight_bytes() + cache_bytes(config, prefix, self.dtype)
        question = prefill_operations(config, prompt - prefix, past=prefix)
        layers = parameter_bytes(llama.model.layers)
        return (
            self.rates.floor_ms(prefill_operations(config, prefix), layers),
            self.rates.floor_ms(question, read),
            self.rates.floor_ms(0, read),
        )

    def _of_weights(self, label: str, answers: Sequence[Answer]) -> Figure:
        """How many times as long an answer takes as to read the weights once for each token."""
        read_s = self.rates.floor_ms(0, self._weight_bytes()) / 1e3
        times = [answer.total_time / (answer.answer_tokens * read_s) for answer in answers]
        name = f'{label}: answer, prepared / a read of the weights for each token'
        return Figure(name, float(np.median(times)), 'times', floor=1.0)

    def _latencies(
        self, name: str, answers: list[Answer], first_floor_ms: float, token_floor_ms: float
    ) -> list[Figure]:
        first = np.array([answer.time_to_first_token for answer in answers])
        total = np.array([answer.total_time for answer in answers])
        rest_ms = (self.tokens - 1) * token_floor_ms
        return [
            milliseconds(f'{name}: first token', first, floor=first_floor_ms),
            milliseconds(f'{name}: {self.tokens} tokens', total, floor=first_floor_ms + rest_ms),
        ]

    def _together(self, batch: ContinuousBatch, snapshot: MemorySnapshot) -> list[Figure]:
        """Answer as many questions at once and one after the other, in turn."""
        questions = [f'What is on the {place} table?' for place in PLACES]
        ask = partial(ask_together, self.vstream, batch, snapshot)
        times: list[tuple[float, float]] = []
        for _ in range(1 + self.rounds):  # the first one warms up
            marks = [time.perf_counter()]
            said = ask(questions, self.tokens)
            marks.append(time.perf_counter())
            alone = [ask([text], self.tokens)[0] for text in questions]
            marks.append(time.perf_counter())
            times.append((marks[1] - marks[0], marks[2] - marks[1]))
        together, one_by_one = (np.array(column) for column in zip(*times[1:], strict=True))
        differ = sum(a.token_ids != b.token_ids for a, b in zip(said, alone, strict=True))
        label, count = batch.decoding, len(questions)
        return [
            milliseconds(f'{label}: {count} answers at once', together),
            milliseconds(f'{label}: {count} answers one by one', one_by_one),
            ratio(f'{label}: answers one by one / at once', one_by_one, together),
            Figure(f'{label}: answers at once that differ from those one by one', differ,
                   'answers'),
        ]  # fmt: skip
