# SPDX-License-Identifier: Apache-2.0
"""Replays a recording through the model, without ROS: the same answers every time."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flash_vstream_ros.core.config import FrameHandlerConfig, QuestionHandlerConfig
from flash_vstream_ros.core.sampler import Decision
from flash_vstream_ros.replay.due_frames import DueFrame, DueFrames
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.read_ahead import read_ahead
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, RecordedFrame, Recording
from flash_vstream_ros.replay.thumbnails import ThumbnailStore

if TYPE_CHECKING:
    from flash_vstream_ros.core.pipeline import Answer, FlashVStream
    from flash_vstream_ros.core.snapshot import MemorySnapshot

logger = logging.getLogger(__name__)


class Replay:
    """A recording, a memory and questions. Iterate over it, once, for a result for each question.

    Frames are sampled, memorised and read as on the robot, the rounding of the memory to float16
    included, so that the answers are those of the two nodes, token by token. A question at t
    seconds sees all frames stamped up to t after the first one, and none later. Where the clock of
    the recording jumps back for good, a new memory begins, and t goes on counting. The next
    frames are read and decoded, by another thread, while those before are encoded.

    :param sample_rate: frames memorised per second of stamp time; 0: all.
    :param batch: frames encoded at once; 1: as on the robot, to the last bit. More is quicker, and
        features differ by the rounding of their type.
    :param max_new_tokens: of an answer, where its question does not say.
    :param thumbnails: gets a thumbnail of each memorised frame, for a picture of the memory.
    :param progress: goes around the frames of the recording, as tqdm does.
    """

    def __init__(
        self,
        vstream: 'FlashVStream',
        recording: Recording,
        questions: Sequence[Question],
        *,
        sample_rate: float = FrameHandlerConfig.sample_rate,
        batch: int = 1,
        max_new_tokens: int = QuestionHandlerConfig.max_new_tokens,
        thumbnails: ThumbnailStore | None = None,
        progress: Callable[[Iterable[RecordedFrame]], Iterable[RecordedFrame]] = iter,
    ) -> None:
        self._vstream = vstream
        self._recording = recording
        self._questions = sorted(questions, key=lambda question: question.at_ns)
        self._max_new_tokens = max_new_tokens
        self._thumbnails = thumbnails
        self._progress = progress
        self._due = DueFrames(sample_rate)
        self._batch = batch
        self._memory = vstream.new_memory()
        self._decoded: list[DueFrame] = []  # not memorised yet
        self._zero_ns = 0  # the stamp at which t was, or would have been, 0
        self._elapsed_ns = 0  # t of the newest frame that was due
        self._memorised = 0
        self._refused = 0
        self._unanswered = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        waiting = deque(self._questions)
        for frame in read_ahead(self._due.of(self._progress(self._recording)), self._batch + 1):
            self._elapsed_ns = frame.elapsed_ns
            while waiting and waiting[0].at_ns < frame.elapsed_ns:
                yield self._ask(waiting.popleft())
            self._take(frame)
        self._elapsed_ns = self._due.elapsed_ns
        self._memorise()
        for question in waiting:
            yield self._ask(question)

    def _take(self, frame: DueFrame) -> None:
        if frame.begins_stream:
            self._begin_stream()
        self._zero_ns = frame.zero_ns
        if frame.pixels is None:
            self._refuse(frame.elapsed_ns, frame.fault)
            return
        self._decoded.append(frame)
        if len(self._decoded) == self._batch:
            self._memorise()

    def _begin_stream(self) -> None:
        self._memorise()
        logger.warning(
            'at %.1f s the stamps jumped back: a new memory begins, and what was seen before is '
            'forgotten',
            self._elapsed_ns / NS_PER_S,
        )
        self._memory.reset()
        if self._thumbnails is not None:
            self._thumbnails.clear()

    def _memorise(self) -> None:
        """Encode and write the frames that were decoded."""
        frames, self._decoded = self._decoded, []
        if not frames:
            return
        features = self._vstream.encode([frame.pixels for frame in frames])
        for frame, feature in zip(frames, features, strict=True):
            try:
                self._memory.write(feature, frame.stamp_ns)
            except ValueError as error:
                self._refuse(frame.elapsed_ns, str(error))
                continue
            self._memorised += 1
            if self._thumbnails is not None:
                self._thumbnails.add(frame.stamp_ns, frame.pixels, feature, self._read)

    def _refuse(self, elapsed_ns: int, reason: str) -> None:
        self._refused += 1
        if self._refused == 1:  # the summary counts the others
            logger.warning('at %.1f s a frame is left out: %s', elapsed_ns / NS_PER_S, reason)

    def snapshot(self) -> 'MemorySnapshot':
        """Read the memory as it is now, rounded as the message rounds it."""
        self._memorise()
        return self._read()

    def _read(self) -> 'MemorySnapshot':
        try:
            return self._memory.snapshot().to_float16()
        except ValueError as error:
            # On a GPU a frame that had to be refused is reported here, once.
            self._memorised -= 1
            self._refuse(self._elapsed_ns, str(error))
            return self._memory.snapshot().to_float16()

    def _ask(self, question: Question) -> dict[str, Any]:
        snapshot = self.snapshot()
        if snapshot.is_empty:
            return self._result(question, snapshot, 'MEMORY_EMPTY', 'no frame is memorised yet')
        limit = question.max_new_tokens or self._max_new_tokens
        try:
            answer = self._vstream.answer(
                snapshot, question.question, question.choices, max_new_tokens=limit
            )
        except ValueError as error:
            return self._result(question, snapshot, 'BAD_REQUEST', str(error))
        except RuntimeError as error:
            return self._result(question, snapshot, 'MODEL_ERROR', str(error))
        end_ns = self._elapsed_ns
        if not self._recording.ended_early:
            end_ns = max(end_ns, self._recording.duration_ns or 0)
        message = ''
        if question.at_ns > end_ns:
            message = f'asked at the end of the recording, {end_ns / NS_PER_S:.1f} s'
        return self._result(question, snapshot, 'OK', message, answer)

    def _result(
        self,
        question: Question,
        snapshot: 'MemorySnapshot',
        status: str,
        message: str,
        answer: 'Answer | None' = None,
    ) -> dict[str, Any]:
        """A line of results, named as msg/Answer names them; ``at`` in seconds, stamps in ns.

        The ``memory_id`` is left out: it is random, and nobody can look anything up by it here.
        """
        if message:
            logger.warning('question at %g s: %s', question.at, message)
        self._unanswered += answer is None
        newest_ns = snapshot.newest_stamp_ns
        return {
            'at': question.at,
            'question': question.question,
            'answer': answer.text if answer else '',
            'truth': question.truth,
            'status': status,
            'message': message,
            'choices': list(question.choices),
            'choice_probabilities': list(answer.choice_probabilities) if answer else [],
            'finish_reason': answer.finish_reason if answer else '',
            'mean_log_probability': answer.mean_log_probability if answer else 0.0,
            'frames_seen': snapshot.frames_written,
            'oldest_stamp': snapshot.oldest_stamp_ns,
            'newest_stamp': newest_ns,
            'newest_at': None if snapshot.is_empty else (newest_ns - self._zero_ns) / NS_PER_S,
            'key_stamps': snapshot.retrieved_stamps_ns.tolist(),
            'time_to_first_token': answer.time_to_first_token if answer else 0.0,
            'total_time': answer.total_time if answer else 0.0,
        }

    @property
    def failures(self) -> list[str]:
        """What went wrong so far, each in a sentence; nothing: the job is done."""
        failures = []
        if not self._memorised:
            failures.append('no frame could be memorised')
        if self._unanswered:
            failures.append(f'{self._unanswered} of {len(self._questions)} questions unanswered')
        if self._recording.ended_early:
            failures.append(self._recording.ended_early)
        return failures

    def summary(self) -> str:
        """One line for a person: what became of the frames."""
        counts = self._due.counts
        parts = [f'{counts.total()} frames read', f'{self._memorised} memorised']
        if self._refused:
            parts.append(f'{self._refused} left out as damaged')
        for decision in Decision:
            if decision not in (Decision.TAKE, Decision.NOT_DUE) and counts[decision]:
                parts.append(f'{counts[decision]} {decision.value}')
        return ', '.join(parts)
