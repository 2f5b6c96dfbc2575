# SPDX-License-Identifier: Apache-2.0
"""A pass over a stream: every question sees what came before it, and all of that."""

from dataclasses import replace

import pytest
import torch
from evaluation_samples import S, feed, scenes, write_features

from flash_vstream_ros.evaluation.dataset import StreamQuestion
from flash_vstream_ros.evaluation.inputs import make_input
from flash_vstream_ros.evaluation.runner import Asked, RunningInput, StreamRun, by_stream, key_of
from flash_vstream_ros.evaluation.streams import StoredStream

QUESTION = StreamQuestion(
    *('questions', 'walk_00', 'walk', 'walk', 'Is the door open?', 'yes', 'Event Occurrence'),
    at_s=10.5,
    choices=('yes', 'no'),
    event_times=((2.0, 5.0), (6.0, 7.0)),
)


def run(vstream, path, asked, names=('star',), tokens=6):
    inputs = {name: RunningInput(make_input(name, vstream), vstream) for name in names}
    stream_run = StreamRun(StoredStream(path), asked, inputs, tokens)
    return list(stream_run), stream_run


def ask(number: int, at_s: float, names=('star',), **changes) -> Asked:
    question = replace(QUESTION, id=f'walk_{number:02d}', **changes)
    return Asked(question, round(at_s * S), frozenset(names))


@pytest.fixture
def stream(tmp_path, vstream):
    return write_features(tmp_path / 'walk.safetensors', scenes(40, vstream.geometry))


@pytest.mark.parametrize(
    ('at_s', 'frames'), [(0.0, 1), (0.999, 1), (1.0, 2), (10.5, 11), (39.0, 40), (39.9, 40)]
)
def test_a_question_sees_all_frames_up_to_its_moment_and_none_later(vstream, stream, at_s, frames):
    (record,), _ = run(vstream, stream, [ask(0, at_s, event_times=())])
    assert record['frames_seen'] == frames
    assert record['at'] == at_s


def test_answers_are_those_of_the_memory_at_that_moment(vstream, stream):
    """The robot's way, written out: memory, snapshot, float16, answer."""
    open_question = {'choices': (), 'question': 'What is there?'}
    asked = [ask(0, 12.0), ask(1, 30.5), ask(2, 30.5, **open_question)]
    records, _ = run(vstream, stream, asked)
    for record, frames in zip(records, (13, 31, 31), strict=True):
        memory = vstream.new_memory()
        feed(memory, scenes(40, vstream.geometry)[:frames])
        answer = vstream.answer(
            memory.snapshot().to_float16(),
            record['question'],
            record['choices'] or None,
            max_new_tokens=6,
        )
        assert record['answer'] == answer.text
        assert tuple(record['choice_probabilities']) == answer.choice_probabilities
        assert record['prompt_tokens'] == answer.prompt_tokens


def test_the_order_of_questions_and_other_inputs_change_no_answer(vstream, stream):
    names = ('uniform', 'star', 'question_only')
    asked = [ask(n, at_s, names) for n, at_s in enumerate((30.5, 2.0, 30.5, 11.0))]
    together, _ = run(vstream, stream, asked, names)
    answers = {key_of(r): (r['answer'], r['choice_probabilities']) for r in together}
    assert len(answers) == 12
    for name in names:
        for one in asked:
            (alone,), _ = run(vstream, stream, [replace(one, inputs=frozenset([name]))], (name,))
            assert answers[key_of(alone)] == (alone['answer'], alone['choice_probabilities'])


def test_only_the_inputs_that_are_open_are_asked(vstream, stream):
    asked = [ask(0, 5.0, ('star', 'uniform')), ask(1, 9.0, ('uniform',))]
    records, _ = run(vstream, stream, asked, ('star', 'uniform'))
    assert sorted(key_of(r)[::2] for r in records) == [
        ('star', 'walk_00'),
        ('uniform', 'walk_00'),
        ('uniform', 'walk_01'),
    ]


def test_the_stream_is_read_no_further_than_the_last_question(vstream, stream):
    _, stream_run = run(vstream, stream, [ask(0, 7.0)])
    assert stream_run.frames == 8


