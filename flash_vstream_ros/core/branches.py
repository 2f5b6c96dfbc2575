# SPDX-License-Identifier: Apache-2.0
"""The answers of a batch: what each has the next pass read, and what it makes of the logits."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from flash_vstream_ros.core.language_model import (
    Sampling,
    check_number,
    chosen_of,
    in_groups,
    scores_of,
)


class Batch(Protocol):
    """What answers need of the batch they are in."""

    def new_segment(self) -> int:
        """A number that no tokens have yet."""

    def leave(self, branch: 'Branch') -> None:
        """Remove an answer from the batch."""


@dataclass(frozen=True)
class Text:
    """Tokens that the next pass reads.

    :param segment: names them for those who see them later.
    :param sees: segments that it sees beside itself.
    :param position: of the first token, for the rotary embedding.
    :param is_last_wanted: logits of the last token only, else of all.
    """

    ids: Sequence[int]
    segment: int
    sees: tuple[int, ...]
    position: int
    is_last_wanted: bool


@dataclass(frozen=True)
class PassResult:
    """What a pass has computed for a text.

    :param logits: (n, V) float32, of the tokens that were wanted.
    :param likeliest: (2,) float64, the most probable token after its last: its id and its natural
        log-probability. None where logits of all tokens were wanted.
    """

    logits: Tensor
    likeliest: Tensor | None


class Branch(ABC, Iterator):
    """An answer in a batch. Iterating gives None where the batch has to be stepped first.

    :param prefix: segment of what comes before its question.
    :param position: of the question's first token, for the rotary embedding.
    """

    def __init__(self, batch: Batch, prefix: int, position: int) -> None:
        self._batch = batch
        self.prefix = prefix
        self._position = position
        self.segment = batch.new_segment()

    def close(self) -> None:
        """Leave the batch."""
        self._batch.leave(self)

    @abstractmethod
    def texts(self) -> list[Text]:
        """The texts that the next pass reads."""

    @abstractmethod
    def reduce(self, results: Sequence[PassResult]) -> Tensor:
        """Reduce the results of its texts, on the device, to float64 values for the host."""

    @abstractmethod
    def take(self, values: list[float]) -> None:
        """Take the values that were copied to the host."""


class GeneratedAnswer(Branch):
    """An answer generated token by token: token ids with their natural log-probability."""

    def __init__(
        self,
        batch: Batch,
        prefix: int,
        position: int,
        ids: Sequence[int],
        sampling: Sampling,
        max_tokens: int,
    ) -> None:
        super().__init__(batch, prefix, position)
        self._unread = list(ids)
        self._sampling = sampling
        self._left = max_tokens
        self._chosen: tuple[int, float] | None = None

    def __next__(self) -> tuple[int, float] | None:
        """The next token.

        :raises ModelError: the model computed NaN.
        """
        chosen, self._chosen = self._chosen, None
        if chosen is not None:
            check_number(chosen[1])
        elif not self._left:
            raise StopIteration
        return chosen

    def texts(self) -> list[Text]:
        """The question, then each token that was chosen."""
        text = Text(self._unread, self.segment, (self.prefix,), self._position, True)
        return [text] if self._left else []

    def reduce(self, results: Sequence[PassResult]) -> Tensor:
        """Choose the next token."""
        if self._sampling.is_greedy:
            return results[0].likeliest
        return chosen_of(results[0].logits[-1], self._sampling)

    def take(self, values: list[float]) -> None:
        """Take the token that was chosen, with its log-probability."""
        self._left -= 1
        self._chosen = (int(values[0]), values[1])
        self._position += len(self._unread)
        self._unread = [self._chosen[0]]


class ScoredChoices(Branch):
    """Given answers to one question: their summed natural log-probabilities, in groups."""

    def __init__(
        self,
        batch: Batch,
        prefix: int,
        position: int,
        ids: Sequence[int],
        answers: Sequence[Sequence[int]],
    ) -> None:
        super().__init__(batch, prefix, position)
        self._question = list(ids)
        self._first: Tensor | None = None  # logits of an answer's first token
        self._groups = list(in_groups(answers))
        self._scores: list[float] | None = None

    def __next__(self) -> list[float] | None:
        """Scores of the next answers, as many as were read at once.

        :raises ModelError: the model computed NaN.
        """
        scores, self._scores = self._scores, None
        if scores is None and not self._groups:
            raise StopIteration
        for score in scores or ():
            check_number(score)
        return scores

    def texts(self) -> list[Text]:
        """The next answers, side by side after the question; at first the question as well."""
        if not self._groups:
            return []
        sees = (self.prefix, self.segment)
        after = self._position + len(self._question)
        texts = [
            Text(answer[:-1], self._batch.new_segment(), sees, after, False)
            for answer in self._groups[0]
        ]
        if self._first is None:
            ids = self._question
            texts.insert(0, Text(ids, self.segment, sees[:1], self._position, True))
        return texts

    def reduce(self, results: Sequence[PassResult]) -> Tensor:
        """Sum the log-probabilities of the answers that were read."""
        logits = [result.logits for result in results]
        if self._first is None:
            self._first, logits = logits[0][-1], logits[1:]
        return scores_of(self._groups[0], self._first, logits)

    def take(self, values: list[float]) -> None:
        """Take the sums."""
        self._scores = values
        del self._groups[0]
