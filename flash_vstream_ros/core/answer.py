# SPDX-License-Identifier: Apache-2.0
"""An answer, what it cost, and when to end it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


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
