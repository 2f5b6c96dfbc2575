# SPDX-License-Identifier: Apache-2.0
"""What a replay sends and when, told to a client that only writes it down."""

import random
import time
from functools import partial

import pytest
from flash_vstream_ros.msg import Answer

from flash_vstream_ros.core.sampler import Decision, FrameSampler
from flash_vstream_ros.nodes.replay_playing import AT_ONCE, FrameHandlerFacts, play, play_in_step
from flash_vstream_ros.replay.due_frames import DueFrames
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.recorded_frame import RecordedFrame

S = 1_000_000_000
FACTS = FrameHandlerFacts('model', 1.0, 'raw')


class Asked:
    """A question whose answer is there when it is waited for."""

    def __init__(self, answer=lambda: Answer(text='so'), is_answered=False):
        self.answer, self._is_answered = answer, is_answered

    def is_answered(self):
        return self._is_answered


class Recorder:
    """A client of the test's own; frames with a stamp in ``corrupt`` cannot be decoded."""

    def __init__(self, corrupt=()):
        self.said = []
        self._corrupt = corrupt

    def play_frame(self, frame, image_transport):
        is_fine = frame.stamp_ns not in self._corrupt
        if is_fine:
            self.said.append(f'frame {frame.stamp_ns / S:g}')
        return is_fine

    def ask(self, question, min_stamp_ns):
        self.said.append(f'ask at {question.at:g} after {min_stamp_ns / S:g}')
        return Asked()

    def wait_for_memory(self, stamp_ns):
        self.said.append(f'wait {stamp_ns / S:g}')

    def show_in_vain(self, frame, image_transport):
        self.said.append(f'shown in vain {frame.stamp_ns / S:g}')

    def reset(self):
        self.said.append('reset')


class Handler(Recorder):
    """A client with a frame handler that has a sampler of its own, and sees what is played."""

    def __init__(self, facts, corrupt=()):
        super().__init__(corrupt)
        self._facts = facts
        self.memory, self.asked = [], []
        self.reset()

    def play_frame(self, frame, image_transport):
        is_fine = super().play_frame(frame, image_transport)
        if is_fine and self._sampler.decide(frame.stamp_ns) is Decision.TAKE:
            self.memory.append(frame.stamp_ns)
        return is_fine

    def ask(self, question, min_stamp_ns):
        self.asked.append(min_stamp_ns)
        return Asked()

    def show_in_vain(self, frame, image_transport):
        assert frame.decode().shape == (16, 16, 3)
        assert self._sampler.decide(frame.stamp_ns) is Decision.AHEAD

    def wait_for_memory(self, stamp_ns):
        assert self.memory[-1] == stamp_ns, 'it would be waited for in vain'

    def reset(self):
        self._sampler = FrameSampler(self._facts.sample_rate)


class Frames(list):
    """Frames at these seconds of stamp time."""

    def __init__(self, *seconds):
        super().__init__(RecordedFrame(round(second * S), lambda: None) for second in seconds)
        self.start_ns = self[0].stamp_ns


def in_step(frames, *times, corrupt=()):
    client = Recorder(corrupt)
    results = list(play_in_step(client, FACTS, frames, [Question(at, 'What?') for at in times]))
    assert [result['at'] for result in results] == sorted(times)
    return client.said


def test_in_step_only_what_is_memorised_is_sent_and_waited_for():
    frames = Frames(5, 5.3, 5.6, 6.02, 6.3, 7)
    assert in_step(frames) == [
        *('frame 5', 'wait 5'),
        *('frame 6.02', 'wait 6.02'),
        *('frame 7', 'wait 7'),
    ]


def test_in_step_a_question_comes_after_all_frames_until_its_moment_and_before_the_next():
    frames = Frames(5, 6, 7)
    assert in_step(frames, 2.0, 0.5, 1.0, 9.0) == [
        *('frame 5', 'wait 5', 'ask at 0.5 after 5'),
        *('frame 6', 'wait 6', 'ask at 1 after 6'),
        *('frame 7', 'wait 7', 'ask at 2 after 7', 'ask at 9 after 7'),
    ]


def test_in_step_the_frame_after_a_corrupt_one_takes_its_place():
    said = in_step(Frames(5, 6, 6.2, 7), 9.0, corrupt=[6 * S])
    assert said[:4] == ['frame 5', 'wait 5', 'frame 6.2', 'wait 6.2']


def test_in_step_a_jump_back_that_lasts_begins_a_new_memory():
    said = in_step(Frames(50, 51, 52, 5, 5.5, 6, 6.5, 7), 99.0)
    assert said[:6] == ['frame 50', 'wait 50', 'frame 51', 'wait 51', 'frame 52', 'wait 52']
    after = said[said.index('reset') + 1]
    assert after in ('frame 6', 'frame 6.5')
    assert said[-1] == f'ask at 99 after {said[-2].split()[1]}'


PAUSES_S = (30.0, 59.5, 60.5, 61.5, 62.5, 300.0)
RATES = pytest.mark.parametrize('rates', [(10, 3), (30, 1), (15, 4), (30, 0), (1, 0.01)])


