# SPDX-License-Identifier: Apache-2.0
"""What a question handler says of itself: its answers, and the memories it answers from."""

import time
from collections import Counter
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from flash_vstream_ros.core.config import QuestionHandlerConfig
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.quoting import quote
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.answering import Answering
from flash_vstream_ros.nodes.ask_errors import status_name
from flash_vstream_ros.nodes.diagnostics import (
    ERROR,
    RECENT_S,
    WARN,
    Durations,
    machine_values,
    say_error,
    status,
)
from flash_vstream_ros.nodes.memories import Memories
from flash_vstream_ros.nodes.prefilling import Prefilling
from flash_vstream_ros.nodes.rivals import say_servers, say_writers

FAULTS = {
    Answer.MODEL_ERROR: (ERROR, 'the model failed'),
    Answer.BUSY: (WARN, 'questions were refused because too many waited, or watches'),
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
        self._last_error = ('', float('-inf'))

    def note(self, answer: Answer) -> None:
        """Take in an answer that was given."""
        self._counts[answer.status] += 1
        self._happened[answer.status] = time.monotonic()
        if answer.status == Answer.OK:
            self._first_token.add(answer.time_to_first_token)
            self._total.add(answer.total_time)
            self._found_ready += answer.prefix_ready
        elif answer.status == Answer.MODEL_ERROR:
            self._last_error = (answer.message, time.monotonic())

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
            (level, text)
            for number, (level, text) in FAULTS.items()
            if now - self._happened.get(number, float('-inf')) < RECENT_S
        ]
        if not is_active:
            faults.append((WARN, 'not active: questions are answered INACTIVE'))
        rivals = say_servers(self._node)
        if rivals:
            faults.append((WARN, rivals))
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
            'last error': say_error(*self._last_error),
        }
        return status(self._node, 'answers', faults, values | machine_values(self._vstream.device))

    def _memories_status(self, prefilling: Prefilling) -> DiagnosticStatus:
        inboxes = self._memories.inboxes
        alike = say_alike({topic: inbox.camera for topic, inbox in inboxes.items()})
        faults = [(WARN, alike)] if alike else []
        values = {
            'read ahead': prefilling.count,
            'answers whose memory was read already': self._found_ready,
            **prefilling.durations.values('reading ahead'),
        }
        for topic, inbox in inboxes.items():
            memory = inbox.newest
            rivals = say_writers(self._node, topic)
            if rivals:
                faults.append((WARN, rivals))
            if inbox.fault:
                faults.append((ERROR, f'{topic} refused: {inbox.fault}'))
            elif memory is None:
                faults.append((WARN, f'no memory on {topic} yet; is the frame handler running?'))
            if memory is None:
                continue
            age_s = time.monotonic() - memory.arrived
            limit_s = memory.stale_after(self._config.stale_after)
            if age_s > limit_s:
                faults.append((WARN, f'{topic} is stale: nothing new for over {limit_s:.3g} s'))
            values |= {
                f'{topic}: camera': memory.camera,
                f'{topic}: frames': memory.snapshot.frames_written,
                f'{topic}: memory_id': memory.snapshot.memory_id,
                f'{topic}: age (s)': f'{age_s:.1f}',
                f'{topic}: usual interval (s)': f'{memory.interval_s:.1f}',
            }
        return status(self._node, 'memories', faults, values)


def say_alike(cameras: Mapping[str, str | None]) -> str:
    """Say which cameras their frame_ids do not tell apart; nothing where they do.

    :param cameras: memory topic -> ``frame_id``; None: not known yet.
    """
    known = [camera for camera in cameras.values() if camera is not None]
    alike = [
        topic
        for topic, camera in cameras.items()
        if camera is not None and (not camera or known.count(camera) > 1)
    ]
    if len(cameras) < 2 or not alike:
        return ''
    frame_ids = quote(sorted({cameras[topic] for topic in alike}))
    names = ' or '.join(topic.removesuffix('/memory') for topic in alike)
    return (
        f'the cameras of {", ".join(alike)} are not told apart by frame_id ({frame_ids}); name '
        f'them in requests by their memories ({names}), or let each camera driver set a '
        f'header.frame_id of its own'
    )
