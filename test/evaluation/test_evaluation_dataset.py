# SPDX-License-Identifier: Apache-2.0
"""Question files: VStream-QA's and the simulator's; what is wrong with them is said with line."""

from dataclasses import replace

import pytest
from evaluation_samples import entry, write_json

from flash_vstream_ros.evaluation.dataset import (
    StreamQuestion,
    find_question_files,
    read_dataset,
    read_questions,
)

QUESTION = StreamQuestion(
    'questions', 'walk_00', 'walk', 'walk', 'Is it?', 'yes', 'Event Occurrence', 10.5
)
CLIPS = [
    {'video_id': '000246', 'original_video': 'e582', 'start_time': 2430, 'end_time': 3270},
    {'video_id': '000247', 'original_video': 'f582', 'start_time': 0, 'end_time': 600},
]
EGO = {
    'id': '000246_3',
    'video_id': '000246',
    'video_name': 'e582',
    'question': 'What did I do?',
    'answer': 'You cut an onion.',
    'answer_type': 'Action Caption',
    'start_time': 2430,
    'end_time': 2550.5,
    'gt_duration': 120.5,
    'duration': 840,
}
MOVIE_CLIPS = [
    {'video_id': 'tt01_0100', 'original_video': 'tt01', 'start_shot': 100, 'end_shot': 299}
]
# Times in MovieNet are the file names of key frames, of which each shot has three.
MOVIE = EGO | {
    'id': 'tt01_0',
    'video_id': 'tt01_0100',
    'video_name': 'tt01',
    'answer_type': 'Order Judging(Y/N)',
    'answer': 'Yes.',
    'start_time': 'shot_0100_img_0.jpg',
    'end_time': 'shot_0149_img_2.jpg',
}


def test_the_simulators_fields_are_read(tmp_path):
    entries = [
        entry(0),
        entry(1, answerable=False, answer='I have not seen that.', choices=[], event_times=[]),
    ]
    first, second = read_dataset(write_json(tmp_path / 'questions.json', entries).parent)
    assert (first.set_name, first.id, first.video) == ('questions', 'walk_00', 'walk')
    assert first.at_s == 10.5
    assert first.choices == ('yes', 'no')
    assert first.event_times == ((2.0, 5.0),)
    assert (first.group, second.group) == ('closed', 'unanswerable')
    assert first.file == tmp_path / 'questions.json'
    assert (first.line, second.line) == (2, 3)


def test_groups_go_by_choices_and_type():
    assert QUESTION.group == 'closed'
    assert replace(QUESTION, answer_type='Sequence Validation').group == 'closed'
    assert replace(QUESTION, answer_type='Scene Summary').group == 'open'
    assert replace(QUESTION, answer_type='Scene Summary', choices=('yes', 'a')).group == 'closed'
    assert replace(QUESTION, answerable=False).group == 'unanswerable'


def test_both_parts_of_vstream_qa_are_read_with_their_clips(tmp_path):
    write_json(tmp_path / 'vstream/test_qa_ego4d.json', [EGO])
    write_json(tmp_path / 'vstream/vs_ego.json', CLIPS)
    write_json(tmp_path / 'vstream-realtime/test_qa_ego4d.json', [EGO | {'end_time': 2431}])
    write_json(tmp_path / 'vstream-realtime/rvs_ego.json', CLIPS)
    offline, realtime = read_dataset(tmp_path)
    assert offline.set_name == 'vstream/test_qa_ego4d'
    assert realtime.set_name == 'vstream-realtime/test_qa_ego4d'
    assert (offline.at_s, realtime.at_s) == (120.5, 1.0)  # after the clip's begin
    assert (offline.answer_type, offline.group) == ('Action Description', 'open')


@pytest.mark.parametrize(
    ('end_time', 'frames'),
    [
        ('shot_0100_img_0.jpg', 1),
        ('shot_0100_img_2.jpg', 3),
        ('shot_0149_img_1.jpg', 149),
        ('shot_0149_img_2.jpg', 150),
        ('shot_0149', 150),  # all of it
        ('shot_0299_img_2.jpg', 600),
        ('shot_0299', 600),
    ],
)
def test_movienet_counts_key_frames(tmp_path, end_time, frames):
    write_json(tmp_path / 'test_qa_movienet.json', [MOVIE | {'end_time': end_time}])
    write_json(tmp_path / 'vs_movie.json', MOVIE_CLIPS)
    (question,) = read_dataset(tmp_path)
    assert (question.at_s, question.at_share) == (None, frames / 600)
    assert (question.answer_type, question.group) == ('Sequence Validation', 'closed')


