# SPDX-License-Identifier: Apache-2.0
"""Questions are answered together: a token of each in one pass of the model."""

import traceback
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass

from rclpy.impl.rcutils_logger import RcutilsLogger

from flash_vstream_ros.core.answer import Answer
from flash_vstream_ros.core.continuous_batch import ContinuousBatch
from flash_vstream_ros.core.quoting import printable, shorten
from flash_vstream_ros.core.remote_answers import RemoteBatch
from flash_vstream_ros.nodes.pending_question import PendingQuestion

Batch = ContinuousBatch | RemoteBatch
Pieces = Generator[str, None, Answer]


@dataclass(eq=False)
class _Running:
    """A question that is being answered."""

    pending: PendingQuestion
    pieces: Pieces
    has_joined: bool = False  # the others, in their passes


class Answering:
    """Up to ``size`` answers at once; further questions wait in the order they came.

    All of it happens on one worker, in short jobs of a pass each: what is asked meanwhile joins
    before the next. Where a pass of several fails, those that have said nothing yet are answered
    one after the other, as all are with a size of 1.

    :param batch: None: one after the other.
    :param start: begins an answer, in a batch or (None) alone; it answers itself, and returns
        None, where there is nothing to compute.
    :param finish: called with each answer.
    :param fail: called with an error and the question it ended.
    :param submit: puts a job at the end of the worker's line.
    """

    def __init__(
        self,
        batch: Batch | None,
        size: int,
        start: Callable[[PendingQuestion, Batch | None], Pieces | None],
        finish: Callable[[PendingQuestion, Answer], None],
        fail: Callable[[BaseException, PendingQuestion], None],
        submit: Callable[[Callable[[], None]], object],
        logger: RcutilsLogger,
    ) -> None:
        self._size = size
        self._batch = batch
        self._start, self._finish, self._fail, self._submit = start, finish, fail, submit
        self._logger = logger
        self._waiting: deque[PendingQuestion] = deque()
        self._running: list[_Running] = []
        self._is_stepping = False
        self.most = 0  # answers at once, so far

    @property
    def decoding(self) -> str:
        """How the passes of the model are run."""
        return 'plain' if self._batch is None else self._batch.decoding

    def take(self, pending: PendingQuestion) -> None:
        """Answer a question as soon as there is room for it. Runs on the worker."""
        self._waiting.append(pending)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and len(self._running) < self._size:
            self._begin(self._waiting.popleft(), self._batch)
        if self._running and not self._is_stepping:
            self._is_stepping = True
            self._submit(self._step)

    def _begin(self, pending: PendingQuestion, batch: Batch | None) -> None:
        if pending.is_finished:
            return
        try:
            pieces = self._start(pending, batch)
        except Exception as error:  # noqa: BLE001 - it ends this question, not the node
            self._fail(error, pending)
        else:
            if pieces is not None:
                self._running.append(_Running(pending, pieces))
                self.most = max(self.most, len(self._running))
                self._advance(self._running[-1])

    def _step(self) -> None:
        """A pass of the model, and what comes of it."""
        self._is_stepping = False
        fault = ''
        try:
            self._let_go()
            self._pass()
        except Exception:  # noqa: BLE001 - ours; the others must not wait for ever
            fault = traceback.format_exc()
        try:
            if fault:
                self._logger.error(f'answering failed: {printable(fault)}')
        finally:
            self._go_on()

    def _pass(self) -> None:
        try:
            if self._running:
                self._batch.step()
        except Exception as error:  # noqa: BLE001 - it ends questions, not the node
            self._fall_back(error)
        for running in self._running.copy():
            if running in self._running:  # a failure of the one before ended all of them
                self._advance(running)

    def _let_go(self) -> None:
        """Leave those that were cancelled: they cost nothing more."""
        for running in self._running.copy():
            if running.pending.is_finished:
                running.pieces.close()
                self._running.remove(running)

    def _advance(self, running: _Running) -> None:
        """Say what is there to be said; alone that is the whole answer."""
        try:
            while piece := next(running.pieces):
                running.pending.say(piece)
            running.has_joined = True
        except StopIteration as end:
            self._running.remove(running)
            self._finish(running.pending, end.value)
        except Exception as error:  # noqa: BLE001 - it ends questions, not the node
            if running.has_joined and self._batch.shares_passes:
                self._fall_back(error)
            else:
                self._running.remove(running)
                self._fail(error, running.pending)

    def _fall_back(self, error: Exception) -> None:
        """A pass failed: what it has read is lost."""
        failed, self._running = self._running, []
        for running in failed:
            running.pieces.close()
        self._batch.clear()
        if len(failed) > 1:
            self._logger.warning(
                f'{len(failed)} questions in one pass failed ({type(error).__name__}: '
                f'{shorten(error)}); '
                f'those without a word yet are answered one after the other',
                throttle_duration_sec=60.0,
            )
        for running in failed:
            if len(failed) == 1 or running.pending.text:
                self._fail(error, running.pending)
            else:
                self._submit(lambda pending=running.pending: self._begin(pending, None))
