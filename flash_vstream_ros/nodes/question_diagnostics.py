# SPDX-License-Identifier: Apache-2.0
"""What a question handler says of itself: its answers, and the memories it answers from."""

import time
from collections import Counter

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.answering import Answering
from flash_vstream_ros.nodes.ask_errors import status_name
from flash_vstream_ros.nodes.diagnostics import (
    ERROR,
    RECENT_S,
    WARN,
    Durations,
    machine_values,
    status,
)
from flash_vstream_ros.nodes.memories import Memories
from flash_vstream_ros.nodes.prefilling import Prefilling

FAULTS = {
    Answer.MODEL_ERROR: (ERROR, 'the model failed'),
    Answer.BUSY: (WARN, 'questions were refused because too many waited'),
    Answer.TIMEOUT: (WARN, 'questions were not answered in time'),
}


class QuestionDiagnostics:
    """Counts and times of answers, and the newest fault."""

    def __init__(
        self,
        node: Node,
        config: QuestionHandlerConfig,
        vstream: FlashVStream,
        memories: Memories,
    ) -> None:
        self._node = node
        self._config = config
        self._vstream = vstream
        self._memories = memories
        self._counts: Counter[int] = Counter()
        self._happened: dict[int, float] = {}
        self._first_token, self._total = Durations(), Durations()
        self._found_ready = 0
        self._last_error = ''

    def note(self, answer: Answer) -> None:
        """Take in an answer that was given."""
        self._counts[answer.status] += 1
        self._happened[answer.status] = time.monotonic()
        if answer.status == Answer.OK:
            self._first_token.add(answer.time_to_first_token)
            self._total.add(answer.total_time)
            self._found_ready += answer.prefix_ready
        elif answer.status == Answer.MODEL_ERROR:
            self._last_error = answer.message

    def statuses(
        self,
        is_active: bool,
        pending: int,
        answering: Answering,
        prefilling: Prefilling,
        watches: int,
    ) -> list[DiagnosticStatus]:
        """Say how answers and memories are.

        :param pending: questions without an answer.
        :param watches: on their way.
        """
        return [
            self._answers(is_active, pending, answering, watches),
            self._memories_status(prefilling),
        ]

    def _answers(
        self, is_active: bool, pending: int, answering: Answering, watches: int
    ) -> DiagnosticStatus:
        now = time.monotonic()
        faults = [
            (level, f'{text} ({self._counts[number]} so far)')
            for number, (level, text) in FAULTS.items()
            if now - self._happened.get(number, float('-inf')) < RECENT_S
        ]
        if not is_active:
            faults.append((WARN, 'not active: questions are answered INACTIVE'))
        room = self._config.queue_size + self._config.batch_size
        values = {
            'questions pending': f'{pending} of {room}',
            'questions answered at once, most': answering.most,
            'watches': watches,
            **{
                f'answers {status_name(number)}': self._counts[number]
                for number in range(Answer.OK, Answer.INACTIVE + 1)
            },
            **self._first_token.values('first token'),
            **self._total.values('answer'),
            'model': self._config.model,
            'encoder_id': self._vstream.encoder_id,
            'device': self._vstream.device,
            'decoding': answering.decoding,
            'last error': self._last_error,
        }
        return status(self._node, 'answers', faults, values | machine_values(self._vstream.device))

    def _memories_status(self, prefilling: Prefilling) -> DiagnosticStatus:
        faults = []
        values = {
            'read ahead': prefilling.count,
            'answers whose memory was read already': self._found_ready,
            **prefilling.durations.values('reading ahead'),
        }
        for topic, inbox in self._memories.inboxes.items():
            memory = inbox.newest
            if inbox.fault:
                faults.append((ERROR, f'{topic} refused: {inbox.fault}'))
            elif memory is None:
                faults.append((WARN, f'no memory on {topic} yet; is the frame handler running?'))
            if memory is None:
                continue
            age_s = time.monotonic() - memory.arrived
            if age_s > self._config.stale_after:
                faults.append((WARN, f'{topic} is stale: nothing new for {age_s:.0f} s'))
            values |= {
                f'{topic}: camera': memory.camera,
                f'{topic}: frames': memory.snapshot.frames_written,
                f'{topic}: memory_id': memory.snapshot.memory_id,
                f'{topic}: age (s)': f'{age_s:.1f}',
            }
        return status(self._node, 'memories', faults, values)
