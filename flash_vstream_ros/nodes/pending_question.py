# SPDX-License-Identifier: Apache-2.0
"""A question on its way: asked, waiting, being answered, answered once."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.task import Future

from flash_vstream_ros.action import Ask as AskAction
from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.core.prompt import LONGEST_TEXT
from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.asked import LONGEST_TIMEOUT_S
from flash_vstream_ros.nodes.conversions import FINISHED, describe_snapshot, ros_text
from flash_vstream_ros.nodes.memory_inbox import ReceivedMemory
from flash_vstream_ros.nodes.times import NS_PER_S, fault_of_stretch, time_to_ns
from flash_vstream_ros.srv import Ask as AskService

MOST_CHOICES = 100  # all are scored in one pass, behind which others wait
_FINISH_REASONS = {status: reason for reason, status in FINISHED.items()}


@dataclass(frozen=True)
class Question:
    """What was asked, with the node's defaults filled in."""

    text: str
    choices: tuple[str, ...]
    camera: str
    min_stamp_ns: int
    timeout_s: float
    max_new_tokens: int
    from_ns: int = 0
    to_ns: int = 0  # 0: no end

    @classmethod
    def from_request(
        cls, request: AskService.Request | AskAction.Goal, config: QuestionHandlerConfig
    ) -> 'Question':
        """Read a request; zeros are replaced by the node's defaults."""
        return cls(
            text=request.question,
            choices=tuple(request.choices),
            camera=request.camera,
            min_stamp_ns=time_to_ns(request.min_stamp),
            timeout_s=time_to_ns(request.timeout) / NS_PER_S or config.default_timeout,
            max_new_tokens=request.max_new_tokens or config.max_new_tokens,
            from_ns=time_to_ns(request.from_stamp),
            to_ns=time_to_ns(request.to_stamp),
        )

    def fault(self) -> str:
        """Say what is impossible about it, by name; nothing where it can be answered."""
        characters = len(self.text) + sum(map(len, self.choices))
        if characters > LONGEST_TEXT:
            return (
                f'question, choices: expected at most {LONGEST_TEXT} characters in all, got '
                f'{characters}'
            )
        if not self.text.strip():
            return f'question: expected some text, got {quote(self.text)}'
        if len(self.choices) > MOST_CHOICES:
            return f'choices: expected at most {MOST_CHOICES}, got {len(self.choices)}'
        choices = [choice.strip() for choice in self.choices]
        if not all(choices):
            return f'choices: expected some text in each, got {quote(list(self.choices))}'
        if len(set(choices)) < len(choices):  # each of two would have half of the probability
            return f'choices: expected each of them once, got {quote(list(self.choices))}'
        if self.min_stamp_ns < 0:
            return f'min_stamp: expected 0 or later, got {self.min_stamp_ns} ns'
        if not 0.0 <= self.timeout_s <= LONGEST_TIMEOUT_S:
            return f'timeout: expected 0 to {LONGEST_TIMEOUT_S:.0f} seconds, got {self.timeout_s}'
        return fault_of_stretch(self.from_ns, self.to_ns)


class PendingQuestion:
    """A question until it is answered. Any thread may answer it; the first answer counts.

    :param answered: completed with the ``Answer`` message.
    :param on_piece: called on the worker with the text so far and its newest piece.
    """

    def __init__(
        self,
        question: Question,
        answered: Future,
        on_piece: Callable[[str, str], None] | None = None,
    ) -> None:
        self.question = question
        self.answered = answered
        self.asked = time.monotonic()
        self.deadline = self.asked + question.timeout_s
        self.work_began: float | None = None
        self.text = ''
        self._memory: ReceivedMemory | None = None
        self._camera = ''
        self._is_stale = False
        self._on_piece = on_piece
        self._lock = threading.Lock()
        self._is_finished = False

    @property
    def is_finished(self) -> bool:
        """Whether it has its answer; the worker asks before each token."""
        return self._is_finished

    def begin_work(self) -> bool:
        """Note that the worker takes it up; False where it has its answer already."""
        self.work_began = time.monotonic()
        return not self._is_finished

    def read(self, memory: ReceivedMemory, camera: str, stale_after: float) -> None:
        """Note which memory it is answered from.

        :param camera: its name, for the answer.
        :param stale_after: seconds without a new memory until this moment that make it stale,
            where its camera is not slower than that.
        """
        self._is_stale = time.monotonic() - memory.arrived > memory.stale_after(stale_after)
        self._memory, self._camera = memory, camera

    def say(self, piece: str) -> None:
        """Add a piece of the answer."""
        piece = ros_text(piece)
        self.text += piece
        if self._on_piece is not None and not self._is_finished:
            self._on_piece(self.text, piece)

    def finish(self, answer: Answer) -> bool:
        """Give the answer, unless there is one already.

        Which memory it speaks of is filled in, and the times of the model are put behind the time
        spent waiting for it.

        :returns: whether this answer was the first.
        """
        with self._lock:
            if self._is_finished:
                return False
            self._is_finished = True
        now = time.monotonic()
        answer.queue_time = (self.work_began or now) - self.asked
        answer.time_to_first_token += answer.queue_time if answer.answer_tokens else 0.0
        answer.total_time = now - self.asked
        if self._memory is not None:
            stretch = (self.question.from_ns, self.question.to_ns)
            describe_snapshot(answer, self._memory.snapshot, self._memory.places, *stretch)
            answer.camera = self._camera
            answer.memory_age = now - self._memory.arrived
            answer.stale = self._is_stale
        self.answered.set_result(answer)
        return True

    def fail(self, status: int, message: str) -> bool:
        """Finish without an answer; what was said until now is kept.

        :param status: of ``Answer``.
        :param message: what went wrong and what to do.
        """
        reason = _FINISH_REASONS.get(status, '')
        return self.finish(
            Answer(status=status, message=message, text=self.text, finish_reason=reason)
        )

    def why_late(self) -> str:
        """Say what its time was spent on."""
        passed = f'{self.question.timeout_s:g} s passed'
        if self.work_began is None:
            return f'{passed} behind other questions'
        return f'{passed} while answering; text holds what was said until then'
