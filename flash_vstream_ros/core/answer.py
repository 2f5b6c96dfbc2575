# SPDX-License-Identifier: Apache-2.0
"""An answer, what it cost, how it is put together, and when to end it."""

import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from flash_vstream_ros.core.prompt import TextStream

_NO_MORE = (-1, 0.0)
Name = TypeVar('Name', bound=Hashable)


@dataclass(frozen=True)
class Answer:
    """An answer and what it cost."""

    text: str
    token_ids: tuple[int, ...]  # end of text included
    finish_reason: str  # stop, length, choice, deadline, cancelled
    mean_log_probability: float  # natural logarithm, over token_ids; 0 where there are none
    choice_probabilities: tuple[float, ...]  # one a choice, summing to 1; empty without choices
    prompt_tokens: int
    answer_tokens: int
    time_to_first_token: float  # seconds from the call
    total_time: float  # seconds from the call
    prefix_ready: bool = False  # the memory had been read before the question came


class AnswerClock:
    """Counts seconds and tokens of one answer."""

    def __init__(self, started: float, prompt_tokens: int) -> None:
        self._started = started
        self._prompt_tokens = prompt_tokens
        self._first: float | None = None
        self.prefix_ready = False

    def first_token(self) -> None:
        """Note the time of the first token; later calls change nothing."""
        if self._first is None:
            self._first = time.perf_counter() - self._started

    def answer(
        self,
        text: str,
        token_ids: Sequence[int],
        finish_reason: str,
        mean_log_probability: float,
        choice_probabilities: Sequence[float] = (),
    ) -> Answer:
        """Make the answer, ended now."""
        total = time.perf_counter() - self._started
        return Answer(
            text=text,
            token_ids=tuple(token_ids),
            finish_reason=finish_reason,
            mean_log_probability=mean_log_probability,
            choice_probabilities=tuple(choice_probabilities),
            prompt_tokens=self._prompt_tokens,
            answer_tokens=len(token_ids),
            time_to_first_token=total if self._first is None else self._first,
            total_time=total,
            prefix_ready=self.prefix_ready,
        )


def stop_check(cancelled: Callable[[], bool], deadline: float) -> Callable[[], str]:
    """A check that returns why to stop, or nothing."""

    def check() -> str:
        if cancelled():
            return 'cancelled'
        return 'deadline' if time.monotonic() >= deadline else ''

    return check


def speak(
    stream: TextStream,
    tokens: Iterator[tuple[int, float] | None],
    max_new_tokens: int,
    clock: AnswerClock,
    stop: Callable[[], str],
) -> Generator[str, None, Answer]:
    """Put an answer together from tokens, until its end, the most tokens, or a reason to stop.

    :param tokens: ids with their natural log-probability; None: not there yet, which yields
        nothing (``''``).
    :param stop: asked before each token is computed.
    :returns: pieces of text; the generator's value is the :class:`Answer`.
    """
    ids, total, text, reason = [], 0.0, '', stop()
    while not reason:
        token = next(tokens, _NO_MORE)
        if token is None:
            yield ''
            reason = stop()
            continue
        if token is _NO_MORE:  # whoever speaks had no room for as many
            reason = 'length'
            break
        clock.first_token()
        ids.append(token[0])
        total += token[1]
        if stream.is_end(token[0]):
            reason = 'stop'
            break
        reason = 'length' if len(ids) == max_new_tokens else stop()
        piece = stream.add(token[0])
        if piece:
            text += piece
            yield piece
    piece = stream.finish()
    if piece:
        yield piece
    return clock.answer(text + piece, ids, reason, total / max(len(ids), 1))


def choose(
    choices: Sequence[str],
    ids: Sequence[Sequence[int]],
    scored: Iterator[list[float] | None],
    clock: AnswerClock,
    stop: Callable[[], str],
) -> Generator[str, None, Answer]:
    """Choose the most probable of given answers.

    :param ids: token ids of each choice.
    :param scored: their summed log-probabilities in order, some at a time; None: not there yet,
        which yields nothing (``''``).
    :param stop: asked before more are computed.
    :returns: the choice; the generator's value is the :class:`Answer`.
    """
    scores: list[float] = []
    while len(scores) < len(ids):
        reason = stop()
        if reason:
            return clock.answer('', [], reason, 0.0)
        found = next(scored)
        if found is None:
            yield ''
        else:
            scores += found
    clock.first_token()
    probabilities = torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()
    best = max(range(len(choices)), key=scores.__getitem__)
    yield choices[best]
    mean = scores[best] / len(ids[best])
    return clock.answer(choices[best], ids[best], 'choice', mean, probabilities)


class Steps(Protocol):
    """A batch of answers that is stepped."""

    def step(self) -> None:
        """Compute what the answers in it wait for."""


def finish_together(
    batch: Steps, answers: Mapping[Name, Generator[str, None, Answer]]
) -> dict[Name, Answer]:
    """Bring answers of one batch to their end.

    :param answers: what ``FlashVStream.stream_answer`` gave for each, by any name.
    """
    running, done = dict(answers), {}
    while running:
        for name, pieces in list(running.items()):
            try:
                while next(pieces):
                    pass
            except StopIteration as end:
                done[name] = end.value
                del running[name]
        if running:
            batch.step()
    return done
