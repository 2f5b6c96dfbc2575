# SPDX-License-Identifier: Apache-2.0
"""Answers that come from elsewhere, as they come: one by one, or several at once."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from flash_vstream_ros.core.language_model import Sampling, check_number

Put = Callable[[Any], bool]  # takes what has come; False where no more is wanted
WAIT_S = 0.05  # for news; who waits has other things to look after


class RemoteAnswer(Iterator):
    """What a thread of its own fetches: tokens with log-probabilities, or lists of scores.

    :param work: fetches and puts; what it raises is raised where its result would have been.
    :param news: called, by that thread, when something has come. None: iterating waits for it;
        else it gives None where nothing has come yet.
    """

    def __init__(
        self, work: Callable[[Put], None], news: Callable[[], None] | None = None
    ) -> None:
        self._work, self._news = work, news
        self._found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        threading.Thread(target=self._run, name='remote answer', daemon=True).start()

    def __next__(self) -> Any:
        """The next token, or the next scores.

        :raises ModelError: the server failed, or its model computed NaN.
        """
        try:
            found = self._found.get(block=self._news is None)
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        for value in found[1:] if isinstance(found, tuple) else found:
            check_number(value)
        return found

    def close(self) -> None:
        """Let go of it; its thread ends with the next thing that comes."""
        self._is_closed.set()

    def _run(self) -> None:
        try:
            self._work(self._put)
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self._put(error)

    def _put(self, found: Any) -> bool:
        if self._is_closed.is_set():
            return False
        self._found.put(found)
        if self._news is not None:
            self._news()
        return True


class Decoder(Protocol):
    """What can be asked elsewhere."""

    def speaking(
        self, prefix: Any, question_ids: Sequence[int], sampling: Sampling
    ) -> Callable[[Put], None]:
        """Work that puts the tokens of an answer."""

    def scoring(
        self, prefix: Any, question_ids: Sequence[int], answers: Sequence[Sequence[int]]
    ) -> Callable[[Put], None]:
        """Work that puts the scores of given answers."""


class RemoteBatch:
    """Several answers at once; how they share the model is the server's affair.

    It is used as a :class:`~flash_vstream_ros.core.continuous_batch.ContinuousBatch` is.
    """

    shares_passes = False

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._news = threading.Event()

    def speak(self, prefix: Any, question_ids: Sequence[int], sampling: Sampling) -> RemoteAnswer:
        """Begin an answer."""
        work = self._decoder.speaking(prefix, question_ids, sampling)
        return RemoteAnswer(work, self._news.set)

    def score_each(
        self, prefix: Any, question_ids: Sequence[int], answers: Sequence[Sequence[int]]
    ) -> RemoteAnswer:
        """Begin to score given answers."""
        work = self._decoder.scoring(prefix, question_ids, answers)
        return RemoteAnswer(work, self._news.set)

    def step(self) -> None:
        """Wait a moment for something to come."""
        self._news.wait(WAIT_S)
        self._news.clear()

    def clear(self) -> None:
        """Nothing is left behind by a failure: each answer has its own connection."""