def lossy(rate, count, seed, corrupt_share, pauses):
    """Frames of a camera that jitters, loses some, pauses and loops; some are corrupt.

    :returns: the frames, and the stamps of those that cannot be decoded.
    """
    noise = random.Random(seed)
    stamps, corrupt, at = [], [], 100.0
    while len(stamps) < count:
        at += noise.choice([0, 0, 0, 0, 0, 0, 1, 7]) / rate if noise.random() < 0.1 else 0.0
        at += noise.choice(pauses) if noise.random() < 0.004 else 0.0
        at += 1.0 / rate
        stamps.append(at + noise.uniform(-0.1, 0.1) / rate)
        if noise.random() < corrupt_share or (corrupt_share and len(stamps) < 3):
            corrupt.append(round(stamps[-1] * S))
    return Frames(*stamps, *(stamp + 0.01 for stamp in stamps[: count // 2])), corrupt


def played_in_step(frames, corrupt, rate, times):
    """Play to a frame handler that samples too; returns it and what a replay without ROS takes."""
    facts = FrameHandlerFacts('model', rate, 'raw')
    client = Handler(facts, corrupt)
    list(play_in_step(client, facts, frames, [Question(at, 'What?') for at in times]))

    def decode(stamp_ns):
        if stamp_ns in corrupt:
            raise ValueError('corrupt')

    frames = [RecordedFrame(f.stamp_ns, partial(decode, f.stamp_ns)) for f in frames]
    return client, [frame for frame in DueFrames(rate).of(frames) if not frame.fault]


@RATES
@pytest.mark.parametrize(('corrupt_share', 'pauses'), [(0.0, PAUSES_S), (0.05, (30.0, 300.0))])
@pytest.mark.parametrize('seed', range(3))
def test_in_step_the_frame_handler_takes_just_what_a_replay_without_ros_takes(
    rates, corrupt_share, pauses, seed
):
    """However irregular: a frame that it does not take would be waited for in vain."""
    camera_rate, rate = rates
    frames, corrupt = lossy(camera_rate, 1500, seed, corrupt_share, pauses)
    times = [20.0 * number / (rate or 1) for number in range(30)]
    client, due = played_in_step(frames, corrupt, rate, times)
    assert client.memory == [frame.stamp_ns for frame in due]
    assert any(frame.begins_stream for frame in due)
    seen = [[frame.stamp_ns for frame in due if frame.elapsed_ns <= at * S] for at in times]
    assert client.asked == [stamps[-1] if stamps else 0 for stamps in seen]


@RATES
@pytest.mark.parametrize('seed', range(3))
def test_in_step_corrupt_frames_before_a_gap_of_a_minute_keep_none_waiting(rates, seed):
    """The frame handler does not see them: the gap is longer for it."""
    camera_rate, rate = rates
    client, due = played_in_step(*lossy(camera_rate, 1500, seed, 0.3, PAUSES_S), rate, [])
    assert abs(len(client.memory) - len(due)) < 10


@pytest.mark.parametrize('in_step', [True, False])
def test_behind_a_gap_of_minutes_a_question_has_seen_all_until_its_moment_and_no_more(in_step):
    """The gap is part of the recording's time, although nobody waits for it."""
    stamps = [100 + n / 10 for n in range(40)] + [400 + n / 10 for n in range(40)]
    client = Recorder()
    questions = [Question(at, 'What?') for at in (2.0, 200.0, 302.0)]
    if in_step:
        list(play_in_step(client, FACTS, Frames(*stamps), questions))
        assert client.said.count('shown in vain 400') == 1
    else:
        list(play(client, FACTS, Frames(*stamps), questions, 100.0))
    played = [said for said in client.said if said.startswith(('frame', 'ask'))]
    before = {s: played[n - 1] for n, s in enumerate(played) if s.startswith('ask')}
    # The frames behind the gap are not believed, and not seen, until a second of them has come.
    at_200 = 'ask at 200 after 103' if in_step else 'ask at 200 after 101.9'
    assert before[at_200] == ('frame 103' if in_step else 'frame 400.9')
    assert [before[said].split()[1] for said in before if 'at 2 ' in said] == ['102']
    assert [before[said].split()[1] for said in before if 'at 302 ' in said] == ['402']


@pytest.mark.parametrize('speed', [1.0, 4.0])
def test_played_as_a_camera_frames_come_at_their_times_and_questions_wait_for_none(speed):
    client = Recorder()
    started = time.monotonic()
    list(play(client, FACTS, Frames(5, 5.1, 5.4), [Question(0.2, 'What?')], speed))
    assert time.monotonic() - started >= 0.4 / speed  # never before its time
    # To within two sampling periods of its moment
    assert client.said == ['frame 5', 'frame 5.1', 'ask at 0.2 after 3.1', 'frame 5.4']


def test_at_the_end_no_more_is_asked_at_once_than_is_answered():
    """A question handler tells the seventeenth BUSY."""
    client, under_way, most = Recorder(), [], []

    def ask(question, min_stamp_ns):
        under_way.append(question)
        most.append(len(under_way))
        return Asked(lambda: under_way.remove(question) or Answer(text='so'))

    client.ask = ask
    questions = [Question(9.0 + n, f'What {n}?') for n in range(30)]
    results = list(play(client, FACTS, Frames(5, 5.01), questions, 1.0))
    assert [result['question'] for result in results] == [q.question for q in questions]
    assert max(most) == AT_ONCE
