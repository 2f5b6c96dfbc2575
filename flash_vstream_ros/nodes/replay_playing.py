# SPDX-License-Identifier: Apache-2.0
"""How a replay goes on: in the recording's own time, as a camera, or in step with the nodes."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.replay_results import result_of
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


class Client(Protocol):
    """The camera and the planner of a replay."""

    def play_frame(self, frame: RecordedFrame, image_transport: str) -> bool:
        """Publish one frame; False: it is corrupt and left out."""

    def ask(self, question: Question, min_stamp_ns: int) -> Callable[[], Answer]:
        """Send a question; the answer is waited for by calling what is returned."""

    def wait_for_memory(self, stamp_ns: int) -> None:
        """Wait until a memory with the frame of this stamp has been published."""

    def reset(self) -> None:
        """Empty the memory."""


@dataclass(frozen=True)
class _Moment:
    """A frame of the recording, and what comes before it.

    :param frame: None: the end of the recording.
    :param elapsed_ns: since the first frame, by the clock of the recording.
    :param seen_ns: stamp of the newest frame in order before it.
    :param due: questions to ask before it is played.
    """

    frame: RecordedFrame | None
    elapsed_ns: int
    seen_ns: int
    due: list[Question]


def _moments(recording: Recording, questions: Sequence[Question]) -> Iterator[_Moment]:
    """Go through a recording and its end, at which all questions that are left are due."""
    waiting = sorted(questions, key=lambda question: question.at)
    before_ns = seen_ns = recording.start_ns
    elapsed_ns = 0
    for frame in recording:
        # A stamp that jumps, by a fault or because the bag loops, does not stop the clock.
        step_ns, before_ns = frame.stamp_ns - before_ns, frame.stamp_ns
        is_in_order = 0 < step_ns <= LONGEST_STEP_NS
        elapsed_ns += step_ns if is_in_order else 0
        due = [question for question in waiting if question.at_ns < elapsed_ns]
        waiting = waiting[len(due) :]
        yield _Moment(frame, elapsed_ns, seen_ns, due)
        seen_ns = frame.stamp_ns if is_in_order else seen_ns
    yield _Moment(None, elapsed_ns, seen_ns, waiting)


def play(
    client: Client,
    facts: FrameHandlerFacts,
    recording: Recording,
    questions: Sequence[Question],
    speed: float,
) -> Iterator[dict[str, Any]]:
    """Publish the recording in its own time and ask each question at its moment.

    Frames keep coming while a question is answered. Each answer has seen the stream to within two
    sampling periods of its moment.

    :param facts: of the running frame handler.
    :param speed: 2.0 plays twice as fast as it was recorded.
    """
    behind_ns = round(2e9 / facts.sample_rate) if facts.sample_rate else NS_PER_S
    asked: deque[tuple[Question, Callable[[], Answer]]] = deque()
    started = time.monotonic()
    for moment in _moments(recording, questions):
        for question in moment.due:
            while moment.frame is None and len(asked) >= AT_ONCE:  # at the end there is time
                first, answer = asked.popleft()
                yield result_of(first, answer(), recording.start_ns)
            asked.append((question, client.ask(question, moment.seen_ns - behind_ns)))
        if moment.frame is not None:
            elapsed_s = moment.elapsed_ns / NS_PER_S / speed
            time.sleep(max(0.0, started + elapsed_s - time.monotonic()))
            client.play_frame(moment.frame, facts.image_transport)
    for question, answer in asked:
        yield result_of(question, answer(), recording.start_ns)


def play_in_step(
    client: Client,
    facts: FrameHandlerFacts,
    recording: Recording,
    questions: Sequence[Question],
) -> Iterator[dict[str, Any]]:
    """Publish what is to be memorised, frame by frame, and ask each question in between.

    Nothing depends on the speed of the machine: every frame that the frame handler would take
    from a camera is in the memory, and each answer has seen all frames until its moment and none
    later, as in a replay without ROS. After a gap of over a minute in the stamps the frame
    handler waits for more frames than these, and the replay fails.

    :param facts: of the running frame handler.
    :raises TimeoutError: a frame does not come into the memory.
    """
    sampler = FrameSampler(facts.sample_rate)
    newest_ns = 0
    for moment in _moments(recording, questions):
        for question in moment.due:
            yield result_of(question, client.ask(question, newest_ns)(), recording.start_ns)
        if moment.frame is None:
            return
        decision = sampler.decide(moment.frame.stamp_ns)
        if decision is Decision.NEW_STREAM:
            client.reset()
        elif decision is not Decision.TAKE:
            continue
        if client.play_frame(moment.frame, facts.image_transport):
            newest_ns = moment.frame.stamp_ns
            client.wait_for_memory(newest_ns)
        else:
            sampler.give_back()