def test_a_record_says_all_about_its_answer(vstream, stream):
    (record,), _ = run(vstream, stream, [ask(0, 10.5)])
    assert record['set'] == 'questions'
    assert (record['type'], record['group']) == ('Event Occurrence', 'closed')
    assert record['correct'] is (record['answer'] == 'yes')
    assert sum(record['choice_probabilities']) == pytest.approx(1.0)
    assert record['event_age'] == 5.5  # of the older of two events
    assert [kept['frames'] for kept in record['kept']] == [4, 2]
    assert record['kept_share'] == min(kept['share'] for kept in record['kept'])
    assert record['tokens'] == vstream.geometry.tokens
    assert record['status'] == 'OK'


def test_an_event_without_a_frame_is_not_kept(vstream, stream):
    (record,), _ = run(vstream, stream, [ask(0, 10.5, event_times=((2.2, 2.8), (3.0, 4.0)))])
    assert record['kept'][0] is None
    assert record['kept_share'] == 0.0


def test_inputs_without_a_temporal_memory_say_nothing_of_kept_events(vstream, stream):
    names = ('uniform', 'algorithm_1', 'neighbours')
    records, _ = run(vstream, stream, [ask(0, 10.5, names)], names)
    kept = {record['input']: record['kept_share'] for record in records}
    assert kept['uniform'] is kept['algorithm_1'] is None
    assert kept['neighbours'] is not None


def test_a_question_that_cannot_be_asked_is_a_wrong_answer_with_a_reason(vstream, stream):
    records, _ = run(vstream, stream, [ask(0, 5.0, question='why ' * 3000), ask(1, 5.0)])
    assert (records[0]['status'], records[0]['correct']) == ('BAD_REQUEST', False)
    assert 'do not fit' in records[0]['message']
    assert records[1]['status'] == 'OK'


def test_frames_that_are_not_finite_are_left_out_of_all_inputs_and_counted(tmp_path, vstream):
    features = scenes(20, vstream.geometry)
    features[7, 0, 0, 0] = torch.nan
    path = write_features(tmp_path / 'walk.safetensors', features)
    names = ('star', 'uniform')
    records, stream_run = run(vstream, path, [ask(0, 15.0, names)], names)
    assert [record['frames_seen'] for record in records] == [15, 15]
    assert stream_run.left_out == [12 * S]


def test_a_stream_of_no_good_frame_has_an_empty_memory(tmp_path, vstream):
    features = torch.full_like(scenes(3, vstream.geometry), torch.inf)
    path = write_features(tmp_path / 'walk.safetensors', features)
    records, _ = run(vstream, path, [ask(0, 1.0, event_times=())])
    assert records[0]['status'] == 'MEMORY_EMPTY'
    assert records[0]['correct'] is False


def test_an_answer_out_of_choices_is_compared_word_for_word(vstream, stream):
    choices = ('No, the left one', 'No, the right one')
    asked = [ask(n, 10.5, choices=choices, answer=truth) for n, truth in enumerate(choices)]
    records, _ = run(vstream, stream, asked)
    assert sorted(record['correct'] for record in records) == [False, True]


def test_a_recording_that_ends_too_early_is_named(vstream, stream):
    class Short(StoredStream):
        def __init__(self, path):
            super().__init__(path)
            self.end_s = None

        def __iter__(self):
            yield from list(super().__iter__())[:5]
            self.end_s = 5.0

    inputs = {'star': RunningInput(make_input('star', vstream), vstream)}
    answered = []
    with pytest.raises(ValueError, match=r"asked at 9 s, .*'walk' ends at 5 s"):
        answered.extend(StreamRun(Short(stream), [ask(0, 9.0), ask(1, 4.5)], inputs, 6))
    assert [record['id'] for record in answered] == ['walk_01']  # the stream has got so far


def test_questions_are_grouped_by_stream_in_the_order_of_the_file():
    names = ('b', 'a', 'b', 'c', 'a')
    questions = [replace(QUESTION, id=str(i), video=name) for i, name in enumerate(names)]
    groups = [[q.id for q in group] for group in by_stream(questions)]
    assert groups == [['0', '2'], ['1', '4'], ['3']]
    other_set = [replace(QUESTION, set_name='realtime'), QUESTION]
    assert len(by_stream(other_set)) == 2
