# SPDX-License-Identifier: Apache-2.0
"""Replay: which frames a question sees, and that its answer is the pipeline's own."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from frame_lists import NS, T0, FrameList, camera, pixels, without_times

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.replay.questions import Question
from flash_vstream_ros.replay.recorded_frame import RecordedFrame
from flash_vstream_ros.replay.replay import Replay
from flash_vstream_ros.replay.thumbnails import ThumbnailStore


def test_answers_are_those_of_the_pipeline_on_just_the_frames_seen(vstream: FlashVStream) -> None:
    """The reference builds the memory anew for each question from the frames it may see."""
    frames = camera(40)
    questions = [
        Question(3.0, 'What is on the table?'),
        Question(17.5, 'Is the door open?', ('yes', 'no', 'it is not there')),
        Question(39.0, 'Where is the cup?', max_new_tokens=3),
    ]
    results = list(Replay(vstream, FrameList(frames), questions, max_new_tokens=7))
    for question, result in zip(questions, results, strict=True):
        memory = vstream.new_memory()
        for stamp_ns, frame in frames:
            if stamp_ns <= T0 + question.at_ns:
                vstream.write(memory, frame, stamp_ns)
        snapshot = memory.snapshot().to_float16()
        limit = question.max_new_tokens or 7
        answer = vstream.answer(
            snapshot, question.question, question.choices, max_new_tokens=limit
        )
        assert result['answer'] == answer.text
        assert result['finish_reason'] == answer.finish_reason
        assert result['mean_log_probability'] == answer.mean_log_probability
        assert result['choice_probabilities'] == list(answer.choice_probabilities)
        assert result['frames_seen'] == snapshot.frames_written == int(question.at) + 1
        assert result['oldest_stamp'] == T0
        assert result['newest_stamp'] == T0 + int(question.at) * NS
        assert result['newest_at'] == int(question.at)
        assert result['key_stamps'] == snapshot.retrieved_stamps_ns.tolist()
        assert (result['status'], result['message']) == ('OK', '')
        assert 0 < result['time_to_first_token'] <= result['total_time']
    assert results[1]['answer'] in questions[1].choices
    assert sum(results[1]['choice_probabilities']) == pytest.approx(1)


def test_the_memory_is_rounded_as_the_message_rounds_it(
    vstream: FlashVStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unrounded, robot and replay would part at some token."""
    dtypes = []
    answer = vstream.answer

    def spy(snapshot: object, *arguments, **options) -> object:
        dtypes.append(snapshot.abstract.dtype)
        return answer(snapshot, *arguments, **options)

    monkeypatch.setattr(vstream, 'answer', spy)
    list(Replay(vstream, FrameList(camera(2)), [Question(1, 'a')], max_new_tokens=1))
    assert dtypes == [torch.float16]


def test_a_question_sees_the_frame_of_its_very_moment_and_none_later(
    vstream: FlashVStream,
) -> None:
    moments = [0.0, 1.999999999, 2.0, 2.000000001, 5.0]
    questions = [Question(moment, 'a', ('x', 'y')) for moment in moments]
    results = list(Replay(vstream, FrameList(camera(6)), questions))
    assert [result['frames_seen'] for result in results] == [1, 2, 3, 3, 6]


def test_questions_are_asked_by_time_and_equal_times_in_their_order(vstream: FlashVStream) -> None:
    questions = [
        Question(at, name, ('x', 'y')) for at, name in [(4, 'd'), (1, 'b'), (4, 'e'), (0, 'a')]
    ]
    results = list(Replay(vstream, FrameList(camera(6)), questions))
    assert [result['question'] for result in results] == ['a', 'b', 'd', 'e']


