# SPDX-License-Identifier: Apache-2.0
"""Questions in line for the one worker that answers them."""

import time
from collections.abc import Callable
from concurrent.futures import Future as Job

import torch
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.core.prompt import RequestError
from flash_vstream_ros.core.quoting import shorten
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.memories import Memories
from flash_vstream_ros.nodes.pending_question import PendingQuestion, Question
from flash_vstream_ros.nodes.running import Worker, awaitable

DEADLINE_PERIOD_S = 0.02
NICENESS = 5  # an answer may take longer; what is seen must not come late
ENDING = 'the question handler was deactivated or is shutting down'


class QuestionQueue:
    """Takes questions, starts their work when the memory is ready, keeps their deadlines.

    At most ``batch_size`` are answered at a time and ``queue_size`` wait, for a place among them
    or for a stamp. A
    deadline is kept by a steady timer, whatever the worker is doing.

    :param work: takes up one question, to answer it now or later; runs on the worker.
    :param on_answer: called with each answer, among the node's callbacks.
    """

    def __init__(
        self,
        node: Node,
        config: QuestionHandlerConfig,
        memories: Memories,
        work: Callable[[PendingQuestion], None],
        on_answer: Callable[[Answer], None] = lambda _: None,
    ) -> None:
        self._node = node
        self._config = config
        self._size = config.queue_size + config.batch_size
        self._memories = memories
        self._work = work
        self._on_answer = on_answer
        self._worker = Worker(node, NICENESS)
        self._is_open, self._is_stopped = False, False
        self._pending: list[PendingQuestion] = []  # asked and not answered
        self._awaiting_stamp: list[PendingQuestion] = []
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(DEADLINE_PERIOD_S, self._enforce_deadlines, clock=steady)
        self._timer.cancel()  # runs only while a question is pending

    def ask(
        self, question: Question, on_piece: Callable[[str, str], None] | None = None
    ) -> PendingQuestion:
        """Take a question; one that cannot be answered is refused at once."""
        pending = PendingQuestion(question, awaitable(self._node), on_piece)
        pending.answered.add_done_callback(lambda done: self._on_answer(done.result()))
        self._pending = [other for other in self._pending if not other.is_finished]
        fault = question.fault()
        if self._is_stopped:
            pending.fail(Answer.CANCELLED, ENDING)
        elif not self._is_open:
            pending.fail(Answer.INACTIVE, f'this node is not active; {_how_to(self._node)}')
        elif fault:
            pending.fail(Answer.BAD_REQUEST, fault)
        elif len(self._pending) >= self._size:
            pending.fail(
                Answer.BUSY,
                f'{len(self._pending)} questions are pending (batch_size '
                f'{self._config.batch_size}, queue_size {self._config.queue_size}); ask '
                f'again later',
            )
        else:
            self._take(pending)
        return pending

    def _take(self, pending: PendingQuestion) -> None:
        self._pending.append(pending)
        if self._timer.is_canceled():
            self._timer.reset()
        self._start_when_ready(pending)

    def wait_again(self, pending: PendingQuestion) -> None:
        """Put a question back whose memory was reset while it stood in line. Any thread."""
        self._node.executor.create_task(self._start_when_ready, pending)

    def _start_when_ready(self, pending: PendingQuestion) -> None:
        if pending.is_finished:
            return
        if self.is_ready(pending.question):
            self._start(pending)
        else:
            self._awaiting_stamp.append(pending)

    def is_ready(self, question: Question) -> bool:
        """Whether the memory it asks about has seen what it wants it to have seen."""
        return self._memories.is_ready(question.camera, question.min_stamp_ns)

    def start_ready(self) -> None:
        """Start the questions that the newest memory is ready for."""
        for pending in self._awaiting_stamp.copy():
            if self.is_ready(pending.question):
                self._awaiting_stamp.remove(pending)
                self._start(pending)

    def cancel(self, pending: PendingQuestion) -> None:
        """Answer CANCELLED at once; a running answer ends before its next token."""
        self._end(pending, 'cancelled as asked')

    def run_idle(self, work: Callable[..., object], *arguments: object) -> Job:
        """Let the worker do something else, behind what has been started."""
        return self._worker.submit(work, *arguments)

    @property
    def is_open(self) -> bool:
        """Whether questions are taken."""
        return self._is_open

    @property
    def pending(self) -> int:
        """Questions without an answer."""
        return sum(not pending.is_finished for pending in self._pending)

    def open(self) -> None:
        """Take questions from now on."""
        self._is_open = True

    def close(self) -> None:
        """Cancel all questions, take no more, and wait for the worker."""
        self._is_open = False
        for pending in self._pending:
            self._end(pending, ENDING)
        self._worker.finish()

    def stop(self) -> None:
        """Close for good."""
        self._is_stopped = True
        self.close()
        self._worker.stop()

    def _end(self, pending: PendingQuestion, why: str) -> None:
        pending.fail(Answer.CANCELLED, why)
        if pending in self._awaiting_stamp:
            self._awaiting_stamp.remove(pending)

    def _start(self, pending: PendingQuestion) -> None:
        job = self._worker.submit(self._work, pending)
        job.add_done_callback(lambda done: self._report(done, pending))

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        for pending in self._pending:
            if now >= pending.deadline and not pending.is_finished:
                pending.fail(Answer.TIMEOUT, self._why_late(pending))
        self._pending = [pending for pending in self._pending if not pending.is_finished]
        if not self._pending:
            self._timer.cancel()

    def _why_late(self, pending: PendingQuestion) -> str:
        if pending not in self._awaiting_stamp:
            return pending.why_late()
        self._awaiting_stamp.remove(pending)
        memory = self._memories.newest(pending.question.camera)
        newest = 'there is none' if memory is None else f'{memory.snapshot.newest_stamp_ns} ns'
        return (
            f'{pending.question.timeout_s:g} s passed and the memory has not seen min_stamp '
            f'{pending.question.min_stamp_ns} ns; its newest frame: {newest}'
        )

    def _report(self, job: Job, pending: PendingQuestion) -> None:
        """A failure of the model fails its question; the worker goes on with the next."""
        if job.cancelled():
            pending.fail(Answer.CANCELLED, ENDING)
        elif job.exception() is not None:
            self.say_failure(job.exception(), pending)

    def say_failure(self, error: BaseException, pending: PendingQuestion) -> None:
        """Answer a question with what went wrong. Any thread."""
        if isinstance(error, RequestError):
            pending.fail(Answer.BAD_REQUEST, str(error))
            return
        is_full = isinstance(error, torch.OutOfMemoryError)
        advice = (
            'free memory on the device or choose a smaller dtype' if is_full else 'see the log'
        )
        what = f'{type(error).__name__}: {shorten(error)}'
        self._node.get_logger().error(f'question failed: {what}')
        pending.fail(Answer.MODEL_ERROR, f'{what}; {advice}')


def _how_to(node: Node) -> str:
    return f'activate it: ros2 lifecycle set {node.get_fully_qualified_name()} activate'
