# SPDX-License-Identifier: Apache-2.0
"""What a replay sends and when, told to a client that only writes it down."""

import time

import pytest
from flash_vstream_ros.msg import Answer

from flash_vstream_ros.nodes.replay_playing import AT_ONCE, FrameHandlerFacts, play, play_in_step
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.recorded_frame import RecordedFrame

S = 1_000_000_000
FACTS = FrameHandlerFacts('model', 1.0, 'raw')


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
        return lambda: Answer(text='so')

    def wait_for_memory(self, stamp_ns):
        self.said.append(f'wait {stamp_ns / S:g}')

    def reset(self):
        self.said.append('reset')


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
        return lambda: under_way.remove(question) or Answer(text='so')

    client.ask = ask
    questions = [Question(9.0 + n, f'What {n}?') for n in range(30)]
    results = list(play(client, FACTS, Frames(5, 5.01), questions, 1.0))
    assert [result['question'] for result in results] == [q.question for q in questions]
    assert max(most) == AT_ONCE