def test_a_clip_of_movienet_may_begin_and_end_within_a_shot(tmp_path):
    write_json(tmp_path / 'test_qa_movienet.json', [MOVIE | {'end_time': 'shot_0102'}])
    bounds = {'start_time': 'shot_0100_img_1.jpg', 'end_time': 'shot_0102_img_0.jpg'}
    write_json(tmp_path / 'vs_movie.json', [{'video_id': 'tt01_0100'} | bounds])
    assert read_dataset(tmp_path)[0].at_share == 1.0
    write_json(tmp_path / 'test_qa_movienet.json', [MOVIE | {'end_time': 'shot_0101_img_0.jpg'}])
    assert read_dataset(tmp_path)[0].at_share == 3 / 6


@pytest.mark.parametrize(
    ('end_time', 'message'),
    [
        ('shot_0300_img_0.jpg', 'shot 300, image 0 lies beyond .* from shot 100 to shot 299'),
        ('shot_0099_img_2.jpg', 'shot 99, image 2 lies beyond the stream'),
        ('shot_0149_img_3.jpg', 'expected image 0 to 2 of a shot, got 3'),
        ('shot_0149_img_0.png', 'expected seconds, shot_0123 or shot_0123_img_0.jpg'),
    ],
)
def test_key_frames_that_a_clip_does_not_have_are_named(tmp_path, end_time, message):
    write_json(tmp_path / 'test_qa_movienet.json', [MOVIE | {'end_time': end_time}])
    write_json(tmp_path / 'vs_movie.json', MOVIE_CLIPS)
    with pytest.raises(ValueError, match=rf'test_qa_movienet.json, line 2: end_time: {message}'):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ('published', 'name'),
    [
        ('Scene Summary', 'Scene Summary'),
        ('Whether Something Happened(Y/N)', 'Event Occurrence'),
        ('What event order', 'Ordered Event Narrative'),
    ],
)
def test_published_names_of_types_are_known(tmp_path, published, name):
    path = write_json(tmp_path / 'q.json', [entry(answer_type=published)])
    assert read_questions(path, 'q')[0].answer_type == name


def test_times_may_be_texts(tmp_path):
    assert (
        read_questions(write_json(tmp_path / 'q.json', [entry(end_time='7.5')]), 'q')[0].at_s
        == 7.5
    )


def test_an_id_used_twice_loses_no_question(tmp_path):
    entries = [entry(0), entry(0, question='Another?'), entry(0)]
    questions = read_questions(write_json(tmp_path / 'q.json', entries), 'q')
    assert [q.id for q in questions] == ['walk_00', 'walk_00~2', 'walk_00~3']
    entries[1]['id'] = 'walk_00~2'
    questions = read_questions(write_json(tmp_path / 'q.json', entries), 'q')
    assert [q.id for q in questions] == ['walk_00', 'walk_00~2', 'walk_00~3']
    questions = read_questions(write_json(tmp_path / 'q.json', [entries[0], *entries]), 'q')
    assert [q.id for q in questions] == ['walk_00', 'walk_00~2', 'walk_00~2~2', 'walk_00~3']


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'answer_type': 'Event Ocurrence'}, "answer_type: .*'Event Ocurrence'; did you mean 'Ev"),
        ({'end_time': 40.5}, 'end_time: 40.5 s lies beyond the stream, whose duration is 40 s'),
        ({'end_time': -1.0, 'event_times': []}, 'end_time: expected 0 or more'),
        ({'end_time': 'soon'}, "end_time: expected seconds, shot_0123 .*, got 'soon'"),
        ({'end_time': 10**400}, 'end_time: expected seconds, '),
        ({'end_time': 1e300, 'duration': None}, 'end_time: expected 0 or more seconds'),
        ({'end_time': True}, 'end_time: expected seconds'),
        ({'end_time': float('nan')}, 'end_time: expected seconds'),
        ({'end_time': 'shot_0004'}, "end_time: 'shot_0004' needs the clip list"),
        ({'question': ' '}, "question: expected a text, got ' '"),
        ({'answer': 5}, 'answer: expected a text, got 5'),
        ({'choices': 'yes'}, "choices: expected a list of texts, got 'yes'"),
        ({'question': 'Is \ud800 it?'}, 'question: expected Unicode text'),
        ({'id': 'a\udfff'}, 'id: expected Unicode text'),
        ({'choices': ['yes', '\ud800']}, 'choices: expected Unicode text'),
        ({'choices': ['yes', 'yes']}, 'choices: expected different texts'),
        ({'choices': ['yes']}, 'choices: expected different texts, two or more or none'),
        ({'choices': ['red', 'blue']}, r"answer: expected one of \['red', 'blue'\], got 'yes'"),
        ({'answerable': 'no'}, 'answerable: expected true or false'),
        ({'event_times': [[5.0, 2.0]]}, r'event_times: .*got \[5.0, 2.0\]'),
        ({'event_times': [[5.0, 11.0]]}, r'event_times: .*<= 10.5, the moment of the question'),
        ({'event_times': [5.0]}, r'event_times: expected \[\[first, last\], ...\]'),
        ({'event_times': [[0, 10**400]]}, r'event_times: expected \[\[first, last\], ...\]'),
    ],
)
def test_a_wrong_value_is_named_with_file_and_line(tmp_path, changes, message):
    path = write_json(tmp_path / 'questions.json', [entry(0), entry(1, **changes)])
    with pytest.raises(ValueError, match=rf'questions.json, line 3: {message}'):
        read_dataset(tmp_path)
    assert path.exists()


