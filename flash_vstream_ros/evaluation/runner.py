# SPDX-License-Identifier: Apache-2.0
"""Answers the questions of a stream, as several inputs show the stream to their models."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from torch import Tensor

from flash_vstream_ros.core.answer import Answer
from flash_vstream_ros.core.language_model import ModelError
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.snapshot import fits_float16
from flash_vstream_ros.core.temporal_memory import TemporalMemory
from flash_vstream_ros.evaluation.dataset import StreamQuestion
from flash_vstream_ros.evaluation.input_snapshot import InputSnapshot
from flash_vstream_ros.evaluation.inputs import StarInput, StreamInput
from flash_vstream_ros.evaluation.judges import is_right
from flash_vstream_ros.evaluation.kept import ClusterTracker, Kept
from flash_vstream_ros.evaluation.streams import Stream, check_within, is_beyond
from flash_vstream_ros.evaluation.temporal_baselines import AlgorithmOneMemory
from flash_vstream_ros.replay.recorded_frame import NS_PER_S

Key = tuple[str, str, str]  # input, set, id


@dataclass(frozen=True)
class Asked:
    """A question, when it is asked, and of which inputs.

    :param at_ns: nanoseconds after the recording's first frame.
    """

    question: StreamQuestion
    at_ns: int
    inputs: frozenset[str]


class RunningInput:
    """One input of one stream with the model that reads it.

    :param shown: the input, empty.
    """

    def __init__(self, shown: StreamInput, vstream: FlashVStream) -> None:
        self.shown = shown
        self.vstream = vstream
        self.read_time = 0.0  # seconds that the newest snapshot took
        self._snapshot: InputSnapshot | None = None
        self._tracker: ClusterTracker | None = None
        if isinstance(shown, StarInput) and _can_be_tracked(shown.memory.temporal):
            self._tracker = ClusterTracker(shown.memory.temporal)

    def write(self, feature: Tensor, stamp_ns: int) -> None:
        """Take the next frame."""
        self.shown.write(feature, stamp_ns)
        self._snapshot = None
        if self._tracker is not None:
            self._tracker.observe(stamp_ns)

    def snapshot(self) -> InputSnapshot:
        """Read the input as it is now, rounded as the message between the nodes rounds it."""
        if self._snapshot is None:
            started = time.perf_counter()
            self._snapshot = self.shown.read().to_float16()
            self.read_time = time.perf_counter() - started
        return self._snapshot

    def kept(self, question: StreamQuestion, start_ns: int) -> list[Kept | None]:
        """What the temporal memory has kept of each event; nothing where it cannot be told."""
        if self._tracker is None:
            return []
        return [
            self._tracker.kept(
                start_ns + round(first * NS_PER_S), start_ns + round(last * NS_PER_S)
            )
            for first, last in question.event_times
        ]


def _can_be_tracked(memory: TemporalMemory) -> bool:
    return not isinstance(memory, AlgorithmOneMemory)


class StreamRun:
    """One pass over a stream. Iterate over it, once, for a record of each answer.

    A question sees all frames stamped up to its moment and none later, of a memory rounded through
    float16: what the robot's question handler would see.

    :param asked: the questions; of each stream all that are asked of any input.
    :param max_new_tokens: of an answer.
    :raises OSError: the stream cannot be read.
    :raises ValueError: it is damaged, or a question is asked beyond its end; file and line of the
        question are named, and those before its end are answered.
    """

    def __init__(
        self,
        stream: Stream,
        asked: Sequence[Asked],
        inputs: Mapping[str, RunningInput],
        max_new_tokens: int,
    ) -> None:
        self._stream = stream
        self._asked = sorted(asked, key=lambda a: a.at_ns)
        self._inputs = inputs
        self._max_new_tokens = max_new_tokens
        self.frames = 0
        self.left_out: list[int] = []  # stamps of frames that were not finite

    def __iter__(self) -> Iterator[dict[str, Any]]:
        waiting = self._asked
        for stamp_ns, feature in self._stream:
            elapsed_ns = stamp_ns - self._stream.start_ns
            due = [a for a in waiting if a.at_ns < elapsed_ns]
            waiting = waiting[len(due) :]
            yield from self._answer(due)
            if not waiting:
                return
            self._write(feature, stamp_ns)
        # A recording may know its length only now.
        yield from self._answer(
            [a for a in waiting if not is_beyond(self._stream, a.at_ns / NS_PER_S)]
        )
        for asked in waiting:
            check_within(self._stream, asked.question, asked.at_ns / NS_PER_S)

    def _write(self, feature: Tensor, stamp_ns: int) -> None:
        if not fits_float16(feature):  # for all inputs alike
            self.left_out.append(stamp_ns)
            return
        for running in self._inputs.values():
            running.write(feature, stamp_ns)
        self.frames += 1

    def _answer(self, due: Sequence[Asked]) -> Iterator[dict[str, Any]]:
        """Answer what is due before the next frame: per input, so that it is prefilled once."""
        for name, running in self._inputs.items():
            for asked in due:
                if name in asked.inputs:
                    yield self._ask(name, running, asked)

    def _ask(self, name: str, running: RunningInput, asked: Asked) -> dict[str, Any]:
        question, snapshot = asked.question, running.snapshot()
        status, message, answer = 'OK', '', None
        if snapshot.is_empty:
            status, message = 'MEMORY_EMPTY', 'no frame could be memorised yet'
        else:
            try:
                answer = running.vstream.answer(
                    snapshot,
                    question.question,
                    question.choices,
                    max_new_tokens=self._max_new_tokens,
                )
            except ModelError as error:
                status, message = 'MODEL_ERROR', str(error)
            except ValueError as error:
                status, message = 'BAD_REQUEST', str(error)
        record = _describe(name, asked, answer)
        kept = running.kept(question, self._stream.start_ns)
        return record | {
            'kept': [None if item is None else asdict(item) for item in kept],
            # Of several events the one kept worst: all of them are needed.
            'kept_share': min((k.share if k else 0.0 for k in kept), default=None),
            'status': status,
            'message': message,
            'frames_seen': snapshot.frames_written,
            'tokens': snapshot.token_count,
            'read_time': running.read_time,
        }


def _describe(name: str, asked: Asked, answer: Answer | None) -> dict[str, Any]:
    """A line of results; ``at`` and ``event_age`` in seconds."""
    question, at_s = asked.question, asked.at_ns / NS_PER_S
    text = answer.text if answer else ''
    correct = is_right(text, question.answer, question.group, question.choices)
    oldest_s = min((last for _, last in question.event_times), default=None)
    return {
        'input': name,
        'set': question.set_name,
        'id': question.id,
        'video': question.video,
        'video_name': question.video_name,
        'type': question.answer_type,
        'group': question.group,
        'at': at_s,
        'question': question.question,
        'choices': list(question.choices),
        'answer': text,
        'truth': question.answer,
        'correct': answer is not None and correct,
        'choice_probabilities': list(answer.choice_probabilities) if answer else [],
        # Of several events the oldest: all of them are needed.
        'event_age': None if oldest_s is None else at_s - oldest_s,
        'finish_reason': answer.finish_reason if answer else '',
        'mean_log_probability': answer.mean_log_probability if answer else 0.0,
        'prompt_tokens': answer.prompt_tokens if answer else 0,
        'answer_tokens': answer.answer_tokens if answer else 0,
        'time_to_first_token': answer.time_to_first_token if answer else 0.0,
        'total_time': answer.total_time if answer else 0.0,
    }


def key_of(record: Mapping[str, Any]) -> Key:
    """What tells a record from all others of its run."""
    return (record['input'], record['set'], record['id'])


def by_stream(questions: Sequence[StreamQuestion]) -> list[list[StreamQuestion]]:
    """Group questions by their stream, in the order of the files."""
    order = {(q.set_name, q.video): i for i, q in reversed(list(enumerate(questions)))}
    ranked = sorted(questions, key=lambda q: order[q.set_name, q.video])
    return [list(group) for _, group in groupby(ranked, key=lambda q: (q.set_name, q.video))]