def test_two_runs_are_equal_but_for_the_times(vstream: FlashVStream) -> None:
    questions = [Question(2.5, 'What?'), Question(4.0, 'Which?', ('a', 'b'))]
    runs = [
        [without_times(result) for result in Replay(vstream, FrameList(camera(6)), questions)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_frames_are_sampled_by_their_stamps_and_only_those_are_decoded(
    vstream: FlashVStream,
) -> None:
    recording = FrameList(camera(100, NS // 10))
    replay = Replay(vstream, recording, [Question(9.9, 'a', ('x', 'y'))], sample_rate=2.0)
    (result,) = replay
    assert result['frames_seen'] == len(recording.decoded) == 20
    assert np.diff(recording.decoded) == pytest.approx(NS / 2, abs=NS / 10)
    assert replay.summary() == '100 frames read, 20 memorised'


def test_every_frame_is_taken_at_rate_zero(vstream: FlashVStream) -> None:
    recording = FrameList(camera(13, NS // 30))
    (result,) = Replay(vstream, recording, [Question(1, 'a', ('x', 'y'))], sample_rate=0.0)
    assert result['frames_seen'] == 13


def test_a_question_beyond_the_end_is_asked_at_the_end_and_says_so(vstream: FlashVStream) -> None:
    recording = FrameList(camera(4))
    recording.duration_ns = 4 * NS
    inside, beyond = Replay(vstream, recording, [Question(3.9, 'a'), Question(60, 'b')])
    assert inside['message'] == ''
    assert beyond['message'] == 'asked at the end of the recording, 4.0 s'
    assert (beyond['status'], beyond['at'], beyond['frames_seen']) == ('OK', 60, 4)


def test_a_question_in_an_end_that_is_missing_says_so(vstream: FlashVStream) -> None:
    recording = FrameList(camera(4), ended_early='cut off')
    recording.duration_ns = 60 * NS
    replay = Replay(vstream, recording, [Question(30, 'a')], max_new_tokens=1)
    (result,) = replay
    assert result['message'] == 'asked at the end of the recording, 3.0 s'
    assert replay.failures == ['cut off']


def test_a_corrupt_frame_is_left_out_and_the_next_one_taken(
    vstream: FlashVStream, caplog: pytest.LogCaptureFixture
) -> None:
    frames = camera(40, NS // 4)
    for broken in (8, 9, 20):  # due at 2 s and at 5 s
        frames[broken] = (frames[broken][0], None)
    replay = Replay(vstream, FrameList(frames), [Question(9.9, 'a', ('x', 'y'))], sample_rate=1.0)
    (result,) = replay
    assert result['frames_seen'] == 10
    assert replay.failures == []
    assert '3 left out as damaged' in replay.summary()
    said = [record.message for record in caplog.records if 'left out' in record.message]
    assert said == ['at 2.0 s a frame is left out: this frame is corrupt']


def test_a_recording_of_corrupt_frames_only_fails_but_does_not_die(vstream: FlashVStream) -> None:
    frames = [(stamp_ns, None) for stamp_ns, _ in camera(3)]
    replay = Replay(vstream, FrameList(frames), [Question(1, 'a')])
    (result,) = replay
    assert (result['status'], result['answer'], result['frames_seen']) == ('MEMORY_EMPTY', '', 0)
    assert result['newest_at'] is None
    assert replay.failures == ['no frame could be memorised', '1 of 1 questions unanswered']


def test_a_recording_without_a_frame_in_order_fails(vstream: FlashVStream) -> None:
    replay = Replay(vstream, FrameList([(0, pixels(0))]), [])
    assert list(replay) == []
    assert replay.failures == ['no frame could be memorised']
    assert replay.summary() == '1 frames read, 0 memorised, 1 stamp of zero or below'


def test_a_question_that_cannot_be_answered_does_not_stop_the_others(
    vstream: FlashVStream,
) -> None:
    questions = [Question(1, 'word ' * 5000), Question(2, 'a', ('x', 'y'))]
    replay = Replay(vstream, FrameList(camera(4)), questions)
    bad, good = replay
    assert bad['status'] == 'BAD_REQUEST'
    assert 'ask a shorter one' in bad['message']
    assert good['status'] == 'OK'
    assert replay.failures == ['1 of 2 questions unanswered']


def test_stamps_out_of_order_are_dropped_and_ask_nothing_early(vstream: FlashVStream) -> None:
    """One stamp far ahead must not make the questions of the hour before due."""
    frames = camera(8)
    frames[3:3] = [
        (T0 + 5000 * NS, pixels(90)),
        (T0 + NS // 2, pixels(91)),
        (T0 + 2 * NS, pixels(92)),
    ]
    questions = [Question(7, 'a', ('x', 'y')), Question(2.5, 'b', ('x', 'y'))]
    replay = Replay(vstream, FrameList(frames), questions)
    results = list(replay)
    assert [result['frames_seen'] for result in results] == [3, 8]
    assert replay.summary().startswith('11 frames read, 8 memorised')
    assert '1 stamp far ahead' in replay.summary()


def test_a_clock_that_jumps_back_begins_a_new_memory(
    vstream: FlashVStream, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a bag was recorded over a restart of the camera."""
    frames = camera(6) + camera(9, start_ns=T0 - 1000 * NS, first=50)
    questions = [Question(at, 'a', ('x', 'y')) for at in (2.0, 5.0, 5.9, 8.0, 30.0)]
    thumbnails = ThumbnailStore()
    replay = Replay(vstream, FrameList(frames), questions, thumbnails=thumbnails)
    results = list(replay)
    # The jump is believed at its third frame, which begins the new memory just behind 5 s.
    assert [result['frames_seen'] for result in results] == [3, 6, 1, 3, 7]
    assert [result['oldest_stamp'] for result in results[:2]] == [T0, T0]
    assert {result['oldest_stamp'] for result in results[2:]} == {T0 - 998 * NS}
    assert results[3]['newest_at'] == pytest.approx(7.0, abs=1e-6)
    assert 'a new memory begins' in caplog.text
    assert len(thumbnails) == 7


def test_thumbnails_are_of_the_memorised_frames(vstream: FlashVStream) -> None:
    thumbnails = ThumbnailStore()
    frames = camera(30, NS // 4)
    frames[8] = (frames[8][0], None)
    replay = Replay(vstream, FrameList(frames), [], thumbnails=thumbnails)
    assert list(replay) == []
    seen = replay.snapshot()
    assert len(thumbnails) == seen.frames_written
    assert thumbnails.at(seen.newest_stamp_ns) is not None
    assert all(picture is not None for picture in thumbnails.key_frames(seen))


def test_progress_goes_around_all_frames(vstream: FlashVStream) -> None:
    passed = []

    def progress(frames: FrameList) -> Iterator[RecordedFrame]:
        for frame in frames:
            passed.append(frame.stamp_ns)
            yield frame

    list(Replay(vstream, FrameList(camera(5)), [], progress=progress))
    assert passed == [T0 + i * NS for i in range(5)]