@pytest.mark.parametrize(
    'key', ['id', 'video_name', 'question', 'answer', 'answer_type', 'end_time']
)
def test_a_missing_field_is_named_with_file_and_line(tmp_path, key):
    broken = {name: value for name, value in entry(1).items() if name != key}
    write_json(tmp_path / 'questions.json', [entry(0), broken])
    with pytest.raises(ValueError, match=rf'line 3: {key} is missing'):
        read_dataset(tmp_path)


def test_unreadable_json_is_named_with_its_line(tmp_path):
    path = write_json(tmp_path / 'questions.json', [entry(0), entry(1)])
    path.write_text(path.read_text().replace('"walk_01",', '"walk_01"'))
    with pytest.raises(ValueError, match=r'questions.json, line 3: not JSON'):
        read_dataset(tmp_path)


def test_a_file_without_questions_is_refused(tmp_path):
    with pytest.raises(ValueError, match='at least one question'):
        read_questions(write_json(tmp_path / 'q.json', []), 'q')


def test_a_folder_without_question_files_says_what_it_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'questions.json.*test_qa_ego4d.json'):
        find_question_files(tmp_path)


def test_vstream_qa_needs_its_clip_list(tmp_path):
    write_json(tmp_path / 'test_qa_ego4d.json', [EGO])
    with pytest.raises(FileNotFoundError, match=r'vs_ego.json or rvs_ego.json'):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'end_time': 3271}, 'second 3271 lies beyond .* from second 2430 to second 3270'),
        ({'end_time': 2429}, 'second 2429 lies beyond the stream'),
        ({'end_time': 'shot_0012'}, 'has no time'),
        ({'video_id': '000999'}, "video_id: '000999' is not in the clip list"),
    ],
)
def test_times_outside_the_clip_are_named(tmp_path, changes, message):
    write_json(tmp_path / 'test_qa_ego4d.json', [EGO | changes])
    write_json(tmp_path / 'vs_ego.json', CLIPS)
    with pytest.raises(ValueError, match=rf'test_qa_ego4d.json, line 2: .*{message}'):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ('clip', 'message'),
    [
        ({'video_id': '000246', 'start_time': 5}, 'end_time or end_shot is missing'),
        ({'video_id': '000246', 'start_time': 5, 'end_time': 4}, 'expected start before end'),
        ({'start_time': 5, 'end_time': 9}, 'video_id: expected a name'),
        ('clip', 'video_id: expected a name'),
    ],
)
def test_a_wrong_clip_is_named_with_file_and_line(tmp_path, clip, message):
    write_json(tmp_path / 'test_qa_ego4d.json', [EGO])
    write_json(tmp_path / 'vs_ego.json', [clip])
    with pytest.raises(ValueError, match=rf'vs_ego.json, line 2: .*{message}'):
        read_dataset(tmp_path)


def test_a_duration_that_no_float_holds_limits_nothing(tmp_path):
    path = write_json(tmp_path / 'q.json', [entry(0, duration=-(10**400))])
    assert read_questions(path, 'q')[0].at_s == 10.5


def test_the_simulator_writes_what_is_read(tmp_path):
    from flash_vstream_ros.simulator.questions import TYPES, PatrolQuestion, Questioner
    from flash_vstream_ros.simulator.world import Patrol

    questioner = Questioner(Patrol(3, 180.0), 0)
    asked = [q for at_s in questioner.times(4) for q in questioner.ask(at_s, 6)]
    entries = [q.as_entry(n, 'patrol', 180.0) for n, q in enumerate(asked)]
    write_json(tmp_path / 'questions.json', entries)
    questions = read_dataset(tmp_path)
    assert len(questions) == len(asked) > 10
    for question, patrol_question in zip(questions, asked, strict=True):
        assert isinstance(patrol_question, PatrolQuestion)
        assert question.answer_type in TYPES
        assert question.answer == patrol_question.answer
        assert (question.group == 'unanswerable') is not patrol_question.answerable
        assert (question.group == 'closed') == bool(question.choices)
