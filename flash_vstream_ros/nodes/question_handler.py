# SPDX-License-Identifier: Apache-2.0
"""The question handler: answers service and action calls out of the newest memory."""

import contextlib
import sys

import torch
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy._rclpy_pybind11 import RCLError
from rclpy.action import CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup

from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.core.answer import Answer as ModelAnswer
from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.core.devices import check_decoding, resolve_device
from flash_vstream_ros.core.language_model import Sampling
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.core.time_range import LimitedSnapshot
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.action_servers import make_action_server
from flash_vstream_ros.nodes.answering import Answering, Batch, Pieces
from flash_vstream_ros.nodes.conversions import answer_to_message
from flash_vstream_ros.nodes.diagnostics import Diagnostics
from flash_vstream_ros.nodes.managed import ManagedNode
from flash_vstream_ros.nodes.memories import Memories
from flash_vstream_ros.nodes.memory_inbox import ReceivedMemory
from flash_vstream_ros.nodes.pending_question import PendingQuestion, Question
from flash_vstream_ros.nodes.prefilling import Prefilling
from flash_vstream_ros.nodes.qos import REQUESTS
from flash_vstream_ros.nodes.question_diagnostics import QuestionDiagnostics
from flash_vstream_ros.nodes.question_queue import QuestionQueue
from flash_vstream_ros.nodes.running import run_node
from flash_vstream_ros.nodes.watching import Watching
from flash_vstream_ros.srv import Ask as AskService


