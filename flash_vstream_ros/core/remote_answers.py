# SPDX-License-Identifier: Apache-2.0
"""Answers that come from elsewhere, as they come: one by one, or several at once."""

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from flash_vstream_ros.core.language_model import ModelError, Sampling, check_number

Put = Callable[[Any], None]  # takes what has come
IsWanted = Callable[[], bool]  # whether anybody waits for more
Work = Callable[[Put, IsWanted], None]  # what a thread does for an answer
Item, Result = TypeVar('Item'), TypeVar('Result')

WAIT_S = 0.05  # for news; who waits has other things to look after
MOST_THREADS = 64  # of answers, those among them that nobody wants any more
LAST_S = 1.0  # for what is computed when the process ends
_END = object()
_threads = threading.BoundedSemaphore(MOST_THREADS)
_begun: 'weakref.WeakSet[RemoteAnswer]' = weakref.WeakSet()


class RemoteAnswer(Iterator):
    """What a thread of its own fetches: tokens with log-probabilities, or lists of scores.

    :param work: fetches and puts; what it raises is raised where its result would have been.
    :param news: called, by that thread, when something has come. None: iterating waits for it;
        else it gives None where nothing has come yet.
    :raises ModelError: too many answers that nobody wants any more still wait for their server.
    """

    def __init__(self, work: Work, news: Callable[[], None] | None = None) -> None:
        self._work, self._news = work, news
        self._found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._places = _threads
        if not self._places.acquire(blocking=False):
            raise ModelError(
                f'decoder_url: {MOST_THREADS} requests wait for a server that does not answer; '
                f'ask again later'
            )
        self._thread = threading.Thread(target=self._run, name='remote answer', daemon=True)
        try:
            self._thread.start()
        except BaseException:  # no thread can be had: its place is free for the next
            self._places.release()
            raise
        _begun.add(self)

    def __next__(self) -> Any:
        """The next token, or the next scores.

        :raises ModelError: the server failed, or its model computed NaN.
        """
        try:
            found = self._found.get(block=self._news is None)
        except queue.Empty:
            return None
        if found is _END:
            self._found.put(_END)
            raise StopIteration
        if isinstance(found, BaseException):
            raise found
        for value in found[1:] if isinstance(found, tuple) else found:
            check_number(value)
        return found

    def close(self) -> None:
        """Let go of it: its thread asks for nothing more, and ends with the next thing it gets."""
        self._is_closed.set()

    def _run(self) -> None:
        try:
            self._work(self._put, lambda: not self._is_closed.is_set())
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self._put(error)
        finally:
            self._places.release()
        self._put(_END)

    def _put(self, found: Any) -> None:
        if not self._is_closed.is_set():
            self._found.put(found)
            if self._news is not None:
                self._news()


@atexit.register
def _end_all() -> None:
    """Let no thread be within torch when the interpreter goes: that would abort the process."""
    begun, ends = tuple(_begun), time.monotonic() + LAST_S
    for answer in begun:
        answer.close()
    for answer in begun:
        answer._thread.join(max(0.0, ends - time.monotonic()))


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], count: int, is_wanted: IsWanted
) -> list[Result] | None:
    """Apply a function to items, some at a time, in threads that keep no process from ending.

    :param count: threads at most.
    :param is_wanted: asked before each item.
    :returns: the results in order; None where they are not wanted any more.
    :raises Exception: the first that the function raised.
    """
    results: dict[int, Result] = {}
    errors: list[Exception] = []
    places = iter(range(len(items)))  # next() of a range's iterator is atomic

    def work() -> None:
        for place in places:
            if errors or not is_wanted():
                return
            try:
                results[place] = function(items[place])
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)

    threads = [
        threading.Thread(target=work, name='remote scores', daemon=True)
        for _ in range(min(count, len(items)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[n] for n in range(len(items))] if len(results) == len(items) else None


class Decoder(Protocol):
    """What can be asked elsewhere."""

    def speaking(
        self, prefix: Any, question_ids: Sequence[int], sampling: Sampling, most: int
    ) -> Work:
        """Work that puts the tokens of an answer."""

    def scoring(
        self, prefix: Any, question_ids: Sequence[int], answers: Sequence[Sequence[int]]
    ) -> Work:
        """Work that puts the scores of given answers."""


class RemoteBatch:
    """Several answers at once; how they share the model is the server's affair.

    It is used as a :class:`~flash_vstream_ros.core.continuous_batch.ContinuousBatch` is.
    """

    shares_passes = False
    decoding = 'by a server'

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._news = threading.Event()

    def speak(
        self, prefix: Any, question_ids: Sequence[int], sampling: Sampling, most: int
    ) -> RemoteAnswer:
        """Begin an answer."""
        work = self._decoder.speaking(prefix, question_ids, sampling, most)
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
