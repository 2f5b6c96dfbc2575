# SPDX-License-Identifier: Apache-2.0
"""The question handler: answers service and action calls out of the newest memory."""

import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future as Job
from dataclasses import dataclass

import torch
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile

from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.core.language_model import Sampling
from flash_vstream_ros.core.pipeline import Answer as ModelAnswer
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.prompt import RequestError
from flash_vstream_ros.core.snapshot import MemorySnapshot
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.msg import MemorySnapshot as MemorySnapshotMessage
from flash_vstream_ros.nodes.conversions import (
    answer_to_message,
    message_to_snapshot,
)
from flash_vstream_ros.nodes.parameters import declare_config
from flash_vstream_ros.nodes.pending_question import PendingQuestion, Question
from flash_vstream_ros.nodes.qos import LATCHED
from flash_vstream_ros.nodes.running import Worker, awaitable, run_node
from flash_vstream_ros.srv import Ask as AskService

# Services keep 10 requests by default; one more would vanish before anyone could answer BUSY.
REQUESTS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000)
DEADLINE_PERIOD_S = 0.02


@dataclass(frozen=True)
class ReceivedMemory:
    """The newest memory and when it came."""

    snapshot: MemorySnapshot
    camera: str
    arrived: float  # time.monotonic()


class QuestionHandler(Node):
    """Answers one question after the other, each from one snapshot: the newest when work begins.

    Callbacks only take questions and wait; one worker thread computes. A question is given up at
    its deadline by a steady timer, whatever the worker is doing.
    """

    def __init__(self) -> None:
        super().__init__('question_handler')
        self._config = config = declare_config(self, QuestionHandlerConfig)
        self._vstream = FlashVStream.from_pretrained(
            config.model, config.device, config.dtype, parts=('language',)
        )
        generator = torch.Generator(self._vstream.device).manual_seed(config.seed)
        self._sampling = Sampling(config.temperature, config.top_p, generator)
        self._memory: ReceivedMemory | None = None
        self._memory_fault = ''  # why the newest memory cannot be used
        self._pending: list[PendingQuestion] = []  # asked and not answered
        self._awaiting_stamp: list[PendingQuestion] = []
        self._goals: dict[bytes, PendingQuestion] = {}
        self._worker = Worker(self)
        self.create_subscription(MemorySnapshotMessage, 'memory', self._on_memory, LATCHED)
        group = ReentrantCallbackGroup()  # each question awaits its answer among the others
        self.create_service(
            AskService, 'ask', self._on_service, qos_profile=REQUESTS, callback_group=group
        )
        self._action_server = ActionServer(
            self,
            AskAction,
            'ask',
            self._on_goal,
            cancel_callback=self._on_cancel,
            callback_group=group,
            goal_service_qos_profile=REQUESTS,
            result_service_qos_profile=REQUESTS,
            cancel_service_qos_profile=REQUESTS,
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._deadlines = self.create_timer(DEADLINE_PERIOD_S, self._enforce_deadlines, clock=steady)
        self._deadlines.cancel()  # runs only while a question is pending
        self.get_logger().info(
            f'language model for encoder {self._vstream.encoder_id} on {self._vstream.device} '
            f'answers {self.resolve_service_name("ask")}'
        )

    def destroy_node(self) -> None:
        """End the running answer before its node goes away."""
        for pending in self._pending:
            pending.fail(Answer.CANCELLED, 'the question handler is shutting down')
        self._worker.stop()
        self._action_server.destroy()
        super().destroy_node()

    def _on_memory(self, message: MemorySnapshotMessage) -> None:
        try:
            self._take_memory(message)
        except ValueError as error:
            if str(error) != self._memory_fault:  # each fault is said once
                self.get_logger().error(f'memory refused: {error}')
            self._memory_fault = str(error)
            self._memory = None
        for pending in self._awaiting_stamp.copy():
            if self._has_seen(pending.question.min_stamp_ns):
                self._awaiting_stamp.remove(pending)
                self._start(pending)

    def _take_memory(self, message: MemorySnapshotMessage) -> None:
        if message.encoder_id != self._vstream.encoder_id:
            raise ValueError(
                f'expected a memory of encoder {self._vstream.encoder_id}, got one of '
                f'{message.encoder_id}; start both nodes with the same model'
            )
        snapshot = message_to_snapshot(message)
        self._memory = ReceivedMemory(snapshot, message.header.frame_id, time.monotonic())
        self._memory_fault = ''

    def _has_seen(self, stamp_ns: int) -> bool:
        return self._memory is not None and self._memory.snapshot.newest_stamp_ns >= stamp_ns

    async def _on_service(
        self, request: AskService.Request, response: AskService.Response
    ) -> AskService.Response:
        response.answer = await self._ask(request).answered
        return response

    async def _on_goal(self, goal: ServerGoalHandle) -> AskAction.Result:
        feedback = AskAction.Feedback

        def publish(text: str, piece: str) -> None:
            goal.publish_feedback(feedback(text=text, piece=piece))

        pending = self._ask(goal.request, publish)
        goal_id = bytes(goal.goal_id.uuid)
        self._goals[goal_id] = pending
        if goal.is_cancel_requested:  # before this callback ran
            self._on_cancel(goal)
        answer = await pending.answered
        del self._goals[goal_id]
        finish = {Answer.OK: goal.succeed, Answer.CANCELLED: goal.canceled}
        finish.get(answer.status, goal.abort)()
        return AskAction.Result(answer=answer)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        pending = self._goals.get(bytes(goal.goal_id.uuid))
        if pending is not None:
            self._fail(pending, Answer.CANCELLED, 'cancelled as asked')
        return CancelResponse.ACCEPT

    def _ask(
        self,
        request: AskService.Request | AskAction.Goal,
        on_piece: Callable[[str, str], None] | None = None,
    ) -> PendingQuestion:
        """Take a question; what cannot be answered is refused at once."""
        question = Question.from_request(request, self._config)
        pending = PendingQuestion(question, awaitable(self), on_piece)
        self._pending = [other for other in self._pending if not other.is_finished]
        fault = question.fault()
        if fault:
            pending.fail(Answer.BAD_REQUEST, fault)
            return pending
        if len(self._pending) > self._config.queue_size:
            pending.fail(
                Answer.BUSY,
                f'{len(self._pending)} questions are pending (queue_size '
                f'{self._config.queue_size}); ask again later',
            )
            return pending
        self._pending.append(pending)
        self._deadlines.reset()
        if question.min_stamp_ns and not self._has_seen(question.min_stamp_ns):
            self._awaiting_stamp.append(pending)
        else:
            self._start(pending)
        return pending

    def _start(self, pending: PendingQuestion) -> None:
        job = self._worker.submit(self._work, pending)
        job.add_done_callback(lambda done: self._report(done, pending))

    def _enforce_deadlines(self) -> None:
        """Timer: give up questions whose time is over."""
        now = time.monotonic()
        for pending in self._pending:
            if now >= pending.deadline and not pending.is_finished:
                self._fail(pending, Answer.TIMEOUT, self._why_late(pending))
        self._pending = [pending for pending in self._pending if not pending.is_finished]
        if not self._pending:
            self._deadlines.cancel()

    def _why_late(self, pending: PendingQuestion) -> str:
        passed = f'{pending.question.timeout_s:g} s passed'
        if pending in self._awaiting_stamp:
            self._awaiting_stamp.remove(pending)
            memory = self._memory
            newest = 'nothing yet' if memory is None else memory.snapshot.newest_stamp_ns
            return (
                f'{passed} and the memory has not seen min_stamp '
                f'{pending.question.min_stamp_ns} ns; its newest is {newest}'
            )
        if pending.work_began is None:
            return f'{passed} behind other questions'
        return f'{passed} while answering; text holds what was said'

    def _fail(self, pending: PendingQuestion, status: int, message: str) -> None:
        """Finish without an answer; also stops the worker before its next token."""
        if pending in self._awaiting_stamp:
            self._awaiting_stamp.remove(pending)
        pending.fail(status, message)

    def _work(self, pending: PendingQuestion) -> None:
        """Answer one question from the newest memory. Runs on the worker."""
        if not pending.begin_work():
            return
        memory, question = self._memory, pending.question
        if memory is None and self._memory_fault:
            pending.fail(Answer.MODEL_ERROR, f'memory refused: {self._memory_fault}')
        elif memory is None or memory.snapshot.is_empty:
            pending.fail(Answer.MEMORY_EMPTY, 'no frame memorised yet; is the camera running?')
        elif question.camera not in ('', memory.camera):
            known = f'expected {memory.camera!r} or none, got {question.camera!r}'
            pending.fail(Answer.BAD_REQUEST, f'camera: {known}')
        else:
            self._answer(pending, memory)

    def _answer(self, pending: PendingQuestion, memory: ReceivedMemory) -> None:
        question = pending.question
        try:
            pieces = self._vstream.stream_answer(
                memory.snapshot,
                question.text,
                question.choices,
                max_new_tokens=question.max_new_tokens,
                sampling=self._sampling,
                cancelled=lambda: pending.is_finished,
                deadline=pending.deadline,
            )
            answer = _drain(pieces, pending.say)
        except RequestError as error:
            pending.fail(Answer.BAD_REQUEST, str(error))
            return
        message = answer_to_message(answer, memory.snapshot)
        if message.status == Answer.TIMEOUT:
            message.message = self._why_late(pending)
        message.memory_age = time.monotonic() - memory.arrived
        message.stale = message.memory_age > self._config.stale_after
        pending.finish(message)

    def _report(self, job: Job, pending: PendingQuestion) -> None:
        """A failure of the model fails its question; the worker goes on with the next."""
        if job.cancelled() or job.exception() is None:
            return
        error = job.exception()
        is_full = isinstance(error, torch.OutOfMemoryError)
        advice = 'free memory on the device or choose a smaller dtype' if is_full else 'see the log'
        self.get_logger().error(f'question failed: {type(error).__name__}: {error}')
        pending.fail(Answer.MODEL_ERROR, f'{type(error).__name__}: {error}; {advice}')


def _drain(
    pieces: Generator[str, None, ModelAnswer], on_piece: Callable[[str], None]
) -> ModelAnswer:
    """Pass the pieces on as they come and return what they end in."""
    while True:
        try:
            on_piece(next(pieces))
        except StopIteration as end:
            return end.value


def main() -> int:
    """Run the node; the exit status is for the shell."""
    return run_node(QuestionHandler)


if __name__ == '__main__':
    sys.exit(main())