class QuestionHandler:
    """Answers questions together, each from one snapshot: the newest when its work begins.

    Callbacks only take questions and await answers; the queue's worker computes. The work of a
    managed node: while it is inactive, questions are answered INACTIVE.
    """

    def __init__(self, node: ManagedNode, config: QuestionHandlerConfig) -> None:
        self._config = config
        self._vstream = _load(config)
        generator = torch.Generator(self._vstream.device).manual_seed(config.seed)
        self._sampling = Sampling(config.temperature, config.top_p, generator)
        self._goals: dict[bytes, PendingQuestion] = {}
        encoder_id = self._vstream.encoder_id
        self._memories = Memories(node, config.memories, encoder_id, self._on_memory)
        self._diagnostics = QuestionDiagnostics(node, config, self._vstream, self._memories)
        self._queue = QuestionQueue(
            node, config, self._memories, lambda p: self._answering.take(p), self._diagnostics.note
        )  # _answering is made below, for it needs the queue
        self._answering = Answering(
            self._new_batch(),
            config.batch_size,
            start=self._begin,
            finish=self._finish,
            fail=self._queue.say_failure,
            submit=self._queue.run_idle,
            logger=node.get_logger(),
        )
        # One more, for a question about a stretch of time, so that it displaces no camera's.
        self._vstream.prefixes.size = len(config.memories) + 1
        self._prefilling = Prefilling(
            node, config.prefill_share, self._memories, self._queue, self._vstream
        )
        Diagnostics(node, self._statuses)
        self._watching = Watching(
            node, config, self._memories, self._queue, self._diagnostics.note
        )
        group = ReentrantCallbackGroup()  # each question awaits its answer among the others
        node.create_service(
            AskService, 'ask', self._on_service, qos_profile=REQUESTS, callback_group=group
        )
        self._action_server = make_action_server(
            node, AskAction, 'ask', self._on_goal, self._on_cancel
        )
        where, name = self._vstream.device, node.resolve_service_name('ask')
        node.get_logger().info(
            f'language model for encoder {encoder_id} on {where} answers {name}'
        )

    def _new_batch(self) -> Batch | None:
        """Make a batch; None: one question at a time, plainly.

        A remote decoder and captured or compiled passes need a batch, even of one.
        """
        config = self._config
        if config.batch_size == 1 and config.decoding == 'plain' and not config.decoder_url:
            return None
        return self._vstream.new_batch(config.batch_size, config.decoding)

    def activate(self) -> None:
        """Answer questions."""
        self._queue.open()
        self._prefilling.look()

    def deactivate(self) -> None:
        """Cancel what is asked, and answer nothing more."""
        self._queue.close()
        self._watching.end()

    def stop(self) -> None:
        """End the running answer before the node it answers through goes away."""
        self._queue.stop()
        self._watching.end()

    def _on_memory(self) -> None:
        self._queue.start_ready()
        self._prefilling.look()

    def _statuses(self) -> list[DiagnosticStatus]:
        return self._diagnostics.statuses(
            self._queue.is_open,
            self._queue.pending,
            self._answering,
            self._prefilling,
            len(self._watching),
        )

    async def _on_service(
        self, request: AskService.Request, response: AskService.Response
    ) -> AskService.Response:
        pending = self._queue.ask(Question.from_request(request, self._config))
        response.answer = await pending.answered
        return response

    async def _on_goal(self, goal: ServerGoalHandle) -> AskAction.Result:
        def publish(text: str, piece: str) -> None:
            # Whoever reads too slowly, and a node that is ending, must not spoil the answer.
            with contextlib.suppress(RCLError):
                goal.publish_feedback(AskAction.Feedback(text=text, piece=piece))

        pending = self._queue.ask(Question.from_request(goal.request, self._config), publish)
        if goal.is_cancel_requested:  # before this callback ran
            self._queue.cancel(pending)
        goal_id = bytes(goal.goal_id.uuid)
        self._goals[goal_id] = pending
        answer = await pending.answered
        del self._goals[goal_id]
        if answer.status == Answer.OK:
            goal.succeed()
        elif answer.status == Answer.CANCELLED and goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return AskAction.Result(answer=answer)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        pending = self._goals.get(bytes(goal.goal_id.uuid))
        if pending is not None:
            self._queue.cancel(pending)
        return CancelResponse.ACCEPT

    def _begin(self, pending: PendingQuestion, batch: Batch | None) -> Pieces | None:
        """Begin an answer from the newest memory. Runs on the worker."""
        if not pending.begin_work():
            return None
        camera = pending.question.camera
        inbox = self._memories.inbox(camera)
        if not self._queue.is_ready(pending.question):
            self._queue.wait_again(pending)
        elif inbox is None and self._memories.are_all_known:
            known = f'expected one of {quote(self._memories.cameras)} or none, got {quote(camera)}'
            pending.fail(Answer.BAD_REQUEST, f'camera: {known}')
        elif inbox is None:
            pending.fail(Answer.MEMORY_EMPTY, f'no frame of camera {quote(camera)} memorised yet')
        elif inbox.fault:
            pending.fail(Answer.MODEL_ERROR, f'memory refused: {inbox.fault}')
        elif (memory := inbox.newest) is None or memory.snapshot.is_empty:
            pending.fail(Answer.MEMORY_EMPTY, 'no frame memorised yet; is the camera running?')
        else:
            pending.read(memory, self._memories.name_of(inbox), self._config.stale_after)
            return self._answer(pending, memory, batch)
        return None

    def _answer(
        self, pending: PendingQuestion, memory: ReceivedMemory, batch: Batch | None
    ) -> Pieces | None:
        question, snapshot = pending.question, memory.snapshot
        if question.from_ns or question.to_ns:
            snapshot = LimitedSnapshot.between(snapshot, question.from_ns, question.to_ns)
        if snapshot.is_empty:
            pending.fail(Answer.MEMORY_EMPTY, _nothing_of(question, memory))
            return None
        return self._vstream.stream_answer(
            snapshot,
            question.text,
            question.choices,
            max_new_tokens=question.max_new_tokens,
            sampling=self._sampling,
            cancelled=lambda: pending.is_finished,
            deadline=pending.deadline,
            batch=batch,
        )

    def _finish(self, pending: PendingQuestion, answer: ModelAnswer) -> None:
        message = answer_to_message(answer)
        if message.status == Answer.TIMEOUT:
            message.message = pending.why_late()
        pending.finish(message)


def _nothing_of(question: Question, memory: ReceivedMemory) -> str:
    held = memory.snapshot
    return (
        f'from_stamp, to_stamp: expected a stretch of what the memory holds, from '
        f'{held.oldest_stamp_ns} to {held.newest_stamp_ns} ns, got from {question.from_ns} to '
        f'{question.to_ns or held.newest_stamp_ns} ns'
    )


def _load(config: QuestionHandlerConfig) -> FlashVStream:
    if not config.decoder_url:  # first, because weights take a while
        check_decoding(config.decoding, resolve_device(config.device), config.quantization)
    return FlashVStream.from_pretrained(
        config.model,
        config.device,
        config.dtype,
        parts=('language',),
        quantization=config.quantization,
        decoder_url=config.decoder_url,
        decoder_model=config.decoder_model,
    )


def make_node() -> ManagedNode:
    """Make the node, unconfigured."""
    return ManagedNode('question_handler', QuestionHandlerConfig, QuestionHandler)


def main() -> int:
    """Run the node; the exit status is for the shell."""
    return run_node(make_node)


if __name__ == '__main__':
    sys.exit(main())
