# SPDX-License-Identifier: Apache-2.0
"""How a replay goes on: in the recording's own time, as a camera, or in step with the nodes."""

import copy
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.replay_results import result_of
from flash_vstream_ros.replay.due_frames import StreamTime
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.recorded_frame import NS_PER_S, RecordedFrame, Recording

LONGEST_STEP_NS = 60 * NS_PER_S
AT_ONCE = 8  # questions at the end of a recording: more may be too many for the question handler


@dataclass(frozen=True)
class FrameHandlerFacts:
    """What the running frame handler says of itself."""

    model: str
    sample_rate: float
    image_transport: str


class Asked(Protocol):
    """A question on its way."""

    def is_answered(self) -> bool:
        """Whether the answer is there."""

    def answer(self) -> Answer:
        """Wait for the answer.

        :raises TimeoutError: there is none.
        """


class Client(Protocol):
    """The camera and the planner of a replay."""

    def play_frame(self, frame: RecordedFrame, image_transport: str) -> bool:
        """Publish one frame; False: it is corrupt and left out."""

    def show_in_vain(self, frame: RecordedFrame, image_transport: str) -> None:
        """Publish one frame that is not memorised, and wait until it has been looked at."""

    def ask(self, question: Question, min_stamp_ns: int) -> Asked:
        """Send a question."""

    def wait_for_memory(self, stamp_ns: int) -> None:
        """Wait until a memory with the frame of this stamp has been published."""

    def reset(self) -> None:
        """Empty the memory."""


@dataclass(frozen=True)
class _Moment:
    """A frame of the recording, and what comes before it.

    :param frame: None: the end of the recording.
    :param played_ns: since the first frame, as a camera plays it: a stamp that jumps, by a fault
        or because the bag loops, neither stops it nor makes it wait.
    :param decision: what becomes of the frame.
    :param seen_ns: stamp of the newest frame in order before it.
    :param due: questions to ask before it is played.
    """

    frame: RecordedFrame | None
    played_ns: int
    decision: Decision
    seen_ns: int
    due: list[Question]


def _moments(
    recording: Recording, questions: Sequence[Question], sampler: FrameSampler
) -> Iterator[_Moment]:
    """Go through a recording and its end, at which all questions that are left are due.

    Their time is that of a replay without ROS.
    """
    waiting = sorted(questions, key=lambda question: question.at)
    before_ns = seen_ns = recording.start_ns
    played_ns = 0
    time_seen = StreamTime()
    for frame in recording:
        step_ns, before_ns = frame.stamp_ns - before_ns, frame.stamp_ns
        played_ns += step_ns if 0 < step_ns <= LONGEST_STEP_NS else 0
        decision = sampler.decide(frame.stamp_ns)
        is_in_order = time_seen.count(frame.stamp_ns, decision)
        due = [question for question in waiting if question.at_ns < time_seen.elapsed_ns]
        waiting = waiting[len(due) :]
        yield _Moment(frame, played_ns, decision, seen_ns, due)
        seen_ns = frame.stamp_ns if is_in_order else seen_ns
    yield _Moment(None, played_ns, Decision.NOT_DUE, seen_ns, waiting)


def pace_of(recording: Recording, speed: float) -> str:
    """How much sooner or later than it was recorded it will be over, in words; '' for a 1."""
    if speed == 1.0:
        return ''
    seconds = (recording.duration_ns or 0) / NS_PER_S / speed
    return f' at {speed:g} times the speed' + (f': {seconds:.0f} s' if seconds else '')


def play(
    client: Client,
    facts: FrameHandlerFacts,
    recording: Recording,
    questions: Sequence[Question],
    speed: float,
) -> Iterator[dict[str, Any]]:
    """Publish the recording in its own time and ask each question at its moment.

    Frames keep coming while a question is answered. Each answer has seen the stream to within two
    sampling periods of its moment. A gap of over a minute is not waited for.

    :param facts: of the running frame handler.
    :param speed: 2.0 plays twice as fast as it was recorded.
    """
    behind_ns = round(2e9 / facts.sample_rate) if facts.sample_rate else NS_PER_S
    asked: deque[tuple[Question, Asked]] = deque()
    started = time.monotonic()
    for moment in _moments(recording, questions, FrameSampler(facts.sample_rate)):
        for question in moment.due:
            while moment.frame is None and len(asked) >= AT_ONCE:  # at the end there is time
                first, under_way = asked.popleft()
                yield result_of(first, under_way.answer(), recording.start_ns)
            asked.append((question, client.ask(question, moment.seen_ns - behind_ns)))
        if moment.frame is not None:
            played_s = moment.played_ns / NS_PER_S / speed
            time.sleep(max(0.0, started + played_s - time.monotonic()))
            client.play_frame(moment.frame, facts.image_transport)
        while asked and (moment.frame is None or asked[0][1].is_answered()):
            first, under_way = asked.popleft()
            yield result_of(first, under_way.answer(), recording.start_ns)


def play_in_step(
    client: Client,
    facts: FrameHandlerFacts,
    recording: Recording,
    questions: Sequence[Question],
) -> Iterator[dict[str, Any]]:
    """Publish what is to be memorised, frame by frame, and ask each question in between.

    Nothing depends on the speed of the machine: every frame that the frame handler would take
    from a camera is in the memory, and each answer has seen all frames until its moment and none
    later, as in a replay without ROS.

    :param facts: of the running frame handler.
    :raises TimeoutError: a frame does not come into the memory.
    """
    sampler = FrameSampler(facts.sample_rate)
    handlers = FrameSampler(facts.sample_rate)  # that of the frame handler, by what it is shown
    newest_ns = 0
    for moment in _moments(recording, questions, sampler):
        for question in moment.due:
            yield result_of(question, client.ask(question, newest_ns).answer(), recording.start_ns)
        frame = moment.frame
        if moment.decision is Decision.NEW_STREAM:
            client.reset()
            handlers = FrameSampler(facts.sample_rate)
        elif frame is None or moment.decision is not Decision.TAKE:
            continue
        before = _to_be_shown_before(frame.stamp_ns, sampler.confirmed_by, handlers)
        if before is None:
            sampler.give_back()
            continue
        for stamp_ns in before:
            handlers.decide(stamp_ns)
            client.show_in_vain(RecordedFrame(stamp_ns, _black), facts.image_transport)
        if client.play_frame(frame, facts.image_transport):
            handlers.decide(frame.stamp_ns)
            newest_ns = frame.stamp_ns
            client.wait_for_memory(newest_ns)
        else:
            sampler.give_back()


def _to_be_shown_before(
    stamp_ns: int, confirmed_by: Sequence[int], handlers: FrameSampler
) -> Sequence[int] | None:
    """Find the stamps that a frame handler must see before it takes a frame, as behind a gap.

    :param confirmed_by: those of the recording.
    :param handlers: its sampler. It may wait for others where it was shown no corrupt frame.
    :returns: None: it cannot take this frame, but one up to a second later.
    """
    for before in ((), confirmed_by, (stamp_ns - NS_PER_S, stamp_ns - NS_PER_S // 2)):
        trial = copy.deepcopy(handlers)
        decisions = [trial.decide(stamp) for stamp in (*before, stamp_ns)]
        if decisions.count(Decision.TAKE) == 1 and decisions[-1] is Decision.TAKE:
            return before
    return None


def _black() -> np.ndarray:
    return np.zeros((16, 16, 3), np.uint8)
